/** All randomness of headrace: keys derived from names and numbers. There is no generator with a state. */
import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical-json.js';

/** Eight 32-bit words. */
export type Key = Uint32Array;

/** The key of a purpose, as SHA-256 over the canonical JSON of its parts: `deriveKey('blocks', seed, source, epoch)`. */
export function deriveKey(...parts: readonly (string | number)[]): Key {
  const digest = createHash('sha256').update(canonicalJson(parts)).digest();
  const key = new Uint32Array(8);
  for (let i = 0; i < 8; i++) key[i] = digest.readUInt32LE(4 * i);
  return key;
}
