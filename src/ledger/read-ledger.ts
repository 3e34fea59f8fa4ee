/** Reads ledgers: the segments of a directory, their lines with whole states, and the cursor of any step in them. A torn end, which a killed process leaves, is no error. */
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { HeadraceError, messageOf } from '../core/errors.js';
import { CURSOR_VERSION, describeEntry, differingEntry, type Cursor, type PlanRecord } from '../plan/cursor.js';
import type { MixtureChange } from '../plan/mixture-changes.js';
import {
  applyDelta,
  decodeLine,
  laneStatesOf,
  SEGMENT_ENDING,
  type GapLine,
  type HeaderLine,
  type LedgerLine,
  type LedgerState,
  type SkipLine,
  type SourcePositions,
  type StepLine,
} from './format.js';
import { LEDGER_LIMITS } from './limits.js';

/** What a segment says, in its order. */
export type LedgerEvent =
  | { readonly kind: 'header'; readonly header: HeaderLine }
  | { readonly kind: 'start'; readonly step: number; readonly state: LedgerState }
  | LedgerStep
  | { readonly kind: 'skip'; readonly skip: SkipLine }
  | { readonly kind: 'gap'; readonly gap: GapLine }
  /** The last event: bytes after the last whole line. */
  | { readonly kind: 'end'; readonly lines: number; readonly tornBytes: number };

export interface LedgerStep {
  readonly kind: 'step';
  readonly step: number;
  /** By lane. */
  readonly digests: ReadonlyMap<string, string>;
  readonly before: LedgerState;
  readonly after: LedgerState;
}

/** Files of the directory's segments, by time of their process's start, then part. Errors: `LEDGER_INVALID`. */
export async function listSegments(dir: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(dir);
  } catch (error) {
    throw invalid(`the ledger ${dir} cannot be read: ${messageOf(error)}`, { dir }, error);
  }
  const segments = names.filter((name) => name.endsWith(SEGMENT_ENDING)).sort();
  if (segments.length === 0) throw invalid(`the directory ${dir} holds no ledger: no file in it ends in ${SEGMENT_ENDING}`, { dir });
  return segments.map((name) => path.join(dir, name));
}

/** Errors: `LEDGER_INVALID`, naming the line. */
export async function* readSegment(file: string, signal?: AbortSignal): AsyncGenerator<LedgerEvent, void, undefined> {
  const streams = new Map<number, LedgerState & { readonly step: number }>();
  let number = 0;
  for await (const read of readLines(file, signal)) {
    if (read.kind === 'end') {
      yield read;
      return;
    }
    number++;
    const { line } = read;
    if ('step' in line && line.step >= LEDGER_LIMITS.stepsMax) throw damaged(file, number, `there is no step ${line.step}`);
    if ((number === 1) !== (line.type === 'header')) throw damaged(file, number, 'a segment has one header, in its first line');
    switch (line.type) {
      case 'header':
        if (line.cursor !== CURSOR_VERSION) throw damaged(file, number, `its positions have version ${line.cursor}, not ${CURSOR_VERSION}`);
        yield { kind: 'header', header: line };
        break;
      case 'start': {
        const state = { step: line.step, lanes: new Map(Object.entries(line.lanes)), mixture: line.mixture };
        streams.set(line.stream, state);
        yield { kind: 'start', step: line.step, state };
        break;
      }
      case 'step': {
        const before = streams.get(line.stream);
        if (before?.step !== line.step) throw damaged(file, number, `step ${line.step} does not follow in its stream`);
        const { lanes, digests } = applyStep(before, line, () =>
          damaged(file, number, `step ${line.step} has other lanes than its stream`),
        );
        const after = { step: line.step + 1, lanes, mixture: line.mixture ?? before.mixture };
        streams.set(line.stream, after);
        yield { kind: 'step', step: line.step, digests, before, after };
        break;
      }
      case 'skip':
        yield { kind: 'skip', skip: line };
        break;
      case 'gap':
        yield { kind: 'gap', gap: line };
    }
  }
}

function applyStep(
  before: LedgerState,
  { lanes: changes }: StepLine,
  problem: () => HeadraceError,
): { readonly lanes: ReadonlyMap<string, SourcePositions>; readonly digests: ReadonlyMap<string, string> } {
  const lanes = new Map<string, SourcePositions>();
  const digests = new Map<string, string>();
  const entries = Object.entries(changes);
  if (entries.length !== before.lanes.size) throw problem();
  for (const [lane, [digest, ...delta]] of entries) {
    const positions = before.lanes.get(lane);
    if (positions?.length !== delta.length) throw problem();
    lanes.set(lane, applyDelta(positions, delta));
    digests.set(lane, digest);
  }
  return { lanes, digests };
}

type ReadLine = { readonly kind: 'line'; readonly line: LedgerLine } | Extract<LedgerEvent, { kind: 'end' }>;

async function* readLines(file: string, signal: AbortSignal | undefined): AsyncGenerator<ReadLine, void, undefined> {
  let rest: Buffer = Buffer.alloc(0);
  let crc = 0;
  let lines = 0;
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 18, ...(signal && { signal }) }) as AsyncIterable<Buffer>) {
      let bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10)) {
        const decoded = decodeLine(bytes.subarray(0, end), crc);
        if (decoded === undefined) throw damaged(file, lines + 1, 'it is not what was written');
        crc = decoded.crc;
        lines++;
        yield { kind: 'line', line: decoded.line };
        bytes = bytes.subarray(end + 1);
      }
      if (bytes.length > LEDGER_LIMITS.lineBytesMax) throw damaged(file, lines + 1, 'it has no end');
      rest = bytes;
    }
  } catch (error) {
    if (error instanceof HeadraceError || signal?.aborted === true) throw error;
    throw invalid(`the segment ${file} cannot be read: ${messageOf(error)}`, { file }, error);
  }
  yield { kind: 'end', lines, tornBytes: rest.length };
}

export interface CursorFromLedgerOptions {
  /** Segments of other plans are an error. */
  readonly plan?: PlanRecord;
  readonly signal?: AbortSignal;
}

/** Where a run stood before a step, and with which changes of weights: one scan. Errors: `LEDGER_INVALID` where the ledger does not say it of every lane. */
export async function cursorFromLedger(dir: string, step: number, { plan, signal }: CursorFromLedgerOptions = {}): Promise<Cursor> {
  const lanes = new Map<string, SourcePositions>();
  let mixture: readonly MixtureChange[] = [];
  let known: HeaderLine | undefined;
  let [firstStep, endStep] = [Infinity, 0];
  for (const file of await listSegments(dir)) {
    for await (const event of readSegment(file, signal)) {
      if (event.kind === 'header') {
        checkSamePlan(file, event.header.plan, plan ?? known?.plan ?? event.header.plan);
        known = event.header;
      }
      if (event.kind !== 'start' && event.kind !== 'step') continue;
      const state = event.kind === 'start' ? event.state : event.after;
      const stands = event.kind === 'start' ? event.step : event.step + 1;
      firstStep = Math.min(firstStep, stands);
      endStep = Math.max(endStep, stands);
      if (stands !== step) continue;
      ({ mixture } = state);
      for (const [lane, positions] of state.lanes) lanes.set(lane, positions);
      if (lanes.size === lanesOf(known)) break;
    }
    if (known !== undefined && lanes.size === lanesOf(known)) {
      return { version: CURSOR_VERSION, step, plan: known.plan, mixture, lanes: laneStatesOf(lanes, known.sources) };
    }
  }
  const range = firstStep === Infinity ? 'it has none' : `it has steps ${firstStep} to ${endStep}`;
  throw invalid(
    lanes.size === 0
      ? `the ledger ${dir} does not hold step ${step}: ${range}`
      : `the ledger ${dir} holds step ${step} of ${lanes.size} of ${lanesOf(known)} lanes only`,
    { dir, step },
  );
}

function lanesOf(header: HeaderLine | undefined): number {
  return Number(header?.plan['batch.lanes'] ?? 0);
}

function checkSamePlan(file: string, written: PlanRecord, plan: PlanRecord): void {
  const field = differingEntry(written, plan);
  if (field === undefined) return;
  throw invalid(
    `the segment ${file} is of another plan: ${field} is ${describeEntry(written[field])} there, not ${describeEntry(plan[field])}`,
    { file, field },
  );
}

function damaged(file: string, line: number, problem: string): HeadraceError {
  return invalid(`line ${line} of ${file} is damaged: ${problem}`, { file, line });
}

function invalid(message: string, detail: Readonly<Record<string, string | number>>, cause?: unknown): HeadraceError {
  return new HeadraceError('LEDGER_INVALID', message, {
    detail,
    hint: 'A ledger is a directory that `ledger` of a configuration named, with all its segments as they were written.',
    cause,
  });
}
