/** What becomes of each row of a window: the selection's answer for its slices, one after the other. */
import type { DocumentIds, FetchedFilterColumn, FetchedIds, FilterColumn } from '../decode/decoder.js';
import { fatesOf, ROW_TAKEN } from '../select/selection.js';
import type { WindowPayload } from './messages.js';

/** Whatever decides about rows, from its bytes. */
export interface DecodeFacts {
  readonly decodeIds: (ids: FetchedIds) => DocumentIds;
  readonly decodeFilterColumn: (column: FetchedFilterColumn) => FilterColumn;
}

/**
 * By row of the window; undefined where all are taken. A rejected slice is left out whole, whatever the selection would say of its rows, whose ids nobody
 * may know. Errors: those of decoding.
 */
export function rowFates({ slices, selection }: WindowPayload, { decodeIds, decodeFilterColumn }: DecodeFacts): Uint8Array | undefined {
  if (selection === undefined) return undefined;
  const parts = slices.map(({ encoded: { format, rows }, ids, filterColumns, shard, path, startRow }) =>
    format === 'rejected'
      ? new Uint8Array(rows).fill(ROW_TAKEN)
      : fatesOf(selection, { shard, path, startRow, rows }, ids && decodeIds(ids), filterColumns?.map(decodeFilterColumn)),
  );
  return Uint8Array.from(Buffer.concat(parts));
}
