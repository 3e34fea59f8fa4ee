import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Block, BlockTable } from '../../src/core/shard.js';
import { checkCoverage } from '../../src/ledger/check-coverage.js';
import type { LanePosition } from '../../src/plan/cursor.js';
import { createSourcePlan, type KnownPlan, type WindowPlace } from '../../src/plan/source-plan.js';

const WINDOW_BYTES = 1000;

/** One block a shard; a row is 10 bytes. */
function planOf(shardRows: readonly number[], lanes: number, epochs: number | undefined): KnownPlan {
  const blocks = shardRows.map((rows, shard): Block => ({ shard, unit: 0, startRow: 0, endRow: rows, decodedBytes: rows * 10 }));
  const table: BlockTable = { length: blocks.length, at: (index) => blocks[index] };
  return createSourcePlan(table, { name: 's', seed: 3, lanes, shuffleBlocks: 3, windowBytes: WINDOW_BYTES, epochs });
}

/** A lane's place after so many windows, and some rows of the next one. */
function walk(plan: KnownPlan, lane: number, windows: number, document: number): { position: LanePosition; rows: number } {
  let place: WindowPlace = plan.firstPlace(lane);
  let rows = 0;
  for (let i = 0; i < windows && !plan.isPastEnd(place); i++) {
    rows += plan.window(place).rows;
    place = plan.nextPlace(place);
  }
  const inside = plan.isPastEnd(place) ? 0 : Math.min(document, plan.window(place).rows - 1);
  return { position: [place.group, place.window, inside, 0, rows + inside, 0], rows: rows + inside };
}

const shards = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 30 });

describe('coverage', () => {
  it('counts each row whose turn has come, over any stretch of any epochs, and none twice', () => {
    fc.assert(
      fc.property(shards, fc.integer({ min: 1, max: 4 }), fc.array(fc.nat(40), { minLength: 8, maxLength: 8 }), (rows, lanes, numbers) => {
        const plan = planOf(rows, lanes, undefined);
        const ends = Array.from({ length: lanes }, (_, lane) => walk(plan, lane, numbers[lane], numbers[lane + 4]));
        const stretches = ends.map(({ position }, lane) => ({ from: [lane, 0, 0, 0, 0, 0] as LanePosition, to: position }));
        const { problems, epochs, tokens } = checkCoverage({ plan, lanes, shardRows: rows, stretches });
        expect(problems.lines).toEqual([]);
        const delivered = ends.reduce((sum, end) => sum + end.rows, 0);
        expect(epochs.reduce((sum, epoch) => sum + epoch.rows, 0)).toBe(delivered);
        expect(tokens).toBe(delivered);
        const all = rows.reduce((sum, count) => sum + count, 0);
        for (const epoch of epochs) if (epoch.isWhole) expect(epoch.rows).toBe(all);
      }),
    );
  });

  it('of finite epochs that have ended has every row once in each', () => {
    fc.assert(
      fc.property(shards, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 3 }), (rows, lanes, epochs) => {
        const plan = planOf(rows, lanes, epochs);
        const stretches = Array.from({ length: lanes }, (_, lane) => ({
          from: [lane, 0, 0, 0, 0, 0] as LanePosition,
          to: walk(plan, lane, Infinity, 0).position,
        }));
        const covered = checkCoverage({ plan, lanes, shardRows: rows, stretches });
        expect(covered.problems.lines).toEqual([]);
        expect(covered.epochs.map(({ isWhole }) => isWhole)).toEqual(Array.from({ length: epochs }, () => true));
      }),
    );
  });

  it('is whole over two stretches that meet in the middle of a window, and says so of neither', () => {
    const rows = [200, 300, 150, 250, 120, 180];
    const plan = planOf(rows, 1, 1);
    const from: LanePosition = [0, 0, 0, 0, 0, 0];
    const { position: middle } = walk(plan, 0, 5, 7);
    const { position: end } = walk(plan, 0, Infinity, 0);
    const parts = [
      { from, to: middle },
      { from: middle, to: end },
    ].map((stretch) => checkCoverage({ plan, lanes: 1, shardRows: rows, stretches: [stretch] }).epochs[0]);
    expect(parts.map(({ isWhole }) => isWhole)).toEqual([false, false]);
    expect(parts[0].rows + parts[1].rows).toBe(1200);
  });

  it('refuses positions that the plan does not have', () => {
    const rows = [200, 300, 150, 250];
    const plan = planOf(rows, 2, undefined);
    const problemsOf = (to: LanePosition): readonly string[] =>
      checkCoverage({
        plan,
        lanes: 2,
        shardRows: rows,
        stretches: [
          { from: [0, 0, 0, 0, 0, 0], to },
          { from: [1, 0, 0, 0, 0, 0], to: [1, 0, 0, 0, 0, 0] },
        ],
      }).problems.lines;
    expect(problemsOf([3, 0, 0, 0, 0, 0])).toEqual([expect.stringMatching(/lane 0 of s stands in group 3, which is another lane's/)]);
    expect(problemsOf([2, 99, 1, 0, 0, 0])).toEqual([expect.stringMatching(/group 2, window 99, which the plan does not have/)]);
    expect(problemsOf([2, 0, 500, 0, 0, 0])).toEqual([expect.stringMatching(/stands at document 500 of a window of/)]);
  });

  it('finds a row that a plan has twice, and one that it lacks', () => {
    const rows = [200, 300, 150, 250];
    const good = planOf(rows, 1, 1);
    const stretches = [{ from: [0, 0, 0, 0, 0, 0] as LanePosition, to: walk(good, 0, Infinity, 0).position }];
    const withSlice = (change: (startRow: number) => number): KnownPlan => ({
      ...good,
      window: (place) => {
        const window = good.window(place);
        const slices = window.slices.map((slice) => ({ ...slice, startRow: change(slice.startRow) }));
        return { ...window, slices, rows: slices.reduce((sum, slice) => sum + slice.endRow - slice.startRow, 0) };
      },
    });
    const early = checkCoverage({ plan: withSlice((row) => (row === 100 ? 99 : row)), lanes: 1, shardRows: rows, stretches });
    expect(early.problems.lines[0]).toMatch(/comes twice in epoch 0/);
    const late = checkCoverage({ plan: withSlice((row) => (row === 100 ? 101 : row)), lanes: 1, shardRows: rows, stretches });
    expect(late.problems.lines[0]).toMatch(/has passed \d+ of 900 rows/);
  });
});
