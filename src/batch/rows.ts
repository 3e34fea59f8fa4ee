/** Some rows of a batch as a batch of their own. */
import { withMask, type BatchArrays } from '../core/batch-arrays.js';
import { fieldRows } from '../core/fields.js';
import { SEGMENT_FIELDS, SEGMENT_LENGTH, SOURCE_PADDING } from '../core/sequence.js';

/** The rows [start, end): views, but for `cuSeqlens`, which starts at 0 again. `digest` stays that of the whole batch. */
export function rowsOf(batch: BatchArrays, start: number, end: number): BatchArrays {
  const { length, digest, cuSeqlens, fields } = batch;
  // every row starts a segment
  const first = cuSeqlens.indexOf(start * length);
  const last = cuSeqlens.indexOf(end * length, first);
  const segments = batch.segments.subarray(first * SEGMENT_FIELDS, last * SEGMENT_FIELDS);
  let tokens = 0;
  for (let i = 0; i < segments.length; i += SEGMENT_FIELDS) if (segments[i] !== SOURCE_PADDING) tokens += segments[i + SEGMENT_LENGTH];
  const lossMask = batch.isMasked ? batch.lossMask.subarray(start * length, end * length) : undefined;
  return withMask(lossMask?.includes(0) === true ? lossMask : undefined, {
    rows: end - start,
    length,
    tokens,
    digest,
    inputIds: batch.inputIds.subarray(start * length, end * length),
    cuSeqlens: cuSeqlens.subarray(first, last + 1).map((bound) => bound - start * length),
    segments,
    ...(fields && { fields: Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, fieldRows(field, start, end)])) }),
  });
}
