/**
 * Numbers in a leaf: with a header of litData's, or without one. Pure.
 *
 *   tensor   type, dimensions (uint32, big-endian) │ shape │ numbers            numpy    the same little-endian
 *
 * Source of the layouts: `TensorSerializer`, `NumpySerializer` in `litdata/streaming/serializers.py`.
 */
import { integersOf, type IntegerType } from '../integers.js';
import { widthOf, type StoredNumbers } from '../stored-numbers.js';
import { listItem, type LeafForm, type ListItem } from './leaf.js';
import { nestedNumbers } from './nested.js';

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
  const array = readArray(bytes, of);
  if (typeof array === 'string') return array;
  const { item, shape, values } = array;
  if (item.integer === undefined) return `has an array of ${item.name}, and no whole numbers`;
  // a batch of one, as tokenizers return it
  if (shape.filter((size) => size !== 1).length > 1) return `has an array of ${shape.join(' × ')}, and no list`;
  return tokensOfItems(values, item.integer);
}

/** All of an array's numbers, in the order in which they are stored; `undefined`: it has none. */
export function numbersOfArray(bytes: Uint8Array, of: 'tensor' | 'numpy'): StoredNumbers | undefined {
  const array = readArray(bytes, of);
  return typeof array === 'string' || array.item.dtype === undefined ? undefined : { dtype: array.item.dtype, bytes: array.values };
}

interface LeafArray {
  readonly item: ListItem;
  readonly shape: readonly number[];
  /** As many as the shape says. */
  readonly values: Uint8Array;
}

/** Or what is wrong with it, in words that follow the row. */
function readArray(bytes: Uint8Array, of: 'tensor' | 'numpy'): LeafArray | string {
  if (bytes.length < 8) return `has ${bytes.length} bytes, and no array`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const isLittle = of === 'numpy';
  const [code, dimensions] = [view.getUint32(0, isLittle), view.getUint32(4, isLittle)];
  const start = 8 + 4 * dimensions;
  if (dimensions > DIMENSIONS_MAX || start > bytes.length) return `has an array of ${dimensions} dimensions in ${bytes.length} bytes`;
  const item = listItem(of, code);
  if (item === undefined) return `has an array of the unknown type ${code}, and no whole numbers`;
  const shape = Array.from({ length: dimensions }, (_, i) => view.getUint32(8 + 4 * i, isLittle));
  const values = bytes.subarray(start);
  const items = shape.reduce((product, size) => product * size, 1);
  const isWhole = item.dtype === undefined || items * widthOf(item.dtype) === values.length;
  return isWhole ? { item, shape, values } : `has an array of ${shape.join(' × ')} in ${values.length} bytes`;
}

/** Of int64, as litData writes whole numbers in lists of Python. */
function tokensOfNested(bytes: Uint8Array): RowTokens {
  const numbers = nestedNumbers(bytes);
  if (typeof numbers === 'string') return numbers;
  return numbers.dtype === 'int64' ? tokensOfItems(numbers.bytes, { bytes: 8, signed: true }) : 'has no list of whole numbers';
}
