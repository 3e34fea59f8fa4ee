/** Samples of litData in, rows and what names them out. */
import type { WorkerHalf } from '../decoder.js';
import { decodeLitdataIds, decodeLitdataSlice } from './decode-slice.js';
import type { EncodedLitdataBeside, EncodedLitdataSlice } from './encoded-slice.js';

export const litdataHalf: WorkerHalf<EncodedLitdataSlice, EncodedLitdataBeside> = {
  rows: decodeLitdataSlice,
  beside: ({ slice, wanted }) => ({ ids: wanted.ids ? decodeLitdataIds(slice) : undefined }),
};
