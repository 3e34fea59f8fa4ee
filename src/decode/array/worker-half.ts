/** Files of token ids have nothing beside these. */
import type { WorkerHalf } from '../decoder.js';
import { decodeArraySlice } from './decode-slice.js';
import type { EncodedArraySlice } from './encoded-slice.js';

export const arrayHalf: WorkerHalf<EncodedArraySlice, never> = {
  rows: decodeArraySlice,
  beside: (nothing) => nothing,
};
