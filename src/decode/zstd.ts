/**
 * Whole zstd frames in one call: Node's own decompressor where it has one (≥ 22.15), else zstd compiled to WebAssembly, which is as fast. Imported in workers
 * only: what it imports is ready when it is.
 */
import * as zlib from 'node:zlib';
import { LIMITS } from '../config/limits.js';
import type { ZstdDecoder } from './compressed/zstd-decoder.js';

interface PieceOptions {
  readonly maxOutputLength: number;
  readonly chunkSize: number;
}

/** The least piece that Node allows: with so much room it sees that what it decompresses has ended. */
const PIECE_ROOM_BYTES = 64;

/** Options of Node's decompressors for content of `size` bytes: in its pieces of 16 KiB, which it joins, they take up to twice as long. */
export function inOnePiece(size: number): PieceOptions {
  const room = size + PIECE_ROOM_BYTES;
  return { maxOutputLength: room, chunkSize: room };
}

type Zstd = (frames: Uint8Array, size: number) => Uint8Array;

const decompress = await openZstd();

async function openZstd(): Promise<Zstd> {
  if ('zstdDecompressSync' in zlib) {
    const own = zlib.zstdDecompressSync as (frames: Uint8Array, options: PieceOptions) => Uint8Array;
    return (frames, size) => own(frames, inOnePiece(size));
  }
  const { decompressFrames } = await import('./zstd-module.js');
  const decoders = await import('./compressed/zstd-decoder.js');
  return (frames, size) => {
    if (size <= LIMITS.keptPageBytesMax) return decompressFrames(frames, size);
    const decoder = new decoders.ZstdDecoder();
    try {
      return decompressInPieces(decoder, frames, size);
    } finally {
      decoder.close();
    }
  };
}

/** Stored bytes at a time: with what they decompress to, some MiB. */
const STORED_PIECE_BYTES = 64 * 2 ** 10;

/** Into one array, which is the only one of its size: WebAssembly's memory keeps whatever it ever had room for. */
function decompressInPieces(decoder: ZstdDecoder, frames: Uint8Array, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let length = 0;
  for (let at = 0; at < frames.length; at += STORED_PIECE_BYTES) {
    decoder.push(frames.subarray(at, at + STORED_PIECE_BYTES));
    for (let piece = decoder.next(); piece !== undefined; piece = decoder.next()) {
      if (length + piece.length > size) throw new Error(`zstd frames decode to more than ${size} bytes`);
      bytes.set(piece, length);
      length += piece.length;
    }
  }
  decoder.finish();
  return bytes.subarray(0, length);
}

/** At most `size` bytes. Throws an Error that says what is wrong. */
export function decompressZstdUpTo(frames: Uint8Array, size: number): Uint8Array {
  return decompress(frames, size);
}

/** Exactly `size` bytes. Throws an Error that says what is wrong. */
export function decompressZstd(frames: Uint8Array, size: number): Uint8Array {
  const bytes = decompress(frames, size);
  if (bytes.length !== size) throw new Error(`zstd frames decode to ${bytes.length} bytes where ${size} were expected`);
  return bytes;
}
