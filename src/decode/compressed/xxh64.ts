/** XXH64 (seed 0) of content that comes in parts, in WebAssembly: zstd frames end with its low 32 bits. */
import { ensureMemory, loadKernel, type KernelMemory } from '../../core/kernel.js';

interface HashKernel {
  readonly memory: KernelMemory;
  heapStart(): number;
  begin(): void;
  stripes(from: number, end: number): void;
  finish(from: number, end: number, total: bigint): number;
}

const STRIPE_BYTES = 32;
/** Bytes that are hashed at a time: what is longer goes in several. */
const ROOM_BYTES = 2 ** 20;

/** Each has a kernel of its own, which holds the state. */
export class Xxh64 {
  readonly #kernel = loadKernel('xxh64') as HashKernel;
  readonly #start: number;
  readonly #memory: Uint8Array;
  /** At the start of the memory: less than a stripe, which waits for more. */
  #waiting = 0;
  #total = 0;

  constructor() {
    const { memory } = this.#kernel;
    this.#start = this.#kernel.heapStart();
    ensureMemory(memory, this.#start + ROOM_BYTES);
    this.#memory = new Uint8Array(memory.buffer, this.#start, ROOM_BYTES);
    this.begin();
  }

  begin(): void {
    this.#kernel.begin();
    this.#waiting = 0;
    this.#total = 0;
  }

  update(bytes: Uint8Array): void {
    this.#total += bytes.length;
    for (let at = 0; at < bytes.length;) {
      const count = Math.min(bytes.length - at, ROOM_BYTES - this.#waiting);
      this.#memory.set(bytes.subarray(at, at + count), this.#waiting);
      at += count;
      const filled = this.#waiting + count;
      const whole = filled - (filled % STRIPE_BYTES);
      this.#kernel.stripes(this.#start, this.#start + whole);
      this.#memory.copyWithin(0, whole, filled);
      this.#waiting = filled - whole;
    }
  }

  /** The low 32 bits. */
  low32(): number {
    return this.#kernel.finish(this.#start, this.#start + this.#waiting, BigInt(this.#total)) >>> 0;
  }
}
