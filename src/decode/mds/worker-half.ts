/** Samples of an MDS shard in, rows and columns out. */
import type { WorkerHalf } from '../decoder.js';
import { decodeMdsFields, decodeMdsFilter, decodeMdsIds } from './decode-beside.js';
import { decodeMdsSlice } from './decode-slice.js';
import type { EncodedMdsBeside, EncodedMdsSlice } from './encoded-slice.js';
import { decodeMdsRecords } from './records.js';

export const mdsHalf: WorkerHalf<EncodedMdsSlice, EncodedMdsBeside> = {
  rows: (slice) => (slice.wanted.kind === 'records' ? decodeMdsRecords(slice) : decodeMdsSlice(slice)),
  beside: ({ slice, wanted }) => ({
    ids: wanted.ids ? decodeMdsIds(slice) : undefined,
    fields: wanted.fields ? decodeMdsFields(slice) : undefined,
    filter: wanted.filter ? decodeMdsFilter(slice) : undefined,
  }),
};
