/** Samples of litData as objects of several columns: text, numbers, truths, lists and dicts. */
import { isUtf8 } from 'node:buffer';
import type { JsonValue } from '../../core/canonical-json.js';
import type { DecodedRecord, RecordRows } from '../decoder.js';
import { exactValue, put } from '../record-values.js';
import type { EncodedLitdataSlice } from './encoded-slice.js';
import type { LitdataRecord } from './layout.js';
import { nestedValue, type NestedValue } from './nested.js';
import { findLeaves, type LitdataSamples } from './samples.js';

/** Errors: `SHARD_INVALID`, `SHARD_UNSUPPORTED`. */
export function decodeLitdataRecords(slice: EncodedLitdataSlice): RecordRows {
  const samples = findLeaves(slice);
  const { records = [] } = slice.wanted;
  return { kind: 'records', count: samples.rows, at: (row) => recordOf(samples, records, row) };
}

function recordOf(samples: LitdataSamples, records: readonly LitdataRecord[], row: number): DecodedRecord {
  const object: Record<string, JsonValue> = {};
  let isValidUtf8 = true;
  for (const { name, leaves } of records) {
    let column: JsonValue = null;
    for (const { path, leaf, form } of leaves) {
      const found = valueOf(samples, row, leaf, form);
      if ('problem' in found) return { problem: `${found.problem} in ${[name, ...path].join('.')}` };
      isValidUtf8 &&= found.isValidUtf8;
      column = placed(column, path, found.value);
    }
    put(object, name, column);
  }
  return { row: object, isValidUtf8 };
}

type LeafForm = LitdataRecord['leaves'][number]['form'];

function valueOf({ leafOf, numberOf }: LitdataSamples, row: number, leaf: number, form: LeafForm): NestedValue {
  switch (form) {
    case 'text': {
      const { buffer, byteOffset, length } = leafOf(row, leaf);
      const text = Buffer.from(buffer, byteOffset, length);
      return { value: text.toString('utf8'), isValidUtf8: isUtf8(text) };
    }
    case 'integer':
      return { value: exactValue(numberOf(row, leaf, 'int64')), isValidUtf8: true };
    case 'float':
      return { value: exactValue(numberOf(row, leaf, 'float64')), isValidUtf8: true };
    case 'boolean':
      return { value: numberOf(row, leaf, 'uint8') !== 0, isValidUtf8: true };
    case 'nested':
      return nestedValue(leafOf(row, leaf));
  }
}

/** The dict or tuple, made by the leaves before, with one more; written into. */
function placed(into: JsonValue, place: LitdataRecord['leaves'][number]['path'], value: JsonValue): JsonValue {
  if (place.length === 0) return value;
  const [key, ...path] = place;
  if (typeof key === 'number') {
    const items = Array.isArray(into) ? (into as JsonValue[]) : [];
    items[key] = placed(items.at(key) ?? null, path, value);
    return items;
  }
  const object = (into ?? {}) as Record<string, JsonValue>;
  put(object, key, placed(Object.hasOwn(object, key) ? object[key] : null, path, value));
  return object;
}
