/** Numbers as formats of whole samples store them: little-endian, of any width, read where they are and served as fields. */
import { bytesOfNumbers, describeField, numbersOf, type FieldDtype, type FieldNumbers, type FieldType } from '../core/fields.js';
import type { FieldRows } from './decoder.js';
import { halfValue } from './half-float.js';
import { DTYPES } from './integers.js';

export const STORED_DTYPES = [...DTYPES, 'float16', 'float32', 'float64'] as const;
export type StoredDtype = (typeof STORED_DTYPES)[number];

/** In bytes. */
export function widthOf(dtype: StoredDtype): number {
  return Number(dtype.replace(/\D+/, '')) / 8;
}

/** Those of arrays are what models take, so that doubles in them become float32; a double by itself keeps its digits. No field holds `uint64`. */
export function servedDtypeOf(dtype: Exclude<StoredDtype, 'uint64'>, isList: boolean): FieldDtype {
  switch (dtype) {
    case 'uint8':
    case 'int32':
    case 'int64':
    case 'float32':
      return dtype;
    case 'int8':
    case 'int16':
    case 'uint16':
      return 'int32';
    case 'uint32':
      return 'int64';
    case 'float16':
      return 'float32';
    case 'float64':
      return isList ? 'float32' : 'float64';
  }
}

/** The number at a byte. */
export function numberAt(view: DataView, at: number, dtype: StoredDtype): number | bigint {
  switch (dtype) {
    case 'uint8':
      return view.getUint8(at);
    case 'int8':
      return view.getInt8(at);
    case 'uint16':
      return view.getUint16(at, true);
    case 'int16':
      return view.getInt16(at, true);
    case 'uint32':
      return view.getUint32(at, true);
    case 'int32':
      return view.getInt32(at, true);
    case 'uint64':
      return view.getBigUint64(at, true);
    case 'int64':
      return view.getBigInt64(at, true);
    case 'float16':
      return halfValue(view.getUint16(at, true));
    case 'float32':
      return view.getFloat32(at, true);
    case 'float64':
      return view.getFloat64(at, true);
  }
}

export function viewOf({ buffer, byteOffset, length }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, length);
}

export interface StoredNumbers {
  readonly dtype: StoredDtype;
  /** As many as there are, and no part of one. */
  readonly bytes: Uint8Array;
}

type NumbersField = Extract<FieldType, { kind: 'numbers' }> & { readonly name: string };

/** The field of `rows` rows. Those without numbers, or with another number of them than the field has, are bad ones. */
export function storedNumberRows(field: NumbersField, rows: number, numbersAt: (row: number) => StoredNumbers | undefined): FieldRows {
  const { name, dtype } = field;
  const size = field.size ?? 1;
  const rowBytes = bytesOfNumbers(field);
  const numbers = numbersOf(dtype, new ArrayBuffer(rows * rowBytes));
  let valid: Uint8Array | undefined;
  for (let row = 0; row < rows; row++) {
    const stored = numbersAt(row);
    if (stored?.bytes.length !== size * widthOf(stored?.dtype ?? 'uint8')) (valid ??= new Uint8Array(rows).fill(1))[row] = 0;
    else if (stored.dtype === dtype) new Uint8Array(numbers.buffer, row * rowBytes, rowBytes).set(stored.bytes);
    else putNumbers(stored, numbers, row * size, size);
  }
  return {
    name,
    bytes: new Uint8Array(numbers.buffer),
    bounds: undefined,
    rowBytes,
    valid,
    problem: field.size === null ? `is no ${dtype}` : `is no array of ${describeField(field)}`,
  };
}

/** Writes `count` numbers as what is served. */
export function putNumbers({ dtype, bytes }: StoredNumbers, numbers: FieldNumbers, to: number, count: number): void {
  const view = viewOf(bytes);
  const width = widthOf(dtype);
  for (let i = 0; i < count; i++) {
    const value = numberAt(view, i * width, dtype);
    if (numbers instanceof BigInt64Array) numbers[to + i] = BigInt(value);
    else numbers[to + i] = Number(value);
  }
}
