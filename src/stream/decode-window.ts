/**
 * Decodes the slices of a window, in a worker. What is damaged is asked for once more, since it may have been damaged on its way; then it is an error, or is
 * left out, as the configuration says.
 *
 *   slice ─▶ decodes ─────────────────────────────▶ rows
 *        └─▶ damaged ─▶ read anew ─▶ decodes ──────▶ rows
 *                                 └─▶ damaged ─────▶ an error, or as many rejected rows
 */
import { decodeSlice } from '../decode/decode-slice.js';
import type { EncodedSlice, SliceRows } from '../decode/decoder.js';
import { isDamage, WindowDamaged } from './damage.js';
import type { DamagedSlice, WindowPayload, WindowSlice } from './messages.js';

export interface DecodedWindow {
  /** With the slices that are left out in their places. */
  readonly payload: WindowPayload;
  readonly decode: (slice: EncodedSlice) => SliceRows;
}

/** Throws `WindowDamaged`. Errors: `SHARD_INVALID`. */
export function decodeWindow(payload: WindowPayload, badBlocks: 'fail' | 'skip'): DecodedWindow {
  const rows = new Map<EncodedSlice, SliceRows>();
  const damaged: DamagedSlice[] = [];
  const slices = payload.slices.map((slice, index): WindowSlice => {
    const { encoded } = slice;
    try {
      rows.set(encoded, decodeSlice(encoded));
      return slice;
    } catch (error) {
      if (encoded.format !== 'parquet' || !isDamage(error)) throw error;
      if (!slice.again) {
        damaged.push({ slice: index, ranges: encoded.ranges });
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
      return { ...slice, encoded: rejected, tokens: undefined }; // nothing is kept: a later run may have another policy
    }
  });
  if (damaged.length > 0) {
    for (const decoded of rows.values()) if (decoded.kind === 'tokens') decoded.release?.();
    throw new WindowDamaged(damaged);
  }
  return { payload: { ...payload, slices }, decode: (slice) => rows.get(slice) ?? decodeSlice(slice) };
}
