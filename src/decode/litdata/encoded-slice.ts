/** Samples of a chunk of litData on their way to a worker: the bytes of each, one after the other. */
import type { ByteRange } from '../../store/store.js';
import type { Wanted } from '../decoder.js';
import type { LitdataSamplesLayout } from './layout.js';

export interface EncodedLitdataSlice {
  readonly format: 'litdata';
  /** For messages. */
  readonly uri: string;
  readonly rows: number;
  /** Row and byte of the first of them in the chunk. For messages. */
  readonly startRow: number;
  readonly startByte: number;
  /** Owns its buffer. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** [rows + 1] positions in `bytes`. Owns its buffer. */
  readonly bounds: Int32Array<ArrayBuffer>;
  /** Each sample is compressed by itself. */
  readonly isCompressed: boolean;
  readonly wanted: LitdataSamplesLayout;
  /** What the object was read in to have them. */
  readonly ranges: readonly ByteRange[];
}

/** What is wanted beside the rows lies in the same bytes. */
export interface EncodedLitdataBeside {
  readonly format: 'litdata';
  readonly slice: EncodedLitdataSlice;
  readonly wanted: Wanted;
  readonly ranges: readonly ByteRange[];
}
