/** Builds the batch of a rank from the sequences of its slots. */
import { createHash } from 'node:crypto';
import type { BatchArrays } from '../core/batch-arrays.js';
import type { Field } from '../core/fields.js';
import { SEGMENT_FIELDS, SEGMENT_LENGTH, SOURCE_PADDING, type Sequence } from '../core/sequence.js';
import { buildFields } from './fields.js';

/** `fields`: of samples. */
export function buildBatch(sequences: readonly Sequence[], length: number, fields?: readonly Field[]): BatchArrays {
  const rows = sequences.length;
  const segmentCount = sequences.reduce((sum, { segments }) => sum + segments.length, 0) / SEGMENT_FIELDS;
  const inputIds = new Int32Array(sequences.reduce((sum, { ids }) => sum + ids.length, 0));
  const lossMask = new Uint8Array(rows * length).fill(1);
  const cuSeqlens = new Int32Array(segmentCount + 1);
  const segments = new Int32Array(segmentCount * SEGMENT_FIELDS);
  const digest = createHash('sha256');
  let tokens = 0;
  let segment = 0;
  for (const [row, sequence] of sequences.entries()) {
    if (sequence.ids.length > 0) inputIds.set(sequence.ids, row * length);
    segments.set(sequence.segments, segment * SEGMENT_FIELDS);
    if (sequence.lossMask !== undefined) lossMask.set(sequence.lossMask, row * length);
    digest.update(sequence.digest);
    tokens += sequence.tokens;
    for (const end = segment + sequence.segments.length / SEGMENT_FIELDS; segment < end; segment++) {
      const start = cuSeqlens[segment];
      cuSeqlens[segment + 1] = start + segments[segment * SEGMENT_FIELDS + SEGMENT_LENGTH];
      if (segments[segment * SEGMENT_FIELDS] === SOURCE_PADDING) lossMask.fill(0, start, cuSeqlens[segment + 1]);
    }
  }
  return {
    rows,
    length,
    tokens,
    digest: digest.digest('hex'),
    inputIds,
    lossMask,
    cuSeqlens,
    segments,
    ...(fields && { fields: buildFields(sequences, fields) }),
  };
}
