/** Lines in, rows and columns out. */
import type { WorkerHalf } from '../decoder.js';
import { decodeLineBeside } from './decode-beside.js';
import { decodeLineSlice } from './decode-slice.js';
import type { EncodedLineBeside, EncodedLineSlice } from './encoded-slice.js';

export const linesHalf: WorkerHalf<EncodedLineSlice, EncodedLineBeside> = {
  rows: decodeLineSlice,
  beside: ({ slice, wanted }) => decodeLineBeside(slice, wanted),
};
