/**
 * A row that became several documents: its tokens are those of all of them, one after the other, and a list says where each ends. A place in the row is still a
 * token of it, so that positions need to know nothing of its documents.
 *
 *   row    aaaaaaabbbcc      ends 7 10 12
 */

/** Which of the documents the token lies in. `ends`: ascending, the last one the number of tokens; `token` is below it. */
export function documentOfToken(ends: Int32Array, token: number): number {
  let low = 0;
  let high = ends.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ends[middle] > token) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Where the document ends that the token lies in. `ends` is undefined for a row that is one document of `tokens` tokens, maybe of none. */
export function endOfDocument(ends: Int32Array | undefined, token: number, tokens: number): number {
  return ends === undefined ? tokens : ends[documentOfToken(ends, token)];
}
