import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deriveKey } from '../../src/core/keyed-random.js';
import { createPermutation } from '../../src/core/permutation.js';
import golden from '../spec/permutation.json' with { type: 'json' };

describe('createPermutation', () => {
  it('visits every value exactly once, for any size and key', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3000 }), fc.integer(), (size, seed) => {
        const permutation = createPermutation(deriveKey('test', seed), size);
        const seen = new Set(Array.from({ length: size }, (_, i) => permutation.at(i)));
        expect(seen.size).toBe(size);
        expect([...seen].every((value) => value >= 0 && value < size)).toBe(true);
      }),
    );
  });

  it('finds the index of each value, beyond 32 bits too', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 45 }), fc.nat(), fc.integer(), (size, place, seed) => {
        const permutation = createPermutation(deriveKey('test', seed), size);
        const index = place % size;
        expect(permutation.indexOf(permutation.at(index))).toBe(index);
      }),
    );
    expect(() => createPermutation(deriveKey('test', 1), 5).indexOf(5)).toThrow(RangeError);
  });

  it('keeps its golden order', () => {
    for (const { seed, source, epoch, size, order } of golden) {
      const permutation = createPermutation(deriveKey('blocks', seed, source, epoch), size);
      expect(order.map((_, i) => permutation.at(i))).toEqual(order);
    }
  });

  it('answers for sizes beyond 32 bits without leaving the range', () => {
    const size = 2 ** 40 + 12345;
    const permutation = createPermutation(deriveKey('large'), size);
    const values = Array.from({ length: 1000 }, (_, i) => permutation.at(i * 1_000_003));
    expect(new Set(values).size).toBe(1000);
    expect(values.every((value) => Number.isInteger(value) && value >= 0 && value < size)).toBe(true);
  });

  it('spreads neighbours: the mean distance is near a third of the size, as of independent positions', () => {
    const size = 10_000;
    const permutation = createPermutation(deriveKey('spread'), size);
    let distance = 0;
    for (let i = 1; i < size; i++) distance += Math.abs(permutation.at(i) - permutation.at(i - 1));
    expect(distance / size / size).toBeGreaterThan(0.32);
    expect(distance / size / size).toBeLessThan(0.347);
  });

  it('gives every first place about equally often over keys, even for a handful of positions', () => {
    const counts = new Array<number>(6).fill(0);
    for (let seed = 0; seed < 6000; seed++) counts[createPermutation(deriveKey('small', seed), 6).at(0)]++;
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  it('refuses positions and sizes outside its range', () => {
    const permutation = createPermutation(deriveKey('x'), 10);
    expect(() => permutation.at(10)).toThrow(RangeError);
    expect(() => permutation.at(-1)).toThrow(RangeError);
    expect(() => createPermutation(deriveKey('x'), -1)).toThrow(RangeError);
  });
});
