/** The worker's half of the Arrow decoder: arrays in, rows, ids, fields and the values of filters out. */
import { HeadraceError, messageOf } from '../../core/errors.js';
import type { ColumnValue } from '../../core/filter/operand.js';
import type { DocumentIds, FieldRows, FilterColumn, RecordRows, Rows } from '../decoder.js';
import { listField, nullsOf, scalarField, type StoredValues } from '../field-rows.js';
import { tokenIds } from '../integers.js';
import { decodedRecord } from '../record-values.js';
import { andBits, boundsOf, decompress, numbersOf, textOf, validityOf } from './arrays.js';
import { bytesOfItems } from './column.js';
import { storedNumberOf } from './column-types.js';
import type { EncodedArrow, EncodedArrowField, EncodedArrowFilterColumn, EncodedArrowRecords, EncodedArrowSlice } from './encoded-slice.js';
import type { ArrowItem } from './layout.js';
import { recordsOf } from './records.js';

/** Errors: `SHARD_INVALID`. */
export function decodeArrowSlice(slice: EncodedArrowSlice): Rows {
  return decoded(slice, () => (slice.kind === 'text' ? textOf(slice) : tokensOf(slice)));
}

/** Errors: `SHARD_INVALID`. */
export function decodeArrowIds(slice: EncodedArrow): DocumentIds {
  return decoded(slice, () => {
    const { type, rows, skipRows } = slice;
    if (type.kind === 'integer') {
      const values = numbersOf(decompress(slice.main, slice.codec), type.item, skipRows + rows);
      const valid = validityOf(slice);
      return Array.from({ length: rows }, (_, row) => (valid?.[row] === 0 ? null : String(values[skipRows + row])));
    }
    const { bounds, bytes, valid } = textOf(slice);
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    return Array.from({ length: rows }, (_, row) => (valid?.[row] === 0 ? null : text.toString('utf8', bounds[row], bounds[row + 1])));
  });
}

/** Errors: `SHARD_INVALID`. */
export function decodeArrowFields(fields: readonly EncodedArrowField[]): readonly FieldRows[] {
  return fields.map((column) => decoded(column, () => fieldOf(column)));
}

/** Errors: `SHARD_INVALID`. A field of a struct that is null is null. */
export function decodeArrowFilterColumn(column: EncodedArrowFilterColumn): FilterColumn {
  return decoded(column, () => {
    const valid = validityOf(column);
    const valueAt = comparedValues(column);
    return { column: column.column, type: column.compared, valueAt: (row) => (valid?.[row] === 0 ? null : valueAt(row)) };
  });
}

/** Errors: `SHARD_INVALID`. */
export function decodeArrowRecords({ rows: count, columns }: EncodedArrowRecords): RecordRows {
  const [{ array }] = columns;
  const recordAt = decoded(array, () => recordsOf(columns));
  return {
    kind: 'records',
    count,
    at: (row) => decodedRecord((onInvalidUtf8) => recordAt(row, onInvalidUtf8)),
  };
}

function decoded<T>({ uri, column }: EncodedArrow, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw new HeadraceError('SHARD_INVALID', `cannot decode column ${column} of ${uri}: ${messageOf(error)}`, {
      detail: { uri, column },
      hint: 'Write the file again, or take it out of the source; `badBlocks: skip` leaves damaged rows out.',
      cause: error,
    });
  }
}

interface Lists {
  readonly bounds: Int32Array;
  /** Bytes of the items that the bounds count. */
  readonly values: Uint8Array;
  readonly item: ArrowItem;
  /** Items there are. */
  readonly length: number;
}

function listsOf({ type, codec, rows: count, skipRows, valuesStart, values: encoded, main }: EncodedArrow): Lists {
  if (type.kind !== 'list' && type.kind !== 'fixed') throw new Error(`a column of kind ${type.kind} has no lists of numbers`);
  const { item } = type;
  const values = decompress(encoded, codec);
  // a part of bits starts in the middle of a byte
  const length = 'boolean' in item ? 8 * values.length - (valuesStart % 8) : Math.floor(values.length / bytesOfItems(item, 1));
  const bounds =
    type.kind === 'list'
      ? boundsOf(decompress(main, codec), type.offsetBytes, { first: skipRows, count, start: valuesStart, length })
      : Int32Array.from({ length: count + 1 }, (_, row) => (skipRows + row) * type.size);
  const last = bounds[count];
  if (bounds[0] < 0 || last > length) throw new Error(`lists end at item ${last} of ${length}`);
  return { bounds, values, item, length };
}

function tokensOf(slice: EncodedArrow): Rows {
  const { rows: count, valuesStart } = slice;
  const { bounds, values, item } = listsOf(slice);
  if (!('bytes' in item)) throw new Error('a column of lists of other numbers has no token ids');
  const [first] = bounds;
  const { ids, idsBelow } = tokenIds(values.subarray(first * item.bytes, bounds[count] * item.bytes), item);
  if (first !== 0) for (let row = 0; row <= count; row++) bounds[row] -= first;
  const valid = validityOf(slice);
  return { kind: 'tokens', count, bounds, ids, valid: withoutNullItems(slice, bounds, first + valuesStart, valid), idsBelow };
}

/** A list that holds a null is no row of tokens. `firstItem`: where the bounds count from, in the column's items. */
function withoutNullItems(
  { itemsValid, rows, codec }: EncodedArrow,
  bounds: Int32Array,
  firstItem: number,
  valid: Uint8Array | undefined,
): Uint8Array | undefined {
  if (itemsValid === undefined) return valid;
  const all = valid ?? new Uint8Array(rows).fill(1);
  const items = new Uint8Array(bounds[rows]).fill(1);
  andBits(items, itemsValid, codec === 'none' ? 0 : firstItem, codec);
  for (let row = 0; row < rows; row++) {
    for (let i = bounds[row]; i < bounds[row + 1] && all[row] === 1; i++) all[row] = items[i];
  }
  return all;
}

function fieldOf(field: EncodedArrowField): FieldRows {
  const { name, type, served, rows, skipRows, codec, main, mainBit } = field;
  if (served.kind !== 'numbers') {
    const { bytes, bounds, valid } = textOf(field);
    return { name, bytes, bounds, rowBytes: 0, valid, nulls: nullsOf(valid), problem: 'is null' };
  }
  const own = { name, dtype: served.dtype, size: served.size };
  const valid = validityOf(field);
  if (type.kind === 'integer' || type.kind === 'number') {
    const values = numbersOf(decompress(main, codec), type.item, mainBit + skipRows + rows);
    return scalarField(own, storedValues(values, type.item, mainBit), skipRows, rows, valid);
  }
  const { bounds, values, item, length } = listsOf(field);
  const firstBit = field.valuesStart % 8;
  const numbers = storedValues(numbersOf(values, item, 0), item, firstBit);
  return listField(own, numbers, bounds, itemValidity(field, length), valid);
}

function storedValues(values: unknown, item: ArrowItem, firstBit: number): StoredValues {
  const stored = storedNumberOf(item);
  if (stored === undefined) throw new Error('a column has numbers that are not served');
  return { stored, values, firstBit: stored === 'BOOLEAN' ? firstBit : 0 };
}

/** Of the item at an index of the values. */
function itemValidity({ itemsValid, codec }: EncodedArrow, length: number): ((index: number) => boolean) | undefined {
  if (itemsValid === undefined) return undefined;
  const items = decompress(itemsValid.bytes, codec);
  const { firstBit } = itemsValid;
  const last = Math.min(length, 8 * items.length - firstBit);
  return (index) => index < last && ((items[(firstBit + index) >>> 3] >>> ((firstBit + index) & 7)) & 1) === 1;
}

/** Of a row of the slice, whatever its bitmap says. */
function comparedValues(column: EncodedArrowFilterColumn): (row: number) => ColumnValue {
  const { type, compared, codec, main, mainBit, skipRows, rows } = column;
  if (type.kind === 'integer' || type.kind === 'number') {
    const values = numbersOf(decompress(main, codec), type.item, mainBit + skipRows + rows);
    if ('boolean' in type.item) {
      const start = mainBit + skipRows;
      return (row) => ((Number(values[(start + row) >>> 3]) >>> ((start + row) & 7)) & 1) === 1;
    }
    // dates are days, and some of them are stored as milliseconds
    if (compared.kind === 'date' && values instanceof BigInt64Array) return (row) => daysOf(values[skipRows + row]);
    return (row) => values[skipRows + row];
  }
  const { bounds, bytes } = textOf(column);
  const valueAt = (row: number): Uint8Array => bytes.subarray(bounds[row], bounds[row + 1]);
  return compared.kind === 'decimal' ? (row) => signedOf(valueAt(row)) : valueAt;
}

const MS_PER_DAY = 86_400_000n;

function daysOf(ms: bigint): bigint {
  const days = ms / MS_PER_DAY; // towards zero
  return ms < days * MS_PER_DAY ? days - 1n : days;
}

/** A whole number in two's complement, its first byte the lowest. */
function signedOf(bytes: Uint8Array): bigint {
  const hex = Buffer.from(bytes).reverse().toString('hex');
  return BigInt.asIntN(8 * bytes.length, BigInt(`0x${hex}`));
}
