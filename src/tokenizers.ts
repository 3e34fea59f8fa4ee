/** The tokenizer of a configuration, read and made ready for the workers, and which tokens of its sources are kept. */
import type { Config, SourceConfig, TokenizerConfig } from './config/config.js';
import { canonicalJson } from './core/canonical-json.js';
import { HeadraceError } from './core/errors.js';
import type { RowSelection } from './select/selection.js';
import type { StoreSet } from './store/open-store.js';
import { readWhole } from './store/read-whole.js';
import { shownUri } from './store/schemes.js';
import type { TokenizerSettings } from './stream/messages.js';
import { createTokenLookup, type KeptBytes, type TokenLookup } from './stream/token-cache.js';
import { idBytesOf } from './stream/token-entry.js';
import { findEosId, readyTokenizer, type TokenizerRequest } from './tokenize/load-tokenizer.js';
import type { PreparedTokenizer } from './tokenize/prepared.js';

/** A tokenizer's file, read and made ready for the workers. */
export interface LoadedTokenizer {
  readonly file: string;
  readonly fingerprint: string;
  readonly prepared: PreparedTokenizer;
  readonly vocabSize: number;
  readonly eosId: number | undefined;
  readonly append: 'eos' | 'none';
  readonly invalidUtf8: 'error' | 'replace';
}

/**
 * `onBegun`: told, once or not at all, when this thread has nothing to do for the tokenizer: it waits for its bytes, for another thread, or has it. Errors:
 * those of stores, `TOKENIZER_INVALID`.
 */
export async function readTokenizer(
  config: TokenizerConfig,
  stores: StoreSet,
  { forms, compile, onBegun }: Pick<TokenizerRequest, 'forms' | 'compile' | 'onBegun'>,
  signal?: AbortSignal,
): Promise<LoadedTokenizer> {
  const options = signal && { signal };
  const { append, eos, invalidUtf8, specialTokens } = config;
  const file = shownUri(config.file);
  const { store, path } = stores.open(config.file);
  const isNear = store.uri.startsWith('file:');
  if (!isNear) onBegun?.();
  const bytes = await readWhole(store, path, options);
  const neighbour = `${path.slice(0, path.lastIndexOf('/') + 1)}tokenizer_config.json`;
  const tokenizerConfig = await readWhole(store, neighbour, options).catch((error: unknown) => {
    if (error instanceof HeadraceError && (error.code === 'STORE_NOT_FOUND' || error.code === 'STORE_DENIED')) return undefined;
    throw error;
  });
  const ready = await readyTokenizer(
    { bytes, file, options: { specialTokens }, forms, compile, onBegun: isNear ? onBegun : undefined },
    signal,
  );
  const { fingerprint, prepared, vocabSize } = ready;
  const eosId = append === 'none' && eos === undefined ? undefined : findEosId(ready, { configured: eos, tokenizerConfig, file });
  return { file, fingerprint, prepared, vocabSize, eosId, append, invalidUtf8 };
}

/** Appended to each document of text. */
export function appendIdOf({ append, eosId }: LoadedTokenizer): number | undefined {
  return append === 'eos' ? eosId : undefined;
}

export function workerTokenizer(tokenizer: LoadedTokenizer): TokenizerSettings {
  const { prepared, file, invalidUtf8, vocabSize } = tokenizer;
  return { prepared, file, appendId: appendIdOf(tokenizer), invalidUtf8, idBytes: idBytesOf(vocabSize) };
}

/** Whether the tokens of a source are kept, where `cache.tokens` is set: of text as it lies. */
export function keepsTokens({ localCache, tokenizer, sequence }: Config, { kind }: SourceConfig): boolean {
  if (localCache?.tokens !== true || tokenizer === undefined || kind !== 'text') return false;
  return sequence.packing.kind !== 'samples'; // what takes long of a sample is its fields
}

export interface TokenLookupParts {
  readonly config: Config;
  readonly cache: KeptBytes | undefined;
  readonly tokenizer: LoadedTokenizer | undefined;
}

/** Of a source whose tokens are kept. Validation takes what training has kept, and tokenizes no more than its own documents. */
export function tokenLookup(
  { config, cache, tokenizer }: TokenLookupParts,
  source: SourceConfig,
  selection: RowSelection | undefined,
): TokenLookup | undefined {
  if (cache === undefined || tokenizer === undefined || !keepsTokens(config, source)) return undefined;
  const { column, options } = source;
  const { fingerprint, invalidUtf8 } = tokenizer;
  return createTokenLookup({
    cache,
    column: options === undefined ? column : canonicalJson([column, options]),
    tokenizer: fingerprint,
    invalidUtf8,
    badRows: config.badRows,
    wanted: selection?.split !== 'validation',
  });
}
