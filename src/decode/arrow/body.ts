/** The buffers in the body of a message of Arrow: where they are, and what they take when they are decoded. */
import { LIMITS } from '../../config/limits.js';
import type { ByteRange } from '../../store/store.js';
import type { ArrowCodec } from './encoded-slice.js';
import type { ArrowBufferPlace } from './layout.js';
import type { ReadBytes } from './messages.js';
import { ArrowMetadataError, ArrowUnsupported, type ArrowBatch } from './metadata.js';

/**
 * Decoded bytes that a stored byte can stand for: a match grows by 255 a byte (LZ4), a block of 128 KiB takes 4 (RFC 8878).
 */
const RATIO_MAX: Readonly<Record<ArrowCodec, number>> = { none: 1, lz4: 255, zstd: 32_768 };
/** A compressed buffer starts with its decoded length; −1: it is stored as it is. */
const LENGTH_BYTES = 8;

/** A record batch, and where its body is. */
export interface Body {
  readonly batch: ArrowBatch;
  readonly bodyByte: number;
  readonly bodyBytes: number;
  readonly read: ReadBytes;
}

/** Where a buffer is; it has at least so many bytes when it is decoded, so that nothing is allocated for rows that are not there. Throws as `decodedLength`. */
export async function bufferOf(body: Body, index: number, bytesMin: number): Promise<ArrowBufferPlace> {
  const { batch, bodyByte, bodyBytes } = body;
  const [startByte, bytes] = batch.buffers[index];
  if (startByte + bytes > bodyBytes)
    throw new ArrowMetadataError(`a buffer claims bytes ${startByte} to ${startByte + bytes} of ${bodyBytes}`);
  const place: ArrowBufferPlace = [bodyByte + startByte, bytes];
  if (bytesMin > 0 || batch.codec !== 'none') {
    const decoded = await decodedLength(body, place);
    if (decoded < bytesMin) throw new ArrowMetadataError(`a buffer has ${decoded} bytes, and its rows need ${bytesMin}`);
  }
  return place;
}

/** Reads the length that a compressed buffer starts with. Throws `ArrowMetadataError`, `ArrowUnsupported`. */
export async function decodedLength({ batch: { codec }, read }: Body, [startByte, bytes]: ArrowBufferPlace): Promise<number> {
  if (codec === 'none' || bytes === 0) return bytes;
  if (bytes < LENGTH_BYTES) throw new ArrowMetadataError(`a compressed buffer has ${bytes} bytes`);
  const prefix = await read(startByte, startByte + LENGTH_BYTES);
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES).getBigInt64(0, true));
  if (length === -1) return bytes - LENGTH_BYTES;
  if (!(length >= 0 && length <= (bytes - LENGTH_BYTES) * RATIO_MAX[codec]))
    throw new ArrowMetadataError(`a buffer of ${bytes} bytes claims ${length} decoded bytes`);
  if (length > LIMITS.pageBytesMax)
    throw new ArrowUnsupported(`a compressed buffer has ${length} decoded bytes: write smaller record batches`);
  return length;
}

/** Where the lengths of compressed buffers are, of those that lie in their body. */
export function lengthPlaces(buffers: readonly ArrowBufferPlace[], bodyByte: number, bodyBytes: number): ByteRange[] {
  return buffers
    .filter(([startByte, bytes]) => bytes >= LENGTH_BYTES && startByte + bytes <= bodyBytes)
    .map(([startByte]) => ({ startByte: bodyByte + startByte, endByte: bodyByte + startByte + LENGTH_BYTES }));
}
