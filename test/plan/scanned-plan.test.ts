import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Shard } from '../../src/core/shard.js';
import { createOpenedPlan, createScannedPlan } from '../../src/plan/scanned-plan.js';
import type { GroupPlan, SourcePlan, SourcePlanOptions, WindowPlace } from '../../src/plan/source-plan.js';

/** Rows and bytes of each unit of each shard. */
interface Sizes {
  readonly shards: readonly (readonly { readonly rows: number; readonly rowBytes: number }[])[];
  readonly lanes: number;
  readonly shuffleBlocks: number | undefined;
  readonly epochs: number;
  readonly seed: number;
}

const unit = fc.record({ rows: fc.integer({ min: 0, max: 60 }), rowBytes: fc.integer({ min: 0, max: 5000 }) });
const sizes: fc.Arbitrary<Sizes> = fc.record({
  shards: fc.array(fc.array(unit, { maxLength: 5 }), { minLength: 1, maxLength: 40 }),
  lanes: fc.integer({ min: 1, max: 12 }),
  shuffleBlocks: fc.option(fc.integer({ min: 1, max: 16 }), { nil: undefined }),
  epochs: fc.integer({ min: 1, max: 3 }),
  seed: fc.nat(),
});

const WINDOW_BYTES = 64 * 1024;

function optionsOf({ lanes, shuffleBlocks, epochs, seed }: Sizes): SourcePlanOptions {
  return { name: 'web', seed, lanes, shuffleBlocks, windowBytes: WINDOW_BYTES, epochs };
}

function shardOf(units: Sizes['shards'][number], index: number): Shard {
  let startRow = 0;
  const own = units.map(({ rows, rowBytes }) => {
    const first = startRow;
    startRow += rows;
    return { startRow: first, rows, decodedBytes: rows * rowBytes, storedBytes: rows * rowBytes, layout: null };
  });
  const name = `s${index}`;
  return { path: name, uri: `memory://x/${name}`, size: 1, etag: 'e', contentId: 'c', rows: startRow, units: own, layout: null };
}

/** `opened`: told of each shard that is opened. */
function planOf(given: Sizes, opened?: (shard: number) => void): SourcePlan {
  const open = (shard: number): Promise<Shard> => {
    opened?.(shard);
    return Promise.resolve(shardOf(given.shards[shard], shard));
  };
  return createScannedPlan(given.shards.length, open, optionsOf(given));
}

async function* windowsOf(plan: SourcePlan, lane: number): AsyncGenerator<{ readonly place: WindowPlace; readonly group: GroupPlan }> {
  let place = plan.firstPlace(lane);
  while (!plan.isPastEnd(place)) {
    const group = await plan.open(place.group);
    yield { place, group };
    place = plan.placeAfter(place, group.windowCount);
  }
}

describe('the plan of shards that are opened as they are read', () => {
  it('delivers every row exactly once an epoch, over all lanes, for any sizes, with empty shards among them', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, async (given) => {
        const plan = planOf(given);
        const seen = new Map<string, number>();
        for (let lane = 0; lane < given.lanes; lane++) {
          for await (const { place, group } of windowsOf(plan, lane)) {
            const window = group.window(place.window);
            expect(window.rows).toBe(window.slices.reduce((rows, slice) => rows + slice.endRow - slice.startRow, 0));
            for (const { block, startRow, endRow } of window.slices) {
              expect(startRow).toBeLessThan(endRow);
              expect(startRow).toBeGreaterThanOrEqual(block.startRow);
              expect(endRow).toBeLessThanOrEqual(block.endRow);
              for (let row = startRow; row < endRow; row++) {
                const key = `${Math.floor(place.group / plan.groupsPerEpoch)}:${block.shard}:${row}`;
                seen.set(key, (seen.get(key) ?? 0) + 1);
              }
            }
          }
        }
        const rows = given.shards.flat().reduce((sum, own) => sum + own.rows, 0);
        expect(seen.size).toBe(rows * given.epochs);
        expect([...seen.values()].every((times) => times === 1)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('takes each shard into one group an epoch, and opens no other for a group', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, async (given) => {
        let opened: number[] = [];
        const plan = planOf(given, (shard) => opened.push(shard));
        for (let epoch = 0; epoch < given.epochs; epoch++) {
          const taken: number[] = [];
          for (let group = epoch * plan.groupsPerEpoch; group < (epoch + 1) * plan.groupsPerEpoch; group++) {
            opened = [];
            const { shards } = await plan.open(group);
            expect(opened).toEqual([...shards!.keys()]);
            taken.push(...opened);
          }
          expect(taken.sort((a, b) => a - b)).toEqual(given.shards.map((_, index) => index));
        }
      }),
    );
  });

  it('keeps windows to their bytes: none has more than windowBytes, but for single rows', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, async (given) => {
        const plan = planOf({ ...given, epochs: 1 });
        for (let group = 0; group < plan.groupsPerEpoch; group++) {
          const { window, windowCount, shards } = await plan.open(group);
          for (let at = 0; at < windowCount; at++) {
            const bytesOfShard = new Map<number, { bytes: number; rows: number }>();
            for (const { block, startRow, endRow } of window(at).slices) {
              const own = bytesOfShard.get(block.shard) ?? { bytes: 0, rows: 0 };
              const rows = endRow - startRow;
              const { decodedBytes, rows: all } = shards!.get(block.shard)!.units[block.unit];
              bytesOfShard.set(block.shard, { bytes: own.bytes + (decodedBytes / all) * rows, rows: own.rows + rows });
            }
            // a slice of n rows of a unit may have one row more than its even part
            for (const { bytes, rows } of bytesOfShard.values()) expect(bytes <= WINDOW_BYTES + 5000 || rows === 1).toBe(true);
          }
        }
      }),
    );
  });

  it('is the same plan where all shards are opened first, window by window, and next groups', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(), async (given, pick) => {
        const plan = planOf(given);
        const all = createOpenedPlan({ length: given.shards.length, at: (index) => shardOf(given.shards[index], index) }, optionsOf(given));
        const group = pick % (given.epochs * plan.groupsPerEpoch);
        const opened = await plan.open(group);
        expect(opened.windowCount).toBe(all.windowCount(group));
        for (let window = 0; window < opened.windowCount; window++) expect(opened.window(window)).toEqual(all.window({ group, window }));
        expect(opened.nextGroups()).toEqual(all.nextGroups(group));
        for (const { group: next } of opened.nextGroups()) expect(next).toBeGreaterThan(group);
      }),
    );
  });

  it('begins with a shard a lane, where a source has two of them for each', async () => {
    const shards = Array.from({ length: 40 }, () => [{ rows: 1, rowBytes: 1 }]);
    const plan = planOf({ shards, lanes: 8, shuffleBlocks: 8, epochs: 1, seed: 1 });
    const counts = await Promise.all(
      Array.from({ length: plan.groupsPerEpoch }, async (_, group) => (await plan.open(group)).shards!.size),
    );
    expect(counts).toEqual([...Array.from({ length: 8 }, () => 1), ...Array.from({ length: 8 }, () => 4)]);
  });

  it('keeps its golden order', async () => {
    const units = [
      { rows: 5, rowBytes: 5000 },
      { rows: 40, rowBytes: 1000 },
      { rows: 0, rowBytes: 1 },
      { rows: 3, rowBytes: 9000 },
    ];
    const shards = Array.from({ length: 6 }, (_, i) => units.slice(i % 3, 1 + i));
    const plan = planOf({ shards, lanes: 2, shuffleBlocks: 2, epochs: 2, seed: 11 });
    const windows: string[] = [];
    for (const lane of [0, 1]) {
      for await (const { place, group } of windowsOf(plan, lane)) {
        const { slices, orderKey } = group.window(place.window);
        const parts = slices.map(({ block, startRow, endRow }) => `${block.shard}.${block.unit}[${startRow},${endRow})`);
        windows.push(`${place.group}.${place.window} ${parts.join(' ')} ${orderKey?.[0].toString(16)}`);
      }
    }
    expect(windows).toMatchInlineSnapshot(`
      [
        "0.0 5.1[0,3) 7617ce43",
        "2.0 0.0[0,5) cac064c8",
        "4.0 1.0[0,20) 271b5a87",
        "4.1 1.0[20,40) 3ecd8bba",
        "6.0 4.0[0,20) 0.0[0,5) 5b6c7548",
        "6.1 4.0[20,40) d6654ad1",
        "6.2 4.2[40,43) 71a8e6b",
        "1.0 4.0[0,20) b8d2b5ea",
        "1.1 4.0[20,40) e0516227",
        "1.2 4.2[40,43) a17e1e6a",
        "3.0 1.0[0,20) 3.0[0,5) b4747488",
        "3.1 1.0[20,40) 3.1[5,25) 35e3f872",
        "3.2 3.1[25,45) 7326da24",
        "3.3 3.3[45,48) 805072fd",
        "5.0  daa1346b",
        "7.0 3.0[0,5) 5.1[0,3) 4545bfce",
        "7.1 3.1[5,25) bc836d3c",
        "7.2 3.1[25,45) d6560f3c",
        "7.3 3.3[45,48) 13dd4fb0",
      ]
    `);
  });

  it('gives a group whose shards have no rows one window without rows', async () => {
    const plan = planOf({ shards: [[], [{ rows: 0, rowBytes: 1 }]], lanes: 1, shuffleBlocks: 8, epochs: 1, seed: 1 });
    const group = await plan.open(0);
    expect(group.windowCount).toBe(1);
    expect(group.window(0)).toMatchObject({ slices: [], rows: 0 });
  });
});
