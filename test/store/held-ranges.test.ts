import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HeldRanges } from '../../src/store/held-ranges.js';

const range = (startByte: number, endByte: number): { startByte: number; endByte: number } => ({ startByte, endByte });

describe('ranges that are held', () => {
  it('cover a range with as few of them as do', () => {
    const held = new HeldRanges({ rangesMax: 100, besideBytesMax: 1000 });
    for (const [start, end] of [[0, 10], [8, 20], [15, 30], [19, 40], [50, 60]]) held.add('a', range(start, end)); // prettier-ignore
    expect(held.cover('a', range(5, 35))).toEqual([range(0, 10), range(8, 20), range(19, 40)]);
    expect(held.cover('a', range(20, 40))).toEqual([range(19, 40)]);
    expect(held.cover('a', range(35, 55))).toBeUndefined();
    expect(held.cover('a', range(59, 61))).toBeUndefined();
    expect(held.cover('b', range(0, 1))).toBeUndefined();
  });

  it('are not read for a small part of them', () => {
    const held = new HeldRanges({ rangesMax: 100, besideBytesMax: 50 });
    held.add('a', range(0, 100));
    expect(held.cover('a', range(10, 60))).toEqual([range(0, 100)]);
    expect(held.cover('a', range(10, 59))).toBeUndefined();
  });

  it('are forgotten with their object, and those of the oldest object when there are too many', () => {
    const held = new HeldRanges({ rangesMax: 3, besideBytesMax: 50 });
    held.add('a', range(0, 10));
    held.add('b', range(0, 10));
    held.add('a', range(10, 20));
    held.add('c', range(0, 10));
    expect(['a', 'b', 'c'].map((object) => held.cover(object, range(0, 10)) !== undefined)).toEqual([true, false, true]);
    held.forget('a');
    expect(held.cover('a', range(0, 10))).toBeUndefined();
    held.add('b', range(0, 10));
    expect(held.cover('c', range(0, 10))).toBeDefined();
  });

  it('cover what is covered, and nothing else (property)', () => {
    const bytes = fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 20 })).map(([start, length]) => range(start, start + length));
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 30 }), bytes, (added, wanted) => {
        const held = new HeldRanges({ rangesMax: 1000, besideBytesMax: 1e9 });
        const isHeld = new Set<number>();
        for (const one of added) {
          held.add('a', one);
          for (let byte = one.startByte; byte < one.endByte; byte++) isHeld.add(byte);
        }
        const expected = Array.from({ length: wanted.endByte - wanted.startByte }, (_, i) => wanted.startByte + i).every((byte) =>
          isHeld.has(byte),
        );
        const found = held.cover('a', wanted);
        expect(found !== undefined).toBe(expected);
        if (found === undefined) return;
        let covered = wanted.startByte;
        for (const { startByte, endByte } of found) {
          expect(startByte).toBeLessThanOrEqual(covered);
          expect(added).toContainEqual(range(startByte, endByte));
          covered = endByte;
        }
        expect(covered).toBeGreaterThanOrEqual(wanted.endByte);
      }),
      { numRuns: 2000 },
    );
  });
});
