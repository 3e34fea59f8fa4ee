/** Buffers in, rows and columns out. */
import type { WorkerHalf } from '../decoder.js';
import { decodeArrowFields, decodeArrowFilterColumn, decodeArrowIds, decodeArrowRecords, decodeArrowSlice } from './decode-slice.js';
import type { EncodedArrowBeside, EncodedArrowRecords, EncodedArrowSlice } from './encoded-slice.js';

export const arrowHalf: WorkerHalf<EncodedArrowSlice | EncodedArrowRecords, EncodedArrowBeside> = {
  rows: (slice) => (slice.kind === 'records' ? decodeArrowRecords(slice) : decodeArrowSlice(slice)),
  beside: ({ ids, fields, filter }) => ({
    ids: ids && decodeArrowIds(ids),
    fields: fields && decodeArrowFields(fields),
    filter: filter?.map(decodeArrowFilterColumn),
  }),
};
