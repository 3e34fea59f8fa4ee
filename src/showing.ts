/**
 * What a step held: opens the stream at a cursor, makes the steps up to the one that was asked for, and says where each of its tokens comes from.
 *
 *   cursor ─▶ the rank's lanes ─▶ steps between, thrown away ─▶ step ─▶ segments ─▶ shard, row, tokens, text
 *
 * Only the lanes of the rank, or of the slot, are opened, and nothing is made for later steps: with the cursor of the step itself that is one window a lane.
 */
import { createHash } from 'node:crypto';
import type { Config, ConfigInput } from './config/config.js';
import { LIMITS } from './config/limits.js';
import { HeadraceError } from './core/errors.js';
import { formatDuration } from './core/quantity.js';
import { fieldBytesOfRow, fieldOfRow, type FieldArrays } from './core/fields.js';
import { SEGMENT_FIELDS, SEGMENT_FIRST, SEGMENT_LAST, SOURCE_PADDING, tellingMask } from './core/sequence.js';
import { loadTokenizer } from './open-tokenizer.js';
import { sequenceDigest } from './pack/sequence-writer.js';
import { openPipeline, resolveInput, type Pipeline, type PipelineOptions, type SourceInfo, type StreamRequest } from './pipeline.js';
import { betweenSteps, type Cursor } from './plan/cursor.js';
import { checkRank, laneOfSlot, slotsOfRank, type Rank } from './plan/slots.js';
import type { Batch } from './stream/rank-stream.js';
import type { Tokenizer } from './tokenize/tokenizer.js';

export interface ShowRequest extends Partial<Rank>, Pick<PipelineOptions, 'warn' | 'observe'> {
  readonly step: number;
  /** Left out: that of the cursor, else `train`. */
  readonly split?: StreamRequest['split'];
  /** One slot of the global batch, and no other. */
  readonly slot?: number;
  /** A state of this step or an earlier one: one that holds the lanes of the rank, or those of all ranks. None: from the start. */
  readonly cursor?: Cursor | readonly Cursor[];
  /** However long it takes to make the steps before. Only without a cursor. */
  readonly fromStart?: boolean;
  /** Told of each step between that was made. */
  readonly onStep?: (step: number) => void;
}

export interface ShownStep {
  readonly step: number;
  readonly split: NonNullable<StreamRequest['split']>;
  readonly rank: number;
  readonly worldSize: number;
  /** Tokens of a sequence. */
  readonly length: number;
  /** Tokens that are not padding. */
  readonly tokens: number;
  readonly padding: number;
  /** SHA-256 (hex), as trainers got it; with `slot`, of that slot alone. */
  readonly digest: string;
  /** Steps before this one that had to be made. */
  readonly stepsMade: number;
  readonly slots: readonly ShownSlot[];
}

export interface ShownSlot {
  /** Of the global batch. */
  readonly slot: number;
  /** That filled it; of a slot of padding, as `turn`. */
  readonly lane: number;
  /** Whose turn the slot is: where that lane has no sequence left, another one has filled it. */
  readonly turn: number;
  readonly tokens: number;
  readonly padding: number;
  /** SHA-256 (hex) of its ids and segments. */
  readonly digest: string;
  /** In order, without that of padding. */
  readonly segments: readonly ShownSegment[];
  /** Of a sample, in order of name. */
  readonly fields?: readonly ShownField[];
}

export interface ShownField {
  readonly name: string;
  /** `bytes`, `text`, or of numbers their type. */
  readonly type: string;
  readonly bytes: number;
  /** SHA-256 (hex) of the bytes, as they are on the wire. */
  readonly sha256: string;
  /** Of text. */
  readonly text?: string;
  /** The first of the numbers. */
  readonly numbers?: readonly string[];
}

export interface ShownSegment {
  /** Place of its first token in the sequence. */
  readonly start: number;
  readonly source: string;
  /** The shard below the source's root … */
  readonly shard: string;
  /** … and where it is. */
  readonly uri: string;
  /** Counted in the shard. */
  readonly row: number;
  /** The document's id, where the source has a column of them (`sources.NAME.id`), and it is not null. */
  readonly id?: string;
  /** Tokens [tokenStart, tokenEnd) of the document. */
  readonly tokenStart: number;
  readonly tokenEnd: number;
  /** Whether it holds the document's first token, its last one. */
  readonly begins: boolean;
  readonly ends: boolean;
  readonly ids: Int32Array;
  /** What a cut inside a character leaves of it is U+FFFD. Undefined without a tokenizer. */
  readonly text: string | undefined;
}

/**
 * The rank's part of a step (by default all of it), from the data. It takes no part in the run: no address, no claim in `run.dir`.
 * Errors: `CONFIG_INVALID` where there is no such step or slot, or where it is too far without a cursor; `CURSOR_MISMATCH`, `WORLD_SIZE`, those of reading.
 */
export async function showStep(input: string | ConfigInput | Config, request: ShowRequest): Promise<ShownStep> {
  const config = await resolveInput(input);
  const rank = rankOf(config, request);
  const streamRank: Rank = request.slot === undefined ? rank : { rank: request.slot, worldSize: config.batch.size };
  // the whole step is shown, however many of its rows a rank had been given
  const cursors = (request.cursor === undefined ? [] : [request.cursor].flat()).map(betweenSteps);
  const split = request.split ?? (cursors.at(0)?.plan.split === 'validation' ? 'validation' : 'train');
  checkReach(config, request, cursors);
  const loading = config.tokenizer && loadTexts(config, config.tokenizer);
  loading?.catch(() => undefined); // heard of when it is needed
  let filledBy: ReadonlyMap<number, number> = new Map();
  const pipeline = await openPipeline(config, {
    observe: request.observe ?? 'run',
    // a step is made when it is asked for: this is the last one that was
    onStep: (made) => ({ filledBy } = made),
    ...(request.warn && { warn: request.warn }),
  });
  try {
    const { step, onStep } = request;
    const stream = pipeline.openStream({ ...streamRank, split, stepsEnd: step + 1, ...(cursors.length > 0 && { cursor: cursors }) });
    let batch = await stream.next();
    let end = stream.start.step;
    for (; batch !== undefined && batch.step < step; batch = await stream.next()) {
      end = batch.step + 1;
      onStep?.(batch.step);
    }
    if (batch === undefined) {
      throw invalid(`the stream has no step ${step}: it ends after ${end} steps`, 'step', 'Ask for an earlier one.');
    }
    const slots = shownSlots(batch, slotsOfRank(streamRank, config.batch.size), {
      lanes: config.batch.lanes,
      filledBy,
      sources: pipeline.info.sources,
      tokenizer: await loading,
    });
    const { length, rows, tokens, digest } = batch;
    const named = await withDocumentIds(slots, batch, pipeline);
    return {
      step,
      split,
      ...rank,
      length,
      tokens,
      padding: rows * length - tokens,
      digest,
      stepsMade: step - stream.start.step,
      slots: named,
    };
  } finally {
    await pipeline.close();
    await loading?.catch(() => undefined);
  }
}

function loadTexts(config: Config, { file, specialTokens }: NonNullable<Config['tokenizer']>): Promise<Tokenizer> {
  return loadTokenizer(file, { storage: config.storage, cacheDir: config.cacheDir, specialTokens });
}

/** Errors: `WORLD_SIZE`, `CONFIG_INVALID`. */
function rankOf(config: Config, request: ShowRequest): Rank {
  const rank: Rank = { rank: request.rank ?? 0, worldSize: request.worldSize ?? 1 };
  const { slot } = request;
  const { size } = config.batch;
  checkRank(rank, size);
  if (slot === undefined || slotsOfRank(rank, size).includes(slot)) return rank;
  const problem =
    Number.isInteger(slot) && slot >= 0 && slot < size
      ? `slot ${slot} is not of rank ${rank.rank} of ${rank.worldSize}, but of rank ${slot % rank.worldSize}`
      : `there is no slot ${slot}: a step has the slots 0 to ${size - 1}`;
  throw invalid(problem, 'slot', 'Slots are counted in the global batch: rank r of W has those with slot mod W = r.');
}

function checkReach(config: Config, { step, fromStart }: ShowRequest, cursors: readonly Cursor[]): void {
  if (!Number.isSafeInteger(step) || step < 0) throw invalid(`there is no step ${step}: the first is 0`, 'step', 'Count from 0.');
  const later = cursors.find((cursor) => cursor.step > step);
  if (later !== undefined) {
    throw new HeadraceError(
      'CURSOR_MISMATCH',
      `the state stands before step ${later.step}, and step ${step} is earlier: a stream goes forward only`,
      {
        detail: { field: 'step', cursor: later.step, step },
        hint: `Pass the state of a checkpoint that was saved before step ${step} was consumed.`,
      },
    );
  }
  const tokens = step * config.batch.size * config.sequence.length;
  if (cursors.length > 0 || fromStart === true || tokens <= LIMITS.showTokensMax) return;
  const duration = formatDuration((tokens / LIMITS.workerTokensPerSecondAssumed) * 1000);
  throw invalid(
    `step ${step} is ${tokens} tokens from the start, which one worker takes about ${duration} to make`,
    'step',
    'Pass a state that a checkpoint saved at that step or before it (--cursor FILE), take it from the ledger of the run (--ledger), or say that all steps are to be made (--from-start).',
  );
}

/** Reads the ids of the documents, where their source has a column of them: shard by shard. */
async function withDocumentIds(slots: readonly ShownSlot[], { segments }: Batch, pipeline: Pipeline): Promise<ShownSlot[]> {
  const rowsOf = new Map<string, { readonly source: number; readonly shard: number; readonly rows: number[] }>();
  for (let i = 0; i < segments.length; i += SEGMENT_FIELDS) {
    const [source, shard, row] = segments.subarray(i, i + SEGMENT_FIELDS);
    if (source === SOURCE_PADDING) continue;
    const key = `${pipeline.info.sources[source].name}\0${pipeline.info.sources[source].shard(shard).uri}`;
    const asked = rowsOf.get(key) ?? { source, shard, rows: [] };
    asked.rows.push(row);
    rowsOf.set(key, asked);
  }
  const ids = new Map<string, ReadonlyMap<number, string>>();
  for (const [key, { source, shard, rows }] of rowsOf) ids.set(key, await pipeline.documentIds(source, shard, rows));
  return slots.map((slot) => ({
    ...slot,
    segments: slot.segments.map((segment) => {
      const id = ids.get(`${segment.source}\0${segment.uri}`)?.get(segment.row);
      return id === undefined ? segment : { ...segment, id };
    }),
  }));
}

interface ShownWith {
  readonly lanes: number;
  /** By slot, but for those of padding. */
  readonly filledBy: ReadonlyMap<number, number>;
  readonly sources: readonly SourceInfo[];
  readonly tokenizer: Tokenizer | undefined;
}

/** `slots`: of the batch's rows. */
function shownSlots(batch: Batch, slots: readonly number[], { lanes, filledBy, sources, tokenizer }: ShownWith): ShownSlot[] {
  const { length, inputIds, cuSeqlens, segments, fields } = batch;
  const hasIds = inputIds.length > 0;
  let next = 0;
  return slots.map((slot, row) => {
    const ids = inputIds.subarray(row * length, (row + 1) * length);
    const first = next;
    const shown: ShownSegment[] = [];
    for (; next < cuSeqlens.length - 1 && cuSeqlens[next] < (row + 1) * length; next++) {
      const [source, shard, documentRow, tokenStart, count, flags] = segments.subarray(next * SEGMENT_FIELDS, (next + 1) * SEGMENT_FIELDS);
      if (source === SOURCE_PADDING) continue;
      const start = cuSeqlens[next] - row * length;
      const own = ids.subarray(start, start + count);
      const { path, uri } = sources[source].shard(shard);
      shown.push({
        start,
        source: sources[source].name,
        shard: path,
        uri,
        row: documentRow,
        tokenStart,
        tokenEnd: tokenStart + count,
        begins: (flags & SEGMENT_FIRST) !== 0,
        ends: (flags & SEGMENT_LAST) !== 0,
        ids: own,
        text: hasIds ? tokenizer?.decode(own) : undefined,
      });
    }
    const turn = laneOfSlot(slot, lanes);
    const tokens = shown.reduce((sum, segment) => sum + segment.tokenEnd - segment.tokenStart, 0);
    const rowSegments = segments.subarray(first * SEGMENT_FIELDS, next * SEGMENT_FIELDS);
    const mask = tellingMask(batch.lossMask, row * length, length, rowSegments);
    const bytes = Object.values(fields ?? {}).map((field) => fieldBytesOfRow(field, row));
    const digest = Buffer.from(sequenceDigest(ids, rowSegments, mask, bytes)).toString('hex');
    const shownFields = fields && Object.entries(fields).map(([name, field]) => shownField(name, field, row));
    return {
      slot,
      lane: filledBy.get(slot) ?? turn,
      turn,
      tokens,
      padding: length - tokens,
      digest,
      segments: shown,
      ...(shownFields && { fields: shownFields }),
    };
  });
}

/** Numbers that are shown of a list. */
const NUMBERS_SHOWN = 8;

function shownField(name: string, field: FieldArrays, row: number): ShownField {
  const bytes = fieldBytesOfRow(field, row);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const value = fieldOfRow(field, row);
  const type = field.kind === 'numbers' ? field.dtype : field.kind;
  if (typeof value === 'string') return { name, type, bytes: bytes.length, sha256, text: value };
  if (field.kind !== 'numbers') return { name, type, bytes: bytes.length, sha256 };
  const numbers = typeof value === 'object' ? Array.from(value.subarray(0, NUMBERS_SHOWN), String) : [String(value)];
  return { name, type: field.size === null ? type : `${type} × ${field.size}`, bytes: bytes.length, sha256, numbers };
}

function invalid(message: string, field: string, hint: string): HeadraceError {
  return new HeadraceError('CONFIG_INVALID', message, { detail: { field }, hint });
}
