import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildBatch } from '../../src/batch/batch.js';
import { rowsOf } from '../../src/batch/rows.js';
import { labelsOf, positionIdsOf } from '../../src/batch/targets.js';
import { SEGMENT_FIELDS, SEGMENT_LENGTH, SOURCE_PADDING, type Sequence } from '../../src/core/sequence.js';

const LENGTH = 6;

/** One sequence: the lengths of its segments, and whether the last one is padding. */
const sequence = fc
  .record({ cuts: fc.uniqueArray(fc.integer({ min: 1, max: LENGTH - 1 })), padded: fc.boolean(), first: fc.nat(1000) })
  .map(({ cuts, padded, first }): Sequence => {
    const bounds = [0, ...cuts.sort((a, b) => a - b), LENGTH];
    const lengths = bounds.slice(1).map((end, i) => end - bounds[i]);
    const segments = new Int32Array(lengths.length * SEGMENT_FIELDS);
    for (const [i, length] of lengths.entries()) segments[i * SEGMENT_FIELDS + SEGMENT_LENGTH] = length;
    if (padded) segments[(lengths.length - 1) * SEGMENT_FIELDS] = SOURCE_PADDING;
    const tokens = LENGTH - (padded ? lengths[lengths.length - 1] : 0);
    return { ids: Int32Array.from({ length: LENGTH }, (_, i) => first + i), segments, digest: Uint8Array.of(first & 255), tokens };
  });

describe('rows of a batch', () => {
  it('are those of a batch that was built of these sequences only', () => {
    fc.assert(
      fc.property(fc.array(sequence, { minLength: 1, maxLength: 6 }), fc.nat(5), fc.nat(5), (sequences, a, b) => {
        const start = Math.min(a, b) % sequences.length;
        const end = Math.min(sequences.length, Math.max(a, b) + 1);
        const whole = buildBatch(sequences, LENGTH);
        const part = rowsOf(whole, start, end);
        const { digest, ...own } = buildBatch(sequences.slice(start, end), LENGTH);
        expect(part).toEqual({ ...own, digest: whole.digest });
        expect(part.isMasked).toBe(part.lossMask.includes(0));
        expect(digest === whole.digest).toBe(end - start === sequences.length);
        expect([...labelsOf(part, { maskBoundaries: true })]).toEqual(
          [...labelsOf(whole, { maskBoundaries: true })].slice(start * LENGTH, end * LENGTH),
        );
        expect([...positionIdsOf(part)]).toEqual([...positionIdsOf(whole)].slice(start * LENGTH, end * LENGTH));
      }),
    );
  });

  it('are views', () => {
    const [sequences] = fc.sample(fc.array(sequence, { minLength: 4, maxLength: 4 }), { numRuns: 1, seed: 1 });
    const whole = buildBatch(sequences, LENGTH);
    const part = rowsOf(whole, 1, 3);
    for (const name of ['inputIds', 'lossMask', 'segments'] as const) expect(part[name].buffer).toBe(whole[name].buffer);
  });
});
