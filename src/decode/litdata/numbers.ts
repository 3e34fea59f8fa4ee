/**
 * Lists of whole numbers in a leaf, as token ids: with a header of litData's, or in its form of nested values. Pure.
 *
 *   tensor   type, dimensions (uint32, big-endian) │ shape │ numbers            numpy    the same little-endian
 *   nested   tag │ count (uint32) │ int64 …                                    or JSON, which older versions wrote
 *
 * Source of the layouts: `TensorSerializer`, `NumpySerializer`, `_nested_dumps` in `litdata/streaming/serializers.py`.
 */
import { integersOf, type IntegerType } from '../integers.js';
import { listItem, type LeafForm } from './leaf.js';

/** Ids, or what is wrong with the row, in words that follow it. */
export type RowTokens = Int32Array | string;

const DIMENSIONS_MAX = 32;

export function tokensOfLeaf(bytes: Uint8Array, form: LeafForm): RowTokens {
  switch (form.form) {
    case 'list':
      return tokensOfItems(bytes, form.item);
    case 'array':
      return tokensOfArray(bytes, form.of);
    case 'nested':
      return tokensOfNested(bytes);
    case 'bytes':
      return 'has bytes, and no numbers';
  }
}

function tokensOfItems(bytes: Uint8Array, item: IntegerType): RowTokens {
  if (bytes.length % item.bytes !== 0) return `has ${bytes.length} bytes, and numbers of ${item.bytes}`;
  return inRange(integersOf(bytes, item));
}

/** What is no int32 is −1, which no vocabulary has. */
function inRange(values: ArrayLike<number> | ArrayLike<bigint>): Int32Array {
  const ids = new Int32Array(values.length);
  for (let i = 0; i < ids.length; i++) ids[i] = idOf(values[i]);
  return ids;
}

function idOf(value: number | bigint): number {
  return value >= 0 && value < 2 ** 31 ? Number(value) : -1;
}

function tokensOfArray(bytes: Uint8Array, of: 'tensor' | 'numpy'): RowTokens {
  if (bytes.length < 8) return `has ${bytes.length} bytes, and no array`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const isLittle = of === 'numpy';
  const [code, dimensions] = [view.getUint32(0, isLittle), view.getUint32(4, isLittle)];
  const start = 8 + 4 * dimensions;
  if (dimensions > DIMENSIONS_MAX || start > bytes.length) return `has an array of ${dimensions} dimensions in ${bytes.length} bytes`;
  const item = listItem(of, code);
  if (item?.integer === undefined) return `has an array of ${item?.name ?? `the unknown type ${code}`}, and no whole numbers`;
  const shape = Array.from({ length: dimensions }, (_, i) => view.getUint32(8 + 4 * i, isLittle));
  // a batch of one, as tokenizers return it
  if (shape.filter((size) => size !== 1).length > 1) return `has an array of ${shape.join(' × ')}, and no list`;
  const items = shape.reduce((product, size) => product * size, 1);
  if (items * item.integer.bytes !== bytes.length - start) return `has an array of ${shape.join(' × ')} in ${bytes.length - start} bytes`;
  return tokensOfItems(bytes.subarray(start), item.integer);
}

const TAG_JSON = 0;
const TAG_TEXTS = 1;
const TAG_INTEGERS = 2;
/** What is no tag begins JSON. */
const TAG_MAX = 0x20;

function tokensOfNested(bytes: Uint8Array): RowTokens {
  if (bytes.length === 0 || bytes[0] > TAG_MAX) return tokensOfJson(bytes);
  if (bytes.length < 5) return 'has no list of numbers';
  const count = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(1, true);
  const rest = bytes.subarray(5);
  switch (bytes[0]) {
    case TAG_INTEGERS:
      return rest.length === 8 * count ? tokensOfItems(rest, { bytes: 8, signed: true }) : `has ${count} numbers in ${rest.length} bytes`;
    case TAG_JSON:
      return rest.length === count ? tokensOfJson(rest) : `has JSON of ${count} bytes in ${rest.length}`;
    case TAG_TEXTS: // as which a list without items is written
      return count === 0 && rest.length === 0 ? new Int32Array(0) : 'has a list of texts, and none of numbers';
    default:
      return 'has no list of numbers';
  }
}

function tokensOfJson(bytes: Uint8Array): RowTokens {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'));
  } catch {
    return 'has JSON that cannot be read';
  }
  return Array.isArray(value) && value.every(Number.isSafeInteger) ? inRange(value as readonly number[]) : 'has no list of whole numbers';
}
