/** A tokenizer for library users, from wherever its file is. */
import { parseConfig, type ConfigInput } from './config/config.js';
import { createStoreSet } from './store/open-store.js';
import { parseTokenizer } from './tokenize/load-tokenizer.js';
import type { TokenizerOptions } from './tokenize/prepared.js';
import type { Tokenizer } from './tokenize/tokenizer.js';

export interface LoadTokenizerOptions extends Partial<TokenizerOptions> {
  /** As in a configuration: where `s3://` is. */
  readonly storage?: ConfigInput['storage'];
  readonly signal?: AbortSignal;
}

/**
 * Loads a Hugging Face `tokenizer.json`: a path, a URI that a source may have, or the parsed content of one.
 * Errors: those of reading it, `TOKENIZER_INVALID`.
 */
export async function loadTokenizer(source: string | object, options: LoadTokenizerOptions = {}): Promise<Tokenizer> {
  if (typeof source !== 'string') return parseTokenizer(source, 'the given object', options);
  // a configuration of this file only: it checks the storage, and makes relative paths absolute
  const { storage, sources } = parseConfig({
    sources: { tokenizer: { uri: source, tokens: 'none' } },
    ...(options.storage !== undefined && { storage: options.storage }),
  });
  const [uri] = sources[0].uris;
  const stores = createStoreSet(storage);
  try {
    const { store, path } = stores.open(uri);
    const signal = options.signal && { signal: options.signal };
    const { size, etag } = await store.head(path, signal);
    const bytes = await store.read(path, { startByte: 0, endByte: size }, { ...signal, ifMatch: etag });
    return parseTokenizer(bytes, uri, options);
  } finally {
    await stores.close();
  }
}
