/** The worker's half of files of token ids: there is next to nothing to do. */
import type { Rows } from '../decoder.js';
import { tokenIds } from '../integers.js';
import type { EncodedArraySlice } from './encoded-slice.js';

export function decodeArraySlice({ rows, type, bytes, bounds }: EncodedArraySlice): Rows {
  const { ids, idsBelow } = tokenIds(bytes, type);
  return {
    kind: 'tokens',
    count: rows,
    bounds: typeof bounds === 'number' ? evenBounds(rows, bounds, ids.length) : bounds,
    ids,
    valid: undefined,
    idsBelow,
  };
}

function evenBounds(rows: number, rowTokens: number, end: number): Int32Array {
  const bounds = new Int32Array(rows + 1);
  for (let row = 0; row <= rows; row++) bounds[row] = Math.min(end, row * rowTokens);
  return bounds;
}
