/**
 * libzstd in WebAssembly, for versions of Node that have none of their own (before 22.15): as fast, and as strict with damage. Imported in workers and in
 * the thread of zstd only, and ready when it is.
 *
 * The package's own methods pass over what libzstd says is wrong; so its functions are called here, as zstd.h describes them. They are got at by a method that
 * it does not promise, for which its version is pinned.
 */
import { ZSTDDecoder } from 'zstddec/stream';

interface Zstd {
  readonly memory: { readonly buffer: ArrayBuffer };
  malloc(bytes: number): number;
  free(address: number): void;
  ZSTD_decompress(to: number, toBytes: number, from: number, fromBytes: number): number;
  ZSTD_createDCtx(): number;
  ZSTD_freeDCtx(context: number): void;
  ZSTD_decompressStream(context: number, output: number, input: number): number;
}

/** Of a buffer, for a stream: its address, its size, and how much of it is used. */
const BUFFER_WORDS = 3;
/** What a stream hands over at a time: a block at most. */
const OUTPUT_BYTES = 128 * 2 ** 10;

const zstd = await openModule();

async function openModule(): Promise<Zstd> {
  let found: Zstd | undefined;
  const decoder = new ZSTDDecoder();
  const init = decoder._init.bind(decoder);
  // the type is one of browsers
  decoder._init = (result: unknown) => {
    found = (result as { readonly instance: { readonly exports: Zstd } }).instance.exports;
    init(result as Parameters<typeof init>[0]);
  };
  await withoutFetch(() => decoder.init());
  if (found === undefined) throw new Error('zstddec was opened before');
  return found;
}

/** The package fetches its module from a `data:` URL where it can: for that Node loads its client of HTTP, a fifth of what a worker needs to start. */
function withoutFetch<T>(run: () => T): T {
  const { fetch } = globalThis;
  Object.assign(globalThis, { fetch: undefined });
  try {
    return run();
  } finally {
    Object.assign(globalThis, { fetch });
  }
}

/** Whole frames. Throws an Error where they are damaged, or have more than `size` bytes. */
export function decompressFrames(frames: Uint8Array, size: number): Uint8Array {
  const from = put(frames);
  const to = allocate(size);
  try {
    const length = checked(zstd.ZSTD_decompress(to, size, from, frames.length));
    return new Uint8Array(zstd.memory.buffer).slice(to, to + length);
  } finally {
    zstd.free(from);
    zstd.free(to);
  }
}

/** Frames one after the other, in pieces of any length. To be closed: its window is no part of JavaScript's heap. */
export class FrameStream {
  #context = zstd.ZSTD_createDCtx();
  #output = allocate(OUTPUT_BYTES);
  #buffers = allocate(2 * 4 * BUFFER_WORDS);

  /** The content that these bytes complete. Throws an Error where they are damaged. */
  *push(bytes: Uint8Array): Generator<Uint8Array<ArrayBuffer>, void, undefined> {
    const [output, input] = [this.#buffers, this.#buffers + 4 * BUFFER_WORDS];
    const from = put(bytes);
    try {
      for (let used = 0, isFull = false; used < bytes.length || isFull;) {
        new Uint32Array(zstd.memory.buffer, output, 2 * BUFFER_WORDS).set([this.#output, OUTPUT_BYTES, 0, from, bytes.length, used]);
        checked(zstd.ZSTD_decompressStream(this.#context, output, input));
        const [, , length, , , position] = new Uint32Array(zstd.memory.buffer, output, 2 * BUFFER_WORDS);
        used = position;
        isFull = length === OUTPUT_BYTES;
        if (length > 0) yield new Uint8Array(zstd.memory.buffer).slice(this.#output, this.#output + length);
      }
    } finally {
      zstd.free(from);
    }
  }

  close(): void {
    zstd.ZSTD_freeDCtx(this.#context);
    zstd.free(this.#output);
    zstd.free(this.#buffers);
    this.#context = this.#output = this.#buffers = 0; // nothing to free again
  }
}

function put(bytes: Uint8Array): number {
  const address = allocate(bytes.length);
  new Uint8Array(zstd.memory.buffer).set(bytes, address);
  return address;
}

function allocate(bytes: number): number {
  const address = zstd.malloc(Math.max(1, bytes));
  if (address === 0) throw new Error(`there is no memory for ${bytes} bytes of zstd`);
  return address >>> 0;
}

/** Errors are sizes next to the largest one, which WebAssembly hands over as small negative numbers. */
function checked(result: number): number {
  if (result < 0 && result > -ERRORS_MAX) throw new Error(`zstd frames are damaged (libzstd's error ${-result})`);
  return result >>> 0;
}

const ERRORS_MAX = 120;
