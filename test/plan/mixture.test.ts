import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseSource } from '../../src/plan/mixture.js';

describe('chooseSource', () => {
  it('keeps every share within one sequence a source of its weight, at every step', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 6 }), (weights) => {
        const shares = weights.map((weight, i) => ({ name: `s${i}`, weight, delivered: 0 }));
        const sum = weights.reduce((total, weight) => total + weight, 0);
        for (let step = 1; step <= 200; step++) {
          shares[chooseSource(shares)].delivered += 100;
          for (const share of shares)
            expect(Math.abs(share.delivered - (share.weight / sum) * step * 100)).toBeLessThanOrEqual(100 * weights.length);
        }
      }),
    );
  });

  it('breaks ties by name, and has no answer for no source', () => {
    expect(
      chooseSource([
        { name: 'b', weight: 1, delivered: 0 },
        { name: 'a', weight: 1, delivered: 0 },
      ]),
    ).toBe(1);
    expect(chooseSource([])).toBe(-1);
  });
});
