/**
 * From values by row to columns, in a worker, for formats whose rows say what their values are: JSON, and text. What a source declares of a field, and what
 * a filter compares with, decides; a value of another type is none.
 *
 *   values of a field   ──▶  of each row its bytes, or why it is a bad one
 *   values of a column  ──▶  what a filter compares; null where there is no such value
 */
import { bytesOfNumbers, describeField, numbersOf, type FieldDtype, type FieldNumbers, type FieldType } from '../core/fields.js';
import { putNumber } from '../core/field-values.js';
import { columnsOf, truthsOf, TRUE, type Filter, type Operand } from '../core/filter/filter.js';
import type { ColumnType, ColumnValue } from '../core/filter/operand.js';
import { HeadraceError } from '../core/errors.js';
import { rawBytes } from '../core/raw-memory.js';
import { checkComparable } from './comparable.js';
import type { FieldRows, FilterColumn } from './decoder.js';

/** Text as a string or as its UTF-8; integers that a number does not hold as bigints. `undefined`: the row has none. */
export type RowValue = string | Uint8Array | number | bigint | boolean | null | undefined | RowValues | RowObject | BadRow;
export type RowValues = readonly RowValue[];
/** An object, which is served as nothing. */
export interface RowObject {
  readonly kind: 'object';
}
/** The row itself cannot be read: the rest of a sentence about it, `is not valid JSON`. */
export interface BadRow {
  readonly kind: 'bad';
  readonly problem: string;
}

type Numbers = Extract<FieldType, { kind: 'numbers' }>;

export interface FieldRowsOptions {
  /** Values in bytes are views of the slice, which need not be copied while its memory is there. */
  readonly areViews?: boolean;
}

/** The field of `rows` rows. Numbers are exact, or their row is a bad one; floats are rounded to what their type holds. */
export function fieldRowsOf(
  name: string,
  type: FieldType,
  rows: number,
  valueAt: (row: number) => RowValue,
  { areViews = false }: FieldRowsOptions = {},
): FieldRows {
  return type.kind === 'numbers' ? numberRows(name, type, rows, valueAt) : byteRows(name, rows, valueAt, areViews);
}

/** Of larger values on average, views of them are less than a copy. */
const COPIED_BYTES_MAX = 1024;

/** Marks rows that cannot be served, and keeps what is wrong with those that say it. */
class BadRows {
  readonly #rows: number;
  valid: Uint8Array | undefined;
  nulls: Uint8Array | undefined;
  problems: Map<number, string> | undefined;

  constructor(rows: number) {
    this.#rows = rows;
  }

  add(row: number, value: RowValue): void {
    this.valid ??= new Uint8Array(this.#rows).fill(1);
    this.valid[row] = 0;
    if (value === undefined || value === null) {
      this.nulls ??= new Uint8Array(this.#rows);
      this.nulls[row] = 1;
    }
    if (!isBad(value)) return;
    this.problems ??= new Map();
    this.problems.set(row, value.problem);
  }
}

function byteRows(name: string, rows: number, valueAt: (row: number) => RowValue, areViews: boolean): FieldRows {
  const bounds = new Int32Array(rows + 1);
  const parts: Uint8Array[] = [];
  const bad = new BadRows(rows);
  for (let row = 0; row < rows; row++) {
    const value = valueAt(row);
    const bytes = bytesOfText(value);
    if (bytes === undefined) bad.add(row, value);
    parts.push(bytes ?? NO_BYTES);
    bounds[row + 1] = bounds[row] + (bytes?.length ?? 0);
  }
  const isLeft = areViews && bounds[rows] > COPIED_BYTES_MAX * rows;
  return {
    name,
    ...(isLeft ? { values: parts, bytes: NO_BYTES, bounds: undefined } : { bytes: joined(parts, bounds[rows]), bounds }),
    rowBytes: 0,
    valid: bad.valid,
    nulls: bad.nulls,
    problem: 'is missing, null, or no text (numbers are served where `fields` says their type, such as `type: int64`)',
    problems: bad.problems,
  };
}

const NO_BYTES = new Uint8Array(0);

function joined(parts: readonly Uint8Array[], total: number): Uint8Array {
  const bytes = rawBytes(total);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function numberRows(name: string, type: Numbers, rows: number, valueAt: (row: number) => RowValue): FieldRows {
  const { dtype } = type;
  const size = type.size ?? 1;
  const numbers = numbersOf(dtype, new ArrayBuffer(bytesOfNumbers({ dtype, size: rows * size })));
  const bad = new BadRows(rows);
  for (let row = 0; row < rows; row++) {
    const value = valueAt(row);
    const isServed = type.size === null ? putNumber(value, dtype, numbers, row) : putList(value, dtype, numbers, row * size, size);
    if (!isServed) bad.add(row, value);
  }
  const problem = type.size === null ? `is missing, null, or no ${dtype}` : `is missing, null, or no list of ${describeField(type)}`;
  const bytes = new Uint8Array(numbers.buffer);
  return {
    name,
    bytes,
    bounds: undefined,
    rowBytes: bytesOfNumbers(type),
    valid: bad.valid,
    nulls: bad.nulls,
    problem,
    problems: bad.problems,
  };
}

function putList(value: RowValue, dtype: FieldDtype, numbers: FieldNumbers, to: number, size: number): boolean {
  if (!isList(value) || value.length !== size) return false;
  for (let i = 0; i < size; i++) if (!putNumber(value[i], dtype, numbers, to + i)) return false;
  return true;
}

function bytesOfText(value: RowValue): Uint8Array | undefined {
  return typeof value === 'string' ? Buffer.from(value, 'utf8') : value instanceof Uint8Array ? value : undefined;
}

function isBad(value: RowValue): value is BadRow {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'bad';
}

function isList(value: RowValue): value is RowValues {
  return Array.isArray(value);
}

/**
 * The columns that a filter reads, in order of name, and what they are compared as: what the operands are, which all conditions on a column must agree in.
 * Without an operand (`isNull`) the type is text, and any value counts; see `filterColumnOf`. Errors: `COLUMN_TYPE`.
 */
export function comparedColumns(filter: Filter, uri: string): readonly ComparedColumn[] {
  const operands = new Map<string, Operand[]>(columnsOf(filter).map((column) => [column, []]));
  truthsOf(filter, (condition) => {
    if (condition.kind !== 'isNull')
      operands.get(condition.column)?.push(...(condition.kind === 'in' ? condition.values : [condition.value]));
    return TRUE;
  });
  const columns = [...operands].map(([column, values]): ComparedColumn => ({ column, as: comparedAs(column, values, uri) }));
  checkComparable(filter, new Map(columns.map(({ column, as }) => [column, columnTypeOf(as)])), uri);
  return columns;
}

/** `any`: it is asked for null only. Plain JSON. */
export interface ComparedColumn {
  readonly column: string;
  readonly as: 'text' | 'number' | 'boolean' | 'any';
}

function comparedAs(column: string, operands: readonly Operand[], uri: string): ComparedColumn['as'] {
  const kinds = [...new Set(operands.map((operand) => NAMES[typeof operand as 'string' | 'number' | 'boolean']))];
  if (kinds.length <= 1) return kinds[0] ?? 'any';
  throw new HeadraceError('COLUMN_TYPE', `\`where\` compares column ${column} of ${uri} with ${kinds.join(' and with ')} values`, {
    detail: { uri, column },
    hint: 'The format has no types: the values that a column is compared with say its type, and must be of one.',
  });
}

const NAMES = { string: 'text', number: 'number', boolean: 'boolean' } as const;

function columnTypeOf(as: ComparedColumn['as']): ColumnType {
  switch (as) {
    case 'number':
      // no operand is an integer beyond 2^53, so that a double says of every number on which side of it that is
      return { kind: 'float', bits: 64 };
    case 'boolean':
      return { kind: 'boolean' };
    case 'text':
    case 'any':
      return { kind: 'text' };
  }
}

/** A column for a filter: values of another type are null, as are those that are missing. */
export function filterColumnOf({ column, as }: ComparedColumn, valueAt: (row: number) => RowValue): FilterColumn {
  const compared = COMPARED[as];
  // several conditions ask for one value, and so does whoever leaves the row out
  let known: { readonly row: number; readonly value: RowValue } | undefined;
  const once = (row: number): RowValue => {
    if (known?.row !== row) known = { row, value: valueAt(row) };
    return known.value;
  };
  return {
    column,
    type: columnTypeOf(as),
    valueAt: (row) => compared(once(row)),
    isBad: (row) => isBad(once(row)),
  };
}

const COMPARED: Readonly<Record<ComparedColumn['as'], (value: RowValue) => ColumnValue>> = {
  text: (value) => bytesOfText(value) ?? null,
  number: (value) => (typeof value === 'number' || typeof value === 'bigint' ? Number(value) : null),
  boolean: (value) => (typeof value === 'boolean' ? value : null),
  // whatever it is, it is not null
  any: (value) => (value === undefined || value === null || isBad(value) ? null : NO_BYTES),
};

const NUMERAL = /^[ \t]*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[ \t]*$/;
const WHOLE = /^[ \t]*[+-]?\d{16,}[ \t]*$/;

/** The number that a text is, in decimal, where it is one: an integer that a number does not hold as a bigint. */
export function numberOfText(text: string): number | bigint | undefined {
  if (!NUMERAL.test(text)) return undefined;
  const number = Number(text);
  return Number.isSafeInteger(number) || !WHOLE.test(text) ? number : BigInt(text.trim().replace('+', ''));
}

/** The truth that a text says: `true` or `false`, in any case. */
export function booleanOfText(text: string): boolean | undefined {
  const word = text.trim().toLowerCase();
  return word === 'true' ? true : word === 'false' ? false : undefined;
}
