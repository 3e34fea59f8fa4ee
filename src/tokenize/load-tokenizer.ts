/** From the bytes of a `tokenizer.json` to a tokenizer, and to its end-of-sequence token. */
import { createHash } from 'node:crypto';
import { LIMITS } from '../config/limits.js';
import { HeadraceError, messageOf } from '../core/errors.js';
import { nearestNames } from '../core/nearest-name.js';
import { toValidUtf8 } from '../core/utf8.js';
import { compiledKey, readCompiled, writeCompiled, type ReadyTokenizer } from './compiled-form.js';
import { openHuggingFace } from './hugging-face.js';
import { openEncoder, prepareTokenizer, type PreparedTokenizer, type TokenizerSource } from './prepared.js';
import { createTokenTexts } from './token-texts.js';
import { invalidTokenizer, readTokenizerFile } from './tokenizer-file.js';
import type { DocumentEncoder, TokenizedDocuments, Tokenizer, TokenizerOptions } from './tokenizer.js';

/** End-of-sequence tokens of the common model families, in no order: a file must hold exactly one of them to be understood without being told. */
const WELL_KNOWN_EOS = ['<|endoftext|>', '</s>', '<|end_of_text|>', '<eos>', '<｜end▁of▁sentence｜>', '<|eos|>'];

/** SHA-256 (hex) of what determines the ids: the file, and how special tokens are taken. */
export function tokenizerFingerprint(bytes: Uint8Array, { specialTokens }: TokenizerOptions): string {
  return createHash('sha256').update(bytes).update(specialTokens).digest('hex');
}

/** Where compiled forms are kept between runs. It answers what was put under a key, or nothing: never anything else. */
export interface CompiledForms {
  /** The caller owns the array, which is the only view of its buffer. Errors: `ABORTED`. */
  get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined>;
  /** Nobody changes `form` any more. */
  put(key: string, form: Uint8Array): void;
}

/** A `tokenizer.json` that is to be compiled. */
export interface TokenizerSourceFile {
  readonly bytes: Uint8Array;
  /** For messages. */
  readonly file: string;
  readonly options: TokenizerOptions;
}

/**
 * Compiles a file elsewhere, in an idle thread: it takes some 200 ms. `undefined`: it cannot, or the file has no compiled form. The caller owns the array,
 * which is the only view of its buffer. Errors: `TOKENIZER_INVALID`, `ABORTED`.
 */
export type CompileElsewhere = (source: TokenizerSourceFile, signal?: AbortSignal) => Promise<Uint8Array | undefined>;

export interface TokenizerRequest extends TokenizerSourceFile {
  readonly forms: CompiledForms | undefined;
  readonly compile?: CompileElsewhere | undefined;
  /** Told when its compiled form was found, or is being made elsewhere: once, or not at all. */
  readonly onBegun?: (() => void) | undefined;
}

/** Makes a tokenizer ready to be opened in any thread: from its compiled form, or from the file, whose compiled form is then kept. Errors: `TOKENIZER_INVALID`, `ABORTED`. */
export async function readyTokenizer(
  request: TokenizerRequest,
  signal?: AbortSignal,
): Promise<ReadyTokenizer & { readonly fingerprint: string }> {
  const { bytes, file, options, forms, compile, onBegun } = request;
  const fingerprint = tokenizerFingerprint(bytes, options);
  const key = forms && compiledKey(fingerprint);
  if (key !== undefined) {
    const kept = await forms?.get(key, signal);
    const known = kept && readCompiled(kept, options);
    const making = known === undefined ? compile?.({ bytes, file, options }, signal) : undefined;
    onBegun?.();
    if (known !== undefined) return { ...known, fingerprint };
    const form = await making;
    const compiled = form && readCompiled(form, options);
    if (form !== undefined && compiled !== undefined) {
      forms?.put(key, form);
      return { ...compiled, fingerprint };
    }
  }
  const read = readTokenizerFile(bytes, file);
  const prepared = prepareTokenizerFile(read, file, options);
  const made = key === undefined ? undefined : writeCompiled(read, prepared);
  if (key !== undefined && made !== undefined) forms?.put(key, made);
  return { ...read, prepared, fingerprint };
}

/** `undefined`: see `writeCompiled`. Errors: `TOKENIZER_INVALID`. */
export function compileTokenizer({ bytes, file, options }: TokenizerSourceFile): Uint8Array | undefined {
  const read = readTokenizerFile(bytes, file);
  return writeCompiled(read, prepareTokenizerFile(read, file, options));
}

function prepareTokenizerFile(source: TokenizerSource, file: string, options: TokenizerOptions): PreparedTokenizer {
  try {
    return prepareTokenizer(source, options);
  } catch (error) {
    throw invalidTokenizer(file, messageOf(error), error);
  }
}

/** Opens it in this thread. Errors: `TOKENIZER_INVALID`. */
export function openPreparedTokenizer(prepared: PreparedTokenizer, file: string): DocumentEncoder {
  try {
    return openEncoder(prepared);
  } catch (error) {
    throw error instanceof HeadraceError ? error : invalidTokenizer(file, messageOf(error), error);
  }
}

/** A tokenizer from the bytes of a `tokenizer.json`, or from its parsed content. `file` is for messages. Errors: `TOKENIZER_INVALID`. */
export function parseTokenizer(source: Uint8Array | object, file: string, options: Partial<TokenizerOptions> = {}): Tokenizer {
  const settings = withDefaults(options);
  const bytes = bytesOf(source);
  const read = readTokenizerFile(bytes, file);
  const prepared = prepareTokenizerFile(read, file, settings);
  return createTokenizer({ ...read, prepared }, { bytes, file, fingerprint: tokenizerFingerprint(bytes, settings) });
}

/** The same, by way of the compiled form. Errors: `TOKENIZER_INVALID`, `ABORTED`. */
export async function parseTokenizerWith(
  forms: CompiledForms,
  source: Uint8Array | object,
  file: string,
  { signal, ...options }: Partial<TokenizerOptions> & { readonly signal?: AbortSignal | undefined } = {},
): Promise<Tokenizer> {
  const bytes = bytesOf(source);
  const ready = await readyTokenizer({ bytes, file, options: withDefaults(options), forms }, signal);
  return createTokenizer(ready, { bytes, file, fingerprint: ready.fingerprint });
}

function withDefaults({ specialTokens = 'plain' }: Partial<TokenizerOptions>): TokenizerOptions {
  return { specialTokens };
}

function bytesOf(source: Uint8Array | object): Uint8Array {
  return source instanceof Uint8Array ? source : Buffer.from(JSON.stringify(source), 'utf8');
}

interface Origin {
  readonly bytes: Uint8Array;
  readonly file: string;
  readonly fingerprint: string;
}

function createTokenizer(ready: ReadyTokenizer, { bytes, file, fingerprint }: Origin): Tokenizer {
  const { json, vocabSize, tokenId, prepared } = ready;
  const encoder = openPreparedTokenizer(prepared, file);
  let texts: ((ids: Int32Array) => string) | undefined;
  const utf8 = new TextEncoder();
  return {
    vocabSize,
    fingerprint,
    path: prepared.path,
    slowReason: prepared.path === 'hugging-face' ? prepared.reason : undefined,
    specialTokens: new Map((json.added_tokens ?? []).filter(({ special }) => special).map(({ content, id }) => [content, id])),
    tokenId,
    encodeBatch: (bytes, bounds) => encodeAny(encoder, bytes, bounds),
    encode: (text) => {
      const bytes = utf8.encode(text);
      return encodeAny(encoder, bytes, Int32Array.of(0, bytes.length)).ids.slice();
    },
    decode: (ids) => {
      texts ??= createTokenTexts(ready) ?? decodeWithHuggingFace(bytes);
      return texts(ids);
    },
  };
}

/** Encodes what may not be valid, or too large. Errors: `BAD_ROW`. */
function encodeAny(encoder: DocumentEncoder, bytes: Uint8Array, bounds: Int32Array): TokenizedDocuments {
  const documents = Array.from({ length: bounds.length - 1 }, (_, i) => bytes.subarray(bounds[i], bounds[i + 1]));
  const valid = documents.map(toValidUtf8);
  const large = valid.findIndex((document) => document.length > LIMITS.documentBytesMax);
  if (large !== -1) {
    throw new HeadraceError(
      'BAD_ROW',
      `document ${large} has ${valid[large].length} bytes; a document has at most ${LIMITS.documentBytesMax}`,
      {
        detail: { document: large, bytes: valid[large].length, bytesMax: LIMITS.documentBytesMax },
        hint: 'Split the document.',
      },
    );
  }
  if (valid.every((document, i) => document === documents[i])) return encoder.encodeBatch(bytes, bounds);
  const validBounds = new Int32Array(bounds.length);
  for (const [i, document] of valid.entries()) validBounds[i + 1] = validBounds[i] + document.length;
  return encoder.encodeBatch(Buffer.concat(valid), validBounds);
}

function decodeWithHuggingFace(bytes: Uint8Array): (ids: Int32Array) => string {
  const tokenizer = openHuggingFace(JSON.parse(Buffer.from(bytes).toString('utf8')) as object);
  return (ids) => tokenizer.decode(Array.from(ids), { skip_special_tokens: false, clean_up_tokenization_spaces: false });
}

export interface EosRequest {
  /** The configuration's word. */
  readonly configured: string | undefined;
  /** Bytes of the `tokenizer_config.json` beside the file, where there is one. */
  readonly tokenizerConfig: Uint8Array | undefined;
  readonly file: string;
}

/** The id that ends a document. Errors: `TOKENIZER_INVALID`. */
export function findEosId(tokenizer: Pick<Tokenizer, 'tokenId'>, { configured, tokenizerConfig, file }: EosRequest): number {
  if (configured !== undefined) {
    const id = tokenizer.tokenId(configured);
    if (id !== undefined) return id;
    const near = nearestNames(
      configured,
      WELL_KNOWN_EOS.filter((token) => tokenizer.tokenId(token) !== undefined),
    );
    throw invalidTokenizer(
      file,
      `it has no token ${JSON.stringify(configured)}, which tokenizer.eos names${near.length > 0 ? ` (it has ${near.join(', ')})` : ''}`,
    );
  }
  const declared = declaredEos(tokenizerConfig);
  const declaredId = declared === undefined ? undefined : tokenizer.tokenId(declared);
  if (declaredId !== undefined) return declaredId;
  const known = WELL_KNOWN_EOS.flatMap((token) => tokenizer.tokenId(token) ?? []);
  if (known.length === 1) return known[0];
  throw new HeadraceError('TOKENIZER_INVALID', `cannot tell which token of ${file} ends a document`, {
    detail: { file },
    hint: 'Set tokenizer.eos to the text of the token, or tokenizer.append to none.',
  });
}

/** `eos_token` of a tokenizer_config.json: a string, or an object with `content`. */
function declaredEos(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch {
    return undefined; // a neighbour that is no JSON is no statement about this tokenizer
  }
  const token = typeof json === 'object' && json !== null && 'eos_token' in json ? json.eos_token : undefined;
  const content = typeof token === 'object' && token !== null && 'content' in token ? token.content : token;
  return typeof content === 'string' ? content : undefined;
}
