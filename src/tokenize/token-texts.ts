/** From ids back to text, for people: what the file's decoder says. */
import { writeAlphabetBytes } from './bpe/byte-alphabet.js';
import { stepsOf, type TokenizerJson } from './bpe/tokenizer-json.js';

/** `undefined` where the decoder is of a kind that is not known here. */
export function createTokenTexts(json: TokenizerJson): ((ids: Int32Array) => string) | undefined {
  const steps = stepsOf(json.decoder, 'decoders').map((step) => step.type);
  const byteLevel = steps.length === 1 && steps[0] === 'ByteLevel';
  const marked = steps.includes('ByteFallback') && steps.every((type) => /^(Replace|ByteFallback|Fuse|Strip)$/.test(type));
  if (!byteLevel && !marked) return undefined;
  const added = new Map((json.added_tokens ?? []).map(({ id, content }) => [id, content]));
  const texts = new Map(Object.entries(json.model.vocab).map(([token, id]) => [id, token]));
  const encoder = new TextEncoder();

  const bytesOf = (id: number): Uint8Array => {
    const literal = added.get(id);
    if (literal !== undefined) return encoder.encode(literal);
    const token = texts.get(id) ?? '';
    if (byteLevel) {
      const bytes = new Uint8Array(token.length);
      return writeAlphabetBytes(token, bytes, 0) < 0 ? encoder.encode(token) : bytes;
    }
    const byte = /^<0x([0-9A-F]{2})>$/.exec(token);
    return byte === null ? encoder.encode(token.replaceAll('▁', ' ')) : Uint8Array.of(Number.parseInt(byte[1], 16));
  };

  return (ids) => {
    const text = Buffer.concat(Array.from(ids, bytesOf)).toString('utf8');
    // the space that a normalizer has put before the text
    return steps.includes('Strip') && text.startsWith(' ') ? text.slice(1) : text;
  };
}
