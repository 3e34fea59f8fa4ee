/**
 * Whole zstd frames in one call: Node's own decompressor where it has one (≥ 22.15), else zstd compiled to WebAssembly, which is as fast; both are ten times
 * as fast as one in JavaScript. Imported in workers only: what it imports is ready when it is.
 */
import * as zlib from 'node:zlib';

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
  return decompressFrames;
}

/** Exactly `size` bytes. Throws an Error that says what is wrong. */
export function decompressZstd(frames: Uint8Array, size: number): Uint8Array {
  const bytes = decompress(frames, size);
  if (bytes.length !== size) throw new Error(`zstd frames decode to ${bytes.length} bytes where ${size} were expected`);
  return bytes;
}
