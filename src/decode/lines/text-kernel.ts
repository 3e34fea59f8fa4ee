/**
 * The text of one field of lines of JSON in WebAssembly (`kernels/json-lines.ts`), eight times as fast as json-line.ts, because it leaves to it whatever is
 * not a good row with one such string.
 *
 *   memory   path │ bounds │ window: a part of the lines │ text
 */
import { ensureMemory, kernelRuns, loadKernel, type KernelMemory } from '../../core/kernel.js';
import { LINE_LIMITS } from './limits.js';

interface JsonKernel {
  readonly memory: KernelMemory;
  heapStart(): number;
  begin(path: number, pathEnd: number, out: number, bounds: number): void;
  take(from: number, end: number, isLast: number, rowsMax: number, base: number): number;
  whyStopped(): number;
  position(): number;
  lines(): number;
  written(): number;
}

/** Why the kernel stopped, beside that it has enough rows. */
const INPUT = 1;
const REFUSED = 2;
/** Its vector reads and writes may run over a buffer's end by less than this. */
const SLACK = 64;
const LINE_FEED = 0x0a;
/** That go out together: their bounds have a place in the memory. */
const ROWS_MAX = 4096;

/** Where texts go: one after the other, and where each ends. */
export interface TextOutput {
  readonly bytes: Uint8Array;
  readonly bounds: Int32Array;
}

/** Rows that were taken, and what follows them. */
export interface TakenRows {
  readonly rows: number;
  readonly at: number;
  /** Lines that were passed. */
  readonly lines: number;
  /** Bytes of text in the output. */
  readonly length: number;
}

let kernel: JsonKernel | undefined;

/** Reads the rows of one slice. */
export class TextKernel {
  readonly #kernel: JsonKernel;
  readonly #path: Uint8Array;
  readonly #bytes: Uint8Array;
  readonly #out: TextOutput;
  /** Content in the memory: bytes [start, end) of the slice, from `#window` on. */
  #start = 0;
  #end = 0;
  #window = 0;
  #room = 0;
  #text = 0;
  #bounds = 0;
  #memory: Uint8Array = new Uint8Array(0);

  /** `undefined` where there is no such kernel. The slice's own, until another is opened. */
  static open(path: string, bytes: Uint8Array, out: TextOutput): TextKernel | undefined {
    return kernelRuns('json-lines') ? new TextKernel(path, bytes, out) : undefined;
  }

  private constructor(path: string, bytes: Uint8Array, out: TextOutput) {
    this.#kernel = kernel ??= loadKernel('json-lines') as JsonKernel;
    this.#path = new TextEncoder().encode(path);
    this.#bytes = bytes;
    this.#out = out;
    this.#layOut(Math.min(LINE_LIMITS.windowBytes, bytes.length));
  }

  /** As many of the next rows from byte `at` on as are good: row `index` is the first, and the text before it has `length` bytes. */
  take(index: number, at: number, rowsMax: number, length: number): TakenRows {
    const { bytes, bounds } = this.#out;
    let rows = 0;
    let lines = 0;
    while (rows < rowsMax && at < this.#bytes.length) {
      if (at < this.#start || at >= this.#end) this.#load(at);
      const isLast = this.#end === this.#bytes.length;
      const offset = this.#window - this.#start;
      const count = this.#kernel.take(at + offset, this.#end + offset, Number(isLast), Math.min(ROWS_MAX, rowsMax - rows), length);
      const written = this.#kernel.written();
      bytes.set(this.#memory.subarray(this.#text, this.#text + written), length);
      bounds.set(new Int32Array(this.#memory.buffer, this.#bounds, count), index + rows + 1);
      length += written;
      rows += count;
      lines += this.#kernel.lines();
      at = this.#kernel.position() - offset;
      const why = this.#kernel.whyStopped();
      if (why === REFUSED || (why === INPUT && !this.#loadMore(at))) break;
    }
    return { rows, at, lines, length };
  }

  /** False: the row at `at` is longer than anything that is loaded. */
  #loadMore(at: number): boolean {
    if (at === this.#start) {
      if (this.#room === LINE_LIMITS.windowBytesMax) return false;
      this.#layOut(Math.min(LINE_LIMITS.windowBytesMax, 4 * this.#room));
    }
    this.#load(at);
    return true;
  }

  #load(at: number): void {
    this.#start = at;
    this.#end = Math.min(this.#bytes.length, at + this.#room);
    this.#memory.set(this.#bytes.subarray(at, this.#end), this.#window);
    this.#memory[this.#window + this.#end - at] = LINE_FEED;
  }

  #layOut(room: number): void {
    const path = Math.ceil(this.#kernel.heapStart() / 16) * 16;
    this.#room = room;
    this.#bounds = path + Math.ceil((this.#path.length + SLACK) / 16) * 16;
    this.#window = this.#bounds + 4 * ROWS_MAX;
    this.#text = this.#window + room + SLACK;
    ensureMemory(this.#kernel.memory, this.#text + room + SLACK);
    this.#memory = new Uint8Array(this.#kernel.memory.buffer);
    this.#memory.set(this.#path, path);
    this.#kernel.begin(path, path + this.#path.length, this.#text, this.#bounds);
    this.#end = this.#start;
  }
}
