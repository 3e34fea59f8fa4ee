/**
 * The values of several columns in the rows of a slice, in a worker: one scan over each line finds where they all are, and a value is made when it is asked
 * for.
 */
import { isUtf8 } from 'node:buffer';
import { LIMITS } from '../../config/limits.js';
import type { JsonValue } from '../../core/canonical-json.js';
import type { RowValue } from '../value-columns.js';
import type { ColumnPlace, LineColumns } from './columns.js';
import { readRecord } from './csv-record.js';
import type { EncodedLineSlice } from './encoded-slice.js';
import { exactJson, fieldOf, findFields, JsonLineScanner, writeString, type FieldPlace } from './json-line.js';
import { visitRows } from './rows-of-slice.js';

/** By the number of a column, as it was asked for, and row of the slice. */
export interface LineValues {
  /** Of separated values always text. Arrays of text are made when they are asked for, each time. */
  at(column: number, row: number): RowValue;
  /** What names a document: text, and integers in decimal; null for anything else, and in rows that cannot be read. */
  idAt(column: number, row: number): string | null;
  /** Of the object, from 1. */
  lineOf(row: number): number;
}

/** Errors: `SHARD_INVALID`. */
export function readLineValues(slice: EncodedLineSlice, columns: readonly ColumnPlace[]): LineValues {
  switch (slice.columns.kind) {
    case 'jsonl':
      return jsonValues(slice, columns.map(String));
    case 'csv':
      return recordValues(slice, slice.columns, columns.map(Number));
    case 'text':
      throw new Error('plain text has no columns');
  }
}

/** Of rows that cannot be read, the problem of each. */
type Problems = Map<number, string>;

/** As it stands in a sentence about the row: on which line it is, and what is wrong. */
export function lineProblem(line: number, problem: string): string {
  return `(line ${line}) ${problem}`;
}

export function longProblem(bytes: number): string {
  return `has ${bytes} bytes; a document has at most ${LIMITS.documentBytesMax}`;
}

function jsonValues(slice: EncodedLineSlice, paths: readonly string[]): LineValues {
  const { bytes, rows } = slice;
  const width = paths.length;
  const scanner = new JsonLineScanner(...paths);
  const places = new Array<FieldPlace | undefined>(rows * width);
  const starts = new Int32Array(rows);
  const ends = new Int32Array(rows);
  const lines = new Int32Array(rows);
  const problems: Problems = new Map();
  visitRows(slice, {
    row: (row, start, end, line) => {
      const found = findFields(scanner, bytes, start, end);
      if (typeof found === 'string') problems.set(row, lineProblem(line, found));
      else if (found.length > 0 && found[0].kind === 'no-object') problems.set(row, lineProblem(line, 'is not a JSON object'));
      else for (let column = 0; column < width; column++) places[row * width + column] = found[column];
      starts[row] = start;
      ends[row] = end;
      lines[row] = line;
    },
    long: (row, size, line) => problems.set(row, lineProblem(line, longProblem(size))),
  });
  const rare = (column: number, row: number): JsonValue | undefined | Error => parseRare(bytes, starts[row], ends[row], paths[column]);
  return {
    at: (column, row) => {
      const problem = problems.get(row);
      if (problem !== undefined) return { kind: 'bad', problem };
      const place = places[row * width + column];
      if (place?.kind !== 'rare') return place === undefined ? undefined : valueAt(bytes, place);
      const value = rare(column, row);
      return value instanceof Error ? { kind: 'bad', problem: value.message } : valueOf(value);
    },
    idAt: (column, row) => {
      const place = places[row * width + column];
      if (place === undefined || problems.has(row)) return null;
      return idOf(place.kind === 'rare' ? rare(column, row) : idValueAt(bytes, place));
    },
    lineOf: (row) => lines[row],
  };
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

function valueAt(bytes: Uint8Array, place: FieldPlace): RowValue {
  switch (place.kind) {
    case 'missing':
    case 'no-object':
    case 'rare':
      return undefined;
    case 'string': {
      if (!place.hasEscapes) return bytes.subarray(place.start + 1, place.end - 1);
      const text = new Uint8Array(place.end - place.start);
      return text.subarray(0, writeString(bytes, place.start, place.end, text, 0));
    }
    case 'number':
      return numberOf(asciiOf(bytes, place.start, place.end));
    case 'literal':
      return bytes[place.start] === 0x6e ? null : bytes[place.start] === 0x74;
    case 'object':
      return { kind: 'object' };
    case 'array':
      return listOf(decoder.decode(bytes.subarray(place.start, place.end)));
  }
}

const INTEGER_BEYOND_DOUBLES = /^-?[1-9]\d{15,}$/;

function numberOf(text: string): number | bigint {
  const number = Number(text);
  return Number.isSafeInteger(number) || !INTEGER_BEYOND_DOUBLES.test(text) ? number : BigInt(text);
}

/** A list with text in it is served as nothing, so that its integers need not be exact. */
function listOf(text: string): RowValue {
  if (text.includes('"')) return valueOf(JSON.parse(text) as JsonValue);
  const list = exactJson(text) as readonly JsonValue[];
  return list.map((item) => (typeof item === 'string' ? BigInt(item) : valueOf(item)));
}

/** Of a parsed value; lists in lists are none that is served. */
function valueOf(value: JsonValue | undefined): RowValue {
  if (typeof value === 'string') return utf8Of(value);
  if (typeof value !== 'object' || value === null) return value;
  if (!Array.isArray(value)) return { kind: 'object' };
  return (value as readonly JsonValue[]).map((item) => (typeof item === 'object' && item !== null ? { kind: 'object' } : item));
}

const HALF_PAIR = /\p{Surrogate}/u;

/** Half a surrogate pair is no text: it stays what no valid UTF-8 has. */
export function utf8Of(text: string): Uint8Array {
  if (!HALF_PAIR.test(text)) return Buffer.from(text, 'utf8');
  const parts = text.split(HALF_PAIR).map((part) => Buffer.from(part, 'utf8'));
  return Buffer.concat(parts.flatMap((part, i) => (i === 0 ? [part] : [Buffer.of(0xff), part])));
}

/** With the engine's own parser; a name that is there twice stands for its last value. */
export function parseRare(bytes: Uint8Array, start: number, end: number, column: string): JsonValue | undefined | Error {
  const line = bytes.subarray(start, end);
  if (!isUtf8(line)) return new Error('is not valid UTF-8');
  try {
    return fieldOf(JSON.parse(decoder.decode(line)) as JsonValue, column);
  } catch {
    return new Error('is not valid JSON');
  }
}

/** Integers beyond 2^53 keep their digits. */
function idValueAt(bytes: Uint8Array, place: FieldPlace): JsonValue | undefined {
  if (place.kind !== 'string' && place.kind !== 'number') return undefined;
  const text = decoder.decode(bytes.subarray(place.start, place.end));
  return INTEGER_BEYOND_DOUBLES.test(text) ? text : (JSON.parse(text) as JsonValue);
}

function idOf(value: JsonValue | undefined | Error): string | null {
  if (typeof value === 'string') return value;
  return typeof value === 'number' && Number.isInteger(value) ? BigInt(value).toString() : null;
}

function asciiOf(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}

function recordValues(
  slice: EncodedLineSlice,
  { width, delimiter, quote }: Extract<LineColumns, { kind: 'csv' }>,
  places: readonly number[],
): LineValues {
  const { bytes, rows } = slice;
  const values = new Array<Uint8Array | undefined>(rows * places.length);
  const lines = new Int32Array(rows);
  const problems: Problems = new Map();
  visitRows(slice, {
    row: (row, start, end, line) => {
      lines[row] = line;
      const record = readRecord(bytes, start, end, delimiter, quote);
      const problem = record.problem ?? widthProblem(record.values.length, width);
      if (problem !== undefined) problems.set(row, lineProblem(line, problem));
      else for (const [column, place] of places.entries()) values[row * places.length + column] = record.values[place];
    },
    long: (row, size, line) => problems.set(row, lineProblem(line, longProblem(size))),
  });
  return {
    at: (column, row) => {
      const problem = problems.get(row);
      return problem === undefined ? values[row * places.length + column] : { kind: 'bad', problem };
    },
    idAt: (column, row) => {
      const value = values[row * places.length + column];
      return value === undefined ? null : decoder.decode(value);
    },
    lineOf: (row) => lines[row],
  };
}

/** `undefined`: nothing is wrong. */
export function widthProblem(values: number, width: number): string | undefined {
  return values === width ? undefined : `has ${values} values, and there are ${width} columns`;
}
