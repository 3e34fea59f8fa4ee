/**
 * Which columns rows have that no schema describes, by the rows that are looked at: their types, what they take, and in how many rows they are missing. A
 * field in a field of JSON goes by its path; lists are not gone into, as no source can.
 */
import { LIMITS } from '../config/limits.js';
import type { JsonValue } from '../core/canonical-json.js';
import type { ColumnDescription, SeenValues } from './decoder.js';
import { SeenNumbers, type OfferedField } from './offered-field.js';
import { settledTypes } from './seen-types.js';

export type JsonObject = Readonly<Record<string, JsonValue>>;

/** A column of the rows so far. */
export interface SeenColumn {
  readonly name: string;
  /** Of what is not null, in order. */
  readonly types: readonly string[];
  readonly use: ColumnDescription['use'];
  /** Its values as they are written, nearly. */
  readonly bytes: number;
  readonly seen: SeenValues;
  /** `undefined`: it cannot be one. */
  readonly field: OfferedField | undefined;
}

/** What the rows so far have in a column. */
interface Tally {
  rows: number;
  nulls: number;
  empty: number;
  bytes: number;
  readonly types: Set<string>;
  readonly numbers: SeenNumbers;
  /** Not only objects, whose own fields say what they are. */
  isNamed: boolean;
  hasNegative: boolean;
  /** Records have no second column of the name. */
  isOnce: boolean;
  /** The last row that has it: a name may be there twice. */
  last: number;
}

export class SeenColumns {
  readonly #columns = new Map<string, Tally>();
  #rows = 0;
  #isCut = false;

  /** There are more than are told of. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** A column of records, which is there whether they have something in it or not. */
  expect(name: string): void {
    const column = this.#columnOf(name);
    if (column === undefined) return;
    column.isOnce = !column.isNamed;
    column.isNamed = true;
  }

  /** A row of JSON. */
  addObject(object: JsonObject): void {
    this.#addFields(object, '', 1);
    this.#rows++;
  }

  /** A row of text: what its columns are called, and how long each value is. */
  addRecord(names: readonly string[], lengths: readonly number[]): void {
    for (const [i, length] of lengths.entries()) this.#addText(names[i], length);
    this.#rows++;
  }

  all(): SeenColumn[] {
    return [...this.#columns].flatMap(([name, column]): SeenColumn[] => {
      const { rows, nulls, empty, bytes, isNamed, isOnce } = column;
      if (!isNamed) return [];
      const types = settledTypes(column.types);
      const seen: SeenValues = { rows: this.#rows, missing: this.#rows - rows, nulls, empty, types };
      const use = isOnce ? useOf(types, column.hasNegative) : undefined;
      return [{ name, types, use, bytes, seen, field: isOnce ? fieldOf(name, column, seen) : undefined }];
    });
  }

  #addFields(object: JsonObject, prefix: string, depth: number): void {
    for (const [name, value] of Object.entries(object)) {
      const path = prefix + name;
      const isEntered = isJsonObject(value) && Object.keys(value).length > 0 && depth < LIMITS.inspectedDepthMax;
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
    column.numbers.add(value);
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
  #columnOf(path: string): Tally | undefined {
    const known = this.#columns.get(path);
    if (known !== undefined) return known;
    if (this.#columns.size === LIMITS.inspectedPathsMax) {
      this.#isCut = true;
      return undefined;
    }
    const column: Tally = {
      rows: 0,
      nulls: 0,
      empty: 0,
      bytes: 0,
      types: new Set(),
      numbers: new SeenNumbers(),
      isNamed: false,
      hasNegative: false,
      isOnce: true,
      last: -1,
    };
    this.#columns.set(path, column);
    return column;
  }
}

export function isJsonObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function useOf(types: readonly string[], hasNegative: boolean): ColumnDescription['use'] {
  if (types.length === 1 && (types[0] === 'string' || types[0] === 'text')) return 'text';
  return types.length === 1 && types[0] === 'list<integer>' && !hasNegative ? 'tokens' : undefined;
}

function fieldOf(name: string, { numbers }: Tally, { types, missing, nulls }: SeenValues): OfferedField | undefined {
  // of separated values nothing is null, and text is what a field of them is
  if (types.length === 1 && types[0] === 'text') return { name, type: 'text' };
  return numbers.field(name, types, missing + nulls > 0);
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
