/** Rows of several columns from the decoded leaves: each leaf gives the whole row with one value where there may be several, and the rows are laid on top of each other. */
import type * as Arrow from 'apache-arrow';
import { isUtf8 } from 'node:buffer';
import type { JsonValue } from '../../core/canonical-json.js';
import type { ParquetLeafType } from './layout.js';

/** A leaf's column, decoded; the slice begins at row `skipRows` of it. */
export interface DecodedLeaf {
  readonly data: Arrow.Data;
  readonly skipRows: number;
  readonly type: ParquetLeafType;
  /** Of the top-level column. */
  readonly column: string;
}

/** Told of text that is no valid UTF-8. */
type OnInvalidUtf8 = () => void;

type Values = (index: number, onInvalidUtf8: OnInvalidUtf8) => JsonValue;

/** The rows of a slice, made when they are asked for. Throws where the leaves of a row do not fit together. */
export function recordsOf(
  leaves: readonly DecodedLeaf[],
): (row: number, onInvalidUtf8: OnInvalidUtf8) => Readonly<Record<string, JsonValue>> {
  const readers = leaves.map(({ data, skipRows, type, column }) => ({ values: valuesOf(data, type), skipRows, column }));
  return (row, onInvalidUtf8) => {
    const columns: Record<string, JsonValue> = {};
    for (const { values, skipRows, column } of readers) {
      const value = values(skipRows + row, onInvalidUtf8);
      // a column's name is data: `__proto__` is one like any other
      const known = Object.hasOwn(columns, column) ? columns[column] : undefined;
      put(columns, column, known === undefined ? value : merged(known, value));
    }
    return columns;
  };
}

/** By shape: the structs and lists down to the leaf's values, each with one child. */
function valuesOf(data: Arrow.Data, type: ParquetLeafType): Values {
  const [child] = data.children as (Arrow.Data | undefined)[];
  const own =
    child === undefined ? leafValues(data, type) : data.valueOffsets === undefined ? structValues(data, type) : listValues(data, type);
  return (index, onInvalidUtf8) => (data.getValid(index) ? own(index, onInvalidUtf8) : null);
}

function structValues(data: Arrow.Data, type: ParquetLeafType): Values {
  const { name } = data.type.children[0];
  const child = valuesOf(data.children[0], type);
  return (index, onInvalidUtf8) => {
    const value: Record<string, JsonValue> = {};
    put(value, name, child(index, onInvalidUtf8));
    return value;
  };
}

function listValues(data: Arrow.Data, type: ParquetLeafType): Values {
  const bounds = data.valueOffsets as Int32Array;
  const element = valuesOf(data.children[0], type);
  return (index, onInvalidUtf8) =>
    Array.from({ length: bounds[index + 1] - bounds[index] }, (_, i) => element(bounds[index] + i, onInvalidUtf8));
}

function leafValues(data: Arrow.Data, type: ParquetLeafType): Values {
  switch (type) {
    case 'string': {
      const bounds = data.valueOffsets as Int32Array;
      const bytes = data.values as Uint8Array;
      const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      return (index, onInvalidUtf8) => {
        const own = text.subarray(bounds[index], bounds[index + 1]);
        if (!isUtf8(own)) onInvalidUtf8();
        return own.toString('utf8');
      };
    }
    case 'boolean': {
      const bits = data.values as Uint8Array;
      return (index) => ((bits[(data.offset + index) >> 3] >> ((data.offset + index) & 7)) & 1) === 1;
    }
    case 'integer':
    case 'unsigned': {
      const values = data.values as Int32Array | BigInt64Array;
      if (values instanceof BigInt64Array) {
        return (index) => exact(type === 'unsigned' ? BigInt.asUintN(64, values[index]) : values[index]);
      }
      return (index) => (type === 'unsigned' ? values[index] >>> 0 : values[index]);
    }
    case 'number': {
      const values = data.values as Float32Array | Float64Array;
      return (index) => values[index];
    }
  }
}

/** A number where it is exact, its digits where it is not. */
function exact(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
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

function put(object: Record<string, JsonValue>, key: string, value: JsonValue): void {
  if (key === '__proto__') Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  else object[key] = value;
}
