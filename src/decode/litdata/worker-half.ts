/** Samples of litData in, rows and columns out. */
import type { WorkerHalf } from '../decoder.js';
import { decodeLitdataBeside } from './decode-beside.js';
import { decodeLitdataSlice } from './decode-slice.js';
import type { EncodedLitdataBeside, EncodedLitdataSlice } from './encoded-slice.js';
import { decodeLitdataRecords } from './records.js';

export const litdataHalf: WorkerHalf<EncodedLitdataSlice, EncodedLitdataBeside> = {
  rows: (slice) => (slice.wanted.use === 'records' ? decodeLitdataRecords(slice) : decodeLitdataSlice(slice)),
  beside: decodeLitdataBeside,
};
