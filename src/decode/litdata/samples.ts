/**
 * Finds the leaves of samples, as litData's default loader lays them out:
 *
 *   size of leaf 0 │ size of leaf 1 │ … (uint32) │ leaf 0 │ leaf 1 │ …
 */
import { LIMITS } from '../../config/limits.js';
import { messageOf } from '../../core/errors.js';
import { FrameError } from '../compressed/frames.js';
import { ZstdDecoder, ZstdUnsupported } from '../compressed/zstd-decoder.js';
import { CONTENT_LIMITS } from '../compressed/limits.js';
import { litdataInvalid, litdataUnsupported } from './litdata-error.js';
import type { EncodedLitdataSlice } from './encoded-slice.js';

const SIZE_BYTES = 4;

export interface LitdataSamples {
  readonly rows: number;
  /** Bytes of a leaf of a row: a view. */
  readonly leafOf: (row: number, leaf: number) => Uint8Array;
}

type SlicePlace = Pick<EncodedLitdataSlice, 'uri' | 'startRow' | 'startByte'>;

/** Errors: `SHARD_INVALID`, where the sizes of a sample's leaves are not those of the sample; `SHARD_UNSUPPORTED`. */
export function findLeaves(slice: EncodedLitdataSlice): LitdataSamples {
  const { rows, leaves, isCompressed } = slice;
  const { bytes, bounds } = isCompressed ? inflated(slice) : slice;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const ends = new Int32Array(rows * leaves);
  for (let row = 0; row < rows; row++) {
    const [start, end] = [bounds[row], bounds[row + 1]];
    let at = start + SIZE_BYTES * leaves;
    if (at > end) throw broken(slice, row, `it has ${end - start} bytes, and ${leaves} values`);
    for (let leaf = 0; leaf < leaves; leaf++) {
      at += view.getUint32(start + SIZE_BYTES * leaf, true);
      if (at > end) throw broken(slice, row, `value ${leaf} ends ${at - end} bytes after its sample`);
      ends[row * leaves + leaf] = at;
    }
    if (at !== end) throw broken(slice, row, `its values end ${end - at} bytes before it does`);
  }
  return {
    rows,
    leafOf: (row, leaf) => {
      const end = ends[row * leaves + leaf];
      return bytes.subarray(leaf === 0 ? bounds[row] + SIZE_BYTES * leaves : ends[row * leaves + leaf - 1], end);
    },
  };
}

function broken(
  { uri, startRow, startByte, bounds }: SlicePlace & Pick<EncodedLitdataSlice, 'bounds'>,
  row: number,
  problem: string,
): Error {
  return litdataInvalid(uri, `sample ${startRow + row} is damaged: ${problem}`, startByte + bounds[row], startRow + row);
}

/** Each sample is one zstd stream. What it decodes to is bounded while it does. */
function inflated(slice: EncodedLitdataSlice): Pick<EncodedLitdataSlice, 'bytes' | 'bounds'> {
  const bounds = new Int32Array(slice.rows + 1);
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (let row = 0; row < slice.rows; row++) {
    const stored = slice.bytes.subarray(slice.bounds[row], slice.bounds[row + 1]);
    const own = length;
    const { ratioFreeBytes, ratioMax } = CONTENT_LIMITS;
    const bytesMax = Math.min(LIMITS.itemBytesMax, ratioFreeBytes + ratioMax * stored.length);
    try {
      const decoder = new ZstdDecoder();
      decoder.push(stored);
      for (let piece = decoder.next(); piece !== undefined; piece = decoder.next()) {
        pieces.push(piece);
        length += piece.length;
        if (length - own > bytesMax || length > LIMITS.pageBytesMax)
          throw new ZstdUnsupported(`it decodes to more than ${length - own} bytes`);
      }
      decoder.finish();
    } catch (error) {
      if (error instanceof FrameError) throw broken(slice, row, messageOf(error));
      if (!(error instanceof ZstdUnsupported)) throw error;
      throw litdataUnsupported(
        slice.uri,
        `sample ${slice.startRow + row}: ${messageOf(error)}`,
        'Write it again with `compression_level="batch"`.',
      );
    }
    bounds[row + 1] = length;
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return { bytes, bounds };
}
