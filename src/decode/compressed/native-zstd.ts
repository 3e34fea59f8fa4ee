/**
 * zstd streams by Node's own decompressor (≥ 22.15), in the threads of libuv: many times as fast as one in JavaScript. It holds content to the size and the
 * checksum that a frame names. It ends with its first frame, so that each is a stream of its own; where frames end the walker says.
 */
import { pipeline, type Transform } from 'node:stream';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { FrameError, FrameWalker, type FrameElement, type PlacedElement, type ZstdFrameHeader } from './frames.js';
import { CONTENT_LIMITS } from './limits.js';
import { checkZstdHeader } from './zstd-header.js';

/** Of the types of Node 20 these are no part. */
interface NativeZstd {
  readonly createZstdDecompress: (options: { readonly chunkSize: number }) => Transform;
  readonly zstdDecompress: (
    frame: Uint8Array,
    options: { readonly maxOutputLength: number; readonly chunkSize: number },
    done: (error: Error | null, content: Uint8Array) => void,
  ) => void;
}

const native = 'createZstdDecompress' in zlib ? (zlib as unknown as NativeZstd) : undefined;
const decompressFrame = native && promisify(native.zstdDecompress);

export const hasNativeZstd = native !== undefined;

/** The stored bytes up to the next header or end of a frame, or to the end of what was pulled. */
interface Part {
  readonly bytes: Uint8Array;
  readonly element: Extract<FrameElement, { readonly kind: 'header' | 'frame' }> | undefined;
}

/** Consecutive pieces of content. Throws `FrameError`, `ZstdUnsupported`, zlib's errors, and what `pull` throws. */
export async function* unzstdNatively(pull: () => Promise<Uint8Array | undefined>): AsyncGenerator<Uint8Array, void, undefined> {
  const walker = new FrameWalker('zstd');
  let stored: Uint8Array = new Uint8Array(0);
  let used = 0;
  let elements: PlacedElement[] = [];
  const next = async (): Promise<Part | undefined> => {
    if (used === stored.length && elements.length === 0) {
      const pulled = await pull();
      if (pulled === undefined) return undefined;
      stored = pulled;
      used = 0;
      elements = walker.push(stored);
    }
    const from = used;
    for (let placed = elements.shift(); placed !== undefined; placed = elements.shift()) {
      const { element, endByte } = placed;
      if (element.kind !== 'header' && element.kind !== 'frame') continue;
      used = endByte;
      return { bytes: stored.subarray(from, endByte), element };
    }
    used = stored.length;
    return { bytes: stored.subarray(from), element: undefined };
  };

  for (;;) {
    const heading: Uint8Array[] = [];
    let part = await next();
    for (; part !== undefined; part = await next()) {
      heading.push(part.bytes);
      if (part.element !== undefined) break;
    }
    if (part?.element === undefined) {
      if (!walker.isBetweenFrames) throw cutOff();
      return;
    }
    if (part.element.kind === 'header') yield* contentOfFrame(part.element.header, heading, next);
  }
}

async function* contentOfFrame(
  header: ZstdFrameHeader,
  heading: readonly Uint8Array[],
  next: () => Promise<Part | undefined>,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (native === undefined || decompressFrame === undefined) throw new Error('this version of Node has no zstd');
  checkZstdHeader(header);
  const frame = { hasEnded: false };
  const bytesOfFrame = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    yield* heading;
    while (!frame.hasEnded) {
      const part = await next();
      if (part === undefined) throw cutOff();
      frame.hasEnded = part.element?.kind === 'frame';
      yield part.bytes;
    }
  };
  const { contentBytes } = header;
  if (contentBytes !== undefined && contentBytes <= CONTENT_LIMITS.pieceBytes) {
    const parts: Uint8Array[] = [];
    for await (const bytes of bytesOfFrame()) parts.push(bytes);
    // a byte more than there is: so the decompressor sees that the frame has ended
    const room = Math.max(ZLIB_CHUNK_BYTES_MIN, contentBytes + 1);
    const content = await decompressFrame(Buffer.concat(parts), { maxOutputLength: room, chunkSize: room });
    if (content.length !== contentBytes)
      throw new FrameError(`a zstd frame has ${content.length} bytes of content, and says ${contentBytes}`);
    yield content;
    return;
  }
  const decompressing = native.createZstdDecompress({ chunkSize: CONTENT_LIMITS.pieceBytes });
  pipeline(bytesOfFrame(), decompressing, () => undefined); // who reads the last stream hears of it
  for await (const piece of decompressing) yield piece as Uint8Array;
  if (!frame.hasEnded) throw new FrameError('a zstd frame ends before its last block');
}

/** Of Node's options. */
const ZLIB_CHUNK_BYTES_MIN = 64;

function cutOff(): FrameError {
  return new FrameError('the last zstd frame is cut off');
}
