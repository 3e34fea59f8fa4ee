/** The tokens of a vocabulary by their UTF-8, without a string for each: a file of 256,000 tokens is read in a fraction of a second. */

export interface Vocabulary {
  readonly count: number;
  /** Ids are below this. */
  readonly idsEnd: number;
  /** The tokens as the file writes them, one after the other; token i is `bytes[starts[i] … starts[i + 1]]`. */
  readonly bytes: Uint8Array;
  /** [count + 1] */
  readonly starts: Int32Array;
  /** [count] */
  readonly ids: Int32Array;
  /** The id of the token with these bytes; −1 where there is none. */
  find(bytes: Uint8Array, start: number, end: number): number;
}

/** `starts` has one entry more than there are tokens. Of equal tokens the last one counts, as in JSON. */
export function createVocabulary(bytes: Uint8Array, starts: Int32Array, ids: Int32Array): Vocabulary {
  const count = ids.length;
  const same = (token: number, text: Uint8Array, start: number, end: number): boolean => {
    const from = starts[token];
    if (starts[token + 1] - from !== end - start) return false;
    for (let i = start; i < end; i++) if (bytes[from + i - start] !== text[i]) return false;
    return true;
  };
  // open addressing, at most half full: a slot holds a token's number + 1
  const mask = 2 ** Math.ceil(Math.log2(2 * count + 2)) - 1;
  let slots: Int32Array | undefined;
  const slotOf = (table: Int32Array, text: Uint8Array, start: number, end: number): number => {
    let hash = 0x811c9dc5;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ text[i], 0x01000193);
    hash ^= hash >>> 15;
    let slot = hash & mask;
    while (table[slot] !== 0 && !same(table[slot] - 1, text, start, end)) slot = (slot + 1) & mask;
    return slot;
  };
  const fill = (): Int32Array => {
    const table = new Int32Array(mask + 1);
    for (let token = 0; token < count; token++) table[slotOf(table, bytes, starts[token], starts[token + 1])] = token + 1;
    return table;
  };
  let idsEnd = 0;
  for (const id of ids) if (id >= idsEnd) idsEnd = id + 1;
  return {
    count,
    idsEnd,
    bytes,
    starts,
    ids,
    find: (text, start, end) => {
      slots ??= fill(); // a tokenizer from its compiled form asks for no token, or for a few
      const token = slots[slotOf(slots, text, start, end)] - 1;
      return token < 0 ? -1 : ids[token];
    },
  };
}
