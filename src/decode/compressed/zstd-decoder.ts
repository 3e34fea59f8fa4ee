/**
 * Decompresses zstd frames block by block, as far as somebody wants their content: a block has 128 KiB at most, whatever it is compressed to. What a frame
 * says of its content, its size and its checksum, libzstd holds it to.
 *
 * It runs in a thread of its own; see zstd-thread.ts.
 */
import { messageOf } from '../../core/errors.js';
import { FrameStream } from '../zstd-module.js';
import { FrameError, FrameWalker, type PlacedElement } from './frames.js';
import { CONTENT_LIMITS } from './limits.js';
import { checkZstdHeader } from './zstd-header.js';

export class ZstdDecoder {
  readonly #walker = new FrameWalker('zstd');
  readonly #frames = new FrameStream();
  /** Stored bytes whose elements are known, and how many of each are used. */
  #stored: Uint8Array = new Uint8Array(0);
  #used = 0;
  #elements: PlacedElement[] = [];
  /** Of a frame whose header has not ended: it may be one that is not read. */
  #heading: Uint8Array[] = [];
  #isOpen = false;
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

  /** Nothing is asked of it any more. */
  close(): void {
    this.#frames.close();
  }

  #feed(endByte: number): void {
    if (endByte === this.#used) return;
    const bytes = this.#stored.subarray(this.#used, endByte);
    this.#used = endByte;
    if (this.#isOpen) this.#run(bytes);
    else this.#heading.push(bytes.slice()); // who pushes may write over them
  }

  #end(element: PlacedElement['element']): void {
    if (element.kind === 'header') {
      checkZstdHeader(element.header);
      this.#isOpen = true;
      for (const bytes of this.#heading) this.#run(bytes);
      this.#heading = [];
    } else if (element.kind === 'frame') {
      this.#heading = []; // of one without content
      this.#isOpen = false;
    }
  }

  #run(bytes: Uint8Array): void {
    try {
      for (const content of this.#frames.push(bytes)) {
        this.#content.push(content);
        this.#contentBytes += content.length;
      }
    } catch (error) {
      throw new FrameError(`a zstd frame is damaged: ${messageOf(error)}`);
    }
  }
}
