/** Finds the documents of a stream of token ids: each ends with the id that its writer put there. The worker's half of a scan. */
import { createHash } from 'node:crypto';
import type { DocumentEnds, DocumentEndsRequest } from '../decoder.js';
import { integersOf } from '../integers.js';

export function findDocumentEnds({ bytes, type, endId, digest }: DocumentEndsRequest): DocumentEnds {
  const ids = integersOf(bytes, type);
  const ends: number[] = [];
  const find: (from: number) => number =
    ids instanceof BigInt64Array || ids instanceof BigUint64Array
      ? (from) => ids.indexOf(BigInt(endId), from)
      : (from) => (ids as Uint16Array).indexOf(endId, from);
  for (let at = find(0); at >= 0; at = find(at + 1)) ends.push(at + 1);
  return { ends: Int32Array.from(ends), digest: digest ? createHash('sha256').update(bytes).digest('hex') : '' };
}
