/** The interface of packing: how the documents of one window become sequences of equal length. Stateless: a position says all. */
import type { SequenceWriter } from './sequence-writer.js';

/** The documents of a window, in the order in which they are packed. */
export interface DocumentSource {
  readonly count: number;
  /** A document's tokens, with what is appended to them; empty where the row is skipped. The view is valid until the next call. */
  tokens(document: number): Int32Array;
}

/** The place of the next token to be packed. `document` = `count`: the window is used up. */
export interface PackPosition {
  readonly document: number;
  readonly token: number;
}

export interface Packer {
  /** Writes sequences until the writer is full or the documents are used up, and says where it stopped. Loses no token. */
  pack(documents: DocumentSource, from: PackPosition, writer: SequenceWriter): PackPosition;
}
