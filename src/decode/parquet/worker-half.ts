/** Pages in, rows and columns out. */
import type { WorkerHalf } from '../decoder.js';
import { decodeParquetFields } from './decode-fields.js';
import { decodeParquetFilterColumn, decodeParquetIds, decodeParquetRecords, decodeParquetSlice } from './decode-slice.js';
import type { EncodedParquetBeside, EncodedParquetRecords, EncodedParquetSlice } from './encoded-slice.js';

export const parquetHalf: WorkerHalf<EncodedParquetSlice | EncodedParquetRecords, EncodedParquetBeside> = {
  rows: (slice) => (slice.kind === 'records' ? decodeParquetRecords(slice) : decodeParquetSlice(slice)),
  beside: ({ ids, fields, filter }) => ({
    ids: ids && decodeParquetIds(ids),
    fields: fields && decodeParquetFields(fields),
    filter: filter?.map(decodeParquetFilterColumn),
  }),
};
