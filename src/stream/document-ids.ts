/** The ids of some documents of a shard, read by themselves: for people who ask what a batch held. */
import { mapConcurrent } from '../core/map-concurrent.js';
import type { Decoder, Wanted } from '../decode/decoder.js';
import { loadSliceDecoder } from '../decode/slice-decoder.js';
import type { PlacedShard } from '../manifest/manifest.js';

/** Row groups that are read at the same time: a step has few of one shard. */
const UNITS_AT_ONCE = 4;

const IDS_ONLY: Wanted = { rows: false, ids: true, fields: false, filter: false };

/** By row, counted in the shard; a document whose id is null has none. The index must have been asked for ids. Errors: those of reading, `SHARD_INVALID`. */
export async function readDocumentIds(
  decoder: Decoder,
  { store, path, shard }: PlacedShard,
  rows: readonly number[],
  signal?: AbortSignal,
): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  const ascending = [...new Set(rows)].sort((a, b) => a - b);
  await mapConcurrent(
    shard.units,
    UNITS_AT_ONCE,
    async ({ startRow, rows: count, decodedBytes }, unit, aborted) => {
      const own = ascending.filter((row) => row >= startRow && row < startRow + count);
      if (own.length === 0) return;
      // a reader gives rows in ascending order, and keeps the page that the next one may be in; which shard of the source it is, it need not know
      const reader = decoder.openBlock(store, path, shard, { shard: 0, unit, startRow, endRow: startRow + count, decodedBytes });
      for (const row of own) {
        const { beside } = await reader.read(row, row + 1, IDS_ONLY, aborted);
        if (beside === undefined) throw new Error(`the index of ${shard.uri} was not asked for ids`);
        const [id = null] = (await loadSliceDecoder([beside.format])).beside(beside).ids ?? [];
        if (id !== null) found.set(row, id);
      }
    },
    signal,
  );
  return found;
}
