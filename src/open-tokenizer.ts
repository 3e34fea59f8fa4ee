/** A tokenizer for library users, from wherever its file is. */
import path from 'node:path';
import { openCompiledForms } from './cache/compiled-forms.js';
import { absoluteUri, parseStorage, type ConfigInput } from './config/config.js';
import { createStoreSet } from './store/open-store.js';
import { readWhole } from './store/read-whole.js';
import { shownUri } from './store/schemes.js';
import { parseTokenizer, parseTokenizerWith } from './tokenize/load-tokenizer.js';
import type { Tokenizer, TokenizerOptions } from './tokenize/tokenizer.js';

export interface LoadTokenizerOptions extends Partial<TokenizerOptions> {
  /** As in a configuration: where `s3://` is. */
  readonly storage?: ConfigInput['storage'];
  /**
   * Keeps the compiled form there, which is read several times as fast as the file; `cache.dir` of pipelines will do. Without, nothing is written. It can be
   * slow or gone, but never wrong: what cannot be read or written costs time, and `warn` hears of it once.
   */
  readonly cacheDir?: string;
  readonly warn?: (message: string, detail: Readonly<Record<string, string | number>>) => void;
  readonly signal?: AbortSignal;
}

/**
 * Loads a Hugging Face `tokenizer.json`: a path, a URI that a source may have, or the parsed content of one.
 * Errors: those of reading it, `CONFIG_INVALID` for its storage, `TOKENIZER_INVALID`, `ABORTED`.
 */
export async function loadTokenizer(source: string | object, options: LoadTokenizerOptions = {}): Promise<Tokenizer> {
  if (typeof source !== 'string') return parse(source, 'the given object', options);
  const uri = absoluteUri(source);
  const stores = createStoreSet(parseStorage(options.storage));
  try {
    const { store, path } = stores.open(uri);
    return await parse(await readWhole(store, path, options.signal && { signal: options.signal }), shownUri(uri), options);
  } finally {
    await stores.close();
  }
}

async function parse(source: Uint8Array | object, file: string, options: LoadTokenizerOptions): Promise<Tokenizer> {
  const { cacheDir, warn } = options;
  if (cacheDir === undefined) return parseTokenizer(source, file, options);
  const forms = openCompiledForms(path.resolve(cacheDir), warn);
  try {
    return await parseTokenizerWith(forms, source, file, options);
  } finally {
    await forms.close(); // when the form is written: the process may end with the answer
  }
}
