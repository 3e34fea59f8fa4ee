/** From the bytes of a slice to its rows, whatever their format: the worker's half of `Decoder`. */
import type { DocumentIds, EncodedSlice, FetchedIds, SliceRows } from './decoder.js';
import { decodeParquetIds, decodeParquetRecords, decodeParquetSlice } from './parquet/decode-slice.js';

/** The rows of an omitted slice are empty texts, which hold the places of those that nobody asks for. Errors: `SHARD_INVALID`. */
export function decodeSlice(slice: EncodedSlice): SliceRows {
  switch (slice.format) {
    case 'parquet':
      return decodeParquetSlice(slice);
    case 'parquet-records':
      return decodeParquetRecords(slice);
    case 'omitted':
      return { kind: 'text', count: slice.rows, bounds: new Int32Array(slice.rows + 1), bytes: new Uint8Array(0), valid: undefined };
    case 'rejected':
      return { kind: 'rejected', count: slice.rows };
  }
}

/** Errors: `SHARD_INVALID`. */
export function decodeIds(ids: FetchedIds): DocumentIds {
  return decodeParquetIds(ids);
}
