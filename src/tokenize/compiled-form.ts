/**
 * A prepared tokenizer as one run of bytes, to be kept between runs: reading it is a copy of its tables into the memory that threads share.
 *
 *   words │ tables, as they lie in memory │ tokens: starts, ids │ their text │ the small parts of the file, as JSON
 *
 * It holds what it was made of under a key that names all that it depends on. Whoever keeps it sees to it that what is read is what was written.
 */
import { kernelDigest, kernelRuns } from '../core/kernel.js';
import { VERSION } from '../core/version.js';
import { matchedTokens } from './bpe/compile.js';
import { restoreKernelTables, tablesImage } from './bpe/kernel-tables.js';
import type { TokenizerJson } from './bpe/tokenizer-json.js';
import { createVocabulary } from './bpe/vocabulary.js';
import type { PreparedTokenizer, TokenizerSource } from './prepared.js';
import { scannedFile, type TokenizerFile } from './tokenizer-file.js';
import type { TokenizerOptions } from './tokenizer.js';

/** Of the layout here and of the tables: raise it when either changes. A test tells. */
export const COMPILED_VERSION = 3;

/** A tokenizer's file, and what threads open. */
export interface ReadyTokenizer extends TokenizerFile {
  readonly prepared: PreparedTokenizer;
}

/** Words of 4 bytes: descriptor, normal form, and the lengths of the parts. */
const HEAD_WORDS = 16;
const NORMAL_FORMS = ['none', 'NFC', 'NFKC'] as const;

/** What a form depends on: the file and its options (`tokenizerFingerprint`), this program, its kernel. `undefined` where the kernel does not run: then there is none. */
export function compiledKey(fingerprint: string): string | undefined {
  return kernelRuns('bpe') ? JSON.stringify(['tokenizer', fingerprint, COMPILED_VERSION, VERSION, kernelDigest('bpe')]) : undefined;
}

/** `undefined` where there is nothing to gain: the other paths read the file in each thread. */
export function writeCompiled({ scanned }: TokenizerSource, prepared: PreparedTokenizer): Uint8Array | undefined {
  if (prepared.path !== 'kernel' || scanned === undefined) return undefined;
  const { vocabulary, rest } = scanned;
  const { tables, settings } = prepared;
  const parts = [tablesImage(tables), vocabulary.starts, vocabulary.ids, vocabulary.bytes, Buffer.from(rest)];
  const form = new Uint8Array(4 * HEAD_WORDS + parts.reduce((sum, part) => sum + part.byteLength, 0));
  const lengths = [parts[0].byteLength, vocabulary.count, parts[3].byteLength, parts[4].byteLength];
  new Uint32Array(form.buffer, 0, HEAD_WORDS).set([tables.descriptor, NORMAL_FORMS.indexOf(settings.normalForm), ...lengths]);
  let at = 4 * HEAD_WORDS;
  for (const part of parts) {
    form.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at);
    at += part.byteLength;
  }
  return form;
}

/** `form` is the only view of its buffer, and lives on in the answer. `undefined` where it is none. */
export function readCompiled(form: Uint8Array, options: TokenizerOptions): ReadyTokenizer | undefined {
  if (form.length < 4 * HEAD_WORDS) return undefined;
  const [descriptor, normalForm, imageBytes, count, textBytes, restBytes] = new Uint32Array(form.buffer, 0, HEAD_WORDS);
  const imageAt = 4 * HEAD_WORDS;
  const startsAt = imageAt + imageBytes;
  const idsAt = startsAt + 4 * (count + 1);
  const textAt = idsAt + 4 * count;
  const restAt = textAt + textBytes;
  if (restAt + restBytes !== form.length || imageBytes % 4 !== 0 || normalForm >= NORMAL_FORMS.length) return undefined;
  const tables = restoreKernelTables(form.subarray(imageAt, startsAt), descriptor);
  if (tables === undefined) return undefined;
  const starts = new Int32Array(form.buffer, startsAt, count + 1);
  const vocabulary = createVocabulary(form.subarray(textAt, restAt), starts, new Int32Array(form.buffer, idsAt, count));
  const json = JSON.parse(Buffer.from(form.buffer, restAt).toString('utf8')) as TokenizerJson;
  const settings = { normalForm: NORMAL_FORMS[normalForm], matched: matchedTokens(json, options) };
  return { ...scannedFile(json, vocabulary), prepared: { path: 'kernel', tables, settings } };
}
