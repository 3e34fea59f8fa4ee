/** What becomes of each row of a window: the selection's answer for its slices, one after the other. */
import type { BesideColumns, FetchedBeside } from '../decode/decoder.js';
import { fatesOf, ROW_TAKEN } from '../select/selection.js';
import type { WindowPayload } from './messages.js';

/** Whatever decides about rows, from its bytes. */
export interface DecodeFacts {
  readonly decodeBeside: (beside: FetchedBeside) => BesideColumns;
}

/**
 * By row of the window; undefined where all are taken. A rejected slice is left out whole, whatever the selection would say of its rows, whose ids nobody
 * may know. Errors: those of decoding.
 */
export function rowFates({ slices, selection }: WindowPayload, { decodeBeside }: DecodeFacts): Uint8Array | undefined {
  if (selection === undefined) return undefined;
  const parts = slices.map(({ encoded: { format, rows }, beside, shard, path, startRow }) => {
    if (format === 'rejected') return new Uint8Array(rows).fill(ROW_TAKEN);
    const { ids, filter } = beside === undefined ? NOTHING : decodeBeside(beside);
    return fatesOf(selection, { shard, path, startRow, rows }, ids, filter);
  });
  return Uint8Array.from(Buffer.concat(parts));
}

const NOTHING: BesideColumns = {};
