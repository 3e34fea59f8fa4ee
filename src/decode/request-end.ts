/** How far a request reaches beyond what is wanted at once. Pure. */
import { LIMITS } from '../config/limits.js';

/**
 * Where a request from `startByte` ends that has to reach `wantedEnd`, of bytes up to `lastByte` that will be wanted as well: it is not small, and leaves no
 * small rest, which would be a request of its own. `restBytesMin` 0: a rest of any size is left.
 */
export function requestEnd(startByte: number, wantedEnd: number, lastByte: number, restBytesMin: number = LIMITS.restBytesMin): number {
  const end = Math.max(wantedEnd, Math.min(lastByte, startByte + LIMITS.readAheadBytes));
  return lastByte - end < restBytesMin ? Math.max(end, lastByte) : end;
}
