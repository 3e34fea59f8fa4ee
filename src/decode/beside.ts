/** What is read beside the rows of a slice. */
import type { Wanted } from './decoder.js';

export function hasBeside({ ids, fields, filter }: Wanted): boolean {
  return ids || fields || filter;
}
