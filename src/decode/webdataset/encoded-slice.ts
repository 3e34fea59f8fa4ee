/** Samples of a tar on their way to a worker: stretches of the archive, as they are in the object. */
import type { ByteRange } from '../../store/store.js';
import type { Wanted } from '../decoder.js';
import type { TarShardLayout, TarStretch } from './layout.js';

/** Stretches that follow each other without a gap. */
export interface TarRun {
  /** Owns its buffer. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly startByte: number;
}

export interface EncodedTarSlice {
  readonly format: 'webdataset';
  /** For messages. */
  readonly uri: string;
  /** Places are those in the content of a compressed object. */
  readonly isContent: boolean;
  readonly runs: readonly TarRun[];
  /** The stretches in them, as the index has them, in ascending order; their samples are counted from the first one on. */
  readonly stretches: readonly TarStretch[];
  /** What the object was read in to have them: to be read anew, where they are damaged. */
  readonly ranges: readonly ByteRange[];
  /** The first run begins within a sample, which is of an earlier row. */
  readonly beginsWithin: boolean;
  /** The slice is rows [skipRows, skipRows + rows) of the samples that start in the runs. */
  readonly skipRows: number;
  readonly rows: number;
  readonly choice: TarShardLayout;
}

/** What is wanted beside the rows lies in the same stretches. */
export interface EncodedTarBeside {
  readonly format: 'webdataset';
  readonly slice: EncodedTarSlice;
  readonly wanted: Wanted;
  readonly ranges: readonly ByteRange[];
}
