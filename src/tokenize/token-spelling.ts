/**
 * Which bytes of a text each of its tokens stands for: the tokens are spelt out, and laid beside the text. Exact where the tokenizer's tokens spell its text,
 * in a Unicode normal form or not, with spaces put before it or taken away beside special tokens; anything else is found out, and is no answer.
 *
 *   text     <|im_start|>assistant\nHi           boundary of a span: byte 23
 *   tokens   [<|im_start|>][assistant][\n][Hi]    ends: 12, 21, 22, 24
 */
import { normalize, type NormalForm } from './bpe/normal-form.js';
import { stepsOf } from './bpe/tokenizer-json.js';
import { tokenBytesOf } from './token-texts.js';
import type { TextSpan, TokenSpelling } from './tokenizer.js';
import type { TokenizerFile } from './tokenizer-file.js';

/** `undefined` where nothing says what the ids spell. */
export function spellingOf(file: TokenizerFile): TokenSpelling | undefined {
  const bytesOf = tokenBytesOf(file);
  if (bytesOf === undefined) return undefined;
  const tokens = Array.from({ length: file.vocabSize }, (_, id) => bytesOf(id));
  const bytes = new Uint8Array(new SharedArrayBuffer(tokens.reduce((sum, token) => sum + token.length, 0)));
  const ends = new Uint32Array(new SharedArrayBuffer(4 * tokens.length));
  let end = 0;
  for (const [id, token] of tokens.entries()) {
    bytes.set(token, end);
    ends[id] = end += token.length;
  }
  return { bytes, ends, normalForm: normalFormOf(file) };
}

function normalFormOf({ json }: TokenizerFile): NormalForm | undefined {
  return stepsOf(json.normalizer, 'normalizers')
    .map(({ type }) => type)
    .find((type): type is NormalForm => type === 'NFC' || type === 'NFKC');
}

/**
 * The tokens [first, end) that have a part in each span of the text, which ascend; `undefined` where the tokens do not spell the text. A token that begins before the span
 * and ends in it is one of them.
 */
export function tokensOfSpans(
  spelling: TokenSpelling,
  text: string,
  ids: Int32Array,
  spans: readonly TextSpan[],
): { readonly first: number; readonly end: number }[] | undefined {
  const { normalForm: form } = spelling;
  const byteOf = (position: number): number => {
    const before = text.slice(0, position);
    return Buffer.byteLength(form === undefined ? before : normalize(before, form));
  };
  const ends = tokenEnds(spelling, Buffer.from(form === undefined ? text : normalize(text, form)), ids);
  if (ends === undefined) return undefined;
  return spans.map(({ start, end }) => {
    if (start === end) return { first: 0, end: 0 };
    const [startByte, endByte] = [byteOf(start), byteOf(end)];
    let first = 0;
    while (first < ids.length && ends[first] <= startByte) first++;
    let last = first;
    while (last < ids.length && (last === 0 ? 0 : ends[last - 1]) < endByte) last++;
    return { first, end: last };
  });
}

const SPACE = 0x20;

/** The byte of the text at which each token ends. */
function tokenEnds({ bytes, ends }: TokenSpelling, text: Uint8Array, ids: Int32Array): Int32Array | undefined {
  const found = new Int32Array(ids.length);
  let at = 0;
  for (const [i, id] of ids.entries()) {
    for (let from = id === 0 ? 0 : ends[id - 1]; from < ends[id]; from++) {
      const isSame = text[at] === bytes[from];
      if (isSame) at++;
      else if (bytes[from] === SPACE)
        continue; // put before the text
      else {
        const eaten = skipSpace(text, at);
        if (eaten === at || text[eaten] !== bytes[from]) return undefined;
        // a special token has eaten it
        if (i > 0) found[i - 1] = eaten;
        at = eaten + 1;
      }
    }
    found[i] = at;
  }
  const end = skipSpace(text, at);
  if (end !== text.length) return undefined;
  if (ids.length > 0) found[ids.length - 1] = end;
  return found;
}

function skipSpace(text: Uint8Array, from: number): number {
  let at = from;
  while (at < text.length && (text[at] === SPACE || (text[at] >= 0x09 && text[at] <= 0x0d))) at++;
  return at;
}
