/** A batch as wire arrays, and back: one table for both directions. */
import { withMask, type BatchArrays } from '../core/batch-arrays.js';
import { HeadraceError } from '../core/errors.js';
import { numbersOf, type BatchFields, type FieldArrays } from '../core/fields.js';
import { SEGMENT_FIELDS } from '../core/sequence.js';
import type { MessageOf, WireArray } from './messages.js';

export interface FramedArrays {
  readonly arrays: WireArray[];
  readonly frames: Uint8Array[];
  /** Of samples. */
  readonly fields?: { name: string; kind: FieldArrays['kind'] }[];
}

interface NamedArray extends WireArray {
  readonly array: ArrayBufferView;
}

/** The arrays of a batch in the specification's order. The frames are views of the batch. A mask of ones only is a fifth of the bytes, and is not sent. */
export function framesOfBatch(batch: BatchArrays): FramedArrays {
  const { rows, length } = batch;
  const segments = batch.segments.length / SEGMENT_FIELDS;
  const fields = batch.fields && Object.entries(batch.fields);
  const all: NamedArray[] = [
    // samples may have none
    ...(batch.inputIds.length < rows * length
      ? []
      : [{ name: 'input_ids', dtype: 'int32', shape: [rows, length], array: batch.inputIds } satisfies NamedArray]),
    ...(batch.isMasked ? [{ name: 'loss_mask', dtype: 'uint8', shape: [rows, length], array: batch.lossMask } satisfies NamedArray] : []),
    { name: 'cu_seqlens', dtype: 'int32', shape: [segments + 1], array: batch.cuSeqlens },
    { name: 'segments', dtype: 'int32', shape: [segments, SEGMENT_FIELDS], array: batch.segments },
    ...(fields ?? []).flatMap(([name, field]) => arraysOfField(`fields.${name}`, field, rows)),
  ];
  return {
    arrays: all.map(({ name, dtype, shape }) => ({ name, dtype, shape: [...shape] })),
    frames: all.map(({ array }) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength)),
    ...(fields && { fields: fields.map(([name, { kind }]) => ({ name, kind })) }),
  };
}

function arraysOfField(name: string, field: FieldArrays, rows: number): NamedArray[] {
  if (field.kind === 'numbers') {
    const { dtype, size, values } = field;
    return [{ name, dtype, shape: size === null ? [rows] : [rows, size], array: values }];
  }
  const { bounds, bytes } = field;
  return [
    { name: `${name}.bounds`, dtype: 'int64', shape: [rows + 1], array: bounds },
    { name, dtype: 'uint8', shape: [bytes.length], array: bytes },
  ];
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
  const hasIds = message.fields === undefined || message.arrays.some(({ name }) => name === 'input_ids');
  const isUnmasked = isFull(message) && !message.arrays.some(({ name }) => name === 'loss_mask');
  return withMask(isUnmasked ? undefined : bytesOf('loss_mask', 'uint8', [rows, length]), {
    rows,
    length,
    tokens,
    digest,
    inputIds: hasIds ? int32('input_ids', [rows, length]) : new Int32Array(0),
    cuSeqlens: int32('cu_seqlens', [segments.length / SEGMENT_FIELDS + 1]),
    segments,
    ...(message.fields && { fields: fieldsOfFrames(message.fields, message, bytesOf) }),
  });
}

type BytesOf = (name: string, dtype: WireArray['dtype'], shape: readonly (number | undefined)[]) => Uint8Array<ArrayBuffer>;

function fieldsOfFrames(
  fields: NonNullable<MessageOf<'BATCH'>['fields']>,
  { rows, arrays }: MessageOf<'BATCH'>,
  bytesOf: BytesOf,
): BatchFields {
  const fieldOf = (name: string, kind: FieldArrays['kind']): FieldArrays => {
    if (kind !== 'numbers') {
      const { buffer, byteOffset } = bytesOf(`${name}.bounds`, 'int64', [rows + 1]);
      const bounds = new BigInt64Array(buffer, byteOffset, rows + 1);
      const bytes = bytesOf(name, 'uint8', [undefined]);
      const ascending = bounds.every((bound, row) => bound >= (row === 0 ? 0n : bounds[row - 1]));
      if (ascending && bounds[0] === 0n && bounds[rows] === BigInt(bytes.length)) return { kind, bounds, bytes };
      throw new HeadraceError('BAD_MESSAGE', `the bounds of ${name} do not fit its ${bytes.length} bytes`, {
        hint: 'Both sides must run compatible versions of headrace.',
      });
    }
    const { dtype, shape } = arrays.find((array) => array.name === name) ?? { dtype: 'float32', shape: [rows] };
    const size = shape.at(1) ?? null;
    if (dtype === 'uint16') throw new HeadraceError('BAD_MESSAGE', `${name} came as ${dtype}`);
    const { buffer, byteOffset } = bytesOf(name, dtype, size === null ? [rows] : [rows, size]);
    return { kind, dtype, size, values: numbersOf(dtype, buffer, byteOffset, rows * (size ?? 1)) };
  };
  return Object.fromEntries(fields.map(({ name, kind }) => [name, fieldOf(`fields.${name}`, kind)]));
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
