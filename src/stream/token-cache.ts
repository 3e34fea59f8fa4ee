/** What the main thread asks the token cache: whether it has the tokens of a slice, and under which key it wants them. */
import { VERSION } from '../core/version.js';
import type { Need } from '../core/need.js';
import type { Shard } from '../core/shard.js';
import type { SliceTokens } from './messages.js';
import { readUsableEntry, TOKEN_ENTRY_VERSION } from './token-entry.js';

/** The part of the local cache that it is asked of. */
export interface KeptBytes {
  /** The caller owns the array, which is the only view of its buffer. Errors: `ABORTED`. */
  get(key: string, signal?: AbortSignal, need?: Need): Promise<Uint8Array | undefined>;
}

/** Of rows [startRow, endRow) of a shard, which a key names. */
export interface TokenLookup {
  /** What they are kept under. */
  keyOf(shard: Shard, startRow: number, endRow: number): string;
  /** Of so many rows, by their key. Undefined: the cache has nothing, and wants nothing. Errors: `ABORTED`. */
  find(key: string, rows: number, signal: AbortSignal, need?: Need): Promise<SliceTokens | undefined>;
}

export interface TokenLookupOptions {
  readonly cache: KeptBytes;
  readonly column: string;
  /** See `tokenizerFingerprint`. */
  readonly tokenizer: string;
  readonly invalidUtf8: 'error' | 'replace';
  readonly badRows: 'fail' | 'skip';
  /** Whether tokens that it does not have are wanted: a stream that takes few rows would have to tokenize all of them. */
  readonly wanted: boolean;
}

/**
 * The key names all that the tokens depend on: the object, its version, the rows, the tokenizer, what is taken for text; and the program, since a
 * release may mend a tokenizer. What is excluded, held out or filtered is not in it: an entry has the tokens of all rows of its slice.
 */
export function createTokenLookup({ cache, column, tokenizer, invalidUtf8, badRows, wanted }: TokenLookupOptions): TokenLookup {
  const keyOf: TokenLookup['keyOf'] = ({ uri, etag, contentId }, startRow, endRow) =>
    JSON.stringify(['tokens', uri, etag, startRow, endRow, column, contentId, tokenizer, invalidUtf8, TOKEN_ENTRY_VERSION, VERSION]);
  return {
    keyOf,
    find: async (key, rows, signal, need) => {
      const entry = await cache.get(key, signal, need);
      if (entry !== undefined && readUsableEntry(entry, rows, badRows) !== undefined) return { kind: 'kept', entry };
      return wanted ? { kind: 'wanted', key } : undefined;
    },
  };
}
