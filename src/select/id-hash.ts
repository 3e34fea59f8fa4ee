/** What stands for an id: 64 bits of SHA-256, under the key of a purpose. */
import { hash } from 'node:crypto';

/** Two words, the upper one first. */
export function hashId(key: string, id: string): readonly [upper: number, lower: number] {
  const hex = hash('sha256', key + id, 'hex');
  return [parseInt(hex.slice(0, 8), 16), parseInt(hex.slice(8, 16), 16)];
}
