/** The digest of docs/wire.md, computed from the arrays of a batch as they were received. */
import { createHash } from 'node:crypto';
import type { BatchArrays } from '../core/batch-arrays.js';
import { fieldBytesOfRow } from '../core/fields.js';
import { SEGMENT_FIELDS, tellingMask } from '../core/sequence.js';

/** SHA-256 (hex) over the digests of the rows, each over its ids, its segments, its mask where that says more than its padding, and its fields. */
export function batchDigest({ rows, length, inputIds, lossMask, cuSeqlens, segments, fields = {} }: BatchArrays): string {
  const total = createHash('sha256');
  let segment = 0;
  for (let row = 0; row < rows; row++) {
    const firstSegment = segment;
    while (segment < cuSeqlens.length - 1 && cuSeqlens[segment] < (row + 1) * length) segment++;
    const ids = inputIds.subarray(row * length, (row + 1) * length);
    const own = segments.subarray(firstSegment * SEGMENT_FIELDS, segment * SEGMENT_FIELDS);
    const hash = createHash('sha256').update(ids).update(own);
    const mask = tellingMask(lossMask, row * length, length, own);
    if (mask !== undefined) hash.update(mask);
    for (const field of Object.values(fields)) {
      const bytes = fieldBytesOfRow(field, row);
      hash.update(BigInt64Array.of(BigInt(bytes.byteLength))).update(bytes);
    }
    total.update(hash.digest());
  }
  return total.digest('hex');
}
