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
import type { OfferedField } from '../offered-field.js';
import { isJsonObject, SeenColumns } from '../seen-columns.js';
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
    fields: found.fields(),
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

class FoundColumns {
  readonly #columns = new SeenColumns();
  #rows = 0;
  #bad = 0;
  #problem: string | undefined;

  /** A column of records, which is there whether they have something in it or not. */
  expect(name: string): void {
    this.#columns.expect(name);
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
      if (!isJsonObject(value)) return 'is not a JSON object';
      this.#columns.addObject(value);
      return undefined;
    };
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
      this.#columns.addRecord(
        names,
        values.map(({ length }) => length),
      );
      return undefined;
    };
  }

  looked(isOpen: boolean): LookedRows {
    return { rows: this.#rows, bad: this.#bad, problem: this.#problem, isOpen, isCut: this.#columns.isCut };
  }

  /** All columns take as large a part of all bytes as they take of these rows. */
  describe(codec: string, { units }: ShardIndex): ColumnDescription[] {
    const sum = (bytes: 'storedBytes' | 'decodedBytes'): number => units.reduce((total, unit) => total + unit[bytes], 0);
    const [storedBytes, decodedBytes] = [sum('storedBytes'), sum('decodedBytes')];
    const columns = this.#columns.all();
    const total = Math.max(
      1,
      columns.reduce((all, { bytes }) => all + bytes, 0),
    );
    return columns.map(({ name, types, use, bytes, seen }): ColumnDescription => ({
      name,
      type: types.join(' or ') || 'null',
      use,
      codecs: codec === 'plain' ? [] : [codec],
      encodings: [],
      storedBytes: Math.round((bytes / total) * storedBytes),
      decodedBytes: Math.round((bytes / total) * decodedBytes),
      seen,
    }));
  }

  fields(): OfferedField[] {
    return this.#columns.all().flatMap(({ field }) => field ?? []);
  }
}
