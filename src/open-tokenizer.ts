/** A tokenizer for library users, from wherever its file is. */
import { absoluteUri, parseStorage, type ConfigInput } from './config/config.js';
import { createStoreSet } from './store/open-store.js';
import { readWhole } from './store/read-whole.js';
import { shownUri } from './store/schemes.js';
import { parseTokenizer } from './tokenize/load-tokenizer.js';
import type { Tokenizer, TokenizerOptions } from './tokenize/tokenizer.js';

export interface LoadTokenizerOptions extends Partial<TokenizerOptions> {
  /** As in a configuration: where `s3://` is. */
  readonly storage?: ConfigInput['storage'];
  readonly signal?: AbortSignal;
}

/**
 * Loads a Hugging Face `tokenizer.json`: a path, a URI that a source may have, or the parsed content of one.
 * Errors: those of reading it, `CONFIG_INVALID` for its storage, `TOKENIZER_INVALID`.
 */
export async function loadTokenizer(source: string | object, options: LoadTokenizerOptions = {}): Promise<Tokenizer> {
  if (typeof source !== 'string') return parseTokenizer(source, 'the given object', options);
  const uri = absoluteUri(source);
  const stores = createStoreSet(parseStorage(options.storage));
  try {
    const { store, path } = stores.open(uri);
    return parseTokenizer(await readWhole(store, path, options.signal && { signal: options.signal }), shownUri(uri), options);
  } finally {
    await stores.close();
  }
}
