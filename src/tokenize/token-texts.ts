/** From ids back to text, for people: what the file's decoder says. */
import { BYTE_OF_CODE_POINT } from './bpe/byte-alphabet.js';
import { stepsOf } from './bpe/tokenizer-json.js';
import type { TokenizerFile } from './tokenizer-file.js';

/** `undefined` where the decoder is of a kind that is not known here. */
export function createTokenTexts(file: TokenizerFile): ((ids: Int32Array) => string) | undefined {
  const bytesOf = tokenBytesOf(file);
  if (bytesOf === undefined) return undefined;
  const strips = stepsOf(file.json.decoder, 'decoders').some(({ type }) => type === 'Strip');
  return (ids) => {
    const text = Buffer.concat(Array.from(ids, bytesOf)).toString('utf8');
    // the space that a normalizer has put before the text
    return strips && text.startsWith(' ') ? text.slice(1) : text;
  };
}

/** The bytes of text that an id stands for. `undefined` where the decoder is of a kind that is not known here. */
export function tokenBytesOf({ json, vocabulary }: TokenizerFile): ((id: number) => Uint8Array) | undefined {
  const steps = stepsOf(json.decoder, 'decoders').map((step) => step.type);
  const byteLevel = steps.length === 1 && steps[0] === 'ByteLevel';
  const marked = steps.includes('ByteFallback') && steps.every((type) => /^(Replace|ByteFallback|Fuse|Strip)$/.test(type));
  if (vocabulary === undefined || (!byteLevel && !marked)) return undefined;
  const { bytes: tokens, starts, ids, count } = vocabulary;
  const added = new Map((json.added_tokens ?? []).map(({ id, content }) => [id, content]));
  const places = new Map(Array.from({ length: count }, (_, token) => [ids[token], token]));
  const encoder = new TextEncoder();

  return (id) => {
    const literal = added.get(id);
    // runs of spaces, which some vocabularies list among the added tokens as they write them
    if (literal !== undefined) return encoder.encode(marked && /^▁+$/.test(literal) ? literal.replaceAll('▁', ' ') : literal);
    const place = places.get(id);
    const token = place === undefined ? '' : Buffer.from(tokens.subarray(starts[place], starts[place + 1])).toString('utf8');
    if (byteLevel) return bytesOfAlphabet(token) ?? encoder.encode(token);
    const byte = /^<0x([0-9A-F]{2})>$/.exec(token);
    return byte === null ? encoder.encode(token.replaceAll('▁', ' ')) : Uint8Array.of(Number.parseInt(byte[1], 16));
  };
}

/** `undefined` where the token is not written in the alphabet, which has no character of two UTF-16 units. */
function bytesOfAlphabet(token: string): Uint8Array | undefined {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = BYTE_OF_CODE_POINT.at(token.charCodeAt(i)) ?? -1;
    if (byte < 0) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}
