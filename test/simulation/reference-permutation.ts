/** The order that a key gives, of the reference model, and arithmetic of lists. It shares no code with the product. */
import { createHash } from 'node:crypto';

export const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
/** Cut into parts of nearly one size. */
export const cut = <T>(all: readonly T[], parts: number): T[][] =>
  range(parts).map((i) => all.slice(Math.floor((i * all.length) / parts), Math.floor(((i + 1) * all.length) / parts)));

/** In the order that a key gives: eight Feistel rounds, walked until the value is in range. */
export function permuted<T>(key: readonly (string | number)[], all: readonly T[]): T[] {
  const words = createHash('sha256').update(JSON.stringify(key)).digest();
  const bits = Math.max(1, Math.ceil(Math.log2(all.length)));
  const [low, high] = [2 ** (bits >> 1), 2 ** (bits - (bits >> 1))];
  const mix = (word: number): number => {
    const a = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
    const b = Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
    return (b ^ (b >>> 16)) >>> 0;
  };
  const encrypt = (value: number): number => {
    let [left, right] = [Math.floor(value / low), value % low];
    for (const round of range(8)) {
      if (round % 2 === 0) left ^= mix(right ^ words.readUInt32LE(4 * round)) % high;
      else right ^= mix(left ^ words.readUInt32LE(4 * round)) % low;
    }
    return left * low + right < all.length ? left * low + right : encrypt(left * low + right);
  };
  return all.map((_, i) => all[encrypt(i)]);
}
