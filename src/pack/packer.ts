/** The interface of packing: how the documents of one window become sequences of equal length. A position says all; nothing else is remembered. */
import type { TokenArray } from '../core/sequence.js';
import type { SequenceWriter } from './sequence-writer.js';

/** The documents of a window, in the order in which they are packed: a row is one, unless a transform made several of it. */
export interface DocumentSource {
  readonly count: number;
  /** A document's tokens, with what is appended to them; empty where the row is skipped. The view is valid until the next call. */
  tokens(document: number): TokenArray;
  /** Of a row that became several documents: where each of them ends in these tokens, ascending. Undefined: it is one. Valid until the next call. */
  ends?(document: number): Int32Array | undefined;
  /** The row as samples: none where it is left out, and one, unless a transform made several of it. Only `samples` asks, and only for it a source needs an answer. */
  samples?(document: number): readonly Sample[];
}

export interface Sample {
  /** As of `tokens`; undefined where the source serves none. */
  readonly tokens: TokenArray | undefined;
  /** Where these begin in the tokens of the row; without tokens, which of the row's samples it is. */
  readonly tokenStart: number;
  /** The bytes of each field, in order of name. Views that are valid until the next call. */
  readonly fields: readonly Uint8Array[];
}

/**
 * Where packing goes on. `document` = `count`: the window is used up.
 *
 * - one document after the other (`concat`, `pad`, `none`): the document and the token of it that come next
 * - `samples`: the document that comes next, and how many samples of it are done
 * - `best-fit`: the first document of a packing group, and how many sequences of that group are done
 */
export interface PackPosition {
  readonly document: number;
  readonly token: number;
}

export interface Packer {
  /**
   * Writes sequences until the writer is full or the documents are used up, and says where it stopped: what follows from there is the same for every
   * packer, whatever this one was asked before. Each token of a document is in one sequence, unless it is given to `writer.drop`.
   */
  pack(documents: DocumentSource, from: PackPosition, writer: SequenceWriter): PackPosition;
}
