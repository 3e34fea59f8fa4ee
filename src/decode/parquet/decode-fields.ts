/**
 * The worker's half of fields in Parquet: pages of a column in, of each row the bytes that are served out.
 *
 *   binary, utf8        values as they are, with bounds
 *   numbers             see ../field-rows.ts
 *   struct<bytes: …>    the part that is named, of rows whose struct is not null
 */
import type * as Arrow from 'apache-arrow';
import type { FieldRows } from '../decoder.js';
import { listField, nullsOf, scalarField } from '../field-rows.js';
import { arrowColumn, boundsOf, structsAbove } from './arrow-slice.js';
import { decodeChunk } from './decode-slice.js';
import type { EncodedParquetField } from './encoded-slice.js';
import { decodeTexts } from './text-pages.js';

/** Errors: `SHARD_INVALID`. */
export function decodeParquetFields(columns: readonly EncodedParquetField[]): readonly FieldRows[] {
  return columns.map((column) => decodeChunk(column, () => decodeField(column)));
}

function decodeField(field: EncodedParquetField): FieldRows {
  const { type, skipRows: start, rows, name } = field;
  const own = type.kind === 'numbers' ? undefined : decodeTexts(field);
  if (own !== undefined) {
    const { bytes, bounds, valid } = own;
    return { name, bytes, bounds, rowBytes: 0, valid, nulls: nullsOf(valid), problem: 'is null' };
  }
  const levels = structsAbove(arrowColumn(field));
  const leaf = levels[levels.length - 1];
  const valid = validRows(levels, start, rows);
  if (type.kind !== 'numbers') {
    const bytes = leaf.values as Uint8Array;
    return { name, bytes, bounds: boundsOf(leaf, start, rows), rowBytes: 0, valid, nulls: nullsOf(valid), problem: 'is null' };
  }
  const numbers = { name, dtype: type.dtype, size: type.size };
  const { stored } = type;
  if (type.size === null) return scalarField(numbers, { stored, values: leaf.values, firstBit: leaf.offset }, start, rows, valid);
  const [element] = leaf.children;
  const values = { stored, values: element.values as unknown, firstBit: element.offset };
  const bounds = (leaf.valueOffsets as Int32Array).subarray(start, start + rows + 1);
  return listField(numbers, values, bounds, element.nullCount > 0 ? (index) => element.getValid(index) : undefined, valid);
}

function validRows(columns: readonly Arrow.Data[], start: number, rows: number): Uint8Array | undefined {
  const nullable = columns.filter(({ nullCount }) => nullCount > 0);
  if (nullable.length === 0) return undefined;
  return Uint8Array.from({ length: rows }, (_, row) => (nullable.every((column) => column.getValid(start + row)) ? 1 : 0));
}
