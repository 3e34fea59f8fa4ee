/** What an MDS shard says of itself, for `headrace inspect`: its start is read. What each column takes is judged by the first samples. */
import type { ObjectInfo, Store } from '../../store/store.js';
import { codecOfPath } from '../compressed/codec.js';
import type { ColumnDescription, Scan, ShardDescription } from '../decoder.js';
import { SIZE_BYTES, isInteger, isRow } from './columns.js';
import { encodingOf } from './encoding.js';
import { readMdsStart } from './index-shard.js';
import type { MdsColumn } from './layout.js';

/** Errors: those of `Store.read`, `SHARD_INVALID`, `SHARD_UNSUPPORTED`. */
export async function describeMds(store: Store, object: ObjectInfo, scan: Scan, signal?: AbortSignal): Promise<ShardDescription> {
  const { rows, units, columns, firstSamples } = await readMdsStart(store, object, scan, signal);
  const codec = codecOfPath(object.path);
  const decodedBytes = units.reduce((sum, unit) => sum + unit.decodedBytes, 0);
  const storedBytes = units.reduce((sum, unit) => sum + unit.storedBytes, 0);
  const shares = columnShares(columns, firstSamples);
  return {
    rows,
    units,
    hasStatistics: true, // it has none, and no other way of writing it has
    columns: columns.map(({ name, encoding }, i): ColumnDescription => ({
      name,
      type: encoding,
      use: useOf(encoding),
      codecs: codec === 'plain' ? [] : [codec],
      encodings: [],
      storedBytes: Math.round(shares[i] * storedBytes),
      decodedBytes: Math.round(shares[i] * decodedBytes),
    })),
  };
}

/** What a source may use the column as, without being told more. */
function useOf(name: string): ColumnDescription['use'] {
  const encoding = encodingOf(name);
  if (encoding.kind === 'text') return 'text';
  if (encoding.kind !== 'array' || (encoding.dtype !== undefined && !isInteger(encoding.dtype))) return undefined;
  return isRow(encoding.shape ?? []) ? 'tokens' : undefined;
}

/** Of the bytes of the samples whose sizes are in `bytes`, the part of each column. The first sample's sizes nearly always are. */
function columnShares(columns: readonly MdsColumn[], bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const headBytes = SIZE_BYTES * columns.filter((column) => column.bytes === null).length;
  const sums = columns.map(() => 0);
  let at = 0;
  while (columns.length > 0 && at + headBytes < bytes.length) {
    let sizeAt = at;
    at += headBytes;
    for (const [i, column] of columns.entries()) {
      const size = column.bytes ?? view.getUint32(sizeAt, true);
      if (column.bytes === null) sizeAt += SIZE_BYTES;
      sums[i] += size;
      at += size;
    }
  }
  const total = sums.reduce((sum, size) => sum + size, 0);
  return sums.map((size) => (total === 0 ? 0 : size / total));
}
