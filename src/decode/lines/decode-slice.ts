/** From lines to rows: the worker's half of JSON lines, separated values and plain text. */
import { rawBytes } from '../../core/raw-memory.js';
import type { RecordRows, Rows } from '../decoder.js';
import { readRecord } from './csv-record.js';
import type { EncodedLineSlice } from './encoded-slice.js';
import { findFields, JsonLineScanner, writeString, type FieldKind, type FieldPlace } from './json-line.js';
import { lineProblem, longProblem, parseRare, utf8Of, widthProblem } from './line-values.js';
import { decodeLineRecords } from './records.js';
import { visitRows } from './rows-of-slice.js';
import { TextKernel, type TextOutput } from './text-kernel.js';

/** Errors: `SHARD_INVALID`. */
export function decodeLineSlice(slice: EncodedLineSlice): Rows | RecordRows {
  if (slice.kind === 'records') return decodeLineRecords(slice);
  return slice.kind === 'tokens' ? decodeTokens(slice) : decodeTexts(slice);
}

/** The rows themselves as text, checked no further: lines of JSON, records as they are written. Errors: `SHARD_INVALID`. */
export function decodeRecords(slice: EncodedLineSlice): Rows {
  return decodeTexts({ ...slice, kind: 'record' });
}

/** What a row's text is: bytes to be copied, a string to be written out, or none. */
type Text =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'json'; readonly start: number; readonly end: number }
  | { readonly kind: 'none'; readonly problem: string };

function decodeTexts(slice: EncodedLineSlice): Rows {
  const { bytes, rows } = slice;
  const read = textReader(slice);
  const out = rawBytes(bytes.length); // texts are never longer
  const bounds = new Int32Array(rows + 1);
  const nulls = new Nulls(rows);
  let length = 0;
  const kernel = fieldKernel(slice, { bytes: out, bounds });
  visitRows(slice, {
    many:
      kernel &&
      ((index, at, rowsMax) => {
        const taken = kernel.take(index, at, rowsMax, length);
        ({ length } = taken);
        return taken;
      }),
    row: (index, start, end, line) => {
      const text = read(start, end);
      if (text.kind === 'json') length = writeString(bytes, text.start, text.end, out, length);
      else if (text.kind === 'bytes') {
        out.set(text.bytes, length);
        length += text.bytes.length;
      } else nulls.add(index, line, text.problem);
      bounds[index + 1] = length;
    },
    long: (index, size, line) => {
      nulls.add(index, line, longProblem(size));
      bounds[index + 1] = length;
    },
  });
  return { kind: 'text', count: rows, bounds, bytes: out.subarray(0, length), valid: nulls.valid, problems: nulls.problems };
}

/** Rows without a value, and why. */
class Nulls {
  readonly #rows: number;
  valid: Uint8Array | undefined;
  problems: Map<number, string> | undefined;

  constructor(rows: number) {
    this.#rows = rows;
  }

  add(index: number, line: number, problem: string): void {
    this.valid ??= new Uint8Array(this.#rows).fill(1);
    this.valid[index] = 0;
    this.problems ??= new Map();
    this.problems.set(index, lineProblem(line, problem));
  }
}

function none(problem: string): Text {
  return { kind: 'none', problem };
}

/** For the rows that are good; where there is none, all are left to the reader. */
function fieldKernel({ bytes, columns, kind }: EncodedLineSlice, out: TextOutput): TextKernel | undefined {
  return kind === 'text' && columns.kind === 'jsonl' ? TextKernel.open(columns.column, bytes, out) : undefined;
}

/** A reader of the row at [start, end). */
function textReader({ bytes, columns, kind }: EncodedLineSlice): (start: number, end: number) => Text {
  if (kind === 'record') return (start, end) => ({ kind: 'bytes', bytes: bytes.subarray(start, withoutReturn(bytes, start, end)) });
  switch (columns.kind) {
    case 'text': {
      const cut = columns.per === 'line' ? withoutReturn : (_bytes: Uint8Array, _start: number, end: number): number => end;
      return (start, end) => ({ kind: 'bytes', bytes: bytes.subarray(start, cut(bytes, start, end)) });
    }
    case 'csv': {
      const { column, width, delimiter, quote } = columns;
      return (start, end) => {
        const { values, problem } = readRecord(bytes, start, end, delimiter, quote);
        const wrong = problem ?? widthProblem(values.length, width);
        if (wrong !== undefined) return none(wrong);
        return { kind: 'bytes', bytes: values[column] };
      };
    }
    case 'jsonl':
      return jsonReader(bytes, columns.column);
  }
}

function withoutReturn(bytes: Uint8Array, start: number, end: number): number {
  return end > start && bytes[end - 1] === 0x0d ? end - 1 : end;
}

function jsonReader(bytes: Uint8Array, column: string): (start: number, end: number) => Text {
  const scanner = new JsonLineScanner(column);
  return (start, end) => {
    const place = findField(scanner, bytes, start, end);
    if (typeof place === 'string') return none(place);
    if (place.kind === 'missing') return none(`has no field ${column}`);
    if (place.kind === 'no-object') return none('is not a JSON object');
    if (place.kind === 'rare') return rareText(bytes, start, end, column);
    if (place.kind !== 'string') return none(noText(column, place.kind, bytes[place.start]));
    if (place.hasEscapes) return { kind: 'json', start: place.start, end: place.end };
    return { kind: 'bytes', bytes: bytes.subarray(place.start + 1, place.end - 1) };
  };
}

/** Or what is wrong with the line. */
function findField(scanner: JsonLineScanner, bytes: Uint8Array, start: number, end: number): FieldPlace | string {
  const found = findFields(scanner, bytes, start, end);
  return typeof found === 'string' ? found : found[0];
}

function noText(column: string, kind: FieldKind, first: number): string {
  if (kind === 'literal') return first === 0x6e ? `has null in field ${column}` : `has a boolean in field ${column}, and no text`;
  return `has ${kind === 'number' ? 'a number' : `an ${kind}`} in field ${column}, and no text`;
}

function rareText(bytes: Uint8Array, start: number, end: number, column: string): Text {
  const value = parseRare(bytes, start, end, column);
  if (value instanceof Error) return none(value.message);
  if (value === undefined) return none(`has no field ${column}`);
  if (typeof value === 'string') return { kind: 'bytes', bytes: utf8Of(value) };
  return none(
    value === null
      ? `has null in field ${column}`
      : `has ${typeof value === 'object' ? 'an' : 'a'} ${typeof value} in field ${column}, and no text`,
  );
}

function decodeTokens(slice: EncodedLineSlice): Rows {
  const { bytes, rows, columns } = slice;
  if (columns.kind !== 'jsonl') throw new Error('only JSON lines hold token ids');
  const { column } = columns;
  const scanner = new JsonLineScanner(column);
  const bounds = new Int32Array(rows + 1);
  const nulls = new Nulls(rows);
  let ids = new Int32Array(Math.max(16, bytes.length >> 2));
  let length = 0;
  let largest = -1;
  visitRows(slice, {
    row: (index, start, end, line) => {
      const place = findField(scanner, bytes, start, end);
      const problem = typeof place === 'string' ? place : idsProblem(place, column, bytes);
      if (problem !== undefined) nulls.add(index, line, problem);
      else if (typeof place !== 'string' && 'start' in place) {
        const room = length + ((place.end - place.start) >> 1) + 1;
        if (room > ids.length) {
          const larger = new Int32Array(Math.max(room, 2 * ids.length));
          larger.set(ids.subarray(0, length));
          ids = larger;
        }
        const written = readIds(bytes, place.start, place.end, ids, length);
        if (typeof written === 'string') nulls.add(index, line, `${written} in field ${column}`);
        else {
          for (let i = length; i < written; i++) if (ids[i] > largest) largest = ids[i];
          length = written;
        }
      }
      bounds[index + 1] = length;
    },
    long: (index, size, line) => {
      nulls.add(index, line, longProblem(size));
      bounds[index + 1] = length;
    },
  });
  return {
    kind: 'tokens',
    count: rows,
    bounds,
    ids: ids.subarray(0, length),
    valid: nulls.valid,
    problems: nulls.problems,
    idsBelow: largest + 1,
  };
}

function idsProblem(place: FieldPlace, column: string, bytes: Uint8Array): string | undefined {
  switch (place.kind) {
    case 'array':
      return undefined;
    case 'missing':
      return `has no field ${column}`;
    case 'no-object':
      return 'is not a JSON object';
    case 'rare':
      return `has the field ${column} twice, or names with escapes, and token ids are not looked for in these`;
    case 'literal':
      return bytes[place.start] === 0x6e ? `has null in field ${column}` : `has a boolean in field ${column}, and no list of token ids`;
    case 'string':
    case 'number':
    case 'object':
      return `has ${place.kind === 'object' ? 'an' : 'a'} ${place.kind} in field ${column}, and no list of token ids`;
  }
}

/** The integers of a checked array, from `to` on; where they end, or what is wrong. */
function readIds(bytes: Uint8Array, start: number, end: number, ids: Int32Array, to: number): number | string {
  let at = start + 1;
  for (;;) {
    while (at < end && bytes[at] <= 0x20) at++;
    if (bytes[at] === 0x5d) return to;
    const isNegative = bytes[at] === 0x2d;
    if (isNegative) at++;
    const first = at;
    let value = 0;
    for (; bytes[at] >= 0x30 && bytes[at] <= 0x39; at++) value = value * 10 + bytes[at] - 0x30;
    if (at === first) return 'has something other than integers';
    const next = bytes[at];
    if (next === 0x2e || next === 0x65 || next === 0x45) return 'has a number that is written as no integer';
    if (isNegative && value > 0) return `has the negative id -${value}`;
    if (value > 0x7fffffff) return `has the id ${value}, which is more than any token's`;
    ids[to++] = value;
    while (at < end && (bytes[at] <= 0x20 || bytes[at] === 0x2c)) at++;
  }
}
