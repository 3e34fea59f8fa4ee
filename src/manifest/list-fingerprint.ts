/** The fingerprint of a value with a long list in it, without its text in memory. */
import { createHash } from 'node:crypto';
import { canonicalJson, compareUtf8, type JsonValue } from '../core/canonical-json.js';

/** Text that is hashed at once. */
const PIECE_CHARACTERS = 64 * 1024;

/** The same as `fingerprint({...others, [name]: list})`. `list`: the canonical JSON of each of its values. */
export function fingerprintOfList(others: Readonly<Record<string, JsonValue>>, name: string, list: Iterable<string>): string {
  const hash = createHash('sha256');
  const [before, after] = partition(others, (key) => compareUtf8(key, name) < 0).map((part) => canonicalJson(part).slice(1, -1));
  let piece = `{${before}${before === '' ? '' : ','}${JSON.stringify(name)}:[`;
  let separator = '';
  for (const text of list) {
    piece += separator + text;
    separator = ',';
    if (piece.length < PIECE_CHARACTERS) continue;
    hash.update(piece);
    piece = '';
  }
  return hash.update(`${piece}]${after === '' ? '' : ','}${after}}`).digest('hex');
}

function partition(values: Readonly<Record<string, JsonValue>>, isFirst: (key: string) => boolean): Record<string, JsonValue>[] {
  const entries = Object.entries(values);
  return [true, false].map((first) => Object.fromEntries(entries.filter(([key]) => isFirst(key) === first)));
}
