/**
 * The memory of batches that were sent, for later ones. A step of 64 KiB comes a thousand times a second, or images fill some MiB: left to the collector, such
 * arrays alone would make it go over the whole heap several times a second.
 */
import { rawBuffer } from '../core/raw-memory.js';

/** Batches of one stream differ in their segments only, and those of samples not by much: a few per cent more let the memory of one serve another. */
const HEADROOM = 1 / 16;
/** A small array in a large piece of memory would keep that from the large ones. */
const WASTE_MAX = 4;

export class BatchMemory {
  readonly #buffersMax: number;
  readonly #bytesMax: number;
  /** The last that came back is at the end. */
  readonly #free: ArrayBuffer[] = [];
  #freeBytes = 0;

  /** The bounds are of what waits for a batch: what comes back beyond them is left to the collector. */
  constructor(buffersMax: number, bytesMax: number) {
    this.#buffersMax = buffersMax;
    this.#bytesMax = bytesMax;
  }

  /** At least so many bytes, with whatever was in them. */
  take(bytes: number): ArrayBuffer {
    let best = -1;
    for (const [index, { byteLength }] of this.#free.entries()) {
      const fits = byteLength >= bytes && byteLength <= WASTE_MAX * bytes;
      if (fits && (best < 0 || byteLength < this.#free[best].byteLength)) best = index;
    }
    if (best < 0) return rawBuffer(Math.ceil(bytes * (1 + HEADROOM)));
    const [taken] = this.#free.splice(best, 1);
    this.#freeBytes -= taken.byteLength;
    return taken;
  }

  /** Of memory that nobody reads any more. */
  giveBack(buffer: ArrayBuffer): void {
    if (buffer.byteLength === 0 || this.#free.includes(buffer)) return;
    this.#free.push(buffer);
    this.#freeBytes += buffer.byteLength;
    while (this.#free.length > this.#buffersMax || this.#freeBytes > this.#bytesMax) {
      this.#freeBytes -= this.#free.shift()?.byteLength ?? 0;
    }
  }
}
