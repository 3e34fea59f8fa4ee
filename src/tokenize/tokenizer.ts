/** The interface of a tokenizer: UTF-8 of many documents in, ids of many documents out. */

/** Ids of documents, one after the other. */
export interface TokenizedDocuments {
  readonly ids: Int32Array;
  /** [documents + 1] positions into `ids`. */
  readonly bounds: Int32Array;
}

/** What determines the ids besides the file. */
export interface TokenizerOptions {
  /**
   * `plain`: tokens marked special are text like any other, so that a document cannot bring control tokens with it. `match`: they become their ids.
   * Added tokens that are not marked special are matched either way. As the reference does with `encode_special_tokens`.
   */
  readonly specialTokens: 'plain' | 'match';
}

/** The part of a tokenizer that makes ids. */
export interface DocumentEncoder {
  /**
   * Tokenizes the documents `bytes[bounds[i] … bounds[i + 1]]`, which are valid UTF-8 of at most `LIMITS.documentBytesMax` each, without adding special
   * tokens. The arrays of the answer are valid until the next call. Errors: `WORKER_FAILED` where memory is used up.
   */
  encodeBatch(bytes: Uint8Array, bounds: Int32Array): TokenizedDocuments;
}

export interface Tokenizer {
  /**
   * As of `DocumentEncoder`, for any bytes: what is no valid UTF-8 is read as U+FFFD, as WHATWG's decoders and Python's `errors="replace"` do.
   * Errors: `BAD_ROW` for a document too large.
   */
  encodeBatch(bytes: Uint8Array, bounds: Int32Array): TokenizedDocuments;
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

/** Half-open, in UTF-16 units of a text. */
export interface TextSpan {
  readonly start: number;
  readonly end: number;
}

/** What ids spell; shared by all threads. */
export interface TokenSpelling {
  /** Bytes of id i: [ends[i − 1], ends[i]). */
  readonly bytes: Uint8Array;
  readonly ends: Uint32Array;
  readonly normalForm: 'NFC' | 'NFKC' | undefined;
}
