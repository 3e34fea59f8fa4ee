/** The worker's half of the Parquet decoder: pages in, rows out. */
import { HeadraceError, messageOf } from '../../core/errors.js';
import type { DocumentIds, Rows } from '../decoder.js';
import { decodeIdsWithArrow, decodeWithArrow } from './arrow-slice.js';
import type { EncodedChunk, EncodedParquetIds, EncodedParquetSlice } from './encoded-slice.js';
import { decodeLists } from './list-kernel.js';

/** Errors: `SHARD_INVALID`. */
export function decodeParquetSlice(slice: EncodedParquetSlice): Rows {
  return decoded(slice, () => decodeLists(slice) ?? decodeWithArrow(slice));
}

/** Errors: `SHARD_INVALID`. */
export function decodeParquetIds(slice: EncodedParquetIds): DocumentIds {
  return decoded(slice, () => decodeIdsWithArrow(slice));
}

function decoded<T>(slice: EncodedChunk, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw new HeadraceError('SHARD_INVALID', `cannot decode column ${slice.unit.path[0]} of ${slice.uri}: ${messageOf(error)}`, {
      detail: { uri: slice.uri, column: slice.unit.path[0] },
      hint: 'Write the file again, or take it out of the source.',
      cause: error,
    });
  }
}
