import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Shard } from '../../src/core/shard.js';
import { LIMITS } from '../../src/config/limits.js';
import { cutBlocks } from '../../src/manifest/blocks.js';
import { layoutGroups } from '../../src/plan/groups.js';
import { createSourcePlan, type KnownPlan, type WindowPlace } from '../../src/plan/source-plan.js';
import { checkRank, laneOfSlot, lanesOfRank, slotsOfRank } from '../../src/plan/slots.js';
import { allBlocks, tableOf } from '../support/shards.js';
import golden from '../spec/plan.json' with { type: 'json' };

/** Shards with the given rows in their units; a row decodes to `rowBytes`. */
function shardsOf(rowsOfUnits: readonly (readonly number[])[], rowBytes: number): Shard[] {
  return rowsOfUnits.map((units, index) => {
    let startRow = 0;
    const made = units.map((rows) => {
      const unit = { startRow, rows, decodedBytes: rows * rowBytes, storedBytes: rows, layout: null };
      startRow += rows;
      return unit;
    });
    return {
      path: `s${index}`,
      uri: `memory://x/s${index}`,
      size: 1,
      etag: 'e',
      contentId: 'c',
      rows: startRow,
      units: made,
      layout: null,
    };
  });
}

interface Sizes {
  readonly rowsOfUnits: number[][];
  readonly lanes: number;
  readonly shuffleBlocks: number | undefined;
  readonly rowBytes: number;
  readonly epochs: number;
  readonly seed: number;
}

const sizes: fc.Arbitrary<Sizes> = fc.record({
  rowsOfUnits: fc.array(fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 0, maxLength: 5 }), { minLength: 1, maxLength: 12 }),
  lanes: fc.integer({ min: 1, max: 12 }),
  shuffleBlocks: fc.option(fc.integer({ min: 1, max: 16 }), { nil: undefined }),
  rowBytes: fc.integer({ min: 1, max: 5000 }),
  epochs: fc.integer({ min: 1, max: 3 }),
  seed: fc.nat(),
});

const WINDOW_BYTES = 64 * 1024;

function planOf({ rowsOfUnits, lanes, shuffleBlocks, rowBytes, epochs, seed }: Sizes): KnownPlan | undefined {
  const blocks = cutBlocks(tableOf(shardsOf(rowsOfUnits, rowBytes)), { lanes, windowBytes: WINDOW_BYTES });
  if (blocks.length === 0) return undefined;
  return createSourcePlan(blocks, { name: 'web', seed, lanes, shuffleBlocks, windowBytes: WINDOW_BYTES, epochs });
}

/** Every place of a lane, from its first to its end. */
function* placesOf(plan: KnownPlan, lane: number): Generator<WindowPlace> {
  for (let place = plan.firstPlace(lane); !plan.isPastEnd(place); place = plan.nextPlace(place)) yield place;
}

describe('the plan of a source', () => {
  it('delivers every row exactly once an epoch, over all lanes, for any sizes', () => {
    fc.assert(
      fc.property(sizes, (given) => {
        const plan = planOf(given);
        if (plan === undefined) return;
        const seen = new Map<string, number>();
        for (let lane = 0; lane < given.lanes; lane++) {
          for (const place of placesOf(plan, lane)) {
            const window = plan.window(place);
            expect(window.rows).toBe(window.slices.reduce((rows, slice) => rows + slice.endRow - slice.startRow, 0));
            for (const { block, startRow, endRow } of window.slices) {
              expect(startRow).toBeLessThan(endRow);
              for (let row = startRow; row < endRow; row++) {
                const key = `${Math.floor(place.group / plan.groupsPerEpoch)}:${block.shard}:${row}`;
                seen.set(key, (seen.get(key) ?? 0) + 1);
              }
            }
          }
        }
        const rows = given.rowsOfUnits.flat().reduce((sum, count) => sum + count, 0);
        expect(seen.size).toBe(rows * given.epochs);
        expect([...seen.values()].every((times) => times === 1)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('knows each window without the ones before it', () => {
    fc.assert(
      fc.property(sizes, fc.nat(), (given, pick) => {
        const plan = planOf(given);
        if (plan === undefined) return;
        const places = [...placesOf(plan, 0)];
        if (places.length === 0) return;
        const place = places[pick % places.length];
        expect(planOf(given)!.window(place)).toEqual(plan.window(place));
      }),
    );
  });

  it('keeps its golden order', () => {
    for (const { sizes: given, windows } of golden) {
      const plan = planOf({ ...given, shuffleBlocks: given.shuffleBlocks ?? undefined })!;
      expect(describeWindows(plan, given.lanes)).toEqual(windows);
    }
  });

  it('reads in file order without a shuffle', () => {
    const plan = planOf({ rowsOfUnits: [[10, 10], [20]], lanes: 1, shuffleBlocks: undefined, rowBytes: 10, epochs: 1, seed: 5 })!;
    const rows = [...placesOf(plan, 0)].flatMap((place) => plan.window(place).slices.map((slice) => [slice.block.shard, slice.startRow]));
    expect(rows).toEqual([...rows].sort((a, b) => a[0] - b[0] || a[1] - b[1]));
    expect(plan.window(plan.firstPlace(0)).orderKey).toBeUndefined();
  });

  it('has another order in each epoch, and for each seed', () => {
    const base: Sizes = {
      rowsOfUnits: Array.from({ length: 40 }, () => [20]),
      lanes: 2,
      shuffleBlocks: 4,
      rowBytes: 100,
      epochs: 2,
      seed: 1,
    };
    const plan = planOf(base)!;
    const [first, second] = [0, 1].map((epoch) => blocksOfEpoch(plan, epoch));
    expect(first).not.toEqual(second);
    expect([...first].sort()).toEqual([...second].sort());
    expect(blocksOfEpoch(planOf({ ...base, seed: 2 })!, 0)).not.toEqual(first);
  });
});

function blocksOfEpoch(plan: KnownPlan, epoch: number): string[] {
  return Array.from({ length: plan.groupsPerEpoch }, (_, group) =>
    plan.window({ group: epoch * plan.groupsPerEpoch + group, window: 0 }),
  ).flatMap((window) => window.slices.map(({ block }) => `${block.shard}:${block.startRow}`));
}

function describeWindows(plan: KnownPlan, lanes: number): string[] {
  return Array.from({ length: lanes }, (_, lane) => [...placesOf(plan, lane)].slice(0, 6))
    .flat()
    .map((place) => {
      const { slices, orderKey } = plan.window(place);
      const parts = slices.map(({ block, startRow, endRow }) => `${block.shard}[${startRow},${endRow})`);
      return `${place.group}.${place.window} ${parts.join(' ')} ${orderKey === undefined ? '-' : orderKey[0].toString(16)}`;
    });
}

describe('groups', () => {
  it('cover the blocks in order, without gap or overlap, and spread them evenly over the lanes', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3000 }),
        fc.integer({ min: 1, max: 16 }),
        fc.integer({ min: 1, max: 64 }),
        fc.constantFrom(LIMITS.rampShareMax, LIMITS.scannedRampShareMax),
        (blocks, lanes, shuffleBlocks, rampShareMax) => {
          const layout = layoutGroups(blocks, lanes, shuffleBlocks, rampShareMax);
          const most = Math.max(1, Math.min(shuffleBlocks, Math.ceil(blocks / lanes)));
          const ofLanes = Array.from({ length: lanes }, () => 0);
          let end = 0;
          let largest = 0;
          for (let group = 0; group < layout.groups; group++) {
            const range = layout.range(group);
            const size = range.end - range.start;
            expect(range.start).toBe(end);
            expect(size).toBeGreaterThan(0);
            expect(size).toBeLessThanOrEqual(most);
            for (let position = range.start; position < range.end; position++) expect(layout.groupAt(position)).toBe(group);
            ofLanes[group % lanes] += size;
            largest = Math.max(largest, size);
            end = range.end;
          }
          expect(end).toBe(blocks);
          expect(layout.blocksMax).toBe(largest);
          // one block more in each round of the lanes, at most, and as few rounds as there can be
          const rounds = Math.ceil(layout.groups / lanes);
          expect(Math.max(...ofLanes) - Math.min(...ofLanes)).toBeLessThanOrEqual(rounds);
          expect(rounds).toBeLessThanOrEqual(Math.ceil(blocks / (lanes * most)) + Math.ceil(Math.log2(most)));
        },
      ),
    );
  });

  it.each([
    [33, 8, 8, [4, 4, 4, 4, 4, 4, 4, 5]],
    [17, 8, 1, Array.from({ length: 17 }, () => 1)],
    [36, 4, 8, [1, 1, 1, 1, 8, 8, 8, 8]],
    [100, 2, 8, [1, 1, 2, 2, 7, 8, 8, 8, 8, 8, 7, 8, 8, 8, 8, 8]],
  ])('of %i blocks, %i lanes and %i blocks together are …', (blocks, lanes, shuffleBlocks, sizes) => {
    const layout = layoutGroups(blocks, lanes, shuffleBlocks);
    expect(
      Array.from({ length: layout.groups }, (_, group) => {
        const { start, end } = layout.range(group);
        return end - start;
      }),
    ).toEqual(sizes);
  });
});

describe('blocks', () => {
  it('cut large units, and small data sets, into row ranges that cover every row in order', () => {
    fc.assert(
      fc.property(sizes, ({ rowsOfUnits, lanes, rowBytes }) => {
        const shards = shardsOf(rowsOfUnits, rowBytes);
        const blocks = allBlocks(cutBlocks(tableOf(shards), { lanes, windowBytes: WINDOW_BYTES }));
        for (const [index, shard] of shards.entries()) {
          let row = 0;
          for (const block of blocks.filter((candidate) => candidate.shard === index)) {
            expect(block.startRow).toBe(row);
            expect(block.endRow).toBeGreaterThan(row);
            const unit = shard.units[block.unit];
            expect(block.startRow >= unit.startRow && block.endRow <= unit.startRow + unit.rows).toBe(true);
            row = block.endRow;
          }
          expect(row).toBe(shard.rows);
        }
        const rows = shards.reduce((sum, shard) => sum + shard.rows, 0);
        const units = shards.flatMap((shard) => shard.units.filter((unit) => unit.rows > 0));
        // 4 blocks a lane, unless units of too few rows forbid it
        const possible = units.reduce((sum, unit) => sum + Math.min(unit.rows, Math.ceil((4 * lanes) / units.length)), 0);
        if (rows > 0) expect(blocks.length).toBeGreaterThanOrEqual(Math.min(possible, 4 * lanes));
      }),
    );
  });
});

describe('slots', () => {
  it('each belong to one rank, for every world size that divides the batch', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 16 }),
        fc.integer({ min: 1, max: 16 }),
        fc.integer({ min: 1, max: 8 }),
        (worldSize, perRank, lanesPick) => {
          const batchSize = worldSize * perRank;
          const divisors = Array.from({ length: batchSize }, (_, i) => i + 1).filter((divisor) => batchSize % divisor === 0);
          const lanes = divisors[lanesPick % divisors.length];
          const ranks = Array.from({ length: worldSize }, (_, rank) => ({ rank, worldSize }));
          for (const rank of ranks) checkRank(rank, batchSize);
          const slots = ranks.flatMap((rank) => slotsOfRank(rank, batchSize));
          expect([...slots].sort((a, b) => a - b)).toEqual(Array.from({ length: batchSize }, (_, slot) => slot));
          for (const rank of ranks) {
            const used = new Set(slotsOfRank(rank, batchSize).map((slot) => laneOfSlot(slot, lanes)));
            expect(lanesOfRank(rank, batchSize, lanes)).toEqual([...used].sort((a, b) => a - b));
            // where the world divides the lanes, a rank has lanes of its own
            if (lanes % worldSize === 0) expect(used.size).toBe(lanes / worldSize);
          }
        },
      ),
    );
  });

  it.each([
    [0, 3],
    [3, 2],
    [-1, 2],
    [0.5, 2],
    [0, 0],
  ])('refuse rank %d of %d in a batch of 8', (rank, worldSize) => {
    expect(() => checkRank({ rank, worldSize }, 8)).toThrow(expect.objectContaining({ code: 'WORLD_SIZE' }));
  });
});

it('says of each block of a group when its unit is read next: the soonest of the later groups that have a block of it', () => {
  fc.assert(
    fc.property(sizes, (given) => {
      const plan = planOf(given);
      if (plan === undefined) return;
      const end = given.epochs * plan.groupsPerEpoch;
      const unitsOf = (group: number): string[] => plan.nextGroups(group).map(({ block }) => `${block.shard}:${block.unit}`);
      const units = Array.from({ length: end }, (_, group) => new Set(unitsOf(group)));
      for (let group = 0; group < end; group++) {
        // its blocks are those of its windows
        const windows = Array.from({ length: plan.windowCount(group) }, (_, window) => plan.window({ group, window }).slices);
        const read = new Set(windows.flat().map(({ block }) => `${block.shard}:${block.unit}`));
        expect(units[group]).toEqual(read);
        for (const { block, group: next } of plan.nextGroups(group)) {
          const later = units.findIndex((names, other) => other > group && names.has(`${block.shard}:${block.unit}`));
          expect(next).toBe(later < 0 ? Infinity : later);
        }
      }
    }),
    { numRuns: 60 },
  );
});
