/** From the bytes of a `tokenizer.json` to a tokenizer, and to its end-of-sequence token. */
import { createHash } from 'node:crypto';
import { HeadraceError, messageOf } from '../core/errors.js';
import { nearestNames } from '../core/nearest-name.js';
import { createHuggingFaceTokenizer } from './hugging-face.js';
import type { Tokenizer } from './tokenizer.js';

/** End-of-sequence tokens of the common model families, in no order: a file must hold exactly one of them to be understood without being told. */
const WELL_KNOWN_EOS = ['<|endoftext|>', '</s>', '<|end_of_text|>', '<eos>', '<｜end▁of▁sentence｜>', '<|eos|>'];

/** SHA-256 of the file: what the plan calls this tokenizer. */
export function tokenizerFingerprint(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** `file` is for messages. Errors: `TOKENIZER_INVALID`. */
export function parseTokenizer(bytes: Uint8Array, file: string): Tokenizer {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (error) {
    throw invalid(file, `it is not JSON (${messageOf(error)})`, error);
  }
  if (typeof json !== 'object' || json === null || !('model' in json) || typeof json.model !== 'object') {
    throw invalid(file, 'it has no "model"');
  }
  try {
    return createHuggingFaceTokenizer(json);
  } catch (error) {
    throw invalid(file, messageOf(error), error);
  }
}

export interface EosRequest {
  /** The configuration's word. */
  readonly configured: string | undefined;
  /** Bytes of the `tokenizer_config.json` beside the file, where there is one. */
  readonly tokenizerConfig: Uint8Array | undefined;
  readonly file: string;
}

/** The id that ends a document. Errors: `TOKENIZER_INVALID`. */
export function findEosId(tokenizer: Tokenizer, { configured, tokenizerConfig, file }: EosRequest): number {
  if (configured !== undefined) {
    const id = tokenizer.tokenId(configured);
    if (id !== undefined) return id;
    const near = nearestNames(
      configured,
      WELL_KNOWN_EOS.filter((token) => tokenizer.tokenId(token) !== undefined),
    );
    throw invalid(
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

function invalid(file: string, problem: string, cause?: unknown): HeadraceError {
  return new HeadraceError('TOKENIZER_INVALID', `${file} is not a usable tokenizer: ${problem}`, {
    detail: { file },
    hint: 'Point tokenizer.file at the tokenizer.json of a Hugging Face tokenizer.',
    cause,
  });
}
