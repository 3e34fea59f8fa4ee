/**
 * A tokenizer that was read once, and that worker threads open without reading it again: the tables of the fast path are shared by all of them.
 *
 *   tokenizer.json ──prepareTokenizer (once)──▶ PreparedTokenizer ──posted──▶ openEncoder (in each thread)
 */
import { isUtf8 } from 'node:buffer';
import { kernelsRun } from '../core/kernel.js';
import { compileBpe, NotCompilable } from './bpe/compile.js';
import { createKernelEncoder, type KernelSettings } from './bpe/kernel-encoder.js';
import { createKernelTables, fitsKernel, type KernelTables } from './bpe/kernel-tables.js';
import { createReferenceEncoder } from './bpe/reference-encoder.js';
import { scanTokenizerJson, type ScannedJson } from './bpe/scan-json.js';
import type { TokenizerJson } from './bpe/tokenizer-json.js';
import { createHuggingFaceEncoder } from './hugging-face.js';
import type { DocumentEncoder } from './tokenizer.js';

export interface TokenizerOptions {
  /**
   * `plain`: tokens marked special are text like any other, so that a document cannot bring control tokens with it. `match`: they become their ids.
   * Added tokens that are not marked special are matched either way. As the reference does with `encode_special_tokens`.
   */
  readonly specialTokens: 'plain' | 'match';
}

/** A `tokenizer.json`, read as far as this process needs it. */
export interface TokenizerSource {
  /** The whole file. */
  readonly bytes: Uint8Array;
  /** Its small parts. */
  readonly json: TokenizerJson;
  /** Its large ones; `undefined` where they are not a BPE model's. */
  readonly scanned: ScannedJson | undefined;
}

export type PreparedTokenizer =
  | { readonly path: 'kernel'; readonly tables: KernelTables; readonly settings: KernelSettings }
  | { readonly path: 'reference'; readonly bytes: Uint8Array; readonly options: TokenizerOptions }
  | { readonly path: 'hugging-face'; readonly bytes: Uint8Array; readonly options: TokenizerOptions; readonly reason: string };

/** Throws where the file is no tokenizer. */
export function prepareTokenizer({ bytes, json, scanned }: TokenizerSource, options: TokenizerOptions): PreparedTokenizer {
  try {
    if (scanned === undefined) throw new NotCompilable(`its model is ${json.model.type ?? 'of no known type'}`);
    const compiled = compileBpe(json, scanned, options);
    if (!kernelsRun() || !fitsKernel(compiled)) return { path: 'reference', bytes: shared(bytes), options };
    const { normalForm, matched } = compiled;
    return { path: 'kernel', tables: createKernelTables(compiled), settings: { normalForm, matched } };
  } catch (error) {
    if (!(error instanceof NotCompilable)) throw error;
    return { path: 'hugging-face', bytes: shared(bytes), options, reason: error.message };
  }
}

/** For all threads once. */
function shared(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

/** Throws what the Hugging Face package throws where it does not understand the file. */
export function openEncoder(prepared: PreparedTokenizer): DocumentEncoder {
  switch (prepared.path) {
    case 'kernel':
      return withReplacement(createKernelEncoder(prepared.tables, prepared.settings));
    case 'reference': {
      const scanned = scanTokenizerJson(prepared.bytes);
      if (scanned === undefined) throw new Error('the file has changed since it was read');
      return withReplacement(createReferenceEncoder(compileBpe(JSON.parse(scanned.rest) as TokenizerJson, scanned, prepared.options)));
    }
    case 'hugging-face': {
      const json = JSON.parse(Buffer.from(prepared.bytes).toString('utf8')) as TokenizerJson;
      return createHuggingFaceEncoder(json, prepared.options.specialTokens);
    }
  }
}

/** Gives an encoder that wants valid UTF-8 nothing else: a document that is not gets U+FFFD in the places that are not. */
function withReplacement(encoder: DocumentEncoder): DocumentEncoder {
  return {
    encodeBatch: (bytes, bounds) => {
      if (isValid(bytes, bounds)) return encoder.encodeBatch(bytes, bounds);
      const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
      const documents = Array.from({ length: bounds.length - 1 }, (_, i) =>
        Buffer.from(decoder.decode(bytes.subarray(bounds[i], bounds[i + 1])), 'utf8'),
      );
      const replacedBounds = new Int32Array(bounds.length);
      for (const [i, document] of documents.entries()) replacedBounds[i + 1] = replacedBounds[i] + document.length;
      return encoder.encodeBatch(Buffer.concat(documents), replacedBounds);
    },
  };
}

/** All of the bytes are valid, and no document starts within a character. */
function isValid(bytes: Uint8Array, bounds: Int32Array): boolean {
  const last = bounds.length - 1;
  if (!isUtf8(bytes.subarray(bounds[0], bounds[last]))) return false;
  for (let i = 1; i < last; i++) if (bounds[i] < bounds[last] && (bytes[bounds[i]] & 0xc0) === 0x80) return false;
  return true;
}
