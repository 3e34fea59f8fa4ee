import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createExcludedBuilder, isExcludedId } from '../../src/select/excluded.js';
import { fatesOf, ROW_EXCLUDED, ROW_OF_OTHER_SPLIT, ROW_TAKEN, type RowSelection } from '../../src/select/selection.js';

const selection = (changes: Partial<RowSelection> = {}): RowSelection => ({
  source: 'web',
  split: 'train',
  excluded: undefined,
  heldOut: undefined,
  ...changes,
});
const range = (startRow: number, rows: number, path = 'a.parquet', shard = 0): Parameters<typeof fatesOf>[1] => ({
  shard,
  path,
  startRow,
  rows,
});
const idsOf = (rows: number): string[] => Array.from({ length: rows }, (_, row) => `doc-${row}`);

describe('the selection of rows', () => {
  it('sets of ids and rows hold exactly what was put in, in slices of any bounds', () => {
    const sets = fc.record({
      ids: fc.array(fc.nat({ max: 60 }), { maxLength: 40 }),
      rows: fc.array(fc.tuple(fc.nat({ max: 2 }), fc.nat({ max: 60 })), { maxLength: 40 }),
      shard: fc.nat({ max: 2 }),
      startRow: fc.nat({ max: 40 }),
      count: fc.nat({ max: 30 }),
    });
    fc.assert(
      fc.property(sets, ({ ids, rows, shard, startRow, count }) => {
        const builder = createExcludedBuilder();
        for (const id of ids) builder.addId(`doc-${id}`);
        for (const [of, row] of rows) builder.addRow(of, row);
        const excluded = builder.build();
        const fates = fatesOf(selection({ excluded }), range(startRow, count, 'p', shard), idsOf(startRow + count).slice(startRow));
        const expected = Array.from({ length: count }, (_, i) =>
          ids.includes(startRow + i) || rows.some(([of, row]) => of === shard && row === startRow + i) ? ROW_EXCLUDED : ROW_TAKEN,
        );
        expect([...fates]).toEqual(expected);
      }),
    );
  });

  it('finds each of 50,000 ids, and none of as many others', () => {
    const builder = createExcludedBuilder();
    for (const id of idsOf(50_000)) builder.addId(id);
    const { ids, count } = builder.build();
    expect(count).toBe(50_000);
    expect(ids!.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(idsOf(50_000).every((id) => isExcludedId(ids!, id))).toBe(true);
    expect(idsOf(50_000).some((id) => isExcludedId(ids!, `${id}x`))).toBe(false);
  });

  it.each(['id', 'row'] as const)('a row by %s is in one split or the other, however it is sliced', (by) => {
    const heldOut = fc.record({ share: fc.double({ min: 0.01, max: 0.9 }), by: fc.constant(by), seed: fc.nat() });
    fc.assert(
      fc.property(heldOut, fc.integer({ min: 1, max: 299 }), (config, cut) => {
        const ids = idsOf(300);
        const of = (split: RowSelection['split'], start: number, end: number): number[] => [
          ...fatesOf(selection({ split, heldOut: config }), range(start, end - start), ids.slice(start, end)),
        ];
        const train = of('train', 0, 300);
        const validation = of('validation', 0, 300);
        expect(train.every((fate, row) => (fate === ROW_TAKEN) !== (validation[row] === ROW_TAKEN))).toBe(true);
        expect([...of('train', 0, cut), ...of('train', cut, 300)]).toEqual(train);
      }),
    );
  });

  it.each(['id', 'row'] as const)(
    'holds out the share that was asked for by %s, and other rows with another seed, source or shard',
    (by) => {
      const heldRows = (share: number, seed = 0, source = 'web', path = 'a.parquet'): number[] =>
        [...fatesOf(selection({ source, heldOut: { share, by, seed } }), range(0, 40_000, path), idsOf(40_000))].flatMap((fate, row) =>
          fate === ROW_OF_OTHER_SPLIT ? [row] : [],
        );
      const held = heldRows(0.02);
      // 800 expected, with a standard deviation of 28
      expect(Math.abs(held.length - 800)).toBeLessThan(140);
      expect(heldRows(0.02)).toEqual(held);
      const larger = new Set(heldRows(0.05));
      expect(held.every((row) => larger.has(row))).toBe(true);
      const others = [heldRows(0.02, 1), heldRows(0.02, 0, 'code'), ...(by === 'row' ? [heldRows(0.02, 0, 'web', 'b.parquet')] : [])];
      for (const other of others) {
        const both = other.filter((row) => held.includes(row));
        expect(both.length).toBeLessThan(60); // 16 expected by chance
      }
    },
  );

  it('a row without an id is never held out by id, and an excluded one of the other split is not counted as excluded', () => {
    const heldOut = { share: 0.999999, by: 'id', seed: 0 } as const;
    const builder = createExcludedBuilder();
    builder.addId('doc-1');
    const excluded = builder.build();
    expect([...fatesOf(selection({ heldOut }), range(0, 2), [null, 'doc-1'])]).toEqual([ROW_TAKEN, ROW_OF_OTHER_SPLIT]);
    expect([...fatesOf(selection({ heldOut, excluded, split: 'validation' }), range(0, 2), [null, 'doc-1'])]).toEqual([
      ROW_OF_OTHER_SPLIT,
      ROW_EXCLUDED,
    ]);
  });
});
