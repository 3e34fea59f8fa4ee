/**
 * Finds the leaves of samples, as litData's default loader lays them out:
 *
 *   size of leaf 0 │ size of leaf 1 │ … (uint32) │ leaf 0 │ leaf 1 │ …
 */
import { LIMITS } from '../../config/limits.js';
import { messageOf } from '../../core/errors.js';
import { FrameError, FrameWalker } from '../compressed/frames.js';
import { ZstdDecoder } from '../compressed/zstd-decoder.js';
import { checkZstdHeader, ZstdUnsupported } from '../compressed/zstd-header.js';
import { CONTENT_LIMITS } from '../compressed/limits.js';
import { decompressZstd } from '../zstd.js';
import { numberAt, viewOf, widthOf, type StoredDtype } from '../stored-numbers.js';
import { litdataInvalid, litdataUnsupported } from './litdata-error.js';
import type { EncodedLitdataSlice } from './encoded-slice.js';

const SIZE_BYTES = 4;

export interface LitdataSamples {
  readonly rows: number;
  /** Bytes of a leaf of a row: a view. */
  readonly leafOf: (row: number, leaf: number) => Uint8Array;
  /** The same of a leaf that is one number. Errors: `SHARD_INVALID`, where it has other than its bytes. */
  readonly fixedOf: (row: number, leaf: number, dtype: StoredDtype) => Uint8Array;
  readonly numberOf: (row: number, leaf: number, dtype: StoredDtype) => number | bigint;
}

type SlicePlace = Pick<EncodedLitdataSlice, 'uri' | 'startRow' | 'startByte'>;

/** Errors: `SHARD_INVALID`, where the sizes of a sample's leaves are not those of the sample; `SHARD_UNSUPPORTED`. */
export function findLeaves(slice: EncodedLitdataSlice): LitdataSamples {
  const { rows, isCompressed } = slice;
  const { leaves } = slice.wanted;
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
  const leafOf = (row: number, leaf: number): Uint8Array => {
    const end = ends[row * leaves + leaf];
    return bytes.subarray(leaf === 0 ? bounds[row] + SIZE_BYTES * leaves : ends[row * leaves + leaf - 1], end);
  };
  const fixedOf = (row: number, leaf: number, dtype: StoredDtype): Uint8Array => {
    const value = leafOf(row, leaf);
    if (value.length !== widthOf(dtype))
      throw broken(slice, row, `value ${leaf} has ${value.length} bytes, and is a number of ${widthOf(dtype)}`);
    return value;
  };
  return { rows, leafOf, fixedOf, numberOf: (row, leaf, dtype) => numberAt(viewOf(fixedOf(row, leaf, dtype)), 0, dtype) };
}

/** The bytes of one leaf of all rows. */
export function gathered({ rows, leafOf }: LitdataSamples, leaf: number): { readonly bounds: Int32Array; readonly bytes: Uint8Array } {
  const bounds = new Int32Array(rows + 1);
  for (let row = 0; row < rows; row++) bounds[row + 1] = bounds[row] + leafOf(row, leaf).length;
  const bytes = new Uint8Array(bounds[rows]);
  for (let row = 0; row < rows; row++) bytes.set(leafOf(row, leaf), bounds[row]);
  return { bounds, bytes };
}

function broken(
  { uri, startRow, startByte, bounds }: SlicePlace & Pick<EncodedLitdataSlice, 'bounds'>,
  row: number,
  problem: string,
): Error {
  return litdataInvalid(uri, `sample ${startRow + row} is damaged: ${problem}`, startByte + bounds[row], startRow + row);
}

/**
 * The content of one zstd stream. Of a single frame that says how much it has, as litData's writer makes them, in one call, many times as fast as piece by
 * piece. Throws `FrameError`, `ZstdUnsupported`.
 */
function* contentOf(stored: Uint8Array, bytesMax: number): Generator<Uint8Array, void> {
  const elements = new FrameWalker('zstd').push(stored);
  const first = elements.at(0)?.element;
  const frameEnd = elements.find(({ element }) => element.kind === 'frame')?.endByte;
  const contentBytes = first?.kind === 'header' ? first.header.contentBytes : undefined;
  if (first?.kind === 'header' && contentBytes !== undefined && frameEnd === stored.length) {
    checkZstdHeader(first.header);
    if (contentBytes > bytesMax) throw new ZstdUnsupported(`it decodes to ${contentBytes} bytes, and says so`);
    yield decompressFrame(stored, contentBytes);
    return;
  }
  const decoder = new ZstdDecoder();
  try {
    decoder.push(stored);
    for (let piece = decoder.next(); piece !== undefined; piece = decoder.next()) yield piece;
    decoder.finish();
  } finally {
    decoder.close();
  }
}

function decompressFrame(stored: Uint8Array, contentBytes: number): Uint8Array {
  try {
    return decompressZstd(stored, contentBytes);
  } catch (error) {
    throw new FrameError(`a zstd frame is damaged: ${messageOf(error)}`);
  }
}

/** Each sample is one zstd stream. What it decodes to is bounded before or while it does. */
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
      for (const piece of contentOf(stored, bytesMax)) {
        pieces.push(piece);
        length += piece.length;
        if (length - own > bytesMax || length > LIMITS.pageBytesMax)
          throw new ZstdUnsupported(`it decodes to more than ${length - own} bytes`);
      }
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
