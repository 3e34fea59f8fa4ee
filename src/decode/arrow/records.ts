/** Rows of several columns from the arrays of an Arrow record batch, which lie inside each other as the values do. */
import type { JsonValue } from '../../core/canonical-json.js';
import {
  booleanValues,
  listValues,
  numberValues,
  orNull,
  put,
  structValues,
  textValues,
  type OnInvalidUtf8,
  type Values,
} from '../record-values.js';
import { boundsOf, decompress, numbersOf, textOf, validityOf } from './arrays.js';
import type { EncodedArrow, EncodedArrowRecord } from './encoded-slice.js';

/** The rows of a slice, made when they are asked for. Throws where the arrays do not fit together. */
export function recordsOf(
  columns: readonly EncodedArrowRecord[],
): (row: number, onInvalidUtf8: OnInvalidUtf8) => Readonly<Record<string, JsonValue>> {
  const readers = columns.map((column) => ({ name: column.name, values: valuesOf(column) }));
  return (row, onInvalidUtf8) => {
    const record: Record<string, JsonValue> = {};
    for (const { name, values } of readers) put(record, name, values(row, onInvalidUtf8));
    return record;
  };
}

/** By index from the first of the array's values here on. */
function valuesOf(record: EncodedArrowRecord): Values {
  const { array, leaf } = record;
  if (leaf === 'string') {
    const { bounds, bytes, valid } = textOf(array);
    return nullable(valid, textValues(bounds, bytes));
  }
  const valid = validityOf(array);
  return nullable(valid, leaf === undefined ? nestedValues(record) : leafValues(array));
}

function nullable(valid: Uint8Array | undefined, values: Values): Values {
  return valid === undefined ? values : orNull((index) => valid[index] === 1, values);
}

function nestedValues({ array, first, children }: EncodedArrowRecord): Values {
  const { type, rows, skipRows, codec, main } = array;
  if (type.kind === 'struct') {
    for (const child of children) checkInside(child, first, first + rows);
    return structValues(children.map((child) => ({ name: child.name, values: shifted(valuesOf(child), first - child.first) })));
  }
  const [items] = children;
  const { first: start, array: inner } = items;
  if (type.kind === 'groups') {
    checkInside(items, first * type.size, (first + rows) * type.size);
    const bounds = Int32Array.from({ length: rows + 1 }, (_, row) => (first + row) * type.size - start);
    return listValues(bounds, valuesOf(items));
  }
  if (type.kind !== 'lists') throw new Error(`an array of kind ${type.kind} has nothing inside it`);
  const bounds = boundsOf(decompress(main, codec), type.offsetBytes, { first: skipRows, count: rows, start, length: inner.rows });
  return listValues(bounds, valuesOf(items));
}

function shifted(values: Values, by: number): Values {
  return by === 0 ? values : (index, onInvalidUtf8) => values(index + by, onInvalidUtf8);
}

function checkInside({ name, first, array: { rows } }: EncodedArrowRecord, start: number, end: number): void {
  if (!(start >= first && end <= first + rows)) throw new Error(`the values of ${name} end at ${first + rows}, and not at ${end}`);
}

function leafValues({ type, codec, main, mainBit, skipRows, rows }: EncodedArrow): Values {
  if (type.kind !== 'integer' && type.kind !== 'number') throw new Error(`an array of kind ${type.kind} has no numbers`);
  const values = numbersOf(decompress(main, codec), type.item, mainBit + skipRows + rows);
  if ('boolean' in type.item) return booleanValues(values as Uint8Array, mainBit + skipRows);
  return shifted(numberValues(values), skipRows);
}
