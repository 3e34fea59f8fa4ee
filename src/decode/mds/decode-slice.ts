/** The worker's half of MDS: samples in, rows out. */
import type { Rows } from '../decoder.js';
import { integerOf, narrowIds, tokenIds, type Dtype } from '../integers.js';
import { widthOf } from '../stored-numbers.js';
import { isInteger, isRow } from './columns.js';
import type { EncodedMdsSlice } from './encoded-slice.js';
import { columnValues, joinedValues, readArray, type ColumnValues } from './values.js';

/** Errors: `SHARD_INVALID`. */
export function decodeMdsSlice(slice: EncodedMdsSlice): Rows {
  const [column] = columnValues(slice, [slice.wanted.column]);
  return slice.wanted.kind === 'text' ? textRows(slice, column) : tokenRows(slice, column);
}

function textRows({ rows: count }: EncodedMdsSlice, column: ColumnValues): Rows {
  return { kind: 'text', count, ...joinedValues(column, count), valid: undefined };
}

/** The numbers of one row, or what is wrong with it. */
type RowNumbers = { readonly dtype: Dtype; readonly values: Uint8Array } | { readonly problem: string };

function tokenRows({ rows: count, wanted: { dtype } }: EncodedMdsSlice, column: ColumnValues): Rows {
  const own = Array.from({ length: count }, (_, row) => numbersOfRow(column, row, dtype));
  const problems = new Map(own.flatMap((numbers, row) => ('problem' in numbers ? [[row, numbers.problem] as const] : [])));
  const dtypes = new Set(own.flatMap((numbers) => ('problem' in numbers ? [] : [numbers.dtype])));
  const [first = 'int32'] = dtypes;
  const ids = dtypes.size > 1 ? mixedIds(own) : idsOfOneType(own, first);
  const valid = problems.size === 0 ? undefined : Uint8Array.from(own, (numbers) => ('problem' in numbers ? 0 : 1));
  const bounds = new Int32Array(count + 1);
  for (const [row, numbers] of own.entries()) {
    bounds[row + 1] = bounds[row] + ('problem' in numbers ? 0 : numbers.values.length / widthOf(numbers.dtype));
  }
  return { kind: 'tokens', count, bounds, ...ids, valid, ...(problems.size > 0 && { problems }) };
}

type Ids = Pick<Extract<Rows, { kind: 'tokens' }>, 'ids' | 'idsBelow'>;

function idsOfOneType(rows: readonly RowNumbers[], dtype: Dtype): Ids {
  const bytes = new Uint8Array(rows.reduce((sum, row) => sum + ('problem' in row ? 0 : row.values.length), 0));
  let at = 0;
  for (const row of rows) {
    if ('problem' in row) continue;
    bytes.set(row.values, at);
    at += row.values.length;
  }
  return tokenIds(bytes, integerOf(dtype));
}

/** Each array may say its own type. */
function mixedIds(rows: readonly RowNumbers[]): Ids {
  const parts = rows.map((row) =>
    'problem' in row ? new Int32Array(0) : narrowIds(tokenIds(row.values.slice(), integerOf(row.dtype)).ids),
  );
  const ids = new Int32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    ids.set(part, at);
    at += part.length;
  }
  return { ids, idsBelow: undefined };
}

function numbersOfRow({ name, encoding, at }: ColumnValues, row: number, dtype: Dtype | undefined): RowNumbers {
  const value = at(row);
  if (encoding.kind !== 'array') return dtype === undefined ? { problem: `has no integers in ${name}` } : wholeNumbers(name, value, dtype);
  const array = readArray(value, encoding);
  if ('problem' in array) return { problem: `has an array in ${name} that ${array.problem}` };
  if (!isInteger(array.dtype)) return { problem: `has an array of ${array.dtype} in ${name}, and no integers` };
  if (!isRow(array.shape)) return { problem: `has an array of the shape ${array.shape.join(', ')} in ${name}, and no row of ids` };
  return { dtype: array.dtype, values: array.values };
}

function wholeNumbers(name: string, values: Uint8Array, dtype: Dtype): RowNumbers {
  if (values.length % widthOf(dtype) === 0) return { dtype, values };
  return { problem: `has ${values.length} bytes in ${name}, which are no whole number of ${dtype}` };
}
