/** `headrace diff A B`: from which step on two streams differ, and why. */
import {
  compare,
  streamOfConfig,
  streamOfStates,
  type ComparedStream,
  type ShardDifference,
  type StreamsComparison,
} from '../../src/comparing.js';
import { loadConfig, type Config } from '../../src/config/config.js';
import type { EntryDifference, PositionDifference } from '../../src/plan/compare-streams.js';
import { describeEntry } from '../../src/plan/cursor.js';
import type { MixtureChange } from '../../src/plan/mixture-changes.js';
import { printable, printableJson } from '../printable.js';
import { readState, readStates, statesOf } from './read-states.js';

export interface DiffOptions {
  /** A configuration, or a state. */
  readonly a: string;
  readonly b: string;
  readonly json: boolean;
}

/** Shards, changes and positions that are named, of each kind; the rest is counted. */
const NAMED_MAX = 10;

/** Returns the exit status: 0 where the streams are equal, 1 where they are not, or where that is open. Errors: those of reading either. */
export async function diff({ a, b, json }: DiffOptions): Promise<number> {
  const [left, right] = await streamsOf([await sideOf(a), await sideOf(b)]);
  const comparison = compare(left, right);
  if (json) process.stdout.write(`${printableJson(jsonOf(comparison, left, right))}\n`);
  else for (const line of diffLines(comparison, left, right)) process.stdout.write(`${line}\n`);
  return comparison.verdict === 'equal' ? 0 : 1;
}

/** JSON of states, or else a configuration. Errors: `CURSOR_INVALID`, those of configurations. */
async function sideOf(file: string): Promise<ComparedStream | Config> {
  const value = await jsonIn(file);
  if (value !== undefined && isState(value)) return streamOfStates(statesOf(value, file));
  if (value === undefined && file.endsWith('.json')) return streamOfStates(await readStates(file)); // a state that was cut off, which this says
  return loadConfig(file);
}

/** A configuration is compared with a state by the state's split, with another one by training. Errors: those of `streamOfConfig`. */
async function streamsOf(sides: readonly [ComparedStream | Config, ComparedStream | Config]): Promise<ComparedStream[]> {
  const split = sides.some((side) => 'view' in side && side.view.plan.split === 'validation') ? 'validation' : 'train';
  const warn = (message: string): void => void process.stderr.write(`${printable(message)}\n`);
  const streams: ComparedStream[] = [];
  for (const side of sides) streams.push('view' in side ? side : await streamOfConfig(side, split, warn));
  return streams;
}

/** `undefined`: it is none. */
async function jsonIn(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readState(file)) as unknown;
  } catch {
    return undefined; // what is wrong with it, whoever reads it as a configuration says
  }
}

/** JSON is YAML as well, but no configuration is a list, or has one of these keys. */
function isState(value: unknown): boolean {
  return typeof value === 'object' && value !== null && (Array.isArray(value) || 'lanes' in value || 'version' in value || 'plan' in value);
}

/** JSON has no Infinity: `null` is "for ever". */
function jsonOf(comparison: StreamsComparison, left: ComparedStream, right: ComparedStream): object {
  const finite = (step: number): number | null => (step === Infinity ? null : step);
  return {
    ...comparison,
    equalBefore: finite(comparison.equalBefore),
    entries: comparison.entries.map(({ a = null, b = null, ...entry }) => ({ ...entry, a, b, equalBefore: finite(entry.equalBefore) })),
    steps: { a: left.view.step, b: right.view.step },
  };
}

export function* diffLines(comparison: StreamsComparison, left: ComparedStream, right: ComparedStream): Generator<string, void> {
  const { verdict, equalBefore, why, entries, changes, positions, shards } = comparison;
  yield verdictLine(verdict, equalBefore, why);
  if (verdict === 'equal' && entries.length > 0)
    yield '  (a state of the one is refused by the other all the same: their plans are not the same)';
  if (left.view.step !== right.view.step) yield `steps: a stands before step ${left.view.step}, b before step ${right.view.step}`;
  for (const entry of entries) yield* entryLines(entry);
  for (const shard of shards ?? []) yield* shardLines(shard);
  if (shards === undefined && entries.some(({ field }) => field.endsWith('.manifest'))) {
    yield '  (give both configurations, in place of states, to see which shards)';
  }
  yield* named(changes.a.map((change) => `changed while running, in a only: ${changeText(change)}`));
  yield* named(changes.b.map((change) => `changed while running, in b only: ${changeText(change)}`));
  yield* named(positions.map(positionText));
}

function verdictLine(verdict: StreamsComparison['verdict'], equalBefore: number, why: string): string {
  const before = equalBefore === 0 ? '' : `, and are equal before step ${equalBefore}`;
  switch (verdict) {
    case 'equal':
      return `equal: ${printable(why)}`;
    case 'differ':
      return `the streams differ${before}: ${printable(why)}`;
    case 'open':
      return `the streams may differ${before}: ${printable(why)}`;
  }
}

function* entryLines({ field, a, b, equalBefore, why }: EntryDifference): Generator<string, void> {
  yield `${printable(field)}: ${printable(describeEntry(a))} → ${printable(describeEntry(b))}`;
  yield equalBefore === 0 || equalBefore === Infinity ? `  ${printable(why)}` : `  not before step ${equalBefore}: ${printable(why)}`;
}

function* shardLines({ source, added, removed, changed }: ShardDifference): Generator<string, void> {
  if (added.length + removed.length + changed.length === 0) yield `  ${source}: the same shards, in another order`;
  for (const [what, paths] of [
    ['added', added],
    ['removed', removed],
    ['changed', changed],
  ] as const) {
    yield* named(paths.map((path) => `  ${source}: ${what} ${printable(path)}`));
  }
}

function changeText({ at, weights, ramp }: MixtureChange): string {
  const along = ramp > 1 ? `, in ${ramp} steps` : '';
  return `from step ${at} on ${Object.entries(weights)
    .map(([name, weight]) => `${printable(name)}=${weight}`)
    .join(' ')}${along}`;
}

function positionText({ lane, source, a, b }: PositionDifference): string {
  const text = (position: typeof a): string => (position === undefined ? 'not held' : `[${position.join(', ')}]`);
  return `lane ${lane}, ${printable(source)}: ${text(a)} → ${text(b)}`;
}

function* named(lines: readonly string[]): Generator<string, void> {
  yield* lines.slice(0, NAMED_MAX);
  if (lines.length > NAMED_MAX) yield `  … and ${lines.length - NAMED_MAX} more (--json has all)`;
}
