/**
 * A keyed permutation of [0, size): any position in O(1), without a table, so that a plan over a million shards starts at once.
 *
 *   index ──split──▶ left | right ──8 Feistel rounds──▶ left' | right' ──join──▶ value      value ≥ size: again ("cycle walking")
 *
 * Source: Black and Rogaway, "Ciphers with Arbitrary Finite Domains" (CT-RSA 2002), sections 3 (cycle walking) and 5 (generalised Feistel);
 * the round function is the finaliser of MurmurHash3 (Appleby, public domain). It mixes; it is no cryptography.
 */
import type { Key } from './keyed-random.js';

export interface Permutation {
  readonly size: number;
  /** The value at `index`; both in [0, size). */
  at(index: number): number;
  /** The index whose value is `value`: the inverse. */
  indexOf(value: number): number;
}

/** Of the Feistel network: one for each word of a key. */
const ROUNDS = 8;
/** Halves of at most 26 bits keep every product exact in a double; 2^52 positions are more than any data set has. */
const SIZE_MAX = 2 ** 52;

export function createPermutation(key: Key, size: number): Permutation {
  if (!Number.isSafeInteger(size) || size < 0 || size > SIZE_MAX) throw new RangeError(`a permutation of ${size} positions`);
  const bits = bitsFor(size);
  const rightBits = bits >>> 1;
  const leftMask = 2 ** (bits - rightBits) - 1;
  const rightMask = 2 ** rightBits - 1;
  const rightSize = 2 ** rightBits;
  const [k0, k1, k2, k3, k4, k5, k6, k7] = key; // ROUNDS of them

  const at = (index: number): number => {
    if (!(index >= 0 && index < size)) throw new RangeError(`position ${index} of a permutation of ${size}`);
    let value = index;
    do {
      let left = Math.floor(value / rightSize);
      let right = value - left * rightSize;
      left ^= mix(right ^ k0) & leftMask;
      right ^= mix(left ^ k1) & rightMask;
      left ^= mix(right ^ k2) & leftMask;
      right ^= mix(left ^ k3) & rightMask;
      left ^= mix(right ^ k4) & leftMask;
      right ^= mix(left ^ k5) & rightMask;
      left ^= mix(right ^ k6) & leftMask;
      right ^= mix(left ^ k7) & rightMask;
      value = left * rightSize + right;
    } while (value >= size);
    return value;
  };
  const indexOf = (value: number): number => {
    if (!(value >= 0 && value < size)) throw new RangeError(`value ${value} of a permutation of ${size}`);
    let index = value;
    do {
      let left = Math.floor(index / rightSize);
      let right = index - left * rightSize;
      // the rounds of `at` backwards; asked for a few times a group, so that they need not be written out
      for (let round = ROUNDS - 2; round >= 0; round -= 2) {
        right ^= mix(left ^ key[round + 1]) & rightMask;
        left ^= mix(right ^ key[round]) & leftMask;
      }
      index = left * rightSize + right;
    } while (index >= size);
    return index;
  };
  return { size, at, indexOf };
}

/** The order without a shuffle. */
export function identityPermutation(size: number): Permutation {
  return { size, at: (index) => index, indexOf: (value) => value };
}

/** Smallest b ≥ 1 with 2^b ≥ size: the domain is less than twice too large, so cycle walking takes less than two rounds on average. */
function bitsFor(size: number): number {
  let bits = 1;
  while (2 ** bits < size) bits++;
  return bits;
}

/** 32 bits of which each depends on all 32 of the word. */
export function mix(word: number): number {
  let h = word;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
