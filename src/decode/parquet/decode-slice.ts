/** The worker's half of the Parquet decoder: pages in, rows out. */
import { HeadraceError, messageOf } from '../../core/errors.js';
import type { Rows } from '../decoder.js';
import { decodeWithArrow } from './arrow-slice.js';
import type { EncodedParquetSlice } from './encoded-slice.js';
import { decodeLists } from './list-kernel.js';

/** Errors: `SHARD_INVALID`. */
export function decodeParquetSlice(slice: EncodedParquetSlice): Rows {
  try {
    return decodeLists(slice) ?? decodeWithArrow(slice);
  } catch (error) {
    throw new HeadraceError('SHARD_INVALID', `cannot decode column ${slice.unit.path[0]} of ${slice.uri}: ${messageOf(error)}`, {
      detail: { uri: slice.uri, column: slice.unit.path[0] },
      hint: 'Write the file again, or take it out of the source.',
      cause: error,
    });
  }
}
