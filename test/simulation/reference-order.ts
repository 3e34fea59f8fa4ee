/** Keyed orders in the reference, as docs/concepts.md has them. Shares no code with the product. */
import { createHash } from 'node:crypto';

export const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** The order that a key gives: entry i is the value at position i. Eight Feistel rounds, walked until the value is in range. */
export function permutation(key: readonly (string | number)[], size: number): number[] {
  const words = createHash('sha256').update(JSON.stringify(key)).digest();
  const bits = Math.max(1, Math.ceil(Math.log2(size)));
  const [low, high] = [2 ** (bits >> 1), 2 ** (bits - (bits >> 1))];
  const mix = (word: number): number => {
    const a = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
    const b = Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
    return (b ^ (b >>> 16)) >>> 0;
  };
  const encrypt = (value: number): number => {
    let [left, right] = [Math.floor(value / low), value % low];
    for (const round of range(8)) {
      const word = words.readUInt32LE(4 * round);
      if (round % 2 === 0) left ^= mix(right ^ word) % high;
      else right ^= mix(left ^ word) % low;
    }
    const next = left * low + right;
    return next < size ? next : encrypt(next);
  };
  return range(size).map(encrypt);
}
