/** Rows of several columns from the decoded leaves: each leaf gives the whole row with one value where there may be several, and the rows are laid on top of each other. */
import type * as Arrow from 'apache-arrow';
import type { JsonValue } from '../../core/canonical-json.js';
import {
  booleanValues,
  listValues,
  numberValues,
  orNull,
  put,
  structValues,
  textValues,
  type OnInvalidUtf8,
  type Values,
} from '../record-values.js';
import { integersOf } from './arrow-slice.js';
import type { ParquetLeafType } from './layout.js';

/** A leaf's column, decoded; the slice begins at row `skipRows` of it. */
export interface DecodedLeaf {
  readonly data: Arrow.Data;
  readonly skipRows: number;
  readonly type: ParquetLeafType;
  /** Of the top-level column. */
  readonly column: string;
}

/** The rows of a slice, made when they are asked for. Throws where the leaves of a row do not fit together. */
export function recordsOf(
  leaves: readonly DecodedLeaf[],
): (row: number, onInvalidUtf8: OnInvalidUtf8) => Readonly<Record<string, JsonValue>> {
  const readers = leaves.map(({ data, skipRows, type, column }) => ({ values: valuesOf(data, type), skipRows, column }));
  return (row, onInvalidUtf8) => {
    const columns: Record<string, JsonValue> = {};
    for (const { values, skipRows, column } of readers) {
      const value = values(skipRows + row, onInvalidUtf8);
      const known = Object.hasOwn(columns, column) ? columns[column] : undefined;
      put(columns, column, known === undefined ? value : merged(known, value));
    }
    return columns;
  };
}

/** By shape: the structs and lists down to the leaf's values, each with one child. */
function valuesOf(data: Arrow.Data, type: ParquetLeafType): Values {
  const [child] = data.children as (Arrow.Data | undefined)[];
  return orNull((index) => data.getValid(index), ownValues(data, child, type));
}

function ownValues(data: Arrow.Data, child: Arrow.Data | undefined, type: ParquetLeafType): Values {
  if (child === undefined) return leafValues(data, type);
  const values = valuesOf(child, type);
  const bounds = data.valueOffsets as Int32Array | undefined;
  return bounds === undefined ? structValues([{ name: data.type.children[0].name, values }]) : listValues(bounds, values);
}

function leafValues(data: Arrow.Data, type: ParquetLeafType): Values {
  switch (type) {
    case 'string':
      return textValues(data.valueOffsets as Int32Array, data.values as Uint8Array);
    case 'boolean':
      return booleanValues(data.values as Uint8Array, data.offset);
    case 'integer':
    case 'unsigned':
      return numberValues(integersOf(data.values as Int32Array | BigInt64Array, type === 'unsigned'));
    case 'number':
      return numberValues(data.values as Float32Array | Float64Array);
  }
}

function merged(a: JsonValue, b: JsonValue): JsonValue {
  if (a === null && b === null) return null;
  if (isList(a) && isList(b) && a.length === b.length) return a.map((item, i) => merged(item, b[i]));
  if (!isStruct(a) || !isStruct(b)) throw new Error('its leaves do not have the same lists');
  const both: Record<string, JsonValue> = {};
  for (const [key, value] of Object.entries(a)) put(both, key, value ?? null);
  for (const [key, value = null] of Object.entries(b)) put(both, key, Object.hasOwn(both, key) ? merged(both[key], value) : value);
  return both;
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function isStruct(value: JsonValue): value is { readonly [key: string]: JsonValue | undefined } {
  return typeof value === 'object' && value !== null && !isList(value);
}
