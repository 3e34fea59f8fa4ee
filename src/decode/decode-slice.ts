/** From the bytes of a slice to its rows, whatever their format: the worker's half of `Decoder`. */
import type {
  DocumentIds,
  EncodedSlice,
  FetchedFields,
  FetchedFilterColumn,
  FetchedIds,
  FieldRows,
  FilterColumn,
  SliceRows,
} from './decoder.js';
import { decodeParquetFields } from './parquet/decode-fields.js';
import { decodeLineIds, decodeLineSlice } from './lines/decode-slice.js';
import { decodeArraySlice } from './array/decode-slice.js';
import { decodeArrowIds, decodeArrowSlice } from './arrow/decode-slice.js';
import { decodeParquetFilterColumn, decodeParquetIds, decodeParquetRecords, decodeParquetSlice } from './parquet/decode-slice.js';
import { decodeTarIds, decodeTarSlice } from './webdataset/decode-slice.js';

/** The rows of an omitted slice are empty texts, which hold the places of those that nobody asks for. Errors: `SHARD_INVALID`. */
export function decodeSlice(slice: EncodedSlice): SliceRows {
  switch (slice.format) {
    case 'parquet':
      return decodeParquetSlice(slice);
    case 'parquet-records':
      return decodeParquetRecords(slice);
    case 'lines':
      return decodeLineSlice(slice);
    case 'webdataset':
      return decodeTarSlice(slice);
    case 'arrow':
      return decodeArrowSlice(slice);
    case 'array':
      return decodeArraySlice(slice);
    case 'omitted':
      return { kind: 'text', count: slice.rows, bounds: new Int32Array(slice.rows + 1), bytes: new Uint8Array(0), valid: undefined };
    case 'rejected':
      return { kind: 'rejected', count: slice.rows };
  }
}

/** In the order of the index's request. Errors: `SHARD_INVALID`. */
export function decodeFields(fields: FetchedFields): readonly FieldRows[] {
  return decodeParquetFields(fields);
}

/** Errors: `SHARD_INVALID`. */
export function decodeIds(ids: FetchedIds): DocumentIds {
  switch (ids.format) {
    case 'parquet':
      return decodeParquetIds(ids);
    case 'lines':
      return decodeLineIds(ids);
    case 'webdataset':
      return decodeTarIds(ids);
    case 'arrow':
      return decodeArrowIds(ids);
  }
}

/** Errors: `SHARD_INVALID`. */
export function decodeFilterColumn(column: FetchedFilterColumn): FilterColumn {
  return decodeParquetFilterColumn(column);
}
