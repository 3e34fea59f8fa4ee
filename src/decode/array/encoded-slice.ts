/** A slice of a file of token ids on its way to a worker: the bytes of its rows, one after the other. */
import type { ByteRange } from '../../store/store.js';
import type { FetchedRows } from '../decoder.js';
import type { IntegerType } from '../integers.js';

export interface EncodedArraySlice {
  readonly format: 'array';
  /** For messages. */
  readonly uri: string;
  readonly rows: number;
  readonly type: IntegerType;
  /** Owns its buffer. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** [rows + 1] positions of ids; or so many ids a row (the last one may have fewer). Owns its buffer. */
  readonly bounds: Int32Array<ArrayBuffer> | number;
  /** What the object was read in to have them. */
  readonly ranges: readonly ByteRange[];
}

/** There is nothing beside the ids. */
export function rowsOnly(slice: EncodedArraySlice): FetchedRows {
  return { slice, beside: undefined };
}

export const NOTHING: FetchedRows = { slice: undefined, beside: undefined };
