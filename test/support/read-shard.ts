/** Reads whole shards through a decoder, as a run does: index, openBlock, slice, decodeSlice. */
import type { Block, Shard } from '../../src/core/shard.js';
import type { ColumnRequest, Decoder, SliceRows } from '../../src/decode/decoder.js';
import type { Store } from '../../src/store/store.js';
import { decodeSlice, sliceOf } from './slices.js';

export type Value = string | number[] | null;

const never = new AbortController().signal;

export async function indexShard(
  decoder: Decoder,
  store: Store,
  file: string,
  request: ColumnRequest,
  signal: AbortSignal = never,
): Promise<Shard> {
  const object = await store.head(file);
  const index = await decoder.index(store, object, request, signal);
  return { path: file, uri: store.uri + file, size: object.size, etag: object.etag, ...index };
}

/** All rows of a shard, each unit as one block in slices of `sliceRows` rows. */
export async function readShard(
  decoder: Decoder,
  store: Store,
  shard: Shard,
  sliceRows: number,
  signal: AbortSignal = never,
): Promise<Value[]> {
  const values: Value[] = [];
  for (const [index, unit] of shard.units.entries()) {
    const block: Block = {
      shard: 0,
      unit: index,
      startRow: unit.startRow,
      endRow: unit.startRow + unit.rows,
      decodedBytes: unit.decodedBytes,
    };
    if (unit.rows === 0) continue; // no block is made of it
    const reader = decoder.openBlock(store, shard.path, shard, block);
    for (let row = block.startRow; row < block.endRow; row += sliceRows) {
      const slice = await sliceOf(reader, row, Math.min(block.endRow, row + sliceRows), signal);
      values.push(...valuesOf(decodeSlice(slice)));
    }
  }
  return values;
}

/** Text as bytes, one character each: what is not valid UTF-8 stays as it is. */
export function valuesOf(rows: SliceRows, encoding: 'utf8' | 'latin1' = 'utf8'): Value[] {
  if (rows.kind === 'rejected' || rows.kind === 'records') throw new Error(`rows were ${rows.kind}`);
  return Array.from({ length: rows.count }, (_, i) => {
    if (rows.valid?.[i] === 0) return null;
    const [start, end] = [rows.bounds[i], rows.bounds[i + 1]];
    if (rows.kind === 'text') return Buffer.from(rows.bytes.subarray(start, end)).toString(encoding);
    return Array.from(rows.ids.subarray(start, end), Number);
  });
}
