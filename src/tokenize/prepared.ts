/**
 * A tokenizer that was read once, and that worker threads open without reading it again: the tables of the fast path are shared by all of them.
 *
 *   tokenizer.json ──prepareTokenizer (once)──▶ PreparedTokenizer ──posted──▶ openEncoder (in each thread)
 */
import { kernelRuns } from '../core/kernel.js';
import { compileBpe, NotCompilable } from './bpe/compile.js';
import { createKernelEncoder, type KernelSettings } from './bpe/kernel-encoder.js';
import { createKernelTables, fitsKernel, type KernelTables } from './bpe/kernel-tables.js';
import { createReferenceEncoder } from './bpe/reference-encoder.js';
import { scanTokenizerJson, type ScannedJson } from './bpe/scan-json.js';
import type { TokenizerJson } from './bpe/tokenizer-json.js';
import { createHuggingFaceEncoder } from './hugging-face.js';
import type { DocumentEncoder, TokenizerOptions } from './tokenizer.js';

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
    if (!kernelRuns('bpe') || !fitsKernel(compiled)) return { path: 'reference', bytes: shared(bytes), options };
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
      return createKernelEncoder(prepared.tables, prepared.settings);
    case 'reference': {
      const scanned = scanTokenizerJson(prepared.bytes);
      if (scanned === undefined) throw new Error('the file has changed since it was read');
      return createReferenceEncoder(compileBpe(JSON.parse(scanned.rest) as TokenizerJson, scanned, prepared.options));
    }
    case 'hugging-face': {
      const json = JSON.parse(Buffer.from(prepared.bytes).toString('utf8')) as TokenizerJson;
      return createHuggingFaceEncoder(json, prepared.options.specialTokens);
    }
  }
}
