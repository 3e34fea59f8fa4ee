/**
 * The memory of batches that were sent, for later ones. A step of 64 KiB comes a thousand times a second: left to the collector, its arrays alone would make
 * it go over the whole heap every second.
 */
import { rawBytes } from '../core/raw-memory.js';

/** Batches of one stream differ in their segments only: a few per cent more let the memory of one serve another. */
const HEADROOM = 1 / 16;

export class BatchMemory {
  readonly #buffersMax: number;
  readonly #free: ArrayBuffer[] = [];

  /** `buffersMax`: those that wait for a batch; what comes back beyond them is left to the collector. */
  constructor(buffersMax: number) {
    this.#buffersMax = buffersMax;
  }

  /** At least so many bytes, with whatever was in them. */
  take(bytes: number): ArrayBuffer {
    const free = this.#free.pop();
    // one that is too small would be so again
    if (free !== undefined && free.byteLength >= bytes) return free;
    return rawBytes(Math.ceil(bytes * (1 + HEADROOM)));
  }

  /** Of memory that nobody reads any more. */
  giveBack(buffer: ArrayBuffer): void {
    if (this.#free.length < this.#buffersMax && !this.#free.includes(buffer)) this.#free.push(buffer);
  }
}
