/** A batch as arrays: what is built from sequences, sent over the wire, and given to the trainer. */

import type { BatchFields } from './fields.js';

/** The arrays of a batch; see docs/wire.md. The caller owns them. */
export interface BatchArrays {
  readonly rows: number;
  readonly length: number;
  /** Tokens that are not padding. */
  readonly tokens: number;
  /** SHA-256 (hex) over the digests of its sequences, in order. */
  readonly digest: string;
  /** [rows × length]; of samples without tokens none, and their `length` is 1. */
  readonly inputIds: Int32Array<ArrayBuffer>;
  /** [rows × length]: 1 where a token counts for the loss, 0 on padding. */
  readonly lossMask: Uint8Array<ArrayBuffer>;
  /** `false`: `lossMask` is 1 throughout. */
  readonly isMasked: boolean;
  /** [segments + 1]: bounds of the segments in the flattened [rows × length]. */
  readonly cuSeqlens: Int32Array<ArrayBuffer>;
  /** [segments × 6]: source, shard, row, tokenStart, length, flags. */
  readonly segments: Int32Array<ArrayBuffer>;
  /** Of samples: what the sources' `fields` name. */
  readonly fields?: BatchFields;
}

/** A batch with its mask; `undefined`: all of it is 1, and it is made for whoever asks, who are few. */
export function withMask(lossMask: Uint8Array<ArrayBuffer> | undefined, arrays: Omit<BatchArrays, 'lossMask' | 'isMasked'>): BatchArrays {
  let mask = lossMask;
  return {
    ...arrays,
    isMasked: lossMask !== undefined,
    get lossMask() {
      mask ??= new Uint8Array(arrays.rows * arrays.length).fill(1);
      return mask;
    },
  };
}
