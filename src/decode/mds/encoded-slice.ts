/** Samples of an MDS shard on their way to a worker, as they are in it: all columns. */
import type { ByteRange } from '../../store/store.js';
import type { Wanted } from '../decoder.js';
import type { MdsShardLayout } from './layout.js';

export interface EncodedMdsSlice {
  readonly format: 'mds';
  /** For messages. */
  readonly uri: string;
  /** Of the first sample, for messages: in the shard, and in its content. */
  readonly startRow: number;
  readonly startByte: number;
  readonly rows: number;
  /** Owns its buffer. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** [rows + 1] positions in the bytes. Owns its buffer. */
  readonly bounds: Int32Array<ArrayBuffer>;
  /** What the object was read in to have them: to be read anew, where they are damaged. */
  readonly ranges: readonly ByteRange[];
  readonly wanted: MdsShardLayout;
}

/** What is wanted beside the rows lies in the same bytes. */
export interface EncodedMdsBeside {
  readonly format: 'mds';
  readonly slice: EncodedMdsSlice;
  readonly wanted: Wanted;
  readonly ranges: readonly ByteRange[];
}
