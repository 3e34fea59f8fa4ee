/**
 * The lines of a ledger, as docs/ledger.md specifies them, and the states that they describe. Pure.
 *
 *   {"type":"header",…}⇥crc         the plan, and who writes
 *   {"type":"start",…}⇥crc          a stream of steps begins here: positions of its lanes, whole
 *   {"type":"step",…}⇥crc           a step of it: digest and new positions of each lane, only what changed
 *   {"type":"skip" | "gap",…}⇥crc   rows that are left out; lines that could not be written
 *
 * A line's CRC32C goes on from the one of the line before it, so that a line that is changed, missing or moved shows.
 */
import { crc32c } from '@node-rs/crc32';
import { createHash } from 'node:crypto';
import * as z from 'zod';
import type { LanePosition, LaneState, LaneStates } from '../plan/cursor.js';
import { mixtureChangeSchema, type MixtureChange } from '../plan/mixture-changes.js';
import { laneOfSlot } from '../plan/slots.js';

/** Raise it when the form of a line changes. */
export const LEDGER_VERSION = 1;
export const SEGMENT_ENDING = '.ledger';
/** Of a lane's part of a step: 128 bits are beyond chance, and half of a line would be the other 128. */
const DIGEST_BYTES_KEPT = 16;

const count = z.int().min(0);
const positionSchema = z.tuple([count, count, count, count, count, z.int()]);
const changesSchema = z.array(mixtureChangeSchema);
const laneName = z.string().regex(/^\d+$/);

const headerSchema = z.object({
  type: z.literal('header'),
  version: z.literal(LEDGER_VERSION),
  /** Of headrace. */
  headrace: z.string(),
  /** Of positions: a cursor's. */
  cursor: count,
  /** Names one process's segments; `part` counts them. */
  writer: z.string(),
  part: count,
  host: z.string(),
  pid: count,
  started: z.string(),
  planFingerprint: z.string(),
  plan: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  /** Positions are in this order. */
  sources: z.array(z.string()).min(1),
});
const startSchema = z.object({
  type: z.literal('start'),
  stream: count,
  /** The next step. */
  step: count,
  mixture: changesSchema,
  /** By lane: by source. */
  lanes: z.record(laneName, z.array(positionSchema)),
});
const stepSchema = z.object({
  type: z.literal('step'),
  stream: count,
  step: count,
  /** All of them, where this step has others than the one before it. */
  mixture: changesSchema.optional(),
  /** By lane: the digest, then by source the position, its credit where no more of it changed, or null. */
  lanes: z.record(laneName, z.tuple([z.string()], z.union([positionSchema, z.int(), z.null()]))),
});
const skipSchema = z.object({
  type: z.literal('skip'),
  source: z.string(),
  uri: z.string(),
  startRow: count,
  endRow: count,
  reason: z.enum(['missing', 'damaged', 'bad-row']),
  problem: z.string(),
});
const gapSchema = z.object({
  type: z.literal('gap'),
  /** Lines that are lost, and among them those of skipped rows. */
  steps: count,
  skips: count,
  firstStep: count.nullable(),
  lastStep: count.nullable(),
  problem: z.string(),
});
const lineSchema = z.discriminatedUnion('type', [headerSchema, startSchema, stepSchema, skipSchema, gapSchema]);

export type HeaderLine = Readonly<z.infer<typeof headerSchema>>;
export type StartLine = Readonly<z.infer<typeof startSchema>>;
export type StepLine = Readonly<z.infer<typeof stepSchema>>;
export type SkipLine = Readonly<z.infer<typeof skipSchema>>;
export type GapLine = Readonly<z.infer<typeof gapSchema>>;
export type LedgerLine = Readonly<z.infer<typeof lineSchema>>;

/** Positions of a lane, by source. */
export type SourcePositions = readonly LanePosition[];

/** Where a stream of steps stands. */
export interface LedgerState {
  readonly lanes: ReadonlyMap<string, SourcePositions>;
  readonly mixture: readonly MixtureChange[];
}

/** The text of a line with its CRC, which goes on from that of the line before it (0 for the first). */
export function encodeLine(json: string, previousCrc: number): { readonly text: string; readonly crc: number } {
  const crc = crc32c(json, previousCrc);
  return { text: `${json}\t${crc.toString(16).padStart(8, '0')}\n`, crc };
}

/** A line without its newline; undefined where it is not what was written. */
export function decodeLine(bytes: Uint8Array, previousCrc: number): { readonly line: LedgerLine; readonly crc: number } | undefined {
  const tab = bytes.length - 9;
  if (tab < 0 || bytes[tab] !== 9) return undefined;
  const json = Buffer.from(bytes.buffer, bytes.byteOffset, tab);
  const crc = crc32c(json, previousCrc);
  if (Buffer.from(bytes.buffer, bytes.byteOffset + tab + 1, 8).toString('latin1') !== crc.toString(16).padStart(8, '0')) return undefined;
  const parsed = lineSchema.safeParse(parseJson(json));
  return parsed.success ? { line: parsed.data, crc } : undefined;
}

function parseJson(json: Buffer): unknown {
  try {
    return JSON.parse(json.toString('utf8'));
  } catch {
    return undefined; // the schema refuses it
  }
}

/** What changed of a lane's positions. */
export function positionsDelta(before: SourcePositions, after: SourcePositions): (LanePosition | number | null)[] {
  return after.map((position, i) => {
    const same = position.slice(0, -1).every((value, field) => value === before[i][field]);
    if (!same) return position;
    return position[5] === before[i][5] ? null : position[5];
  });
}

export function applyDelta(before: SourcePositions, delta: readonly (LanePosition | number | null)[]): SourcePositions {
  return delta.map((change, i) => {
    if (change === null) return before[i];
    if (typeof change !== 'number') return change;
    const [group, window, document, token, delivered] = before[i];
    return [group, window, document, token, delivered, change];
  });
}

export function positionsOf(state: LaneState, sources: readonly string[]): SourcePositions {
  return sources.map((source) => state[source]);
}

export function laneStatesOf(lanes: ReadonlyMap<string, SourcePositions>, sources: readonly string[]): LaneStates {
  const inOrder = [...lanes].sort(([a], [b]) => Number(a) - Number(b));
  return Object.fromEntries(inOrder.map(([lane, positions]) => [lane, Object.fromEntries(sources.map((name, i) => [name, positions[i]]))]));
}

/** By lane: SHA-256 over the digests of its slots' sequences, in order of slot, shortened. The same whichever other lanes are made beside it. */
export function laneDigests(slots: ReadonlyMap<number, { readonly digest: Uint8Array }>, lanesTotal: number): Map<string, string> {
  const parts = new Map<number, Uint8Array[]>();
  for (const [slot, { digest }] of [...slots].sort(([a], [b]) => a - b)) {
    const lane = laneOfSlot(slot, lanesTotal);
    const own = parts.get(lane);
    if (own === undefined) parts.set(lane, [digest]);
    else own.push(digest);
  }
  return new Map(
    [...parts].map(([lane, digests]) => {
      const hash = createHash('sha256');
      for (const digest of digests) hash.update(digest);
      return [String(lane), hash.digest().subarray(0, DIGEST_BYTES_KEPT).toString('base64url')];
    }),
  );
}
