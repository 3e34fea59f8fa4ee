/** Rows of an MDS shard as objects of several columns: text, numbers, and what JSON says. */
import { isUtf8 } from 'node:buffer';
import type { JsonValue } from '../../core/canonical-json.js';
import type { DecodedRecord, RecordRows } from '../decoder.js';
import { exactValue } from '../record-values.js';
import type { EncodedMdsSlice } from './encoded-slice.js';
import { columnValues, numberOf, type ColumnValues } from './values.js';

/** Errors: `SHARD_INVALID`. */
export function decodeMdsRecords(slice: EncodedMdsSlice): RecordRows {
  const columns = columnValues(slice, slice.wanted.records ?? []);
  return { kind: 'records', count: slice.rows, at: (row) => recordOf(columns, row) };
}

function recordOf(columns: readonly ColumnValues[], row: number): DecodedRecord {
  // a column's name is data: `__proto__` is one like any other
  const values = columns.map((column): [string, JsonValue] => [column.name, valueOf(column, row)]);
  const isValidUtf8 = columns.every(({ encoding, at }) => encoding.kind === 'number' || isUtf8(at(row)));
  return { row: Object.fromEntries(values), isValidUtf8 };
}

function valueOf({ encoding, at }: ColumnValues, row: number): JsonValue {
  const value = at(row);
  if (encoding.kind === 'number') return exactValue(numberOf(value, encoding.dtype));
  const text = Buffer.from(value.buffer, value.byteOffset, value.length).toString('utf8');
  return encoding.kind === 'json' ? jsonOf(text) : text;
}

/** What is no JSON stays text, and whoever reads it says what is wrong with it. */
function jsonOf(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return text;
  }
}
