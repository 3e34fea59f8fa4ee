/** What is read of samples beside their rows: ids, fields, and the columns of a filter. The worker's half of MDS. */
import type { ColumnValue } from '../../core/filter/operand.js';
import type { DocumentIds, FieldRows, FilterColumn } from '../decoder.js';
import { storedNumberRows, type StoredNumbers } from '../stored-numbers.js';
import type { EncodedMdsSlice } from './encoded-slice.js';
import type { MdsField } from './layout.js';
import { columnValues, joinedValues, numberOf, readArray, type ColumnValues } from './values.js';

/** Errors: `SHARD_INVALID`. */
export function decodeMdsIds(slice: EncodedMdsSlice): DocumentIds {
  const [{ encoding, at }] = columnValues(slice, [slice.wanted.id ?? '']);
  return Array.from({ length: slice.rows }, (_, row) =>
    encoding.kind === 'number' ? String(numberOf(at(row), encoding.dtype)) : textOf(at(row)),
  );
}

function textOf({ buffer, byteOffset, length }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, length).toString('utf8');
}

/** Errors: `SHARD_INVALID`. */
export function decodeMdsFields(slice: EncodedMdsSlice): readonly FieldRows[] {
  const { fields = [] } = slice.wanted;
  const columns = columnValues(
    slice,
    fields.map(({ column }) => column),
  );
  return fields.map((field, i) => fieldRows(field, columns[i], slice.rows));
}

function fieldRows({ name, type }: MdsField, column: ColumnValues, rows: number): FieldRows {
  if (type.kind === 'numbers') return storedNumberRows({ name, ...type }, rows, (row) => storedNumbers(column, row));
  return { name, ...joinedValues(column, rows), rowBytes: 0, valid: undefined, problem: '' };
}

/** Of a row, as they are stored; `undefined`: its array is none. */
function storedNumbers({ encoding, at }: ColumnValues, row: number): StoredNumbers | undefined {
  if (encoding.kind === 'number') return { dtype: encoding.dtype, bytes: at(row) };
  const array = encoding.kind === 'array' ? readArray(at(row), encoding) : undefined;
  return array === undefined || 'problem' in array ? undefined : { dtype: array.dtype, bytes: array.values };
}

/** Errors: `SHARD_INVALID`. */
export function decodeMdsFilter(slice: EncodedMdsSlice): readonly FilterColumn[] {
  const { filter = [] } = slice.wanted;
  const columns = columnValues(
    slice,
    filter.map(({ column }) => column),
  );
  return filter.map(({ column, type }, i) => ({ column, type, valueAt: (row) => comparedValue(columns[i], row) }));
}

function comparedValue({ encoding, at }: ColumnValues, row: number): ColumnValue {
  const value = at(row);
  if (encoding.kind === 'number') return numberOf(value, encoding.dtype);
  return encoding.kind === 'digits' ? integerOfDigits(textOf(value)) : value;
}

/** Null where it is none. */
function integerOfDigits(text: string): bigint | null {
  return /^-?\d{1,4096}$/.test(text) ? BigInt(text) : null;
}
