/** Rows, and what lies beside them, as one SHA-256, the same as reference.py makes of what another reader gives. */
import { createHash, type Hash } from 'node:crypto';
import { canonicalJson, type JsonValue } from '../../src/core/canonical-json.js';
import { numbersOf, type FieldType } from '../../src/core/fields.js';
import type { ColumnValue } from '../../src/core/filter/operand.js';
import type { BesideColumns, FieldRows, FilterColumn, SliceRows } from '../../src/decode/decoder.js';
import { valueOfRow } from '../../src/decode/field-rows.js';

type Part = null | boolean | number | Uint8Array | ArrayLike<number | bigint> | { readonly row: JsonValue };

export class RowsDigest {
  readonly #hash: Hash = createHash('sha256');
  rows = 0;
  bytes = 0;

  /** Of each row: itself, its id, its fields, and what a filter compares, as far as they are there. `types`: of the fields. */
  add(count: number, rows: SliceRows | undefined, { ids, fields = [], filter = [] }: BesideColumns, types: readonly FieldType[]): void {
    const columns = [...filter].sort((a, b) => Buffer.compare(Buffer.from(a.column), Buffer.from(b.column)));
    for (let row = 0; row < count; row++) {
      if (rows !== undefined) this.#part(partOfRow(rows, row));
      if (ids !== undefined) this.#part(textOf(ids[row]));
      for (const [i, field] of fields.entries()) this.#part(fieldOf(field, types[i], row));
      for (const column of columns) this.#part(compared(column, row));
    }
    this.rows += count;
  }

  finish(): string {
    return this.#hash.digest('hex');
  }

  /** n: null; t: length (u32), bytes; i: length (u32), ids as int64, -1 where out of range; d: float64; b: a byte; r: as of t, canonical JSON. */
  #part(part: Part): void {
    if (part === null) this.#hash.update('n');
    else if (typeof part === 'boolean') this.#hash.update(part ? 'b1' : 'b0');
    else if (typeof part === 'number')
      this.#hash.update('d').update(new Uint8Array(Float64Array.of(Number.isNaN(part) ? NaN : part).buffer));
    else if (part instanceof Uint8Array) this.#value('t', part.length, part);
    else if ('row' in part) this.#json(part.row);
    else this.#value('i', part.length, new Uint8Array(BigInt64Array.from(Array.from<number | bigint, bigint>(part, idOf)).buffer));
  }

  #json(row: JsonValue): void {
    const text = Buffer.from(canonicalJson(row));
    this.#value('r', text.length, text);
  }

  #value(kind: string, length: number, bytes: Uint8Array): void {
    const prefix = Buffer.alloc(5, kind);
    prefix.writeUInt32LE(length, 1);
    this.#hash.update(prefix).update(bytes);
    this.bytes += bytes.length;
  }
}

function partOfRow(rows: SliceRows, row: number): Part {
  if (rows.kind === 'rejected') throw new Error('rows were rejected, which nobody asked for');
  if (rows.kind === 'records') {
    const found = rows.at(row);
    return 'problem' in found ? null : { row: found.row };
  }
  if (rows.valid?.[row] === 0) return null;
  const [start, end] = [rows.bounds[row], rows.bounds[row + 1]];
  if (!(end >= start)) throw new Error(`a row of ${end - start} values`);
  // numbers of 8 bits are no bytes of text
  return rows.kind === 'text' ? rows.bytes.subarray(start, end) : rows.ids.subarray(start, end);
}

/** Of a number that no vocabulary has, -1: readers have several words for them. */
function idOf(id: number | bigint): bigint {
  return id >= 0 && id < 2 ** 31 ? BigInt(id) : -1n;
}

function textOf(text: string | null): Part {
  return text === null ? null : Buffer.from(text);
}

/** All that is no number is the same one: conversions may keep its bits, or not. */
function fieldOf(field: FieldRows, type: FieldType, row: number): Part {
  const { bytes, bounds, rowBytes, valid } = field;
  if (valid?.[row] === 0) return null;
  if (field.values === undefined) {
    const [start, end] = bounds === undefined ? [row * rowBytes, (row + 1) * rowBytes] : [bounds[row], bounds[row + 1]];
    if (!(end >= start && end <= bytes.length)) throw new Error(`a field of ${end - start} bytes`);
  }
  const own = new Uint8Array(valueOfRow(field, row));
  if (type.kind !== 'numbers' || !type.dtype.startsWith('float')) return own;
  const numbers = numbersOf(type.dtype, own.buffer);
  for (const [i, number] of numbers.entries()) if (Number.isNaN(number)) numbers[i] = NaN;
  return own;
}

function compared(column: FilterColumn, row: number): Part {
  if (column.isBad?.(row) === true) return null;
  const value: ColumnValue = column.valueAt(row);
  return typeof value === 'bigint' ? Number(value) : value;
}
