import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/config/limits.js';
import type { BlockTable } from '../../src/core/shard.js';
import { readyTokensOf, windowsByNeed, type NeededWindow, type NeedOptions } from '../../src/plan/need-order.js';
import { createSourcePlan, type KnownPlan } from '../../src/plan/source-plan.js';

const LANES = 2;
const WINDOW_BYTES = 2 ** 20;

function planOf(name: string, blockCount: number, blockBytes = WINDOW_BYTES): KnownPlan {
  const blocks: BlockTable = {
    length: blockCount,
    at: (unit) => ({ shard: 0, unit, startRow: 100 * unit, endRow: 100 * (unit + 1), decodedBytes: blockBytes }),
  };
  return createSourcePlan(blocks, { name, seed: 1, lanes: LANES, shuffleBlocks: 1, windowBytes: WINDOW_BYTES, epochs: undefined });
}

const order = (sources: readonly { plan: KnownPlan; share: number }[], options: Partial<NeedOptions> = {}): NeededWindow[] => [
  ...windowsByNeed(sources, { lanes: LANES, epoch: 0, laneTokens: undefined, ...options }),
];

describe('readyTokensOf', () => {
  it('shares out what is kept ready, within bounds for few lanes and for many', () => {
    expect([1, 8, 16, 64, 10_000].map(readyTokensOf)).toEqual([512, 512, 256, 64, 64].map((ki) => ki * 2 ** 10));
  });
});

describe('windowsByNeed', () => {
  it('goes over all lanes, step by step', () => {
    const windows = order([{ plan: planOf('web', 6, 2 * WINDOW_BYTES), share: 1 }]);
    expect(windows.map(({ lane, place }) => [lane, place.group, place.window])).toEqual(
      [0, 2, 4].flatMap((group) => [0, 1].flatMap((window) => [0, 1].map((lane) => [lane, group + lane, window]))),
    );
  });

  it('takes from sources by their shares of what was delivered', () => {
    const windows = order([
      { plan: planOf('much', 60), share: 0.75 },
      { plan: planOf('little', 20), share: 0.25 },
    ]);
    for (const end of [8, 16, 40]) expect(windows.slice(0, end).filter(({ source }) => source === 0)).toHaveLength(0.75 * end);
    expect(windows).toHaveLength(80);
  });

  it('has every window of an epoch once, wherever the epoch starts among the lanes', () => {
    for (const epoch of [0, 1, 2]) {
      const groups = order([{ plan: planOf('web', 9), share: 1 }], { epoch }).map(({ place }) => place.group);
      expect(groups.sort((a, b) => a - b)).toEqual(Array.from({ length: 9 }, (_, group) => 9 * epoch + group));
    }
  });

  it('gives each lane what its tokens need, what it keeps ready, and one window ahead', () => {
    const plan = planOf('web', 400);
    const laneTokens = (10 * WINDOW_BYTES) / LIMITS.tokenBytesAssumed;
    const readyWindows = ((readyTokensOf(LANES) + LIMITS.chunkTokens) * LIMITS.tokenBytesAssumed) / WINDOW_BYTES;
    const windows = order([{ plan, share: 1 }], { laneTokens });
    expect(windows).toHaveLength(LANES * (10 + Math.ceil(readyWindows) + 1));
    const all = order([{ plan, share: 1 }]);
    expect(windows.map(({ place }) => place)).toEqual(all.slice(0, windows.length).map(({ place }) => place));
  });
});
