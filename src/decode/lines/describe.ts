/**
 * What an object whose rows are lines says of itself, for `headrace inspect`: its rows and units by the pass that an index takes anyway, and which columns
 * there are by its first rows. A field in a field of JSON goes by its path; lists are not gone into, as no source can.
 *
 *   {"text": "a", "meta": {"lang": "en", "n": 1}}   ──▶  text: string, meta.lang: string, meta.n: integer
 */
import type { JsonValue } from '../../core/canonical-json.js';
import type { Block, Shard } from '../../core/shard.js';
import type { ObjectInfo } from '../../store/store.js';
import { codecOfPath } from '../compressed/codec.js';
import type { ColumnDescription, LookedRows, ShardDescription, ShardIndex } from '../decoder.js';
import { columnNames, type LineColumns, type LineRequest } from './columns.js';
import { readRecord } from './csv-record.js';
import type { EncodedLineSlice } from './encoded-slice.js';
import { settledTypes } from '../seen-types.js';
import type { PassedLines } from './index-lines.js';
import { JsonLineScanner, findFields } from './json-line.js';
import type { LineFormat } from './line-format.js';
import { LINE_LIMITS } from './limits.js';
import { lineProblem, longProblem, widthProblem } from './line-values.js';
import { visitRows } from './rows-of-slice.js';

const NO_COLUMN: LineRequest = { column: '', kind: 'none', filter: undefined };

/** Errors: those of `passed.index` and of `read`, `SHARD_INVALID`. */
export async function describeLines(
  object: ObjectInfo & { readonly uri: string },
  format: LineFormat,
  passed: PassedLines,
  read: (shard: Shard, block: Block) => Promise<EncodedLineSlice>,
): Promise<ShardDescription> {
  const index = passed.index(NO_COLUMN);
  const names = format.kind === 'csv' && passed.head !== undefined ? columnNames(format, passed.head, object.uri) : [];
  const found = new FoundColumns();
  for (const name of names) found.expect(name);
  const block = firstRows(index);
  if (block !== undefined) found.read(await read({ ...index, ...object }, block), names);
  return {
    rows: index.rows,
    units: index.units,
    hasStatistics: true, // it has none, and no other way of writing it has
    columns: found.describe(codecOfPath(object.path), index),
    looked: found.looked(format.kind === 'jsonl'),
    indexOf: (request) => passed.index({ ...request, filter: undefined }),
  };
}

/** As many of the first unit as are looked at; `undefined`: there are no rows. */
function firstRows({ units }: ShardIndex): Block | undefined {
  const unit = units.findIndex(({ rows }) => rows > 0);
  if (unit < 0) return undefined;
  const { startRow, rows, decodedBytes } = units[unit];
  const inBytes = Math.ceil((rows * LINE_LIMITS.describedBytesMax) / decodedBytes);
  const endRow = startRow + Math.min(rows, inBytes, LINE_LIMITS.describedRowsMax);
  return { shard: 0, unit, startRow, endRow, decodedBytes };
}

/** What the rows so far have in a column. */
interface FoundColumn {
  rows: number;
  nulls: number;
  empty: number;
  bytes: number;
  readonly types: Set<string>;
  /** Not only objects, whose own fields say what they are. */
  isNamed: boolean;
  hasNegative: boolean;
  /** Records have no second column of the name. */
  isOnce: boolean;
  /** The last row that has it: a name may be there twice. */
  last: number;
}

class FoundColumns {
  readonly #columns = new Map<string, FoundColumn>();
  #rows = 0;
  #bad = 0;
  #problem: string | undefined;
  #isCut = false;

  /** A column of records, which is there whether they have something in it or not. */
  expect(name: string): void {
    const column = this.#columnOf(name);
    if (column === undefined) return;
    column.isOnce = !column.isNamed;
    column.isNamed = true;
  }

  /** `names`: of the values of a record. Errors: `SHARD_INVALID`. */
  read(slice: EncodedLineSlice, names: readonly string[]): void {
    const { uri, bytes, columns } = slice;
    const visit = columns.kind === 'csv' ? this.#recordVisitor(bytes, columns, names) : this.#jsonVisitor(bytes);
    visitRows(slice, {
      row: (_row, start, end, line) => this.#add(uri, line, visit(start, end)),
      long: (_row, size, line) => this.#add(uri, line, longProblem(size)),
    });
  }

  #add(uri: string, line: number, problem: string | undefined): void {
    this.#rows++;
    if (problem === undefined) return;
    this.#bad++;
    this.#problem ??= `${uri} ${lineProblem(line, problem)}`;
  }

  #jsonVisitor(bytes: Uint8Array): (start: number, end: number) => string | undefined {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    const scanner = new JsonLineScanner();
    return (start, end) => {
      let value: JsonValue;
      try {
        value = JSON.parse(decoder.decode(bytes.subarray(start, end))) as JsonValue;
      } catch {
        const problem = findFields(scanner, bytes, start, end); // says where
        return typeof problem === 'string' ? problem : 'is not valid JSON';
      }
      if (!isObject(value)) return 'is not a JSON object';
      this.#addFields(value, '', 1);
      return undefined;
    };
  }

  #addFields(object: Readonly<Record<string, JsonValue>>, prefix: string, depth: number): void {
    for (const [name, value] of Object.entries(object)) {
      const path = prefix + name;
      const isEntered = isObject(value) && Object.keys(value).length > 0 && depth < LINE_LIMITS.describedDepthMax;
      this.#addValue(path, value, isEntered);
      if (isEntered) this.#addFields(value, `${path}.`, depth + 1);
    }
  }

  #addValue(path: string, value: JsonValue, isEntered: boolean): void {
    const column = this.#columnOf(path);
    if (column === undefined || column.last === this.#rows) return;
    column.last = this.#rows;
    column.rows++;
    if (!isEntered) {
      column.isNamed = true;
      column.bytes += sizeOf(value);
    }
    if (value === null) column.nulls++;
    else column.types.add(typeOf(value));
    if (value === '' || (Array.isArray(value) && value.length === 0)) column.empty++;
    if (Array.isArray(value) && value.some((item) => typeof item === 'number' && item < 0)) column.hasNegative = true;
  }

  #recordVisitor(
    bytes: Uint8Array,
    { width, delimiter, quote }: Extract<LineColumns, { kind: 'csv' }>,
    names: readonly string[],
  ): (start: number, end: number) => string | undefined {
    return (start, end) => {
      const { values, problem } = readRecord(bytes, start, end, delimiter, quote);
      const wrong = problem ?? widthProblem(values.length, width);
      if (wrong !== undefined) return wrong;
      for (const [i, value] of values.entries()) this.#addText(names[i], value.length);
      return undefined;
    };
  }

  #addText(name: string, length: number): void {
    const column = this.#columnOf(name);
    if (column === undefined || column.last === this.#rows) return;
    column.last = this.#rows;
    column.rows++;
    column.bytes += length;
    column.types.add('text');
    if (length === 0) column.empty++;
  }

  /** `undefined`: it is one too many. */
  #columnOf(path: string): FoundColumn | undefined {
    const known = this.#columns.get(path);
    if (known !== undefined) return known;
    if (this.#columns.size === LINE_LIMITS.describedFieldsMax) {
      this.#isCut = true;
      return undefined;
    }
    const column: FoundColumn = {
      rows: 0,
      nulls: 0,
      empty: 0,
      bytes: 0,
      types: new Set(),
      isNamed: false,
      hasNegative: false,
      isOnce: true,
      last: -1,
    };
    this.#columns.set(path, column);
    return column;
  }

  looked(isOpen: boolean): LookedRows {
    return { rows: this.#rows, bad: this.#bad, problem: this.#problem, isOpen, isCut: this.#isCut };
  }

  /** All columns take as large a part of all bytes as they take of these rows. */
  describe(codec: string, { units }: ShardIndex): ColumnDescription[] {
    const sum = (bytes: 'storedBytes' | 'decodedBytes'): number => units.reduce((total, unit) => total + unit[bytes], 0);
    const [storedBytes, decodedBytes] = [sum('storedBytes'), sum('decodedBytes')];
    const total = Math.max(
      1,
      [...this.#columns.values()].reduce((bytes, column) => bytes + column.bytes, 0),
    );
    const rows = this.#rows - this.#bad;
    return [...this.#columns].flatMap(([name, column]): ColumnDescription[] => {
      if (!column.isNamed) return [];
      const types = settledTypes(column.types);
      return [
        {
          name,
          type: types.join(' or ') || 'null',
          use: column.isOnce ? useOf(types, column.hasNegative) : undefined,
          codecs: codec === 'plain' ? [] : [codec],
          encodings: [],
          storedBytes: Math.round((column.bytes / total) * storedBytes),
          decodedBytes: Math.round((column.bytes / total) * decodedBytes),
          seen: { rows, missing: rows - column.rows, nulls: column.nulls, empty: column.empty, types },
        },
      ];
    });
  }
}

function useOf(types: readonly string[], hasNegative: boolean): ColumnDescription['use'] {
  if (types.length === 1 && (types[0] === 'string' || types[0] === 'text')) return 'text';
  return types.length === 1 && types[0] === 'list<integer>' && !hasNegative ? 'tokens' : undefined;
}

/** Of what is not null. */
function typeOf(value: JsonValue): string {
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'float';
  if (typeof value !== 'object') return typeof value;
  if (!Array.isArray(value)) return 'object';
  const items = new Set(
    (value as readonly JsonValue[]).map((item) => (Array.isArray(item) ? 'list' : item === null ? 'null' : typeOf(item))),
  );
  return items.size === 0 ? 'list' : `list<${settledTypes(items).join(' or ')}>`;
}

/** In a file, nearly. */
function sizeOf(value: JsonValue): number {
  if (value === null) return 0;
  return typeof value === 'string' ? Buffer.byteLength(value) : JSON.stringify(value).length;
}

function isObject(value: JsonValue): value is Readonly<Record<string, JsonValue>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
