/** Builds the batch of a rank from the sequences of its slots. */
import { createHash } from 'node:crypto';
import { withMask, type BatchArrays } from '../core/batch-arrays.js';
import type { Field } from '../core/fields.js';
import { packedLayout, packedViews } from '../core/packed-arrays.js';
import { rawBuffer } from '../core/raw-memory.js';
import { SEGMENT_FIELDS, SEGMENT_LENGTH, SOURCE_PADDING, type Sequence } from '../core/sequence.js';
import type { BatchMemory } from './batch-memory.js';
import { buildFields } from './fields.js';

export interface BuildOptions {
  /** Of samples. */
  readonly fields?: readonly Field[] | undefined;
  /** What the arrays lie in; default: memory of their own. */
  readonly memory?: BatchMemory | undefined;
}

/** The arrays that every batch has are views of one buffer (`core/packed-arrays.ts`). */
export function buildBatch(sequences: readonly Sequence[], length: number, { fields, memory }: BuildOptions = {}): BatchArrays {
  const rows = sequences.length;
  let segmentNumbers = 0;
  let tokens = 0;
  let hasIds = true;
  let hasMask = false;
  for (const sequence of sequences) {
    segmentNumbers += sequence.segments.length;
    tokens += sequence.tokens;
    hasIds &&= sequence.ids.length > 0;
    hasMask ||= sequence.lossMask?.includes(0) === true;
  }
  const isMasked = hasMask || tokens < rows * length;
  const shape = { rows, length, segments: segmentNumbers / SEGMENT_FIELDS, hasIds, isMasked };
  const { bytes } = packedLayout(shape);
  const { buffer, byteOffset } = memory?.place(bytes) ?? { buffer: rawBuffer(bytes), byteOffset: 0 };
  const { inputIds, cuSeqlens, segments, lossMask } = packedViews(buffer, byteOffset, shape);
  const digest = createHash('sha256');
  let segment = 0;
  cuSeqlens[0] = 0;
  for (let row = 0; row < rows; row++) {
    const sequence = sequences[row];
    if (hasIds) inputIds.set(sequence.ids, row * length);
    segments.set(sequence.segments, segment * SEGMENT_FIELDS);
    digest.update(sequence.digest);
    for (const end = segment + sequence.segments.length / SEGMENT_FIELDS; segment < end; segment++) {
      cuSeqlens[segment + 1] = cuSeqlens[segment] + segments[segment * SEGMENT_FIELDS + SEGMENT_LENGTH];
    }
  }
  if (lossMask !== undefined) fillMask(lossMask, sequences, length, segments, cuSeqlens);
  return withMask(lossMask, {
    rows,
    length,
    tokens,
    digest: digest.digest('hex'),
    inputIds,
    cuSeqlens,
    segments,
    ...(fields && { fields: buildFields(sequences, fields, memory) }),
  });
}

function fillMask(
  lossMask: Uint8Array<ArrayBuffer>,
  sequences: readonly Sequence[],
  length: number,
  segments: Int32Array<ArrayBuffer>,
  cuSeqlens: Int32Array<ArrayBuffer>,
): void {
  lossMask.fill(1);
  for (const [row, sequence] of sequences.entries()) if (sequence.lossMask !== undefined) lossMask.set(sequence.lossMask, row * length);
  for (let segment = 0; segment < cuSeqlens.length - 1; segment++) {
    if (segments[segment * SEGMENT_FIELDS] === SOURCE_PADDING) lossMask.fill(0, cuSeqlens[segment], cuSeqlens[segment + 1]);
  }
}
