/** Reads ascending ranges of one stretch of an object, each byte once: what a request brought beyond a range is kept for the next. */
import type { ByteRange, Store } from '../store/store.js';
import { requestEnd } from './request-end.js';

/** One version of an object. */
export interface PinnedObject {
  readonly store: Store;
  readonly path: string;
  readonly etag: string;
}

export function readPinned({ store, path, etag }: PinnedObject, range: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
  if (range.startByte === range.endByte) return Promise.resolve(new Uint8Array(0));
  return store.read(path, range, { ifMatch: etag, ...(signal && { signal }) });
}

export class AscendingReader {
  readonly #object: PinnedObject;
  #held: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #heldStart = 0;
  #ranges: ByteRange[] = [];

  constructor(object: PinnedObject) {
    this.#object = object;
  }

  /** What the object was read in, as far as its bytes are held or were answered last. */
  get ranges(): readonly ByteRange[] {
    return this.#ranges;
  }

  /** Bytes [startByte, endByte) in a buffer of their own; those up to `lastByte` will be asked for as well. */
  async read(startByte: number, endByte: number, lastByte: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    if (startByte === endByte) return new Uint8Array(0);
    const heldEnd = this.#heldStart + this.#held.length;
    const isHeld = startByte >= this.#heldStart && startByte < heldEnd;
    const front = isHeld ? this.#held.subarray(startByte - this.#heldStart, Math.min(endByte, heldEnd) - this.#heldStart) : undefined;
    if (front !== undefined && endByte <= heldEnd) {
      const bytes = front.slice();
      this.#keep(this.#held.subarray(endByte - this.#heldStart), endByte);
      return bytes;
    }
    const fetchStart = startByte + (front?.length ?? 0);
    const fetchEnd = requestEnd(startByte, endByte, lastByte);
    const range = { startByte: fetchStart, endByte: fetchEnd };
    this.#ranges = [...(front === undefined ? [] : this.#ranges), range];
    const fetched = (await readPinned(this.#object, range, signal)) as Uint8Array<ArrayBuffer>;
    if (front === undefined && fetchEnd === endByte && fetched.byteOffset === 0 && fetched.length === fetched.buffer.byteLength) {
      this.#keep(new Uint8Array(0), endByte);
      return fetched;
    }
    const bytes = new Uint8Array(endByte - startByte);
    if (front !== undefined) bytes.set(front);
    bytes.set(fetched.subarray(0, endByte - fetchStart), fetchStart - startByte);
    this.#keep(fetched.subarray(endByte - fetchStart), endByte);
    return bytes;
  }

  /** Copies, so that a few kept bytes do not hold a large buffer. */
  #keep(rest: Uint8Array<ArrayBuffer>, startByte: number): void {
    this.#held = rest.slice();
    this.#heldStart = startByte;
    this.#ranges = this.#ranges.slice(-2);
  }
}
