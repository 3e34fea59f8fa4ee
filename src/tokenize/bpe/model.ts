/** The tokens and merges of a BPE model, as the encoders want them. */
import { BYTE_OF_CODE_POINT, CODE_POINT_OF_BYTE } from './byte-alphabet.js';
import type { ScannedJson } from './scan-json.js';
import type { BpeModelJson } from './tokenizer-json.js';
import type { Vocabulary } from './vocabulary.js';

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
}

/** A sentence says why the model is not of a kind that is compiled. */
export function readModel(json: BpeModelJson, { vocabulary, merges }: ScannedJson, style: BpeModel['style']): BpeModel | string {
  const wholeWords = json.ignore_merges === true;
  if (style === 'characters' && wholeWords) return 'its model takes whole words of marked text';
  if (style === 'characters' && json.byte_fallback !== true) return 'its model has no bytes for unknown characters';
  if (style === 'bytes' && json.byte_fallback === true) return 'its model has both a byte alphabet and a byte fallback';
  if (typeof merges === 'string') return `its merge ${merges} is not of its tokens`;
  const encoder = new TextEncoder();
  const idOf = (token: string): number => {
    const bytes = encoder.encode(token);
    return vocabulary.find(bytes, 0, bytes.length);
  };
  const byteIds = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    const token =
      style === 'bytes' ? String.fromCodePoint(CODE_POINT_OF_BYTE[byte]) : `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
    const id = idOf(token);
    // a character that is a token itself needs none
    if (id < 0 && !(style === 'characters' && byte < 0x80 && idOf(String.fromCharCode(byte)) >= 0))
      return `its vocabulary has no token for the byte ${byte}`;
    byteIds[byte] = Math.max(0, id);
  }
  const spaceId = style === 'characters' ? idOf('▁') : 0;
  if (spaceId < 0) return 'its vocabulary has no token for a space';
  return { style, ...tokensOf(vocabulary, style), merges, byteIds, spaceId, wholeWords };
}

/** The text of a token; '' where the id has none. */
export function tokenText({ tokenBytes, tokenPlaces }: BpeModel, id: number): string {
  const start = tokenPlaces[2 * id];
  return Buffer.from(tokenBytes.buffer, tokenBytes.byteOffset + start, tokenPlaces[2 * id + 1]).toString('utf8');
}

function tokensOf(vocabulary: Vocabulary, style: BpeModel['style']): Pick<BpeModel, 'idsEnd' | 'tokenBytes' | 'tokenPlaces'> {
  const { bytes, starts, ids, count, idsEnd } = vocabulary;
  const tokenPlaces = new Int32Array(2 * idsEnd);
  if (style === 'characters') {
    for (let token = 0; token < count; token++) {
      tokenPlaces[2 * ids[token]] = starts[token];
      tokenPlaces[2 * ids[token] + 1] = starts[token + 1] - starts[token];
    }
    return { idsEnd, tokenBytes: bytes, tokenPlaces };
  }
  const tokenBytes = new Uint8Array(bytes.length);
  let end = 0;
  for (let token = 0; token < count; token++) {
    const length = writeBytes(bytes, starts[token], starts[token + 1], tokenBytes, end);
    if (length < 0) continue;
    tokenPlaces[2 * ids[token]] = end;
    tokenPlaces[2 * ids[token] + 1] = length;
    end += length;
  }
  return { idsEnd, tokenBytes: tokenBytes.subarray(0, end), tokenPlaces };
}

/** From UTF-8 of the byte alphabet, whose characters are one or two bytes long, to the bytes they stand for; −1 where one stands for none. */
function writeBytes(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): number {
  let length = 0;
  for (let i = start; i < end; i++) {
    const lead = from[i];
    const point = lead < 0x80 ? lead : lead < 0xe0 ? ((lead & 0x1f) << 6) | (from[++i] & 0x3f) : NO_CODE_POINT;
    const byte = point < BYTE_OF_CODE_POINT.length ? BYTE_OF_CODE_POINT[point] : -1;
    if (byte < 0) return -1;
    to[at + length++] = byte;
  }
  return length;
}

const NO_CODE_POINT = 0x10ffff;
