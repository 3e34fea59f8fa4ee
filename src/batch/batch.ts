/** Builds the batch of a rank from the sequences of its slots. */
import { createHash } from 'node:crypto';
import { withMask, type BatchArrays } from '../core/batch-arrays.js';
import type { Field } from '../core/fields.js';
import { rawInt32 } from '../core/raw-memory.js';
import { SEGMENT_FIELDS, SEGMENT_LENGTH, SOURCE_PADDING, type Sequence } from '../core/sequence.js';
import { buildFields } from './fields.js';

/** `fields`: of samples. */
export function buildBatch(sequences: readonly Sequence[], length: number, fields?: readonly Field[]): BatchArrays {
  const rows = sequences.length;
  const segmentCount = sequences.reduce((sum, { segments }) => sum + segments.length, 0) / SEGMENT_FIELDS;
  const inputIds = rawInt32(sequences.reduce((sum, { ids }) => sum + ids.length, 0));
  const cuSeqlens = new Int32Array(segmentCount + 1);
  const segments = new Int32Array(segmentCount * SEGMENT_FIELDS);
  const digest = createHash('sha256');
  let tokens = 0;
  let segment = 0;
  for (const [row, sequence] of sequences.entries()) {
    if (sequence.ids.length > 0) inputIds.set(sequence.ids, row * length);
    segments.set(sequence.segments, segment * SEGMENT_FIELDS);
    digest.update(sequence.digest);
    tokens += sequence.tokens;
    for (const end = segment + sequence.segments.length / SEGMENT_FIELDS; segment < end; segment++) {
      cuSeqlens[segment + 1] = cuSeqlens[segment] + segments[segment * SEGMENT_FIELDS + SEGMENT_LENGTH];
    }
  }
  const isMasked = tokens < rows * length || sequences.some(({ lossMask }) => lossMask?.includes(0));
  return withMask(isMasked ? maskOf(sequences, length, segments, cuSeqlens) : undefined, {
    rows,
    length,
    tokens,
    digest: digest.digest('hex'),
    inputIds,
    cuSeqlens,
    segments,
    ...(fields && { fields: buildFields(sequences, fields) }),
  });
}

function maskOf(
  sequences: readonly Sequence[],
  length: number,
  segments: Int32Array<ArrayBuffer>,
  cuSeqlens: Int32Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  const lossMask = new Uint8Array(sequences.length * length).fill(1);
  for (const [row, sequence] of sequences.entries()) if (sequence.lossMask !== undefined) lossMask.set(sequence.lossMask, row * length);
  for (let segment = 0; segment < cuSeqlens.length - 1; segment++) {
    if (segments[segment * SEGMENT_FIELDS] === SOURCE_PADDING) lossMask.fill(0, cuSeqlens[segment], cuSeqlens[segment + 1]);
  }
  return lossMask;
}
