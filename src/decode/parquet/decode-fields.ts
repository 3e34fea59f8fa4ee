/**
 * The worker's half of fields in Parquet: pages of a column in, of each row the bytes that are served out.
 *
 *   binary, utf8        values as they are, with bounds
 *   numbers             as their served type, little-endian: float16 and lists of doubles become float32, booleans uint8
 *   struct<bytes: …>    the part that is named, of rows whose struct is not null
 */
import type * as Arrow from 'apache-arrow';
import { bytesOfNumbers, numbersOf, type FieldNumbers } from '../../core/fields.js';
import type { FieldRows } from '../decoder.js';
import { arrowColumn, boundsOf, structsAbove } from './arrow-slice.js';
import { decodeChunk } from './decode-slice.js';
import type { EncodedParquetField } from './encoded-slice.js';

/** Errors: `SHARD_INVALID`. */
export function decodeParquetFields(columns: readonly EncodedParquetField[]): readonly FieldRows[] {
  return columns.map((column) => decodeChunk(column, () => decodeField(column)));
}

function decodeField(field: EncodedParquetField): FieldRows {
  const { type, skipRows: start, rows, name } = field;
  const levels = structsAbove(arrowColumn(field));
  const leaf = levels[levels.length - 1];
  const valid = validRows(levels, start, rows);
  if (type.kind === 'numbers') return type.size === null ? scalars(leaf, field, valid) : lists(leaf, field, valid);
  return { name, bytes: leaf.values as Uint8Array, bounds: boundsOf(leaf, start, rows), rowBytes: 0, valid, problem: 'is null' };
}

function validRows(columns: readonly Arrow.Data[], start: number, rows: number): Uint8Array | undefined {
  const nullable = columns.filter(({ nullCount }) => nullCount > 0);
  if (nullable.length === 0) return undefined;
  return Uint8Array.from({ length: rows }, (_, row) => (nullable.every((column) => column.getValid(start + row)) ? 1 : 0));
}

type Numbers = Extract<EncodedParquetField['type'], { kind: 'numbers' }>;

function scalars(column: Arrow.Data, { name, type, skipRows, rows }: EncodedParquetField, valid: Uint8Array | undefined): FieldRows {
  const numbers = type as Numbers;
  const values = served(column, numbers, skipRows, skipRows + rows);
  return { name, bytes: bytesOf(values), bounds: undefined, rowBytes: bytesOfNumbers(numbers), valid, problem: 'is null' };
}

/** Rows of another size are as bad as null ones, and so are nulls in a list. */
function lists(column: Arrow.Data, { name, type, skipRows, rows }: EncodedParquetField, given: Uint8Array | undefined): FieldRows {
  const numbers = type as Numbers;
  const size = numbers.size ?? 1;
  const [element] = column.children;
  const offsets = column.valueOffsets as Int32Array;
  const first = offsets[skipRows];
  const all = served(element, numbers, first, offsets[skipRows + rows]);
  const problem = `is null, or no list of ${size} numbers`;
  const rowBytes = bytesOfNumbers(numbers);
  let valid = given;
  const reject = (row: number): void => {
    valid ??= new Uint8Array(rows).fill(1);
    valid[row] = 0;
  };
  for (let row = 0; row < rows; row++) {
    const start = offsets[skipRows + row];
    const end = offsets[skipRows + row + 1];
    if (end - start !== size) reject(row);
    else if (element.nullCount > 0) for (let i = start; i < end; i++) if (!element.getValid(i)) reject(row);
  }
  if (valid === undefined) return { name, bytes: bytesOf(all), bounds: undefined, rowBytes, valid, problem };
  // rows that are not served may have any number of values
  const bounds = Int32Array.from({ length: rows + 1 }, (_, row) => ((offsets[skipRows + row] - first) * rowBytes) / size);
  return { name, bytes: bytesOf(all), bounds, rowBytes, valid, problem };
}

/** Values [start, end) as they are served. */
function served(column: Arrow.Data, { dtype, stored }: Numbers, start: number, end: number): FieldNumbers {
  const count = end - start;
  const values: unknown = column.values;
  const isSame =
    (stored === 'FLOAT' && dtype === 'float32') || (stored === 'DOUBLE' && dtype === 'float64') || stored === 'INT32' || stored === 'INT64';
  if (isSame) return (values as Int32Array<ArrayBuffer>).subarray(start, end);
  const result = numbersOf(dtype, new ArrayBuffer(bytesOfNumbers({ dtype, size: count })));
  for (let i = 0; i < count; i++) result[i] = servedValue(values, stored, start + i, column.offset);
  return result;
}

function servedValue(values: unknown, stored: Numbers['stored'], index: number, offset: number): never {
  return valueAt(values, stored, index, offset) as never;
}

function valueAt(values: unknown, stored: Numbers['stored'], index: number, offset: number): number | bigint {
  switch (stored) {
    case 'BOOLEAN':
      return ((values as Uint8Array)[(offset + index) >> 3] >> ((offset + index) & 7)) & 1;
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

/** IEEE 754 binary16: one sign bit, five of exponent, ten of fraction. */
function halfValue(bits: number): number {
  const sign = bits >> 15 === 1 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function bytesOf({ buffer, byteOffset, byteLength }: FieldNumbers): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
