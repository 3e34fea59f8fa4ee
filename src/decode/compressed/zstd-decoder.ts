/**
 * Decompresses zstd frames block by block, as far as somebody wants their content: a block has 128 KiB at most, whatever it is compressed to.
 * It runs in a thread of its own; see zstd-thread.ts.
 */
import { Decompress } from 'fzstd';
import { messageOf } from '../../core/errors.js';
import { FrameError, FrameWalker, type PlacedElement, type ZstdFrameHeader } from './frames.js';
import { CONTENT_LIMITS } from './limits.js';
import { Xxh64 } from './xxh64.js';
import { checkZstdHeader } from './zstd-header.js';

const CHECKSUM_BYTES = 4;

export class ZstdDecoder {
  readonly #walker = new FrameWalker('zstd');
  readonly #hash = new Xxh64();
  /** Stored bytes whose elements are known, and how many of each are used. */
  #stored: Uint8Array = new Uint8Array(0);
  #used = 0;
  #elements: PlacedElement[] = [];
  #frame: { readonly header: ZstdFrameHeader; readonly stream: Decompress; contentBytes: number; isComplete: boolean } | undefined;
  /** Of a header that has not ended: a frame's stream is made when it has. */
  #heading: Uint8Array[] = [];
  #content: Uint8Array[] = [];
  #contentBytes = 0;

  /** More stored bytes; those before are used up. Throws `FrameError`. */
  push(stored: Uint8Array): void {
    this.#stored = stored;
    this.#used = 0;
    this.#elements = this.#walker.push(stored);
  }

  /** The next content, of some hundred KiB; `undefined`: more stored bytes are needed. Throws `FrameError`, `ZstdUnsupported`. */
  next(): Uint8Array<ArrayBuffer> | undefined {
    while (this.#contentBytes < CONTENT_LIMITS.pieceBytes) {
      const placed = this.#elements.shift();
      if (placed === undefined) {
        this.#feed(this.#stored.length);
        break;
      }
      this.#feed(placed.endByte);
      this.#end(placed.element);
    }
    if (this.#contentBytes === 0) return undefined;
    const piece = new Uint8Array(this.#contentBytes);
    let at = 0;
    for (const content of this.#content) {
      piece.set(content, at);
      at += content.length;
    }
    this.#content = [];
    this.#contentBytes = 0;
    return piece;
  }

  /** After the last stored bytes. Throws `FrameError`. */
  finish(): void {
    if (!this.#walker.isBetweenFrames) throw new FrameError('the last zstd frame is cut off');
  }

  #feed(endByte: number): void {
    if (endByte === this.#used) return;
    const bytes = this.#stored.subarray(this.#used, endByte);
    this.#used = endByte;
    // fzstd keeps what it cannot use yet, and these are views
    if (this.#frame === undefined) this.#heading.push(bytes.slice());
    else if (!this.#frame.isComplete) this.#run(this.#frame.stream, bytes.slice(), false);
  }

  #end(element: PlacedElement['element']): void {
    switch (element.kind) {
      case 'header':
        this.#open(element.header);
        return;
      case 'block': {
        const frame = this.#frame;
        if (frame === undefined || !element.isLast) return;
        // the stream wants to see a checksum, which it does not look at; the real one is checked here
        this.#run(frame.stream, new Uint8Array(frame.header.hasChecksum ? CHECKSUM_BYTES : 0), true);
        frame.isComplete = true;
        return;
      }
      case 'checksum':
        if (this.#hash.low32() !== element.value) throw new FrameError('the checksum of a zstd frame is not that of its content');
        return;
      case 'frame': {
        const frame = this.#frame;
        this.#frame = undefined;
        this.#heading = [];
        if (frame !== undefined && element.contentBytes !== undefined && frame.contentBytes !== element.contentBytes) {
          throw new FrameError(`a zstd frame has ${frame.contentBytes} bytes of content, and says ${element.contentBytes}`);
        }
      }
    }
  }

  #open(header: ZstdFrameHeader): void {
    checkZstdHeader(header);
    this.#hash.begin();
    const stream = new Decompress((content) => this.#take(content));
    this.#frame = { header, stream, contentBytes: 0, isComplete: false };
    for (const bytes of this.#heading) this.#run(stream, bytes, false);
    this.#heading = [];
  }

  #run(stream: Decompress, bytes: Uint8Array, isLast: boolean): void {
    try {
      stream.push(bytes, isLast);
    } catch (error) {
      throw new FrameError(`a zstd block is damaged: ${messageOf(error)}`);
    }
  }

  #take(content: Uint8Array): void {
    const frame = this.#frame;
    if (frame === undefined || content.length === 0) return;
    frame.contentBytes += content.length;
    if (frame.header.hasChecksum) this.#hash.update(content);
    this.#content.push(content.slice()); // the stream's own window goes on
    this.#contentBytes += content.length;
  }
}
