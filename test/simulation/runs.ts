/** Random runs for the simulation: data, configurations, and what happens to them. Small, so that a failing one can be read. */
import fc from 'fast-check';
import { weightsAt } from '../../src/plan/mixture-changes.js';
import type { LiveChange, Run } from './machine.js';
import type { ReferencePlan, ReferenceSource } from './reference-types.js';

/** From a start or a checkpoint to the next one. */
export interface Phase {
  /** Picks one of the world sizes that divide the batch. */
  readonly world: number;
  readonly machines: number;
  /** Each rank consumes this many, if there are as many. */
  readonly steps: number;
  /** The next phase starts from a step of this one that every rank has passed: this part of them, in percent. */
  readonly checkpoint: number;
  /** In 1,000 batches, how often a trainer dies, and how often a machine. */
  readonly trainerDeaths: number;
  readonly machineDeaths: number;
  /** Decides the order of everything. */
  readonly timing: number;
}

export interface Story extends Run {
  readonly phases: readonly Phase[];
}

const KIB = 1024;
const NAMES = ['a', 'b', 'c'] as const;

interface Shape {
  readonly seed: number;
  readonly lanes: number;
  readonly perLane: number;
  readonly length: number;
  readonly last: 'drop' | 'pad';
  readonly packing: 'concat' | 'split' | 'truncate' | 'none' | 'best-fit' | 'samples';
  readonly groupTokens: number;
  readonly shuffleBlocks: number;
}

const shapes: fc.Arbitrary<Shape> = fc.record({
  seed: fc.nat({ max: 1000 }),
  lanes: fc.integer({ min: 1, max: 5 }),
  perLane: fc.integer({ min: 1, max: 3 }),
  length: fc.integer({ min: 2, max: 12 }),
  last: fc.constantFrom('pad', 'drop'),
  packing: fc.constantFrom('concat', 'concat', 'concat', 'split', 'truncate', 'none', 'best-fit', 'best-fit', 'samples'),
  groupTokens: fc.integer({ min: 2, max: 80 }),
  shuffleBlocks: fc.constantFrom(2, 1, 3, 4, 8, 0),
});

/** Tokens of a document: mostly some, sometimes none, sometimes many sequences of them. */
const documents = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 15 }) },
  { weight: 2, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: 16, max: 70 }) },
);
const unit = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      bytes: fc.oneof(fc.integer({ min: 1, max: 60 * KIB }), fc.integer({ min: 60 * KIB, max: 900 * KIB })),
      rows: fc.array(documents, { maxLength: 12 }),
    }),
  },
  // of many blocks, so that groups grow to their full size, or of long ones, which are cut into several
  {
    weight: 1,
    arbitrary: fc.record({
      bytes: fc.oneof(fc.integer({ min: 1, max: 200 * KIB }), fc.integer({ min: 4000 * KIB, max: 9000 * KIB })),
      rows: fc.array(documents, { minLength: 20, maxLength: 70 }),
    }),
  },
);
const shards = fc.array(fc.array(unit, { maxLength: 3 }), { minLength: 1, maxLength: 5 });
const weights = fc.constantFrom(1, 2, 0.3, 7, 0);

interface RawSource {
  readonly weight: number;
  readonly epochs: number | undefined;
  readonly maxTokens: number | undefined;
  readonly whenUsedUp: 'drop' | 'stop' | 'repeat';
  readonly shards: ReferenceSource['shards'];
}

const rawSource: fc.Arbitrary<RawSource> = fc.record({
  weight: weights,
  epochs: fc.constantFrom(1, undefined, 2, 3),
  maxTokens: fc.option(fc.integer({ min: 1, max: 300 }), { nil: undefined, freq: 3 }),
  whenUsedUp: fc.constantFrom('drop', 'drop', 'stop', 'repeat'),
  shards,
});

const change = fc.record({
  at: fc.nat({ max: 30 }),
  ramp: fc.constantFrom(0, 1, 4, 9),
  weights: fc.tuple(...NAMES.map(() => fc.option(weights, { nil: undefined }))),
});

const phase: fc.Arbitrary<Phase> = fc.record({
  world: fc.nat({ max: 7 }),
  machines: fc.integer({ min: 1, max: 4 }),
  steps: fc.integer({ min: 1, max: 14 }),
  checkpoint: fc.nat({ max: 100 }),
  trainerDeaths: fc.constantFrom(0, 30, 150),
  machineDeaths: fc.constantFrom(0, 20, 80),
  timing: fc.nat(),
});

export const stories: fc.Arbitrary<Story> = fc
  .record({
    shape: shapes,
    sources: fc.array(rawSource, { minLength: 1, maxLength: NAMES.length }),
    scheduled: fc.array(change, { maxLength: 3 }),
    live: fc.array(fc.tuple(change, fc.nat({ max: 3 })), { maxLength: 2 }),
    phases: fc.array(phase, { minLength: 1, maxLength: 5 }),
  })
  .map(({ shape, sources: raw, scheduled, live, phases }) => {
    const sources = raw.map((source, index) => usable(source, NAMES[index], shape));
    const first = sources[0];
    // some weight is above 0 at the start
    const weighed = sources.every(({ weight }) => weight === 0) ? [{ ...first, weight: 1 }, ...sources.slice(1)] : sources;
    const named = weighed.map(({ name }) => name);
    const changesOf = (changes: readonly (typeof scheduled)[number][]): LiveChange[] =>
      changes.map(({ at, ramp, weights: own }) => ({
        at,
        ramp,
        weights: Object.fromEntries(named.flatMap((name, i) => (own[i] === undefined ? [] : [[name, own[i]]]))),
        lead: 0,
      }));
    let changes = changesOf(scheduled).map(({ at, ramp, weights: own }) => ({ at, ramp, weights: own }));
    let lives = changesOf(live.map(([own]) => own))
      .map((own, i) => ({ ...own, lead: live[i][1] }))
      .sort((a, b) => a.at - b.at);
    // as the configuration and the run directory have it: no step without a weight
    if (!alwaysWeighed(weighed, changes)) changes = [];
    if (!alwaysWeighed(weighed, [...changes, ...lives])) lives = [];
    // nor one that leaves a source without a weight, where a lane could end by that
    const someEnd = weighed.some(({ epochs, maxTokens }) => epochs !== undefined || maxTokens !== undefined);
    if (someEnd && lives.some(({ weights: own }) => Object.values(own).includes(0))) lives = [];
    const { perLane, groupTokens, packing, ...rest } = shape;
    const plan: ReferencePlan = {
      ...rest,
      batch: shape.lanes * perLane,
      packing: packing === 'best-fit' ? { groupTokens } : packing,
      windowBytes: shape.shuffleBlocks === 0 ? 16 * KIB * KIB : 64 * KIB,
      changes: [...changes, ...lives.map(({ at, ramp, weights: own }) => ({ at, ramp, weights: own }))],
      sources: weighed,
    };
    return { plan, live: lives, phases };
  });

/** As the product demands of changes: after each of them, and at every step, some weight is above 0. */
function alwaysWeighed(sources: readonly ReferenceSource[], changes: ReferencePlan['changes']): boolean {
  const names = sources.map(({ name }) => name);
  const start = sources.map(({ weight }) => weight);
  let after: Readonly<Record<string, number>> = Object.fromEntries(sources.map(({ name, weight }) => [name, weight]));
  const some = (values: readonly number[]): boolean => values.some((weight) => weight > 0);
  const afterEach = changes.toSorted((a, b) => a.at - b.at).map((change) => (after = { ...after, ...change.weights }));
  const steps = Array.from({ length: 60 }, (_, step) => weightsAt(names, start, changes, step));
  return afterEach.every((own) => some(Object.values(own))) && steps.every(some);
}

/** What the product would take: a source has rows, one that never ends has tokens, and rows that pass through have a sequence's. */
function usable(raw: RawSource, name: string, { packing, length, shuffleBlocks }: Shape): ReferenceSource {
  const epochs = raw.whenUsedUp === 'repeat' ? undefined : raw.epochs;
  const maxTokens = raw.whenUsedUp === 'repeat' || packing === 'samples' ? undefined : raw.maxTokens;
  // in file order a lane may see the same rows for ever
  const filled = epochs === undefined && shuffleBlocks === 0;
  const tokensOf = (tokens: number): number => {
    const some = filled ? Math.max(1, tokens) : tokens;
    return packing === 'none' && some > 0 ? length : some;
  };
  const own = raw.shards.map((units) => units.map(({ bytes, rows }) => ({ bytes, rows: rows.map(tokensOf) })));
  const rows = own.flat(2).flatMap((part) => part.rows);
  const enough = epochs === undefined ? rows.filter((tokens) => tokens > 0).length * 4 >= rows.length && rows.length > 0 : rows.length > 0;
  return { name, weight: raw.weight, epochs, maxTokens, whenUsedUp: raw.whenUsedUp, shards: enough ? own : [...own, [{ bytes: 1, rows: Array.from({ length: rows.length + 1 }, () => length) }]] }; // prettier-ignore
}

/** Tests print the seed of what failed; with these it is played again. `HEADRACE_SIMULATION_RUNS` multiplies the number of runs. */
export function runs(count: number): { numRuns: number; seed?: number; path?: string } {
  const { HEADRACE_SIMULATION_RUNS: factor = '1', HEADRACE_SIMULATION_SEED: seed, HEADRACE_SIMULATION_PATH: path } = process.env;
  return { numRuns: Math.ceil(count * Number(factor)), ...(seed && { seed: Number(seed) }), ...(path && { path }) };
}
