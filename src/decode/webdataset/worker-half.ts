/** Stretches of a tar in, rows and columns out. */
import type { WorkerHalf } from '../decoder.js';
import { decodeTarFields, decodeTarFilter, decodeTarIds, decodeTarSlice } from './decode-slice.js';
import type { EncodedTarBeside, EncodedTarSlice } from './encoded-slice.js';

export const webDatasetHalf: WorkerHalf<EncodedTarSlice, EncodedTarBeside> = {
  rows: decodeTarSlice,
  beside: ({ slice, wanted }) => ({
    ids: wanted.ids ? decodeTarIds(slice) : undefined,
    fields: wanted.fields ? decodeTarFields(slice) : undefined,
    filter: wanted.filter ? decodeTarFilter(slice) : undefined,
  }),
};
