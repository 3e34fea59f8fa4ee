/**
 * Open sequences by the room that is left in them: the one with the least room that is enough, in a few steps whatever their number.
 *
 *   room        1  2  3 … 40 …            levels[0]: bit r, some sequence has r tokens of room
 *   sequences   ·  ·  7 …  2              levels[k]: bit w, word w of the level below is not 0
 *                     └▶ 4 └▶ 9           lists of equal room, the last that came first
 *
 * Sizes come decreasing and rooms are small integers, so words of 32 bits take the place of a search tree; Ding et al. (see fit-pieces.ts) use a segment tree
 * over the same integers.
 */
const NONE = -1;

export class RoomTable {
  readonly #levels: readonly Uint32Array[];
  readonly #first: Int32Array;
  readonly #next: Int32Array;

  constructor(roomMax: number, sequencesMax: number) {
    const levels: Uint32Array[] = [];
    for (let bits = roomMax + 1; levels.length === 0 || bits > 1;) {
      bits = Math.ceil(bits / 32);
      levels.push(new Uint32Array(bits));
    }
    this.#levels = levels;
    this.#first = new Int32Array(roomMax + 1).fill(NONE);
    this.#next = new Int32Array(sequencesMax);
  }

  add(sequence: number, room: number): void {
    if (this.#first[room] === NONE) for (let level = 0, at = room; level < this.#levels.length; level++, at >>>= 5) this.#set(level, at);
    this.#next[sequence] = this.#first[room];
    this.#first[room] = sequence;
  }

  /** The least room that is at least `size`; −1 where no sequence has as much. */
  leastRoom(size: number): number {
    let at = size;
    for (let level = 0; level < this.#levels.length; level++) {
      const bits = this.#levels[level];
      const word = at >>> 5;
      if (word >= bits.length) return NONE;
      const found = (bits[word] & (-1 << (at & 31))) >>> 0;
      if (found !== 0) return this.#descend(level, 32 * word + lowestBit(found));
      at = word + 1;
    }
    return NONE;
  }

  /** Takes a sequence of exactly this room, which there is. */
  take(room: number): number {
    const sequence = this.#first[room];
    this.#first[room] = this.#next[sequence];
    if (this.#first[room] !== NONE) return sequence;
    for (let level = 0, at = room; level < this.#levels.length; level++, at >>>= 5) {
      const bits = this.#levels[level];
      bits[at >>> 5] &= ~(1 << (at & 31));
      if (bits[at >>> 5] !== 0) break;
    }
    return sequence;
  }

  #set(level: number, at: number): void {
    this.#levels[level][at >>> 5] |= 1 << (at & 31);
  }

  /** From a bit of a level to the lowest bit of level 0 that is below it. */
  #descend(level: number, at: number): number {
    let bit = at;
    for (let below = level - 1; below >= 0; below--) bit = 32 * bit + lowestBit(this.#levels[below][bit]);
    return bit;
  }
}

function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}
