import { describe, expect, it } from 'vitest';
import type { Sequence } from '../../src/core/sequence.js';
import type { LaneState } from '../../src/plan/cursor.js';
import type { SourcePlan } from '../../src/plan/source-plan.js';
import { Lane, type LaneSource, type SequenceSource, type WhenUsedUp } from '../../src/stream/lane.js';
import type { PlacedSequence } from '../../src/stream/source-lane.js';

const LENGTH = 10;
/** Windows of a source; it has a sequence in each. */
const WINDOWS = 40;

/** Its sequences say where they come from. `isReady`: whether the next one is there already. */
function laneOf(source: number, isReady: () => boolean): SequenceSource {
  let window = 0;
  const make = (): PlacedSequence => {
    const sequence: Sequence = {
      ids: Int32Array.of(source, window),
      segments: new Int32Array(6),
      digest: new Uint8Array(32),
      tokens: LENGTH - (window % 3),
    };
    const place = { group: 0, window };
    window++;
    return { sequence, tokens: sequence.tokens, end: { group: 0, window, document: 0, token: 0 }, place };
  };
  return {
    take: () => Promise.resolve(window < WINDOWS ? make() : undefined),
    takeReady: () => (window < WINDOWS && isReady() ? make() : undefined),
    start: () => undefined,
    readySequences: 0,
    get place() {
      return { group: 0, window };
    },
    close: () => undefined,
  };
}

function mixed(names: readonly string[], whenUsedUp: WhenUsedUp, tokensMax: number, isReady: () => boolean): Lane {
  const sources = names.map((name, index): LaneSource => {
    const plan = { name, isPastEnd: ({ window }: { window: number }) => window >= WINDOWS } as unknown as SourcePlan;
    return { plan, lane: laneOf(index, isReady), tokensMax: index === 1 ? tokensMax : Infinity, whenUsedUp };
  });
  const state: LaneState = Object.fromEntries(names.map((name) => [name, [0, 0, 0, 0, 0, 0]]));
  return new Lane(sources, state, LENGTH);
}

/** What a lane gives to its end, and where it stands after each. `ready`: asked first for what is there already, as assemblers do. */
async function walk(lane: Lane, weights: (step: number) => readonly number[], ready: boolean): Promise<unknown[]> {
  const seen: unknown[] = [];
  for (let step = 0; ; step++) {
    const sequence = (ready ? lane.takeReady(weights(step)) : undefined) ?? (await lane.take(weights(step)));
    seen.push([sequence && [...sequence.ids], lane.state]);
    if (sequence === undefined) return seen;
  }
}

describe('a lane', () => {
  const even = [3, 1, 2];
  const cases: readonly [string, readonly string[], (step: number) => readonly number[], WhenUsedUp, number][] = [
    ['of one source', ['a'], () => [1], 'drop', 40],
    ['of three that leave one by one', ['a', 'b', 'c'], () => even, 'drop', 91],
    ['that ends with a source', ['a', 'b', 'c'], () => even, 'stop', 65],
    ['whose weights change', ['a', 'b', 'c'], (step) => (step < 20 ? even : [1, 0, 4]), 'drop', 83],
  ];

  it.each(cases)('%s gives the same, whether sequences are there or waited for', async (_, names, weightsOf, whenUsedUp, sequences) => {
    const weights = new Map<string, readonly number[]>();
    const steady = (step: number): readonly number[] => {
      const found = weightsOf(step); // the same array as long as they do not change
      const key = found.join(' ');
      return weights.get(key) ?? (weights.set(key, found), found);
    };
    let asked = 0;
    const waited = await walk(
      mixed(names, whenUsedUp, 100, () => false),
      steady,
      false,
    );
    const some = await walk(
      mixed(names, whenUsedUp, 100, () => asked++ % 3 !== 0),
      steady,
      true,
    );
    expect(some).toEqual(waited);
    expect(waited).toHaveLength(sequences + 1);
    expect(asked).toBeGreaterThan(20);
  });

  it('has nothing ready of a source without a weight', () => {
    const lane = mixed(['a'], 'drop', Infinity, () => true);
    expect(lane.takeReady([0])).toBeUndefined();
    expect(lane.state).toEqual({ a: [0, 0, 0, 0, 0, 0] });
  });
});
