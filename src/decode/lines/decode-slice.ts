/** From lines to rows: the worker's half of JSON lines, separated values and plain text. */
import { isUtf8 } from 'node:buffer';
import { LIMITS } from '../../config/limits.js';
import type { JsonValue } from '../../core/canonical-json.js';
import type { DocumentIds, Rows } from '../decoder.js';
import type { LineColumns } from './columns.js';
import { readRecord } from './csv-record.js';
import type { EncodedLineSlice } from './encoded-slice.js';
import { fieldOf, JsonLineError, JsonLineScanner, writeString, type FieldKind, type FieldPlace } from './json-line.js';
import { visitRows } from './rows-of-slice.js';
import { TextKernel, type TextOutput } from './text-kernel.js';

/** Errors: `SHARD_INVALID`. */
export function decodeLineSlice(slice: EncodedLineSlice): Rows {
  return slice.kind === 'tokens' ? decodeTokens(slice) : decodeTexts(slice);
}

/** The rows themselves as text, checked no further: lines of JSON, records as they are written. Errors: `SHARD_INVALID`. */
export function decodeRecords(slice: EncodedLineSlice): Rows {
  return decodeTexts({ ...slice, kind: 'record' });
}

/** Errors: `SHARD_INVALID`. */
export function decodeLineIds(slice: EncodedLineSlice): DocumentIds {
  const { bytes, columns, rows } = slice;
  const ids = new Array<string | null>(rows).fill(null);
  const read = idReader(columns);
  visitRows(slice, {
    row: (index, start, end) => (ids[index] = read(bytes, start, end)),
    long: () => undefined, // its row is a bad one, whatever its id is
  });
  return ids;
}

/** What a row's text is: bytes to be copied, a string to be written out, or none. */
type Text =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'json'; readonly start: number; readonly end: number }
  | { readonly kind: 'none'; readonly problem: string };

function decodeTexts(slice: EncodedLineSlice): Rows {
  const { bytes, rows } = slice;
  const read = textReader(slice);
  const out = new Uint8Array(Buffer.allocUnsafeSlow(bytes.length).buffer); // texts are never longer; no time to fill it with zeros
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
    this.problems.set(index, `(line ${line}) ${problem}`);
  }
}

function longProblem(bytes: number): string {
  return `has ${bytes} bytes; a document has at most ${LIMITS.documentBytesMax}`;
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
        if (problem !== undefined) return none(problem);
        if (values.length !== width) return none(`has ${values.length} values, and there are ${width} columns`);
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
  try {
    return scanner.find(bytes, start, end);
  } catch (error) {
    if (error instanceof JsonLineError) return error.message;
    throw error;
  }
}

function noText(column: string, kind: FieldKind, first: number): string {
  if (kind === 'literal') return first === 0x6e ? `has null in field ${column}` : `has a boolean in field ${column}, and no text`;
  return `has ${kind === 'number' ? 'a number' : `an ${kind}`} in field ${column}, and no text`;
}

/** With the engine's own parser; a name that is there twice stands for its last value. */
function parseRare(bytes: Uint8Array, start: number, end: number, column: string): JsonValue | undefined | Error {
  const line = bytes.subarray(start, end);
  if (!isUtf8(line)) return new Error('is not valid UTF-8');
  try {
    return fieldOf(JSON.parse(new TextDecoder('utf-8', { ignoreBOM: true }).decode(line)) as JsonValue, column);
  } catch {
    return new Error('is not valid JSON');
  }
}

function rareText(bytes: Uint8Array, start: number, end: number, column: string): Text {
  const value = parseRare(bytes, start, end, column);
  if (value instanceof Error) return none(value.message);
  if (value === undefined) return none(`has no field ${column}`);
  if (typeof value === 'string') {
    // half a surrogate pair is no text: it stays what no valid UTF-8 has
    const parts = value.split(/\p{Surrogate}/u).map((part) => Buffer.from(part, 'utf8'));
    return { kind: 'bytes', bytes: Buffer.concat(parts.flatMap((part, i) => (i === 0 ? [part] : [Buffer.of(0xff), part]))) };
  }
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

/** Text, and integers in decimal; anything else is no id. */
function idReader(columns: LineColumns): (bytes: Uint8Array, start: number, end: number) => string | null {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  if (columns.kind === 'csv' && columns.id !== undefined) {
    const { id, width, delimiter, quote } = columns;
    return (bytes, start, end) => {
      const { values, problem } = readRecord(bytes, start, end, delimiter, quote);
      return problem === undefined && values.length === width ? decoder.decode(values[id]) : null;
    };
  }
  if (columns.kind !== 'jsonl' || columns.id === undefined) throw new Error('the index was not asked for ids');
  const { id } = columns;
  const scanner = new JsonLineScanner(id);
  return (bytes, start, end) => {
    const place = findField(scanner, bytes, start, end);
    if (typeof place === 'string' || place.kind === 'missing' || place.kind === 'no-object') return null;
    if (place.kind !== 'rare' && place.kind !== 'string' && place.kind !== 'number') return null;
    const value = place.kind === 'rare' ? parseRare(bytes, start, end, id) : valueAt(decoder, bytes, place);
    if (typeof value === 'string') return value;
    return typeof value === 'number' && Number.isInteger(value) ? BigInt(value).toString() : null;
  };
}

/** Integers beyond 2^53 keep their digits. */
function valueAt(
  decoder: { decode(bytes: Uint8Array): string },
  bytes: Uint8Array,
  { start, end }: { readonly start: number; readonly end: number },
): JsonValue {
  const text = decoder.decode(bytes.subarray(start, end));
  return /^-?[1-9]\d{15,}$/.test(text) ? text : (JSON.parse(text) as JsonValue);
}
