/**
 * Decodes the slices of a window, and what was read beside their rows, in a worker. What is damaged is asked for once more, since it may have been damaged on
 * its way; then it is an error, or is left out, as the configuration says. Rows whose ids or filter columns are damaged are as damaged as these: nobody knows
 * which of them are taken.
 *
 *   slice, beside ─▶ decode ──────────────────────────────▶ rows, columns
 *                └─▶ damaged ─▶ read anew ─▶ decode ───────▶ rows, columns
 *                                         └─▶ damaged ─────▶ an error, or as many rejected rows
 */
import type { BesideColumns, EncodedSlice, FetchedBeside, SliceRows } from '../decode/decoder.js';
import { releaseStored } from '../decode/buffers.js';
import type { SliceDecoder } from '../decode/slice-decoder.js';
import type { ByteRange } from '../store/store.js';
import { isDamage, WindowDamaged } from './damage.js';
import type { DamagedSlice, WindowPayload, WindowSlice } from './messages.js';

export interface DecodedWindow {
  /** With the slices that are left out in their places. */
  readonly payload: WindowPayload;
  readonly decode: (slice: EncodedSlice) => SliceRows;
  readonly decodeBeside: (beside: FetchedBeside) => BesideColumns;
}

/** Gives back what was stored of the slices, where nobody reads it any more: a window is decoded once. Throws `WindowDamaged`. Errors: `SHARD_INVALID`. */
export function decodeWindow(payload: WindowPayload, decoder: SliceDecoder, badBlocks: 'fail' | 'skip'): DecodedWindow {
  const rows = new Map<EncodedSlice, SliceRows>();
  const columns = new Map<FetchedBeside, BesideColumns>();
  const damaged: DamagedSlice[] = [];
  const slices = payload.slices.map((slice, index): WindowSlice => {
    const { encoded, beside } = slice;
    try {
      if (beside !== undefined) columns.set(beside, decoder.beside(beside));
      rows.set(encoded, decoder.rows(encoded));
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
      rows.set(rejected, decoder.rows(rejected));
      // nothing is kept: a later run may have another policy
      return { ...slice, encoded: rejected, beside: undefined, tokens: undefined };
    }
  });
  if (damaged.length > 0) {
    for (const decoded of rows.values()) releaseRows(decoded);
    throw new WindowDamaged(damaged);
  }
  for (const { encoded, beside } of slices) releaseStored(encoded, beside);
  return {
    payload: { ...payload, slices },
    decode: (slice) => valueOf(rows, slice),
    decodeBeside: (beside) => valueOf(columns, beside),
  };
}

function valueOf<K, V>(decoded: ReadonlyMap<K, V>, key: K): V {
  const value = decoded.get(key);
  if (value === undefined) throw new Error('what is asked for is not of the window that was decoded');
  return value;
}

/** Nothing of them may be read afterwards. */
export function releaseRows(rows: SliceRows): void {
  if (rows.kind === 'text' || rows.kind === 'tokens') rows.release?.();
}

/** What a slice was read in; `undefined`: it was not. */
function rangesOf({ encoded, beside }: WindowSlice): readonly ByteRange[] | undefined {
  const parts = ['ranges' in encoded ? encoded.ranges : undefined, beside?.ranges].filter((ranges) => ranges !== undefined);
  return parts.length === 0 ? undefined : parts.flat();
}
