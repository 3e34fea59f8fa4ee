/** Rows of lines as objects of several columns: JSON as it is, separated values as text. A row is parsed when it is asked for. */
import { isUtf8 } from 'node:buffer';
import type { JsonValue } from '../../core/canonical-json.js';
import type { DecodedRecord, RecordRows } from '../decoder.js';
import type { LineColumns } from './columns.js';
import { readRecord } from './csv-record.js';
import type { EncodedLineSlice } from './encoded-slice.js';
import { exactJson, fieldOf, findFields, JsonLineScanner } from './json-line.js';
import { lineProblem, longProblem, widthProblem } from './line-values.js';
import { visitRows } from './rows-of-slice.js';

/** A row at [start, end), or what is wrong with it. */
type RecordReader = (start: number, end: number) => DecodedRecord;

/** Errors: `SHARD_INVALID`. */
export function decodeLineRecords(slice: EncodedLineSlice): RecordRows {
  const { rows: count } = slice;
  const starts = new Int32Array(count);
  const ends = new Int32Array(count);
  const lines = new Int32Array(count);
  const long = new Map<number, string>();
  visitRows(slice, {
    row: (row, start, end, line) => {
      starts[row] = start;
      ends[row] = end;
      lines[row] = line;
    },
    long: (row, size, line) => long.set(row, lineProblem(line, longProblem(size))),
  });
  const read = recordReader(slice);
  return {
    kind: 'records',
    count,
    at: (row) => {
      const problem = long.get(row);
      if (problem !== undefined) return { problem };
      const record = read(starts[row], ends[row]);
      return 'problem' in record ? { problem: lineProblem(lines[row], record.problem) } : record;
    },
  };
}

function recordReader({ bytes, columns }: EncodedLineSlice): RecordReader {
  switch (columns.kind) {
    case 'jsonl':
      return jsonReader(bytes, columns);
    case 'csv':
      return separatedReader(bytes, columns);
    case 'text':
      throw new Error('plain text has no columns');
  }
}

function jsonReader(bytes: Uint8Array, { columns = [] }: Extract<LineColumns, { kind: 'jsonl' }>): RecordReader {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const scanner = new JsonLineScanner();
  return (start, end) => {
    const line = bytes.subarray(start, end);
    const text = decoder.decode(line);
    let parsed: JsonValue;
    try {
      parsed = exactJson(text);
    } catch {
      const problem = findFields(scanner, bytes, start, end); // says where
      return { problem: typeof problem === 'string' ? problem : 'is not valid JSON' };
    }
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return { problem: 'is not a JSON object' };
    const row = Object.fromEntries(columns.map(({ name, at }) => [name, fieldOf(parsed, String(at)) ?? null]));
    if (!ESCAPED_PAIR.test(text)) return { row, isValidUtf8: isUtf8(line) };
    const whole = wellFormed(row) as Readonly<Record<string, JsonValue>>;
    return { row: whole, isValidUtf8: isUtf8(line) && JSON.stringify(whole) === JSON.stringify(row) };
  };
}

/** What half a surrogate pair can be written as: whole pairs are written so as well. */
const ESCAPED_PAIR = /\\u[dD][89a-fA-F]/;
const HALF_PAIR = /\p{Surrogate}/gu;

/** With U+FFFD in place of halves of surrogate pairs, which no UTF-8 has. */
function wellFormed(value: JsonValue | undefined): JsonValue {
  if (typeof value === 'string') return value.replace(HALF_PAIR, '\ufffd');
  if (typeof value !== 'object' || value === null) return value ?? null;
  if (Array.isArray(value)) return (value as readonly JsonValue[]).map(wellFormed);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name.replace(HALF_PAIR, '\ufffd'), wellFormed(item)]));
}

function separatedReader(
  bytes: Uint8Array,
  { columns = [], width, delimiter, quote }: Extract<LineColumns, { kind: 'csv' }>,
): RecordReader {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return (start, end) => {
    const { values, problem } = readRecord(bytes, start, end, delimiter, quote);
    const wrong = problem ?? widthProblem(values.length, width);
    if (wrong !== undefined) return { problem: wrong };
    const own = columns.map(({ name, at }) => ({ name, value: values[Number(at)] }));
    return {
      row: Object.fromEntries(own.map(({ name, value }) => [name, decoder.decode(value)])),
      isValidUtf8: own.every(({ value }) => isUtf8(value)),
    };
  };
}
