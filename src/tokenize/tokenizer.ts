/** The interface of a tokenizer: UTF-8 of many documents in, ids of many documents out. */

/** Ids of documents, one after the other. */
export interface TokenizedDocuments {
  readonly ids: Int32Array;
  /** [documents + 1] positions into `ids`. */
  readonly bounds: Int32Array;
}

/** The part of a tokenizer that makes ids. */
export interface DocumentEncoder {
  /**
   * Tokenizes the documents `bytes[bounds[i] … bounds[i + 1]]`, without adding special tokens. What is no valid UTF-8 is read as U+FFFD, as WHATWG's
   * decoders and Python's `errors="replace"` do. The arrays of the answer are valid until the next call. Errors: `BAD_ROW` for a document too large.
   */
  encodeBatch(bytes: Uint8Array, bounds: Int32Array): TokenizedDocuments;
}

export interface Tokenizer extends DocumentEncoder {
  /** Ids are below this. */
  readonly vocabSize: number;
  /** SHA-256 (hex) of the file and of the options that determine the ids. */
  readonly fingerprint: string;
  /** What makes the ids: `kernel` (WebAssembly), `reference` (the same in TypeScript), `hugging-face` (the slow path). */
  readonly path: 'kernel' | 'reference' | 'hugging-face';
  /** Why it is the slow path. */
  readonly slowReason: string | undefined;
  /** Tokens marked special, by their text. */
  readonly specialTokens: ReadonlyMap<string, number>;
  /** The ids of one text. The caller owns them. A lone surrogate is read as U+FFFD. */
  encode(text: string): Int32Array;
  /** The text of ids, for people. */
  decode(ids: Int32Array): string;
  /** The id of a token given by its text; undefined where there is none. */
  tokenId(token: string): number | undefined;
}
