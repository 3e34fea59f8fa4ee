/**
 * The memory of batches that were sent, for later ones. A step of 64 KiB comes a thousand times a second, or images fill some MiB: left to the collector, such
 * arrays alone would make it go over the whole heap several times a second.
 *
 * Small batches that follow one another can lie side by side, so that what is ready together is sent as one frame:
 *
 *   slab   │ batch 12 │ batch 13 │ batch 14 │ … │ rest │     used again when all of them were given back
 */
import { nextPackedByte } from '../core/packed-arrays.js';
import { rawBuffer } from '../core/raw-memory.js';

/** Batches of one stream differ in their segments only, and those of samples not by much: a few per cent more let the memory of one serve another. */
const HEADROOM = 1 / 16;
/** A small array in a large piece of memory would keep that from the large ones. */
const WASTE_MAX = 4;

export interface BatchMemoryOptions {
  /** The bounds are of what waits for a batch: what comes back beyond them is left to the collector. */
  readonly buffersMax: number;
  readonly bytesMax: number;
  /** Of the memory that small batches share; 0: each has its own. */
  readonly slabBytes?: number;
}

/** A place in memory, from `byteOffset` on. */
export interface MemoryPlace {
  readonly buffer: ArrayBuffer;
  readonly byteOffset: number;
}

export class BatchMemory {
  readonly #options: BatchMemoryOptions;
  /** The last that came back is at the end. */
  readonly #free: ArrayBuffer[] = [];
  #freeBytes = 0;
  /** Where the next small batch goes. */
  #slab: ArrayBuffer | undefined;
  #slabEnd = 0;
  /** Batches that lie in a slab and were not given back. */
  readonly #users = new Map<ArrayBuffer, number>();

  constructor(options: BatchMemoryOptions) {
    this.#options = options;
  }

  /** At least so many bytes, with whatever was in them: small ones behind those that were asked for before. */
  place(bytes: number): MemoryPlace {
    const { slabBytes = 0 } = this.#options;
    if (WASTE_MAX * bytes > slabBytes) return { buffer: this.take(bytes), byteOffset: 0 };
    if (this.#slab === undefined || this.#slabEnd + bytes > this.#slab.byteLength) {
      this.#slab = this.take(slabBytes);
      this.#slabEnd = 0;
      this.#users.set(this.#slab, 0);
    }
    const place = { buffer: this.#slab, byteOffset: this.#slabEnd };
    this.#slabEnd = nextPackedByte(this.#slabEnd + bytes);
    this.#users.set(this.#slab, (this.#users.get(this.#slab) ?? 0) + 1);
    return place;
  }

  /** As `place`, but all of the buffer. */
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

  /** Of a batch that nobody reads any more: once for each time that its memory was asked for. */
  giveBack(buffer: ArrayBuffer): void {
    const users = this.#users.get(buffer);
    if (users !== undefined && users > 1) {
      this.#users.set(buffer, users - 1);
      return;
    }
    if (buffer === this.#slab) {
      this.#slabEnd = 0;
      this.#users.set(buffer, 0);
      return;
    }
    this.#users.delete(buffer);
    if (buffer.byteLength === 0 || this.#free.includes(buffer)) return;
    this.#free.push(buffer);
    this.#freeBytes += buffer.byteLength;
    while (this.#free.length > this.#options.buffersMax || this.#freeBytes > this.#options.bytesMax) {
      this.#freeBytes -= this.#free.shift()?.byteLength ?? 0;
    }
  }
}
