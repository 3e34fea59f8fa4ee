import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HeldRanges, type HeldLimits } from '../../src/cache/held-ranges.js';

const range = (startByte: number, endByte: number): { startByte: number; endByte: number } => ({ startByte, endByte });

const LIMITS = { heldRangesMax: 1000, partsMax: 100, gapShareMax: 0, gapsMax: 8 };
/** Of objects that it was told of. */
function newHeld(limits: HeldLimits): HeldRanges {
  const held = new HeldRanges(limits);
  for (const object of ['a', 'b', 'c']) held.learn(object, []);
  return held;
}
const heldOf = (ranges: readonly { startByte: number; endByte: number }[]): { held: typeof ranges; gaps: never[] } => ({
  held: ranges,
  gaps: [],
});

describe('ranges that are held', () => {
  it('cover a range with as few of them as do', () => {
    const held = newHeld(LIMITS);
    for (const [start, end] of [[0, 10], [8, 20], [15, 30], [19, 40], [50, 60]]) held.add('a', range(start, end)); // prettier-ignore
    expect(held.cover('a', range(5, 35))).toEqual(heldOf([range(0, 10), range(8, 20), range(19, 40)]));
    expect(held.cover('a', range(20, 40))).toEqual(heldOf([range(19, 40)]));
    expect(held.cover('a', range(35, 55))).toBeUndefined();
    expect(held.cover('a', range(59, 61))).toBeUndefined();
    expect(held.cover('b', range(0, 1))).toBeUndefined();
  });

  it('are not read where they are many', () => {
    const held = newHeld({ ...LIMITS, partsMax: 2 });
    for (const [start, end] of [[0, 10], [10, 20], [20, 30]]) held.add('a', range(start, end)); // prettier-ignore
    expect(held.cover('a', range(5, 20))).toEqual(heldOf([range(0, 10), range(10, 20)]));
    expect(held.cover('a', range(5, 21))).toBeUndefined();
  });

  it('are known of an object that was told of only, and may be removed one by one', () => {
    const held = new HeldRanges(LIMITS);
    held.add('a', range(0, 10));
    expect([held.knows('a'), held.cover('a', range(0, 10))]).toEqual([false, undefined]);
    held.learn('a', [range(10, 20), range(0, 10), range(0, 5)]);
    expect(held.cover('a', range(0, 20))).toEqual(heldOf([range(0, 10), range(10, 20)]));
    held.remove('a', 10);
    held.remove('a', 11);
    expect([held.knows('a'), held.cover('a', range(0, 10)) !== undefined, held.cover('a', range(0, 11))]).toEqual([true, true, undefined]);
  });

  it('leave gaps that are few and small', () => {
    const held = newHeld({ ...LIMITS, gapShareMax: 0.2, gapsMax: 2 });
    for (const [start, end] of [[0, 40], [45, 80], [85, 100]]) held.add('a', range(start, end)); // prettier-ignore
    expect(held.cover('a', range(10, 100))).toEqual({
      held: [range(0, 40), range(45, 80), range(85, 100)],
      gaps: [range(40, 45), range(80, 85)],
    });
    expect(held.cover('a', range(41, 70))).toEqual({ held: [range(45, 80)], gaps: [range(41, 45)] });
    expect(held.cover('a', range(41, 60))).toBeUndefined();
    expect(held.cover('a', range(20, 105))).toBeUndefined();
  });

  it('are forgotten with their object, and those of the oldest object when there are too many', () => {
    const held = newHeld({ ...LIMITS, heldRangesMax: 6 });
    held.add('a', range(0, 10));
    held.add('b', range(0, 10));
    held.add('a', range(10, 20));
    held.add('c', range(0, 10));
    expect(['a', 'b', 'c'].map((object) => held.cover(object, range(0, 10)) !== undefined)).toEqual([true, false, true]);
    held.forget('a');
    expect(held.cover('a', range(0, 10))).toBeUndefined();
    held.learn('b', []);
    held.add('b', range(0, 10));
    expect(held.cover('c', range(0, 10))).toBeDefined();
  });

  it('count objects of which nothing is held', () => {
    const held = new HeldRanges({ ...LIMITS, heldRangesMax: 2 });
    for (const object of ['a', 'b', 'c']) held.learn(object, []);
    expect(['a', 'b', 'c'].map((object) => held.knows(object))).toEqual([false, true, true]);
  });

  it('cover what is covered, and nothing else (property)', () => {
    const bytes = fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 20 })).map(([start, length]) => range(start, start + length));
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 30 }), bytes, (added, wanted) => {
        const held = newHeld({ ...LIMITS, gapShareMax: 1, gapsMax: 100 });
        const isHeld = new Set<number>();
        for (const one of added) {
          held.add('a', one);
          for (let byte = one.startByte; byte < one.endByte; byte++) isHeld.add(byte);
        }
        const found = held.cover('a', wanted);
        fc.pre(found !== undefined); // nothing was added
        const counts = new Map<number, number>();
        for (const { startByte, endByte } of found.gaps) {
          expect(endByte).toBeGreaterThan(startByte);
          for (let byte = startByte; byte < endByte; byte++) counts.set(byte, -1);
        }
        for (const one of found.held) {
          expect(added).toContainEqual(one);
          for (let byte = one.startByte; byte < one.endByte; byte++) {
            expect(counts.get(byte)).not.toBe(-1);
            counts.set(byte, 1);
          }
        }
        for (let byte = wanted.startByte; byte < wanted.endByte; byte++) expect(counts.get(byte)).toBe(isHeld.has(byte) ? 1 : -1);
      }),
      { numRuns: 2000 },
    );
  });
});
