/** What a `tokenizer.json` says without tokenizing anything: its small parts, its tokens, and their ids. */
import { HeadraceError, messageOf } from '../core/errors.js';
import { scanTokenizerJson } from './bpe/scan-json.js';
import type { TokenizerJson } from './bpe/tokenizer-json.js';
import type { Vocabulary } from './bpe/vocabulary.js';
import type { TokenizerSource } from './prepared.js';

export interface TokenizerFile {
  readonly json: TokenizerJson;
  /** `undefined` where it is not a BPE model's. */
  readonly vocabulary: Vocabulary | undefined;
  /** Ids are below this. */
  readonly vocabSize: number;
  readonly tokenId: (token: string) => number | undefined;
}

/** `file` is for messages. Errors: `TOKENIZER_INVALID`. */
export function readTokenizerFile(bytes: Uint8Array, file: string): TokenizerFile & TokenizerSource {
  const scanned = scanTokenizerJson(bytes);
  let json: unknown;
  try {
    json = JSON.parse(scanned?.rest ?? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (error) {
    throw invalidTokenizer(file, `it is not JSON (${messageOf(error)})`, error);
  }
  if (typeof json !== 'object' || json === null || !('model' in json) || typeof json.model !== 'object' || json.model === null) {
    throw invalidTokenizer(file, 'it has no "model"');
  }
  const { model } = json;
  if (!('vocab' in model) || typeof model.vocab !== 'object' || model.vocab === null)
    throw invalidTokenizer(file, 'its model has no "vocab"');
  const small = json as TokenizerJson;
  const read = scanned === undefined ? describeTokens(small, listedTokens(model.vocab)) : scannedFile(small, scanned.vocabulary);
  return { ...read, bytes, scanned };
}

/** Of a BPE model. */
export function scannedFile(json: TokenizerJson, vocabulary: Vocabulary): TokenizerFile {
  return { ...describeTokens(json, scannedTokens(vocabulary)), vocabulary };
}

function describeTokens(json: TokenizerJson, own: Tokens): TokenizerFile {
  const added = new Map((json.added_tokens ?? []).map(({ content, id }) => [content, id]));
  let vocabSize = own.idsEnd;
  for (const id of added.values()) vocabSize = Math.max(vocabSize, id + 1);
  return { json, vocabulary: undefined, vocabSize, tokenId: (token) => added.get(token) ?? own.find(token) };
}

interface Tokens {
  readonly idsEnd: number;
  readonly find: (token: string) => number | undefined;
}

function scannedTokens(vocabulary: Vocabulary): Tokens {
  return {
    idsEnd: vocabulary.idsEnd,
    find: (token) => {
      const bytes = Buffer.from(token, 'utf8');
      const id = vocabulary.find(bytes, 0, bytes.length);
      return id < 0 ? undefined : id;
    },
  };
}

/** Unigram models list [token, score] pairs, whose places are the ids; WordPiece and WordLevel have an object. */
function listedTokens(vocab: object): Tokens {
  const pairs: readonly (readonly [string, number])[] = Array.isArray(vocab)
    ? (vocab as readonly (readonly [string, number])[]).map(([token], id) => [token, id])
    : Object.entries(vocab as Readonly<Record<string, number>>);
  const ids = new Map(pairs);
  let idsEnd = 0;
  for (const id of ids.values()) idsEnd = Math.max(idsEnd, id + 1);
  return { idsEnd, find: (token) => ids.get(token) };
}

export function invalidTokenizer(file: string, problem: string, cause?: unknown): HeadraceError {
  return new HeadraceError('TOKENIZER_INVALID', `${file} is not a usable tokenizer: ${problem}`, {
    detail: { file },
    hint: 'Point tokenizer.file at the tokenizer.json of a Hugging Face tokenizer.',
    cause,
  });
}
