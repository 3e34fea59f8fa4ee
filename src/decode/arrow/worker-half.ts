/** Buffers in, rows and columns out. */
import type { WorkerHalf } from '../decoder.js';
import { decodeArrowIds, decodeArrowSlice } from './decode-slice.js';
import type { EncodedArrowBeside, EncodedArrowSlice } from './encoded-slice.js';

export const arrowHalf: WorkerHalf<EncodedArrowSlice, EncodedArrowBeside> = {
  rows: decodeArrowSlice,
  beside: ({ ids }) => ({ ids: ids && decodeArrowIds(ids) }),
};
