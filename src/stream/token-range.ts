/** Which token ids a sequence may hold. */
import type { TokenArray } from '../core/sequence.js';

/** Position of the first id that is not from 0 to `idsEnd` − 1; −1: there is none. */
export function firstOutOfRange(ids: TokenArray, idsEnd: number): number {
  // without a branch an id: the sign bit of `bad` is set by any id below 0 or above the last
  let bad = 0;
  for (let i = 0; i < ids.length; i++) bad |= ids[i] | (idsEnd - 1 - ids[i]);
  return bad < 0 ? ids.findIndex((id) => id < 0 || id >= idsEnd) : -1;
}
