/** The interface of a tokenizer: UTF-8 of many documents in, ids of many documents out. */

/** Ids of documents, one after the other. */
export interface TokenizedDocuments {
  readonly ids: Int32Array;
  /** [documents + 1] positions into `ids`. */
  readonly bounds: Int32Array;
}

export interface Tokenizer {
  /** Ids are below this. */
  readonly vocabSize: number;
  /**
   * Tokenizes the documents `bytes[bounds[i] … bounds[i + 1]]`, without adding special tokens. The documents must be valid UTF-8.
   * The arrays of the answer are valid until the next call.
   */
  encodeBatch(bytes: Uint8Array, bounds: Int32Array): TokenizedDocuments;
  /** The text of ids, for people. */
  decode(ids: Int32Array): string;
  /** The id of a token given by its text; undefined where there is none. */
  tokenId(token: string): number | undefined;
}
