/**
 * Decodes the slices of a window, and the ids of their rows, in a worker. What is damaged is asked for once more, since it may have been damaged on its way;
 * then it is an error, or is left out, as the configuration says. Rows whose ids are damaged are as damaged as these: nobody knows which of them are taken.
 *
 *   slice, ids ─▶ decode ──────────────────────────────▶ rows, ids
 *             └─▶ damaged ─▶ read anew ─▶ decode ───────▶ rows, ids
 *                                      └─▶ damaged ─────▶ an error, or as many rejected rows
 */
import { decodeIds, decodeSlice } from '../decode/decode-slice.js';
import type { DocumentIds, EncodedSlice, FetchedIds, SliceRows } from '../decode/decoder.js';
import type { ByteRange } from '../store/store.js';
import { isDamage, WindowDamaged } from './damage.js';
import type { DamagedSlice, WindowPayload, WindowSlice } from './messages.js';

export interface DecodedWindow {
  /** With the slices that are left out in their places. */
  readonly payload: WindowPayload;
  readonly decode: (slice: EncodedSlice) => SliceRows;
  readonly decodeIds: (ids: FetchedIds) => DocumentIds;
}

/** Throws `WindowDamaged`. Errors: `SHARD_INVALID`. */
export function decodeWindow(payload: WindowPayload, badBlocks: 'fail' | 'skip'): DecodedWindow {
  const rows = new Map<EncodedSlice, SliceRows>();
  const idsOfRows = new Map<FetchedIds, DocumentIds>();
  const damaged: DamagedSlice[] = [];
  const slices = payload.slices.map((slice, index): WindowSlice => {
    const { encoded, ids } = slice;
    try {
      if (ids !== undefined) idsOfRows.set(ids, decodeIds(ids));
      rows.set(encoded, decodeSlice(encoded));
      return slice;
    } catch (error) {
      const ranges = rangesOf(slice);
      if (ranges === undefined || !isDamage(error)) throw error;
      if (!slice.again) {
        damaged.push({ slice: index, ranges });
        return slice;
      }
      if (badBlocks === 'fail') throw error;
      const rejected: EncodedSlice = {
        format: 'rejected',
        uri: encoded.uri,
        rows: encoded.rows,
        reason: 'damaged',
        problem: error.message,
      };
      rows.set(rejected, decodeSlice(rejected));
      return { ...slice, encoded: rejected, ids: undefined, tokens: undefined }; // nothing is kept: a later run may have another policy
    }
  });
  if (damaged.length > 0) {
    for (const decoded of rows.values()) if (decoded.kind === 'tokens') decoded.release?.();
    throw new WindowDamaged(damaged);
  }
  return {
    payload: { ...payload, slices },
    decode: (slice) => rows.get(slice) ?? decodeSlice(slice),
    decodeIds: (ids) => idsOfRows.get(ids) ?? decodeIds(ids),
  };
}

/** What a slice was read in; `undefined`: it was not. */
function rangesOf({ encoded, ids }: WindowSlice): readonly ByteRange[] | undefined {
  const own = encoded.format === 'parquet' || encoded.format === 'parquet-records' ? encoded.ranges : undefined;
  return own === undefined ? ids?.ranges : [...own, ...(ids?.ranges ?? [])];
}
