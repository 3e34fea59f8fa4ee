import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { weightsAt, type MixtureChange } from '../../src/plan/mixture-changes.js';
import { chooseSource, SHARE_UNITS, sharesOfWeights, type MixtureCandidate } from '../../src/plan/mixture.js';

const LENGTH = 100;

/** Delivers one sequence, and says from which source. */
function deliver(candidates: MixtureCandidate[], tokens: number): number {
  const chosen = chooseSource(candidates, LENGTH);
  candidates.forEach((candidate, i) => {
    const credit = candidate.credit + candidate.share * tokens - (i === chosen ? SHARE_UNITS * tokens : 0);
    candidates[i] = { ...candidate, credit };
  });
  return chosen;
}

const weightLists = fc.array(fc.double({ min: 0.001, max: 50, noNaN: true }), { minLength: 1, maxLength: 12 });

describe('shares of weights', () => {
  it('are integers that sum up to the whole, and are right to one unit', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1e9, noNaN: true }), { minLength: 1, maxLength: 20 }), (weights) => {
        const shares = sharesOfWeights(weights);
        const sum = weights.reduce((total, weight) => total + weight, 0);
        if (sum === 0) {
          expect(shares.every((share) => share === 0)).toBe(true);
          return;
        }
        expect(shares.reduce((total, share) => total + share, 0)).toBe(SHARE_UNITS);
        shares.forEach((share, i) => {
          expect(Number.isInteger(share)).toBe(true);
          expect(share > 0).toBe(weights[i] > 0);
          expect(Math.abs(share - (weights[i] / sum) * SHARE_UNITS)).toBeLessThanOrEqual(weights.length + 1);
        });
      }),
    );
  });
});

describe('chooseSource', () => {
  it('keeps every source within one sequence of its weight, at every step', () => {
    fc.assert(
      fc.property(weightLists, (weights) => {
        const shares = sharesOfWeights(weights);
        const candidates = shares.map((share, i) => ({ name: `s${i}`, share, credit: 0 }));
        for (let step = 1; step <= 300; step++) {
          deliver(candidates, LENGTH);
          for (const { credit } of candidates) expect(Math.abs(credit)).toBeLessThan(SHARE_UNITS * LENGTH);
        }
      }),
    );
  });

  it('stays within two of them where sequences are filled unevenly', () => {
    fc.assert(
      fc.property(weightLists, fc.array(fc.integer({ min: 1, max: LENGTH }), { minLength: 50, maxLength: 300 }), (weights, fills) => {
        const candidates = sharesOfWeights(weights).map((share, i) => ({ name: `s${i}`, share, credit: 0 }));
        for (const tokens of fills) {
          deliver(candidates, tokens);
          for (const { credit } of candidates) expect(Math.abs(credit)).toBeLessThan(2 * SHARE_UNITS * LENGTH);
        }
      }),
    );
  });

  it('renormalises when a source leaves, whatever its credit was', () => {
    fc.assert(
      fc.property(weightLists, fc.nat({ max: 60 }), (weights, before) => {
        if (weights.length < 3) return;
        const candidates = sharesOfWeights(weights).map((share, i) => ({ name: `s${i}`, share, credit: 0 }));
        for (let step = 0; step < before; step++) deliver(candidates, LENGTH);
        const rest = weights.slice(1);
        const shares = sharesOfWeights(rest);
        const left = shares.map((share, i) => ({ name: `s${i + 1}`, share, credit: candidates[i + 1].credit }));
        const counts = left.map(() => 0);
        for (let step = 1; step <= 200; step++) {
          counts[deliver(left, LENGTH)]++;
          // one sequence of its own, and its part of the one that the leaver took
          counts.forEach((count, i) => expect(Math.abs(count - (shares[i] / SHARE_UNITS) * step)).toBeLessThan(3));
        }
      }),
    );
  });

  it('breaks ties by name, leaves out who has no share, and has no answer for no source', () => {
    const half = SHARE_UNITS / 2;
    expect(
      chooseSource(
        [
          { name: 'b', share: half, credit: 0 },
          { name: 'a', share: half, credit: 0 },
        ],
        LENGTH,
      ),
    ).toBe(1);
    expect(chooseSource([{ name: 'a', share: 0, credit: 1e12 }], LENGTH)).toBe(-1);
    expect(chooseSource([], LENGTH)).toBe(-1);
  });
});

describe('weights over time', () => {
  const at = (changes: readonly MixtureChange[], step: number): readonly number[] => weightsAt(['code', 'web'], [1, 3], changes, step);

  it('hold until a change, and from its step on', () => {
    const changes = [{ at: 10, weights: { web: 1 }, ramp: 0 }];
    expect(at(changes, 9)).toEqual([1, 3]);
    expect(at(changes, 10)).toEqual([1, 1]);
    expect(at(changes, 1e6)).toEqual([1, 1]);
  });

  it('go up in equal parts along a ramp', () => {
    const changes = [{ at: 10, weights: { code: 5 }, ramp: 4 }];
    expect([9, 10, 11, 12, 13, 14].map((step) => at(changes, step)[0])).toEqual([1, 2, 3, 4, 5, 5]);
  });

  it('leave a ramp where the next change begins', () => {
    const changes = [
      { at: 10, weights: { code: 5 }, ramp: 4 },
      { at: 12, weights: { web: 0 }, ramp: 0 },
    ];
    expect([11, 12, 13, 20].map((step) => at(changes, step))).toEqual([
      [3, 3],
      [4, 0],
      [4, 0],
      [4, 0],
    ]);
  });

  it('are those of the later change where two are of one step', () => {
    const changes = [
      { at: 10, weights: { code: 5 }, ramp: 0 },
      { at: 10, weights: { code: 7 }, ramp: 0 },
    ];
    expect(at(changes, 10)[0]).toBe(7);
  });
});
