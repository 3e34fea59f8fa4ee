/**
 * Decodes the slices of a window, and the ids and other columns that decide about their rows, in a worker. What is damaged is asked for once more, since it may have been damaged on its way;
 * then it is an error, or is left out, as the configuration says. Rows whose ids or filter columns are damaged are as damaged as these: nobody knows which of them are taken.
 *
 *   slice, ids ─▶ decode ──────────────────────────────▶ rows, ids
 *             └─▶ damaged ─▶ read anew ─▶ decode ───────▶ rows, ids
 *                                      └─▶ damaged ─────▶ an error, or as many rejected rows
 */
import { decodeFields, decodeFilterColumn, decodeIds, decodeSlice } from '../decode/decode-slice.js';
import type {
  DocumentIds,
  EncodedSlice,
  FetchedFields,
  FetchedFilterColumn,
  FetchedIds,
  FieldRows,
  FilterColumn,
  SliceRows,
} from '../decode/decoder.js';
import type { ByteRange } from '../store/store.js';
import { isDamage, WindowDamaged } from './damage.js';
import type { DamagedSlice, WindowPayload, WindowSlice } from './messages.js';

export interface DecodedWindow {
  /** With the slices that are left out in their places. */
  readonly payload: WindowPayload;
  readonly decode: (slice: EncodedSlice) => SliceRows;
  readonly decodeIds: (ids: FetchedIds) => DocumentIds;
  readonly decodeFields: (fields: FetchedFields) => readonly FieldRows[];
  readonly decodeFilterColumn: (column: FetchedFilterColumn) => FilterColumn;
}

/** Throws `WindowDamaged`. Errors: `SHARD_INVALID`. */
export function decodeWindow(payload: WindowPayload, badBlocks: 'fail' | 'skip'): DecodedWindow {
  const rows = new Map<EncodedSlice, SliceRows>();
  const idsOfRows = new Map<FetchedIds, DocumentIds>();
  const fieldsOfRows = new Map<FetchedFields, readonly FieldRows[]>();
  const filterColumnsOfRows = new Map<FetchedFilterColumn, FilterColumn>();
  const damaged: DamagedSlice[] = [];
  const slices = payload.slices.map((slice, index): WindowSlice => {
    const { encoded, ids, fields, filterColumns = [] } = slice;
    try {
      if (ids !== undefined) idsOfRows.set(ids, decodeIds(ids));
      if (fields !== undefined) fieldsOfRows.set(fields, decodeFields(fields));
      for (const column of filterColumns) filterColumnsOfRows.set(column, decodeFilterColumn(column));
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
      // nothing is kept: a later run may have another policy
      return { ...slice, encoded: rejected, ids: undefined, fields: undefined, filterColumns: undefined, tokens: undefined };
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
    decodeFields: (fields) => fieldsOfRows.get(fields) ?? decodeFields(fields),
    decodeFilterColumn: (column) => filterColumnsOfRows.get(column) ?? decodeFilterColumn(column),
  };
}

/** What a slice was read in; `undefined`: it was not. */
function rangesOf({ encoded, ids, fields, filterColumns = [] }: WindowSlice): readonly ByteRange[] | undefined {
  const own = 'ranges' in encoded ? encoded.ranges : undefined;
  const beside = [...(fields?.columns ?? []), ...filterColumns].map(({ ranges }) => ranges);
  const parts = [own, ids?.ranges, ...beside].filter((ranges) => ranges !== undefined);
  return parts.length === 0 ? undefined : parts.flat();
}
