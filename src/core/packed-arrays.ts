/**
 * How the arrays that every batch has lie in one piece of memory, in which they are made, sent, and received (docs/wire.md):
 *
 *   input_ids [rows × length] int32 │ cu_seqlens [segments + 1] int32 │ segments [segments × 6] int32 │ loss_mask [rows × length] uint8
 *
 * Those of several batches may lie one behind the other, each from a multiple of 8 bytes on.
 */
import type { BatchArrays } from './batch-arrays.js';
import { rawBuffer } from './raw-memory.js';
import { SEGMENT_FIELDS } from './sequence.js';

const INT32_BYTES = 4;
/** So that numbers of any size can be read where they lie. */
const ALIGNMENT = 8;

export interface PackedShape {
  readonly rows: number;
  readonly length: number;
  readonly segments: number;
  /** Samples may have none. */
  readonly hasIds: boolean;
  /** A mask that is 1 throughout is left out. */
  readonly isMasked: boolean;
}

export interface PackedArrays {
  readonly inputIds: Int32Array<ArrayBuffer>;
  readonly cuSeqlens: Int32Array<ArrayBuffer>;
  readonly segments: Int32Array<ArrayBuffer>;
  readonly lossMask: Uint8Array<ArrayBuffer> | undefined;
}

interface PackedLayout {
  /** Numbers of the arrays before the mask. */
  readonly ids: number;
  readonly bounds: number;
  readonly segmentNumbers: number;
  readonly maskAt: number;
  /** Of all of it. */
  readonly bytes: number;
}

export function packedLayout({ rows, length, segments, hasIds, isMasked }: PackedShape): PackedLayout {
  const ids = hasIds ? rows * length : 0;
  const bounds = segments + 1;
  const segmentNumbers = segments * SEGMENT_FIELDS;
  const maskAt = INT32_BYTES * (ids + bounds + segmentNumbers);
  return { ids, bounds, segmentNumbers, maskAt, bytes: maskAt + (isMasked ? rows * length : 0) };
}

/** Where the arrays of the next batch begin, behind those that end at `byte`. */
export function nextPackedByte(byte: number): number {
  return Math.ceil(byte / ALIGNMENT) * ALIGNMENT;
}

/** Views of memory that begins at a multiple of 4 bytes, and holds `packedLayout(shape).bytes` from there. */
export function packedViews(buffer: ArrayBuffer, byteOffset: number, shape: PackedShape): PackedArrays {
  const { ids, bounds, segmentNumbers, maskAt } = packedLayout(shape);
  return {
    inputIds: new Int32Array(buffer, byteOffset, ids),
    cuSeqlens: new Int32Array(buffer, byteOffset + INT32_BYTES * ids, bounds),
    segments: new Int32Array(buffer, byteOffset + INT32_BYTES * (ids + bounds), segmentNumbers),
    lossMask: shape.isMasked ? new Uint8Array(buffer, byteOffset + maskAt, shape.rows * shape.length) : undefined,
  };
}

export function packedShapeOf({ rows, length, inputIds, segments, isMasked }: BatchArrays): PackedShape {
  return { rows, length, segments: segments.length / SEGMENT_FIELDS, hasIds: inputIds.length === rows * length, isMasked };
}

/** A batch's arrays as they are sent: a view, of those that were made in one piece of memory. */
export function packedBytes(batch: BatchArrays): Uint8Array<ArrayBuffer> {
  const { inputIds, cuSeqlens, segments, isMasked } = batch;
  const shape = packedShapeOf(batch);
  const { bytes } = packedLayout(shape);
  const { buffer, byteOffset } = inputIds;
  const own = byteOffset + bytes <= buffer.byteLength ? packedViews(buffer, byteOffset, shape) : undefined;
  if (
    own !== undefined &&
    liesAt(cuSeqlens, own.cuSeqlens) &&
    liesAt(segments, own.segments) &&
    (!isMasked || liesAt(batch.lossMask, own.lossMask))
  )
    return new Uint8Array(buffer, byteOffset, bytes);
  const copy = rawBuffer(bytes);
  const views = packedViews(copy, 0, shape);
  if (shape.hasIds) views.inputIds.set(inputIds);
  views.cuSeqlens.set(cuSeqlens);
  views.segments.set(segments);
  views.lossMask?.set(batch.lossMask);
  return new Uint8Array(copy, 0, bytes);
}

function liesAt(array: ArrayBufferView, place: ArrayBufferView | undefined): boolean {
  return array.buffer === place?.buffer && array.byteOffset === place.byteOffset;
}
