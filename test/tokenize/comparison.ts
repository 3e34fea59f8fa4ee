/** Compares ids of the product with the reference's, document by document, and says where they part. */
import type { TokenizedDocuments } from '../../src/tokenize/tokenizer.js';
import type { Documents } from './documents.js';
import type { TokenizerFile } from './tokenizers.js';

/** Tokens before the first that differs, and from it on, that a report shows. */
const TOKENS_BEFORE = 3;
const TOKENS_AFTER = 8;
/** Bytes of text on either side of it. */
const TEXT_BYTES = 60;

export interface Answers {
  readonly expected: TokenizedDocuments;
  readonly actual: TokenizedDocuments;
}

/** The documents whose ids differ. */
export function differingDocuments({ expected, actual }: Answers): number[] {
  if (expected.bounds.length !== actual.bounds.length) {
    throw new Error(`${actual.bounds.length - 1} documents came back, not ${expected.bounds.length - 1}`);
  }
  if (actual.bounds[0] !== 0 || actual.bounds[actual.bounds.length - 1] !== actual.ids.length) {
    throw new Error(`the bounds go from ${actual.bounds[0]} to ${String(actual.bounds.at(-1))}, and there are ${actual.ids.length} ids`);
  }
  const differing: number[] = [];
  for (let i = 0; i < expected.bounds.length - 1; i++) if (firstDifference(expected, actual, i) !== -1) differing.push(i);
  return differing;
}

/** The position of the first token that differs in a document; −1 where none does. */
function firstDifference(expected: TokenizedDocuments, actual: TokenizedDocuments, document: number): number {
  const expectedStart = expected.bounds[document];
  const actualStart = actual.bounds[document];
  const expectedLength = expected.bounds[document + 1] - expectedStart;
  const actualLength = actual.bounds[document + 1] - actualStart;
  const shared = Math.min(expectedLength, actualLength);
  for (let i = 0; i < shared; i++) if (expected.ids[expectedStart + i] !== actual.ids[actualStart + i]) return i;
  return expectedLength === actualLength ? -1 : shared;
}

/** A few lines about a document whose ids differ: the text where they part, and the tokens there. */
export function describeDifference(file: TokenizerFile, { bytes, bounds }: Documents, answers: Answers, document: number): string {
  const { expected, actual } = answers;
  const token = firstDifference(expected, actual, document);
  const idsFrom = (answer: TokenizedDocuments, start: number, end: number): Int32Array => {
    const first = answer.bounds[document];
    const last = answer.bounds[document + 1];
    return answer.ids.subarray(Math.min(last, first + start), Math.min(last, first + end));
  };
  const text = bytes.subarray(bounds[document], bounds[document + 1]);
  let byte = 0;
  for (const id of idsFrom(expected, 0, token)) byte += textBytes(file, id);
  const before = characterStart(text, byte - TEXT_BYTES);
  const at = characterStart(text, byte);
  const after = characterStart(text, byte + TEXT_BYTES);
  const quoted = (start: number, end: number): string => JSON.stringify(Buffer.from(text.subarray(start, end)).toString('utf8'));
  const listed = (answer: TokenizedDocuments): string =>
    Array.from(idsFrom(answer, Math.max(0, token - TOKENS_BEFORE), token + TOKENS_AFTER), (id) => nameOf(file, id)).join(' ');
  return [
    `document of ${text.length} bytes, from byte ${before}${byte > text.length ? ' (about)' : ''}: ${quoted(before, at)} │ ${quoted(at, after)}`,
    `  token ${token} differs; from token ${Math.max(0, token - TOKENS_BEFORE)} on`,
    `  expected (${expected.bounds[document + 1] - expected.bounds[document]} tokens): ${listed(expected)}`,
    `  actual   (${actual.bounds[document + 1] - actual.bounds[document]} tokens): ${listed(actual)}`,
    ...(text.length <= 2 * TEXT_BYTES ? [`  bytes: ${Buffer.from(text).toString('hex')}`] : []),
  ].join('\n');
}

function nameOf({ tokens }: TokenizerFile, id: number): string {
  return `${id} ${JSON.stringify(tokens[id] ?? null)}`;
}

/** How many bytes of the document a token stands for: near enough to find the place, where a normalizer changed lengths. */
function textBytes({ tokens, added, byteLevel }: TokenizerFile, id: number): number {
  const token = tokens[id] ?? '';
  if (added.some((one) => one.id === id)) return Buffer.byteLength(token);
  if (byteLevel) return token.length;
  return /^<0x[0-9A-F]{2}>$/.test(token) ? 1 : Buffer.byteLength(token.replaceAll('▁', ' '));
}

/** The position, not after `position`, at which a character starts. */
function characterStart(text: Uint8Array, position: number): number {
  let start = Math.max(0, Math.min(text.length, position));
  while (start > 0 && start < text.length && (text[start] & 0xc0) === 0x80) start--;
  return start;
}
