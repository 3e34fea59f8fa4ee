/**
 * zstd streams by Node's own decompressor (≥ 22.15), in the threads of libuv: many times as fast as one in JavaScript. It holds content to the size and the
 * checksum that a frame names. What follows a frame in the bytes of one call it drops without a word, so that it is given each frame's last bytes alone;
 * where frames end the walker says.
 */
import { pipeline, type Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { FrameError, FrameWalker, type PlacedElement } from './frames.js';
import { CONTENT_LIMITS } from './limits.js';
import { checkZstdHeader } from './zstd-header.js';

type Decompressor = Transform & { readonly bytesWritten: number };

/** Of the types of Node 20 it is no part. */
const createDecompressor = (zlib as { readonly createZstdDecompress?: (options: { readonly chunkSize: number }) => Decompressor })
  .createZstdDecompress;

export const hasNativeZstd = createDecompressor !== undefined;

/** Consecutive pieces of content. Throws `FrameError`, `ZstdUnsupported`, zlib's errors, and what `pull` throws. */
export async function* unzstdNatively(pull: () => Promise<Uint8Array | undefined>): AsyncGenerator<Uint8Array, void, undefined> {
  if (createDecompressor === undefined) throw new Error('this version of Node has no zstd');
  const parts = partsOfFrames(pull);
  const first = await parts.next();
  if (first.done === true) return; // no frame: no content, which a decompressor would call cut off
  const decompressing = createDecompressor({ chunkSize: CONTENT_LIMITS.pieceBytes });
  const given = { bytes: 0, all: false };
  const frames = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    for (let part: IteratorResult<Uint8Array, void> = first; part.done !== true; part = await parts.next()) {
      given.bytes += part.value.length;
      yield part.value;
    }
    given.all = true;
  };
  pipeline(frames(), decompressing, () => undefined); // who reads the last stream hears of it
  for await (const piece of decompressing) yield piece as Uint8Array;
  if (!given.all || decompressing.bytesWritten !== given.bytes) throw new FrameError('a zstd frame ends before its last block');
}

/** The stored bytes of frames with content, cut at their ends. Throws `FrameError` where the last one is not whole. */
async function* partsOfFrames(pull: () => Promise<Uint8Array | undefined>): AsyncGenerator<Uint8Array, void, undefined> {
  const walker = new FrameWalker('zstd');
  /** Of a frame whose header has not ended: it may be one without content, or none that is read. */
  let heading: Uint8Array[] = [];
  let isOpen = false;
  for (let stored = await pull(); stored !== undefined; stored = await pull()) {
    let used = 0;
    for (const { element, endByte } of walker.push(stored).filter(isBound)) {
      const bytes = stored.subarray(used, endByte);
      used = endByte;
      if (element.kind === 'header') {
        checkZstdHeader(element.header);
        isOpen = true;
        yield* heading;
        yield bytes;
      } else {
        if (isOpen && bytes.length > 0) yield bytes;
        isOpen = false;
      }
      heading = [];
    }
    const rest = stored.subarray(used);
    if (rest.length === 0) continue;
    if (isOpen) yield rest;
    else heading.push(rest);
  }
  if (!walker.isBetweenFrames) throw new FrameError('the last zstd frame is cut off');
}

function isBound({ element }: PlacedElement): boolean {
  return element.kind === 'header' || element.kind === 'frame';
}
