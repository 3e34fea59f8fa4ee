/** What becomes of each row of a window: the selection's answer for its slices, one after the other. */
import type { DocumentIds, FetchedIds } from '../decode/decoder.js';
import { fatesOf } from '../select/selection.js';
import type { WindowPayload } from './messages.js';

/** By row of the window; undefined where all are taken. Errors: those of `decodeIds`. */
export function rowFates({ slices, selection }: WindowPayload, decodeIds: (ids: FetchedIds) => DocumentIds): Uint8Array | undefined {
  if (selection === undefined) return undefined;
  const parts = slices.map(({ encoded: { rows }, ids, shard, path, startRow }) =>
    fatesOf(selection, { shard, path, startRow, rows }, ids && decodeIds(ids)),
  );
  return Uint8Array.from(Buffer.concat(parts));
}
