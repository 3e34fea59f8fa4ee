/**
 * Writes a ledger: each step's line is in the hands of the operating system before anybody gets the step, so that the end of the process loses none that
 * was delivered.
 *
 *   record ──▶ queue ──▶ one write at a time, of all that waits ──▶ segment │ full, or a write failed: the next one
 *
 * A ledger never stops the stream: what cannot be written is counted, and declared in the file once it can be again. Every stream then states its
 * positions anew, because its next line would say only what changed.
 */
import { randomBytes } from 'node:crypto';
import { open, rm, type FileHandle } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { fingerprint } from '../core/canonical-json.js';
import { messageOf } from '../core/errors.js';
import type { SkipRecord } from '../core/skip.js';
import { VERSION } from '../core/version.js';
import { makeDirectory } from '../files/make-directory.js';
import { CURSOR_VERSION, type LaneStates, type PlanRecord } from '../plan/cursor.js';
import { sameChanges, type MixtureChange } from '../plan/mixture-changes.js';
import {
  encodeLine,
  laneDigests,
  LEDGER_VERSION,
  positionsDelta,
  positionsOf,
  SEGMENT_ENDING,
  type GapLine,
  type HeaderLine,
  type SkipLine,
  type StartLine,
  type StepLine,
} from './format.js';
import { LEDGER_LIMITS } from './limits.js';

export interface LedgerOptions {
  readonly dir: string;
  readonly plan: PlanRecord;
  /** Names, in order. */
  readonly sources: readonly string[];
  readonly lanes: number;
  /** Told once of a directory that fails, and once when it works again. */
  readonly warn?: ((message: string, detail: Readonly<Record<string, string | number>>) => void) | undefined;
  /** Tests use other bounds. */
  readonly limits?: Partial<Record<keyof typeof LEDGER_LIMITS, number>>;
}

export interface LedgerCounters {
  steps: number;
  bytes: number;
  /** Steps and skipped rows that are not in the ledger, because it could not be written. */
  lost: number;
}

interface Standing {
  readonly lanes: LaneStates;
  readonly mixture: readonly MixtureChange[];
}

/** A step, as an assembler makes it. */
export interface RecordedStep {
  readonly step: number;
  readonly slots: ReadonlyMap<number, { readonly digest: Uint8Array }>;
  readonly before: Standing;
  readonly after: Standing;
}

/** The steps of one assembler, in order. */
export interface LedgerStream {
  /** Resolves when the line is written, or will not be. Never rejects. */
  record(step: RecordedStep): Promise<void>;
}

interface OpenSegment {
  readonly file: string;
  readonly handle: FileHandle;
  crc: number;
  bytes: number;
  syncedMs: number;
}

interface Queued {
  readonly kind: 'step' | 'skip';
  readonly json: string;
  /** The first line of a new segment. */
  readonly rotates: boolean;
  readonly step: number | undefined;
}

interface Loss {
  steps: number;
  skips: number;
  firstStep: number | undefined;
  lastStep: number | undefined;
  problem: string;
}

/** Makes the directory, or warns. */
export async function openLedger(options: LedgerOptions): Promise<Ledger> {
  const ledger = new Ledger(options);
  await ledger.open();
  return ledger;
}

export class Ledger {
  readonly counters: LedgerCounters = { steps: 0, bytes: 0, lost: 0 };
  readonly #options: LedgerOptions;
  readonly #limits: Record<keyof typeof LEDGER_LIMITS, number>;
  readonly #started = new Date();
  readonly #writer = randomBytes(4).toString('hex');
  readonly #planFingerprint: string;
  #part = 0;
  #streams = 0;
  #segment: OpenSegment | undefined;
  /** Bytes of this segment, with those that wait. */
  #segmentBytes = 0;
  #rotateNext = false;
  /** Streams that have stated their positions in an earlier one must do so again. */
  #generation = 0;
  #queue: Queued[] = [];
  #queueBytes = 0;
  #writing: Promise<void> | undefined;
  /** The write that takes too long: steps do not wait for it. */
  #late: Promise<void> | undefined;
  #loss: Loss | undefined;
  /** Lines were lost while the segment was in use: the next one declares them. */
  #mustDeclare = false;
  #retryAtMs = 0;
  #syncing: Promise<void> | undefined;
  /** What a worker still finds then belongs to steps that nobody gets: a segment for it would have no step, and nobody who closes it. */
  #isClosed = false;

  constructor(options: LedgerOptions) {
    this.#options = options;
    this.#limits = { ...LEDGER_LIMITS, ...options.limits };
    this.#planFingerprint = fingerprint(options.plan);
  }

  async open(): Promise<void> {
    try {
      await makeDirectory(this.#options.dir);
    } catch (error) {
      this.#fail([], error);
    }
  }

  openStream(): LedgerStream {
    const stream = this.#streams++;
    let stated = -1;
    return {
      record: async (made) => {
        if (this.#isClosed) return;
        if (this.#isDown()) {
          this.#lose('step', made.step);
          this.#mustDeclare = true;
          stated = -1;
          return;
        }
        if (this.#mustDeclare || this.#segmentBytes >= this.#limits.segmentBytesMax) this.#rotate();
        if (stated !== this.#generation) {
          this.#enqueue('step', undefined, this.#startLine(stream, made));
          stated = this.#generation;
        }
        this.#enqueue('step', made.step, this.#stepLine(stream, made));
        await this.#written();
      },
    };
  }

  /** Written before the line of any step that comes later. */
  skip({ source, uri, startRow, endRow, reason, problem }: SkipRecord): void {
    if (this.#isClosed) return;
    if (this.#isDown()) {
      this.#lose('skip', undefined);
      return;
    }
    const line: SkipLine = { type: 'skip', source, uri, startRow, endRow, reason, problem: problem.slice(0, this.#limits.problemCharsMax) };
    this.#enqueue('skip', undefined, line);
    void this.#written();
  }

  /** Writes what waits; a directory that hangs is left to itself. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#queue.length > 0 || this.#writing !== undefined) await this.#written();
    if (this.#late !== undefined) return;
    await this.#syncing;
    const segment = this.#segment;
    this.#segment = undefined;
    await segment?.handle.datasync().catch(() => undefined); // a store without it has it in its own hands
    await segment?.handle.close().catch(() => undefined);
  }

  #isDown(): boolean {
    return performance.now() < this.#retryAtMs || this.#queueBytes >= this.#limits.bufferBytesMax;
  }

  #startLine(stream: number, { step, before }: RecordedStep): StartLine {
    const { sources } = this.#options;
    const lanes = Object.entries(before.lanes).map(([lane, state]) => [
      lane,
      [...positionsOf(state, sources)].map((position) => [...position]),
    ]);
    return { type: 'start', stream, step, mixture: [...before.mixture], lanes: Object.fromEntries(lanes) as StartLine['lanes'] };
  }

  #stepLine(stream: number, { step, slots, before, after }: RecordedStep): StepLine {
    const { sources, lanes: lanesTotal } = this.#options;
    const digests = laneDigests(slots, lanesTotal);
    const lanes = Object.entries(after.lanes).map(([lane, state]) => [
      lane,
      [digests.get(lane) ?? '', ...positionsDelta(positionsOf(before.lanes[lane], sources), positionsOf(state, sources))],
    ]);
    return {
      type: 'step',
      stream,
      step,
      ...(!sameChanges(before.mixture, after.mixture) && { mixture: [...after.mixture] }),
      lanes: Object.fromEntries(lanes) as StepLine['lanes'],
    };
  }

  #rotate(): void {
    this.#rotateNext = true;
    this.#mustDeclare = false;
    this.#segmentBytes = 0;
    this.#generation++;
  }

  #enqueue(kind: Queued['kind'], step: number | undefined, line: StartLine | StepLine | SkipLine): void {
    const json = JSON.stringify(line);
    this.#queue.push({ kind, json, step, rotates: this.#rotateNext });
    this.#rotateNext = false;
    this.#queueBytes += json.length;
    this.#segmentBytes += json.length;
  }

  /** Resolves when what is in the queue now is written, or lost, or when that takes too long. */
  async #written(): Promise<void> {
    if (this.#late !== undefined) return;
    // one that is under way goes on with what is queued meanwhile
    this.#writing ??= this.#writeAll();
    await this.#waitFor(this.#writing);
  }

  async #waitFor(writing: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), this.#limits.writeWaitMs);
    });
    const outcome = await Promise.race([writing, late]);
    clearTimeout(timer);
    if (outcome !== 'late' || this.#writing !== writing || this.#late === writing) return;
    this.#late = writing;
    this.#warn(`a write to the ledger ${this.#options.dir} takes more than ${this.#limits.writeWaitMs} ms: steps are served meanwhile`, {});
  }

  async #writeAll(): Promise<void> {
    // in a later turn: what is queued in this one is written with it
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const end = this.#queue.findIndex(({ rotates }, index) => index > 0 && rotates);
      const batch = this.#queue.splice(0, end < 0 ? this.#queue.length : end);
      const bytes = batch.reduce((sum, { json }) => sum + json.length, 0);
      try {
        await this.#write(batch);
        this.#queueBytes -= bytes;
      } catch (error) {
        this.#queueBytes -= bytes;
        this.#fail(batch, error);
      }
    }
    this.#writing = undefined;
    this.#late = undefined;
  }

  async #write(batch: readonly Queued[]): Promise<void> {
    if (batch[0].rotates) await this.#closeSegment();
    const segment = (this.#segment ??= await this.#openSegment());
    let { crc } = segment;
    let text = '';
    for (const { json } of batch) {
      const line = encodeLine(json, crc);
      text += line.text;
      crc = line.crc;
    }
    const bytes = Buffer.from(text);
    await segment.handle.writeFile(bytes);
    segment.crc = crc;
    segment.bytes += bytes.length;
    this.counters.bytes += bytes.length;
    this.counters.steps += batch.filter(({ step }) => step !== undefined).length;
    this.#sync(segment);
  }

  /** A new file with its header, and what could not be written before. */
  async #openSegment(): Promise<OpenSegment> {
    const { dir, plan, sources } = this.#options;
    const time = this.#started.toISOString().replace(/[-:]/g, '').replace(/\..*/, 'Z');
    const name = `${time}-${this.#writer}-${String(this.#part).padStart(6, '0')}${SEGMENT_ENDING}`;
    const file = path.join(dir, name);
    const header: HeaderLine = {
      type: 'header',
      version: LEDGER_VERSION,
      headrace: VERSION,
      cursor: CURSOR_VERSION,
      writer: this.#writer,
      part: this.#part,
      host: hostname(),
      pid: process.pid,
      started: this.#started.toISOString(),
      planFingerprint: this.#planFingerprint,
      plan,
      sources: [...sources],
    };
    await makeDirectory(dir);
    const handle = await open(file, 'wx');
    try {
      const first = encodeLine(JSON.stringify(header), 0);
      const loss = this.#loss;
      const second = loss === undefined || loss.steps + loss.skips === 0 ? undefined : encodeLine(JSON.stringify(gapLine(loss)), first.crc);
      const text = Buffer.from(first.text + (second?.text ?? ''));
      await handle.writeFile(text);
      this.#part++;
      this.counters.bytes += text.length;
      if (loss !== undefined) {
        this.#loss = undefined;
        this.#warn(`the ledger ${dir} is written again`, { stepsLost: loss.steps });
      }
      return { file, handle, crc: second?.crc ?? first.crc, bytes: text.length, syncedMs: performance.now() };
    } catch (error) {
      await handle.close().catch(() => undefined);
      await rm(file, { force: true }).catch(() => undefined); // a segment without a header says nothing, and is ignored
      throw error;
    }
  }

  async #closeSegment(): Promise<void> {
    const segment = this.#segment;
    this.#segment = undefined;
    if (segment === undefined) return;
    await this.#syncing;
    await segment.handle.datasync();
    await segment.handle.close();
  }

  /** In the background: what is written outlives the process anyway. */
  #sync(segment: OpenSegment): void {
    const nowMs = performance.now();
    if (this.#syncing !== undefined || nowMs - segment.syncedMs < this.#limits.syncMs) return;
    segment.syncedMs = nowMs;
    this.#syncing = segment.handle
      .datasync()
      .catch((error: unknown) => this.#warn(`the ledger ${this.#options.dir} cannot be flushed to its disk: ${messageOf(error)}`, {}))
      .finally(() => {
        this.#syncing = undefined;
      });
  }

  /** What was to be written is lost, and what waits with it: its lines say only what changed. The file may end in a torn line, so it is left. */
  #fail(batch: readonly Queued[], error: unknown): void {
    const wasWorking = this.#loss === undefined;
    const lost = [...batch, ...this.#queue];
    this.#queue = [];
    this.#queueBytes = 0;
    this.#segmentBytes = 0;
    this.#generation++;
    this.#retryAtMs = performance.now() + this.#limits.retryMs;
    const segment = this.#segment;
    this.#segment = undefined;
    segment?.handle.close().catch(() => undefined); // it has failed already
    this.#loss ??= { steps: 0, skips: 0, firstStep: undefined, lastStep: undefined, problem: messageOf(error) };
    for (const { kind, step } of lost) if (kind === 'skip' || step !== undefined) this.#lose(kind, step);
    if (!wasWorking) return;
    this.#warn(`the ledger ${this.#options.dir} cannot be written (${messageOf(error)}): the run goes on without, and is tried again`, {});
  }

  #lose(kind: Queued['kind'], step: number | undefined): void {
    this.counters.lost++;
    const problem = 'the directory did not answer in time';
    const loss = (this.#loss ??= { steps: 0, skips: 0, firstStep: undefined, lastStep: undefined, problem });
    if (kind === 'skip') loss.skips++;
    if (step === undefined) return;
    loss.steps++;
    loss.firstStep = Math.min(loss.firstStep ?? step, step);
    loss.lastStep = Math.max(loss.lastStep ?? step, step);
  }

  #warn(message: string, detail: Readonly<Record<string, string | number>>): void {
    this.#options.warn?.(message, { dir: this.#options.dir, ...detail });
  }
}

function gapLine({ steps, skips, firstStep, lastStep, problem }: Loss): GapLine {
  return { type: 'gap', steps, skips, firstStep: firstStep ?? null, lastStep: lastStep ?? null, problem };
}
