/** Batches as frames, and back: one table for both directions. */
import { withMask, type BatchArrays } from '../core/batch-arrays.js';
import { HeadraceError } from '../core/errors.js';
import { numbersOf, type BatchFields, type FieldArrays } from '../core/fields.js';
import { nextPackedByte, packedBytes, packedShapeOf, packedViews } from '../core/packed-arrays.js';
import { rawCopy } from '../core/raw-memory.js';
import { corePlaces, type MessageOf, type WireArray, type WireBatch } from './messages.js';

export interface FramedBatch {
  /** Of its entry in the header. */
  readonly head: Pick<WireBatch, 'tokens' | 'digest' | 'segments' | 'masked' | 'arrays'>;
  /** The arrays that every batch has. */
  readonly core: Uint8Array<ArrayBuffer>;
  /** Those of fields. */
  readonly frames: Uint8Array[];
}

interface NamedArray extends WireArray {
  readonly array: ArrayBufferView;
}

/** The frames are views of the batch. A mask of ones only is a fifth of the bytes, and is not sent. */
export function framesOfBatch(batch: BatchArrays): FramedBatch {
  const { rows, tokens, digest } = batch;
  const { segments, isMasked } = packedShapeOf(batch);
  const named = Object.entries(batch.fields ?? {}).flatMap(([name, field]) => arraysOfField(`fields.${name}`, field, rows));
  return {
    head: {
      tokens,
      digest,
      segments,
      masked: isMasked,
      arrays: named.map(({ name, dtype, shape }) => ({ name, dtype, shape: [...shape] })),
    },
    core: packedBytes(batch),
    frames: named.map(({ array }) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength)),
  };
}

/** Whether two cores lie in memory as they do in a frame. */
export function isBehind(core: Uint8Array, before: Uint8Array): boolean {
  return core.buffer === before.buffer && core.byteOffset === before.byteOffset + nextPackedByte(before.byteLength);
}

/** The frame of the cores of a message: a view, where they lie one behind the other, else a copy. */
export function frameOfCores(cores: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const [first] = cores;
  const lieTogether = cores.every((core, index) => index === 0 || isBehind(core, cores[index - 1]));
  let end = 0;
  const starts = cores.map(({ byteLength }) => {
    const start = nextPackedByte(end);
    end = start + byteLength;
    return start;
  });
  const frame = lieTogether ? new Uint8Array(first.buffer, first.byteOffset, end) : new Uint8Array(end);
  for (const [index, core] of cores.entries()) {
    if (!lieTogether) frame.set(core, starts[index]);
    // memory that is used again has something there
    else if (index > 0) frame.fill(0, starts[index - 1] + cores[index - 1].byteLength, starts[index]);
  }
  return frame;
}

/** What a message of batches says of the arrays of all of them. */
export function shapeOfBatches(batch: BatchArrays): Pick<MessageOf<'BATCHES'>, 'rows' | 'length' | 'ids' | 'fields'> {
  const { rows, length, fields } = batch;
  return {
    rows,
    length,
    ids: packedShapeOf(batch).hasIds,
    ...(fields && { fields: Object.entries(fields).map(([name, { kind }]) => ({ name, kind })) }),
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

/**
 * `frames`: as `decodeMessage` gave them. The arrays are views of those that are aligned; of several batches each has memory of its own, which can be
 * transferred. Errors: `BAD_MESSAGE`, where a batch is not in itself what it says.
 */
export function batchesOfFrames(message: MessageOf<'BATCHES'>, [cores, , ...frames]: readonly Uint8Array[]): BatchArrays[] {
  const { batches } = message;
  const places = corePlaces(message);
  let at = 0;
  return batches.map((batch, index) => {
    const { startByte, endByte } = places[index];
    const core = cores.subarray(startByte, endByte);
    const own = frames.slice(at, at + batch.arrays.length);
    at += own.length;
    return batchOfFrames(message, batch, batches.length > 1 ? rawCopy(core) : aligned(core), own);
  });
}

function batchOfFrames(
  message: MessageOf<'BATCHES'>,
  batch: WireBatch,
  { buffer, byteOffset }: Uint8Array<ArrayBuffer>,
  frames: readonly Uint8Array[],
): BatchArrays {
  const { rows, length, ids, fields } = message;
  const { step, tokens, digest, segments, masked } = batch;
  const { lossMask, ...arrays } = packedViews(buffer, byteOffset, { rows, length, segments, hasIds: ids, isMasked: masked });
  const bytesOf: BytesOf = (name, dtype, shape) => {
    const index = batch.arrays.findIndex((array) => array.name === name && array.dtype === dtype && fits(array.shape, shape));
    if (index >= 0) return aligned(frames[index]);
    const wanted = shape.map((size) => size ?? 'any').join(', ');
    throw badBatch(`the batch of step ${step} came without the ${dtype} array ${name} of shape [${wanted}]`);
  };
  return withMask(lossMask, {
    rows,
    length,
    tokens,
    digest,
    ...arrays,
    ...(fields && { fields: fieldsOfFrames(fields, rows, batch.arrays, bytesOf) }),
  });
}

function badBatch(problem: string): HeadraceError {
  return new HeadraceError('BAD_MESSAGE', problem, { hint: 'Both sides must run compatible versions of headrace.' });
}

type BytesOf = (name: string, dtype: WireArray['dtype'], shape: readonly (number | undefined)[]) => Uint8Array<ArrayBuffer>;

function fieldsOfFrames(
  fields: NonNullable<MessageOf<'BATCHES'>['fields']>,
  rows: number,
  arrays: readonly WireArray[],
  bytesOf: BytesOf,
): BatchFields {
  const fieldOf = (name: string, kind: FieldArrays['kind']): FieldArrays => {
    if (kind !== 'numbers') {
      const { buffer, byteOffset } = bytesOf(`${name}.bounds`, 'int64', [rows + 1]);
      const bounds = new BigInt64Array(buffer, byteOffset, rows + 1);
      const bytes = bytesOf(name, 'uint8', [undefined]);
      const ascending = bounds.every((bound, row) => bound >= (row === 0 ? 0n : bounds[row - 1]));
      if (ascending && bounds[0] === 0n && bounds[rows] === BigInt(bytes.length)) return { kind, bounds, bytes };
      throw badBatch(`the bounds of ${name} do not fit its ${bytes.length} bytes`);
    }
    const { dtype, shape } = arrays.find((array) => array.name === name) ?? { dtype: 'float32', shape: [rows] };
    const size = shape.at(1) ?? null;
    if (dtype === 'uint16') throw badBatch(`${name} came as ${dtype}`);
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
