/**
 * Byte-pair encoding in WebAssembly (`kernels/bpe.ts`): hands documents to the kernel in portions, and does what it leaves to JavaScript, the normal forms.
 * The algorithm, to read, is in reference-encoder.ts.
 */
import { KERNEL_PAGE_BYTES, loadKernel, type SharedKernelMemory } from '../../core/kernel.js';
import { HeadraceError } from '../../core/errors.js';
import type { DocumentEncoder, TokenizedDocuments } from '../tokenizer.js';
import { createAddedTokenSplitter } from './added-tokens.js';
import type { CompiledBpe } from './compile.js';
import { SLACK, type KernelTables } from './kernel-tables.js';
import { normalize, type NormalForm } from './normal-form.js';

interface BpeKernel {
  attach(descriptor: number): void;
  attachOwn(
    tables: number,
    shortBits: number,
    cacheBits: number,
    secondBits: number,
    longBits: number,
    arena: number,
    arenaBytes: number,
    queue: number,
  ): void;
  queueBytes(): number;
  attachScratch(at: number, bytes: number): void;
  scratchNeeded(): number;
  encodeBatch(text: number, bounds: number, from: number, count: number, ids: number, idBounds: number): number;
  encodeOne(start: number, end: number, ids: number, first: number): number;
}

/**
 * Sets of the tables of pretokens that are looked at first, of 32 bytes for those of up to 7 bytes and of 48 for those of up to 15: 1 MiB and 768 KiB for
 * 64 Ki and 32 Ki of them, which stay near the processor; slots of the table behind both, of 32 bytes: 16 MiB for 512 Ki, a language's words; and of the
 * table of long ones, of 16 bytes.
 */
const SHORT_BITS = 15;
const CACHE_BITS = 14;
const SECOND_BITS = 19;
const LONG_BITS = 16;
/** Ids and keys that do not fit into their slots. When it is full all pretokens are forgotten, which costs milliseconds. */
const ARENA_BYTES = 24 * 2 ** 20;
const SCRATCH_BYTES = 32 * 2 ** 10;
/** Text that the kernel gets at once: small enough for its ids (4 bytes a byte at worst) to stay in the caches. */
const PORTION_BYTES = 256 * 2 ** 10;
/** Memory for one pretoken grows by doubling, so that its former places come to no more than itself; beyond this there is no room to be generous. */
const DOUBLING_BYTES_MAX = 2 ** 29;

/** What a normal form needs besides the kernel. */
export type KernelSettings = Pick<CompiledBpe, 'normalForm' | 'matched'>;

export function createKernelEncoder(tables: KernelTables, settings: KernelSettings): DocumentEncoder {
  return new KernelEncoder(tables, settings);
}

class KernelEncoder implements DocumentEncoder {
  readonly #memory: SharedKernelMemory;
  readonly #kernel: BpeKernel;
  readonly #form: NormalForm | undefined;
  readonly #matched: KernelSettings['matched'];
  /** Made when it is first needed: a thousand added tokens take a while, and most text is in its normal form. */
  #splitAdded: ReturnType<typeof createAddedTokenSplitter> | undefined;
  /** A portion: text (with a byte before it, which the kernel may write), bounds, ids, their bounds. */
  #text = 0;
  #textBytes = 0;
  #bounds = 0;
  #ids = 0;
  #idBounds = 0;
  #documents = 0;
  #result = new Int32Array(PORTION_BYTES);
  #resultLength = 0;

  constructor({ memory, descriptor }: KernelTables, { normalForm, matched }: KernelSettings) {
    this.#memory = memory;
    this.#form = normalForm === 'none' ? undefined : normalForm;
    this.#matched = matched;
    this.#kernel = loadKernel('bpe', memory) as BpeKernel;
    this.#kernel.attach(descriptor);
    const [own, arena, queue] = this.#allocate([
      32 * 2 ** SHORT_BITS + 48 * 2 ** CACHE_BITS + 32 * 2 ** SECOND_BITS + 16 * 2 ** LONG_BITS,
      ARENA_BYTES,
      this.#kernel.queueBytes(),
    ]);
    this.#kernel.attachOwn(own, SHORT_BITS, CACHE_BITS, SECOND_BITS, LONG_BITS, arena, ARENA_BYTES, queue);
    this.#growScratch(SCRATCH_BYTES);
    this.#ensurePortion(PORTION_BYTES, 1024);
  }

  encodeBatch(bytes: Uint8Array, bounds: Int32Array): TokenizedDocuments {
    const count = bounds.length - 1;
    const idBounds = new Int32Array(count + 1);
    this.#resultLength = 0;
    for (let from = 0; from < count;) {
      let to = from + 1;
      while (to < count && bounds[to + 1] - bounds[from] <= PORTION_BYTES) to++;
      this.#encodePortion(bytes, bounds, from, to, idBounds);
      from = to;
    }
    return { ids: this.#result.subarray(0, this.#resultLength), bounds: idBounds };
  }

  /** Documents [from, to). */
  #encodePortion(bytes: Uint8Array, bounds: Int32Array, from: number, to: number, idBounds: Int32Array): void {
    const kernel = this.#kernel;
    const start = bounds[from];
    this.#ensurePortion(bounds[to] - start, to - from);
    const { buffer } = this.#memory;
    copyBytes(bytes.subarray(start, bounds[to]), buffer, this.#text);
    const ownBounds = new Uint32Array(buffer, this.#bounds, to - from + 1);
    for (let i = 0; i <= to - from; i++) ownBounds[i] = bounds[from + i] - start;
    for (let next = 0; next < to - from;) {
      const base = this.#resultLength;
      new Uint32Array(this.#memory.buffer, this.#idBounds, next + 1)[next] = 0;
      const stopped = kernel.encodeBatch(this.#text, this.#bounds, next, to - from, this.#ids, this.#idBounds);
      const ends = new Uint32Array(this.#memory.buffer, this.#idBounds, to - from + 1);
      for (let i = next; i < stopped; i++) idBounds[from + i + 1] = base + ends[i + 1];
      if (stopped > next) this.#takeIds(ends[stopped]);
      next = stopped;
      if (stopped === to - from) return;
      const document = bytes.subarray(bounds[from + stopped], bounds[from + stopped + 1]);
      const scratch = scratchNeeded(kernel);
      if (scratch > 0) {
        this.#growScratch(scratch);
        // the kernel may have written to the text before it stopped
        copyBytes(document, this.#memory.buffer, this.#text + bounds[from + stopped] - start);
        continue;
      }
      this.#encodeNormalized(document);
      idBounds[from + stopped + 1] = this.#resultLength;
      next++;
    }
  }

  /** A document that may not be in its normal form: its segments are normalized one by one, as the reference does. */
  #encodeNormalized(document: Uint8Array): void {
    const kernel = this.#kernel;
    const encoder = new TextEncoder();
    const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(document);
    this.#splitAdded ??= createAddedTokenSplitter(this.#matched);
    for (const [i, segment] of this.#splitAdded(text).entries()) {
      if ('id' in segment) {
        this.#reserve(1);
        this.#result[this.#resultLength++] = segment.id;
        continue;
      }
      const normal = encoder.encode(this.#form === undefined ? segment.text : normalize(segment.text, this.#form));
      const [at, ids] = this.#allocateOnce(normal.length);
      for (;;) {
        copyBytes(normal, this.#memory.buffer, at);
        const count = kernel.encodeOne(at, at + normal.length, ids, i === 0 ? 1 : 0);
        const scratch = scratchNeeded(kernel);
        if (scratch === 0) {
          this.#takeIds(count, ids);
          break;
        }
        this.#growScratch(scratch);
      }
    }
  }

  #spare = { at: 0, ids: 0, bytes: -1 };

  /** Room for a text beside the portion's, and for its ids. */
  #allocateOnce(bytes: number): readonly [text: number, ids: number] {
    if (bytes > this.#spare.bytes) {
      const room = powerOfTwo(Math.max(PORTION_BYTES, bytes));
      // a byte before it, for the prefix, which is one id more
      const [at, ids] = this.#allocate([room + SLACK, 4 * (room + 1)]);
      this.#spare = { at: at + SLACK, ids, bytes: room };
    }
    return [this.#spare.at, this.#spare.ids];
  }

  #takeIds(count: number, from = this.#ids): void {
    this.#reserve(count);
    copyBytes(new Uint8Array(this.#memory.buffer, from, 4 * count), this.#result.buffer, 4 * this.#resultLength);
    this.#resultLength += count;
  }

  #reserve(more: number): void {
    if (this.#resultLength + more <= this.#result.length) return;
    const larger = new Int32Array(Math.max(this.#resultLength + more, 2 * this.#result.length));
    larger.set(this.#result.subarray(0, this.#resultLength));
    this.#result = larger;
  }

  #growScratch(needed: number): void {
    const bytes = needed > DOUBLING_BYTES_MAX ? needed : powerOfTwo(needed);
    const [at] = this.#allocate([bytes]);
    this.#kernel.attachScratch(at, bytes);
  }

  #ensurePortion(bytes: number, documents: number): void {
    if (bytes <= this.#textBytes && documents <= this.#documents) return;
    this.#textBytes = powerOfTwo(Math.max(this.#textBytes, PORTION_BYTES, bytes));
    this.#documents = powerOfTwo(Math.max(this.#documents, documents));
    // an id is made of a byte at least, or of the space before a segment, which is a byte at least
    const ids = 4 * 2 * this.#textBytes;
    const bounds = 4 * (this.#documents + 1);
    const [text, boundsAt, idsAt, idBoundsAt] = this.#allocate([this.#textBytes + SLACK, bounds, ids, bounds]);
    this.#text = text + SLACK;
    this.#bounds = boundsAt;
    this.#ids = idsAt;
    this.#idBounds = idBoundsAt;
  }

  /** Takes a region behind everything that any thread has taken: growing is atomic. Errors: `WORKER_FAILED` where 4 GiB, or the machine's memory, are used up. */
  #allocate(sizes: readonly number[]): number[] {
    const padded = sizes.map((size) => Math.ceil((size + 2 * SLACK) / 64) * 64);
    const pages = Math.ceil(padded.reduce((sum, size) => sum + size, 0) / KERNEL_PAGE_BYTES);
    let at: number;
    try {
      at = this.#memory.grow(pages) * KERNEL_PAGE_BYTES;
    } catch (error) {
      const bytes = pages * KERNEL_PAGE_BYTES;
      throw new HeadraceError('WORKER_FAILED', `the tokenizer wants ${bytes} bytes of memory more for a document, and there are none`, {
        detail: { bytes },
        hint: 'Split documents of many megabytes without a space, or run fewer workers.',
        cause: error,
      });
    }
    return padded.map((size) => {
      const place = at;
      at += size;
      return place;
    });
  }
}

/**
 * Copies to or from memory that threads share. Filling with as many bytes is one plain copy; `set` of such an array goes word by word, so that no two threads
 * see half a word, and is three times as slow: it took a tenth of all encoding. Nobody else looks at an encoder's own region.
 */
function copyBytes(from: Uint8Array, to: ArrayBufferLike, at: number): void {
  if (from.length > 0) Buffer.from(to, at, from.length).fill(from);
}

/** WebAssembly's numbers come signed. */
function scratchNeeded(kernel: BpeKernel): number {
  return kernel.scratchNeeded() >>> 0;
}

/** The least one that is not smaller. */
function powerOfTwo(value: number): number {
  return 2 ** Math.ceil(Math.log2(value));
}
