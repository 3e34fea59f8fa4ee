/** Reads the tokens and merges of a BPE model into arrays. */
import { writeAlphabetBytes, CODE_POINT_OF_BYTE } from './byte-alphabet.js';
import type { BpeModelJson } from './tokenizer-json.js';

export interface BpeModel {
  /** Symbols before merging: bytes, or characters, with bytes where a character is no token. */
  readonly style: 'bytes' | 'characters';
  /** Ids of the model's own tokens are below this. */
  readonly idsEnd: number;
  /** The tokens' bytes, one after the other, and by id where: [idsEnd × 2] start and length; length 0 where an id has no token, or one that is no bytes. */
  readonly tokenBytes: Uint8Array;
  readonly tokenPlaces: Int32Array;
  /** [merges × 3] left, right, merged, by rank. */
  readonly merges: Int32Array;
  /** [256] the id of each byte. */
  readonly byteIds: Int32Array;
  /** Of U+2581, for characters. */
  readonly spaceId: number;
  /** A pretoken that is a token is that token, whatever the merges would make of it. */
  readonly wholeWords: boolean;
  /** What the merges make; for characters only. */
  readonly mergedTokens: readonly string[];
}

/** A sentence says why the model is not of a kind that is compiled. */
export function readModel(json: BpeModelJson, style: BpeModel['style']): BpeModel | string {
  const vocabulary = new Map(Object.entries(json.vocab));
  const wholeWords = json.ignore_merges === true;
  if (style === 'characters' && wholeWords) return 'its model takes whole words of marked text';
  if (style === 'characters' && json.byte_fallback !== true) return 'its model has no bytes for unknown characters';
  if (style === 'bytes' && json.byte_fallback === true) return 'its model has both a byte alphabet and a byte fallback';
  const byteIds = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    const token =
      style === 'bytes' ? String.fromCodePoint(CODE_POINT_OF_BYTE[byte]) : `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
    const id = vocabulary.get(token);
    // a character that is a token itself needs none
    if (id === undefined && !(style === 'characters' && byte < 0x80 && vocabulary.has(String.fromCharCode(byte))))
      return `its vocabulary has no token for the byte ${byte}`;
    byteIds[byte] = id ?? 0;
  }
  const spaceId = style === 'characters' ? vocabulary.get('▁') : 0;
  if (spaceId === undefined) return 'its vocabulary has no token for a space';

  const merges = new Int32Array(json.merges.length * 3);
  const mergedTokens: string[] = [];
  for (const [rank, merge] of json.merges.entries()) {
    const [left, right] = typeof merge === 'string' ? partsOf(merge) : merge;
    const merged = left + right;
    const leftId = vocabulary.get(left);
    const rightId = vocabulary.get(right);
    const mergedId = vocabulary.get(merged);
    if (leftId === undefined || rightId === undefined || mergedId === undefined)
      return `its merge ${JSON.stringify(merge)} is not of its tokens`;
    merges[3 * rank] = leftId;
    merges[3 * rank + 1] = rightId;
    merges[3 * rank + 2] = mergedId;
    if (style === 'characters') mergedTokens.push(merged);
  }
  return { style, ...readTokens(vocabulary, style), merges, byteIds, spaceId, wholeWords, mergedTokens };
}

function partsOf(merge: string): readonly [string, string] {
  const space = merge.indexOf(' ');
  return [merge.slice(0, space), merge.slice(space + 1)];
}

function readTokens(
  vocabulary: ReadonlyMap<string, number>,
  style: BpeModel['style'],
): Pick<BpeModel, 'idsEnd' | 'tokenBytes' | 'tokenPlaces'> {
  let idsEnd = 0;
  let size = 0;
  for (const [token, id] of vocabulary) {
    idsEnd = Math.max(idsEnd, id + 1);
    size += token.length;
  }
  // a UTF-16 unit is at most 3 bytes; a character of the byte alphabet is one
  const tokenBytes = new Uint8Array(style === 'bytes' ? size : 3 * size);
  const tokenPlaces = new Int32Array(2 * idsEnd);
  const encoder = new TextEncoder();
  let at = 0;
  for (const [token, id] of vocabulary) {
    const length =
      style === 'bytes' ? writeAlphabetBytes(token, tokenBytes, at) : encoder.encodeInto(token, tokenBytes.subarray(at)).written;
    if (length < 0) continue;
    tokenPlaces[2 * id] = at;
    tokenPlaces[2 * id + 1] = length;
    at += length;
  }
  return { idsEnd, tokenBytes: tokenBytes.subarray(0, at), tokenPlaces };
}
