/** A batch as wire arrays, and back: one table for both directions. */
import type { BatchArrays } from '../core/batch-arrays.js';
import { HeadraceError } from '../core/errors.js';
import { SEGMENT_FIELDS } from '../core/sequence.js';
import type { MessageOf, WireArray } from './messages.js';

export interface FramedArrays {
  readonly arrays: WireArray[];
  readonly frames: Uint8Array[];
}

/** The arrays of a batch in the specification's order. The frames are views of the batch. A mask of ones only is a fifth of the bytes, and is not sent. */
export function framesOfBatch(batch: BatchArrays): FramedArrays {
  const { rows, length } = batch;
  const segments = batch.segments.length / SEGMENT_FIELDS;
  const all = [
    { name: 'input_ids', dtype: 'int32', shape: [rows, length], array: batch.inputIds },
    ...(isFull(batch) && !batch.lossMask.includes(0)
      ? []
      : [{ name: 'loss_mask', dtype: 'uint8', shape: [rows, length], array: batch.lossMask } as const]),
    { name: 'cu_seqlens', dtype: 'int32', shape: [segments + 1], array: batch.cuSeqlens },
    { name: 'segments', dtype: 'int32', shape: [segments, SEGMENT_FIELDS], array: batch.segments },
  ] as const;
  return {
    arrays: all.map(({ name, dtype, shape }) => ({ name, dtype, shape: [...shape] })),
    frames: all.map(({ array }) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength)),
  };
}

/** Without padding every token counts. */
function isFull({ rows, length, tokens }: { readonly rows: number; readonly length: number; readonly tokens: number }): boolean {
  return tokens === rows * length;
}

/** The arrays are views of the frames where these are aligned. Errors: `BAD_MESSAGE` where one is missing, or of another type or shape. */
export function batchOfFrames(message: MessageOf<'BATCH'>, frames: readonly Uint8Array[]): BatchArrays {
  const { rows, length, tokens, digest } = message;
  const bytesOf = (name: string, dtype: WireArray['dtype'], shape: readonly (number | undefined)[]): Uint8Array<ArrayBuffer> => {
    const index = message.arrays.findIndex((array) => array.name === name && array.dtype === dtype && fits(array.shape, shape));
    if (index >= 0) return aligned(frames[index]);
    throw new HeadraceError(
      'BAD_MESSAGE',
      `a batch came without the ${dtype} array ${name} of shape [${shape.map((size) => size ?? 'any').join(', ')}]`,
      {
        hint: 'Both sides must run compatible versions of headrace.',
      },
    );
  };
  const int32 = (name: string, shape: readonly (number | undefined)[]): Int32Array<ArrayBuffer> => {
    const bytes = bytesOf(name, 'int32', shape);
    return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  };
  const segments = int32('segments', [undefined, SEGMENT_FIELDS]);
  return {
    rows,
    length,
    tokens,
    digest,
    inputIds: int32('input_ids', [rows, length]),
    lossMask:
      isFull(message) && !message.arrays.some(({ name }) => name === 'loss_mask')
        ? new Uint8Array(rows * length).fill(1)
        : bytesOf('loss_mask', 'uint8', [rows, length]),
    cuSeqlens: int32('cu_seqlens', [segments.length / SEGMENT_FIELDS + 1]),
    segments,
  };
}

function fits(shape: readonly number[], wanted: readonly (number | undefined)[]): boolean {
  return shape.length === wanted.length && wanted.every((size, axis) => size === undefined || size === shape[axis]);
}

/** A typed array must start at a multiple of its element's size; small frames may lie anywhere in a shared buffer. */
function aligned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  if (bytes.byteOffset % 8 === 0 && bytes.buffer instanceof ArrayBuffer)
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return new Uint8Array(bytes); // slice() of a Buffer is a view
}
