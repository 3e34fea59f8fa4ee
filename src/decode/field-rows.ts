/**
 * Decoded columns as fields: of each row the bytes that are served, whatever format the column comes from.
 *
 *   numbers   as their served type, little-endian: float16 and lists of doubles become float32, booleans uint8
 *   lists     those of another size, or with a null in them, are as bad as null rows
 */
import { bytesOfNumbers, numbersOf, type FieldDtype, type FieldNumbers } from '../core/fields.js';
import type { FieldRows } from './decoder.js';
import type { StoredNumber } from './field-types.js';
import { halfValue } from './half-float.js';

/** A view of the row's value. */
export function valueOfRow({ values, bytes, bounds, rowBytes }: FieldRows, row: number): Uint8Array {
  if (values !== undefined) return values[row];
  return bounds === undefined ? bytes.subarray(row * rowBytes, (row + 1) * rowBytes) : bytes.subarray(bounds[row], bounds[row + 1]);
}

/** As they are served; `size` of lists, null: no list. */
export interface NumberField {
  readonly name: string;
  readonly dtype: FieldDtype;
  readonly size: number | null;
}

/** Decoded numbers, as a typed array of their own width; of `HALF` the bytes, of `BOOLEAN` the bits from `firstBit` on. */
export interface StoredValues {
  readonly stored: StoredNumber;
  readonly values: unknown;
  readonly firstBit: number;
}

/** Values [start, start + rows), one a row. */
export function scalarField(
  field: NumberField,
  values: StoredValues,
  start: number,
  rows: number,
  valid: Uint8Array | undefined,
): FieldRows {
  const bytes = bytesOf(served(values, field.dtype, start, start + rows));
  return { name: field.name, bytes, bounds: undefined, rowBytes: bytesOfNumbers(field), valid, nulls: nullsOf(valid), problem: 'is null' };
}

/** `bounds`: [rows + 1] positions of the rows' lists in the values. `isValid`: of a value; undefined where none is null. */
export function listField(
  field: NumberField,
  values: StoredValues,
  bounds: Int32Array,
  isValid: ((index: number) => boolean) | undefined,
  given: Uint8Array | undefined,
): FieldRows {
  const { name } = field;
  const rows = bounds.length - 1;
  const size = field.size ?? 1;
  const [first] = bounds;
  const bytes = bytesOf(served(values, field.dtype, first, bounds[rows]));
  const problem = `is null, or no list of ${size} numbers`;
  const rowBytes = bytesOfNumbers(field);
  let valid = given?.slice();
  const reject = (row: number): void => {
    valid ??= new Uint8Array(rows).fill(1);
    valid[row] = 0;
  };
  for (let row = 0; row < rows; row++) {
    const [start, end] = [bounds[row], bounds[row + 1]];
    if (end - start !== size) reject(row);
    else if (isValid !== undefined) for (let i = start; i < end; i++) if (!isValid(i)) reject(row);
  }
  if (valid === undefined) return { name, bytes, bounds: undefined, rowBytes, valid, problem };
  const nulls = nullsOf(given);
  // rows that are not served may have any number of values
  const places = Int32Array.from(bounds, (bound) => ((bound - first) * rowBytes) / size);
  return { name, bytes, bounds: places, rowBytes, valid, nulls, problem };
}

/** Of rows of which a bitmap says nothing but whether they are null. */
export function nullsOf(valid: Uint8Array | undefined): Uint8Array | undefined {
  return valid?.map((isValid) => 1 - isValid);
}

/** Values [start, end) as they are served. */
function served(from: StoredValues, dtype: FieldDtype, start: number, end: number): FieldNumbers {
  const { stored, values } = from;
  const isSame =
    (stored === 'FLOAT' && dtype === 'float32') ||
    (stored === 'DOUBLE' && dtype === 'float64') ||
    (stored === 'INT32' && dtype === 'int32') ||
    stored === 'INT64';
  if (isSame) return (values as Int32Array<ArrayBuffer>).subarray(start, end);
  const count = end - start;
  const result = numbersOf(dtype, new ArrayBuffer(bytesOfNumbers({ dtype, size: count })));
  if (result instanceof BigInt64Array) for (let i = 0; i < count; i++) result[i] = BigInt(valueAt(from, start + i));
  else for (let i = 0; i < count; i++) result[i] = Number(valueAt(from, start + i));
  return result;
}

function valueAt({ values, stored, firstBit }: StoredValues, index: number): number | bigint {
  switch (stored) {
    case 'BOOLEAN':
      return ((values as Uint8Array)[(firstBit + index) >> 3] >> ((firstBit + index) & 7)) & 1;
    case 'UINT32':
      return BigInt((values as Int32Array)[index] >>> 0);
    case 'HALF': {
      const bytes = values as Uint8Array;
      return halfValue(bytes[2 * index] | (bytes[2 * index + 1] << 8));
    }
    default:
      return (values as Float64Array)[index];
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: FieldNumbers): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
