/**
 * Decodes the slices of a window, and what was read beside their rows, in a worker: what decides about rows at once, the rows themselves when the first of
 * them is wanted. A stream that goes on in the middle of a window needs the rows of few of its slices before its first batch. What is damaged is asked for
 * once more, since it may have been damaged on its way; then it is an error, or is left out, as the configuration says. Rows whose ids or filter columns are
 * damaged are as damaged as these: nobody knows which of them are taken.
 *
 *   slice, beside ─▶ decode ──────────────────────────────▶ rows, columns
 *                └─▶ damaged ─▶ read anew ─▶ decode ───────▶ rows, columns
 *                                         └─▶ damaged ─────▶ an error, or as many rejected rows
 */
import { releaseStored } from '../decode/buffers.js';
import type { BesideColumns, EncodedSlice, FetchedBeside, SliceRows } from '../decode/decoder.js';
import type { SliceDecoder } from '../decode/slice-decoder.js';
import type { ByteRange } from '../store/store.js';
import { isDamage, WindowDamaged } from './damage.js';
import type { DamagedSlice, WindowPayload, WindowSlice } from './messages.js';

export interface DecodedSlice {
  /** As it came, or the rejected one in its place. */
  readonly slice: WindowSlice;
  readonly rows: SliceRows;
}

export interface DecodedWindow {
  /** With the slices in their places whose columns beside the rows are damaged: these are left out. */
  readonly payload: WindowPayload;
  /**
   * The rows of one of its slices, by index. They are decoded once: what was stored of them is given back then, where nobody else reads it. Throws
   * `WindowDamaged`. Errors: `SHARD_INVALID`.
   */
  readonly decode: (index: number) => DecodedSlice;
  readonly decodeBeside: (beside: FetchedBeside) => BesideColumns;
}

/** Throws `WindowDamaged`. Errors: `SHARD_INVALID`. */
export function decodeWindow(fetched: WindowPayload, decoder: SliceDecoder, badBlocks: 'fail' | 'skip'): DecodedWindow {
  const columns = new Map<FetchedBeside, BesideColumns>();
  const damaged: DamagedSlice[] = [];
  const slices = fetched.slices.map((slice, index): WindowSlice => {
    const { beside } = slice;
    if (beside === undefined) return slice;
    try {
      columns.set(beside, decoder.beside(beside));
      return slice;
    } catch (error) {
      const found = damageOf(slice, index, error);
      if (!slice.again) damaged.push(found);
      else if (badBlocks === 'fail') throw error;
      else return rejected(slice, error);
      return slice;
    }
  });
  if (damaged.length > 0) throw new WindowDamaged([...damaged, ...othersDamaged(slices, damaged, decoder)]);
  const payload = { ...fetched, slices };
  const decoded = new Map<number, DecodedSlice>();
  return {
    payload,
    decode: (index) => {
      const known = decoded.get(index);
      if (known !== undefined) return known;
      const slice = slices[index];
      let found: DecodedSlice;
      try {
        found = { slice, rows: decoder.rows(slice.encoded) };
        releaseStored(slice.encoded, slice.beside);
      } catch (error) {
        const damage = damageOf(slice, index, error);
        if (!slice.again) throw new WindowDamaged([damage, ...othersDamaged(slices, [damage], decoder, decoded)]);
        if (badBlocks === 'fail') throw error;
        const without = rejected(slice, error);
        found = { slice: without, rows: decoder.rows(without.encoded) };
      }
      decoded.set(index, found);
      return found;
    },
    decodeBeside: (beside) => {
      const known = columns.get(beside);
      if (known === undefined) throw new Error('what is asked for is not beside the window that was decoded');
      return known;
    },
  };
}

/** Nothing of them may be read afterwards. */
export function releaseRows(rows: SliceRows): void {
  if (rows.kind === 'text' || rows.kind === 'tokens') rows.release?.();
}

/** Of the others, those that would be found later: a window is read anew whole, and all at once is better than one after the other. */
function othersDamaged(
  slices: readonly WindowSlice[],
  found: readonly DamagedSlice[],
  decoder: SliceDecoder,
  decoded: ReadonlyMap<number, DecodedSlice> = new Map(),
): DamagedSlice[] {
  return slices.flatMap((slice, index) => {
    if (slice.again || decoded.has(index) || found.some((other) => other.slice === index)) return [];
    try {
      releaseRows(decoder.rows(slice.encoded));
      return [];
    } catch (error) {
      return [damageOf(slice, index, error)];
    }
  });
}

/** What is to be read anew. Throws the error where it says something else, or nothing was read. */
function damageOf(slice: WindowSlice, index: number, error: unknown): DamagedSlice {
  const ranges = rangesOf(slice);
  if (ranges === undefined || !isDamage(error)) throw error;
  return { slice: index, ranges };
}

/** Of what is left out nothing is kept: a later run may have another policy. */
function rejected(slice: WindowSlice, error: unknown): WindowSlice {
  const { uri, rows } = slice.encoded;
  const encoded: EncodedSlice = { format: 'rejected', uri, rows, reason: 'damaged', problem: (error as Error).message };
  return { ...slice, encoded, beside: undefined, tokens: undefined };
}

/** What a slice was read in; `undefined`: it was not. */
function rangesOf({ encoded, beside }: WindowSlice): readonly ByteRange[] | undefined {
  const parts = ['ranges' in encoded ? encoded.ranges : undefined, beside?.ranges].filter((ranges) => ranges !== undefined);
  return parts.length === 0 ? undefined : parts.flat();
}
