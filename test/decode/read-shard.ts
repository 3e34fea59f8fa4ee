/** Indexes one object and reads all its rows through a decoder, in slices, as a window loader would. */
import type { Shard } from '../../src/core/shard.js';
import type { ColumnRequest, Decoder, Rows } from '../../src/decode/decoder.js';
import type { Store } from '../../src/store/store.js';
import { decodeBeside, decodeSlice, readSlices } from '../support/slices.js';

export type Value = string | readonly (number | bigint)[] | null;

const { signal } = new AbortController();

export async function indexShard(store: Store, file: string, decoder: Decoder, request: ColumnRequest): Promise<Shard> {
  const object = await store.head(file);
  const index = await decoder.index(store, object, request, signal);
  // as a saved manifest has it
  const kept = JSON.parse(JSON.stringify(index)) as typeof index;
  return { path: file, uri: store.uri + file, size: object.size, etag: object.etag, ...kept };
}

export interface ReadRows {
  readonly values: Value[];
  readonly ids: (string | null)[];
}

/** Blocks of `blockRows` rows, where a unit may be cut, in slices of `sliceRows`. */
export async function readShard(
  store: Store,
  shard: Shard,
  decoder: Decoder,
  {
    sliceRows,
    blockRows = Infinity,
    withIds = false,
  }: { readonly sliceRows: number; readonly blockRows?: number; readonly withIds?: boolean },
): Promise<ReadRows> {
  const values: Value[] = [];
  const ids: (string | null)[] = [];
  for (const [unit, { startRow: unitStart, rows, isWhole }] of shard.units.entries()) {
    const step = isWhole === true ? Math.max(1, rows) : Math.min(Math.max(1, rows), blockRows);
    for (let start = unitStart; start < unitStart + rows; start += step) {
      const endRow = Math.min(unitStart + rows, start + step);
      const reader = decoder.openBlock(store, shard.path, shard, { shard: 0, unit, startRow: start, endRow, decodedBytes: 1 });
      for (let row = start; row < endRow; row += sliceRows) {
        const end = Math.min(endRow, row + sliceRows);
        const { slice, beside } = structuredClone(await readSlices(reader, row, end, { rows: true, ids: withIds }, signal));
        // structured clones, as they cross to a worker
        values.push(...valuesOf(decodeSlice(slice!) as Rows));
        ids.push(...((beside && decodeBeside(beside).ids) ?? []));
      }
    }
  }
  return { values, ids };
}

export function valuesOf(rows: Rows): Value[] {
  return Array.from({ length: rows.count }, (_, row) => {
    if (rows.valid?.[row] === 0) return null;
    const [start, end] = [rows.bounds[row], rows.bounds[row + 1]];
    if (rows.kind === 'text') return Buffer.from(rows.bytes.subarray(start, end)).toString('utf8');
    const own = Array.from<number | bigint>(rows.ids.subarray(start, end));
    const { idsBelow } = rows;
    if (idsBelow !== undefined && own.some((id) => !(id >= 0 && id < idsBelow))) throw new Error(`ids are not below ${idsBelow}`);
    return own.map((id) => (typeof id === 'bigint' && id >= -(2n ** 31n) && id < 2n ** 31n ? Number(id) : id));
  });
}
