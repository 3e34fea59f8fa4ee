/** What is read of samples beside their rows: ids, fields, and the columns of a filter. The worker's half of MDS. */
import { bytesOfNumbers, numbersOf, type FieldNumbers } from '../../core/fields.js';
import type { ColumnValue } from '../../core/filter/operand.js';
import type { DocumentIds, FieldRows, FilterColumn } from '../decoder.js';
import { widthOf, type MdsDtype } from './encoding.js';
import type { EncodedMdsSlice } from './encoded-slice.js';
import type { MdsField } from './layout.js';
import { columnValues, joinedValues, numberAt, numberOf, readArray, viewOf, type ColumnValues } from './values.js';

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

type NumbersField = MdsField & { readonly type: { readonly kind: 'numbers' } };

function fieldRows(field: MdsField, column: ColumnValues, rows: number): FieldRows {
  const { name, type } = field;
  if (type.kind === 'numbers') return numberRows({ ...field, type }, column, rows);
  return { name, ...joinedValues(column, rows), rowBytes: 0, valid: undefined, problem: '' };
}

/** Arrays of another size than the field has are bad rows. */
function numberRows({ name, type }: NumbersField, column: ColumnValues, rows: number): FieldRows {
  const { dtype } = type;
  const size = type.size ?? 1;
  const rowBytes = bytesOfNumbers(type);
  const numbers = numbersOf(dtype, new ArrayBuffer(rows * rowBytes));
  let valid: Uint8Array | undefined;
  for (let row = 0; row < rows; row++) {
    const values = storedNumbers(column, row, size);
    if (values === undefined) (valid ??= new Uint8Array(rows).fill(1))[row] = 0;
    else if (values.dtype === dtype) new Uint8Array(numbers.buffer, row * rowBytes, rowBytes).set(values.bytes);
    else putNumbers(values.bytes, values.dtype, numbers, row * size, size);
  }
  const bytes = new Uint8Array(numbers.buffer);
  return { name, bytes, bounds: undefined, rowBytes, valid, problem: `is no array of ${size} numbers` };
}

/** As they are stored; `undefined`: not as many as the field has. */
function storedNumbers(
  { encoding, at }: ColumnValues,
  row: number,
  size: number,
): { readonly dtype: MdsDtype; readonly bytes: Uint8Array } | undefined {
  if (encoding.kind === 'number') return { dtype: encoding.dtype, bytes: at(row) };
  const array = encoding.kind === 'array' ? readArray(at(row), encoding) : undefined;
  if (array === undefined || 'problem' in array || array.values.length !== size * widthOf(array.dtype)) return undefined;
  return { dtype: array.dtype, bytes: array.values };
}

/** Lists of doubles become float32, as those of all formats do; integers keep their value. */
function putNumbers(stored: Uint8Array, dtype: MdsDtype, numbers: FieldNumbers, to: number, count: number): void {
  const view = viewOf(stored);
  const own = widthOf(dtype);
  for (let i = 0; i < count; i++) {
    const value = numberAt(view, i * own, dtype);
    if (numbers instanceof BigInt64Array) numbers[to + i] = BigInt(value);
    else numbers[to + i] = Number(value);
  }
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
