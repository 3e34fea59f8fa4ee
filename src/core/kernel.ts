/** Loads the WebAssembly kernels that are built from `kernels/*.ts`. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cannotLoad } from './errors.js';

export interface KernelMemory {
  readonly buffer: ArrayBuffer;
  /** By pages of 64 KiB; answers how many there were. Throws RangeError where the machine has no more. */
  grow(pages: number): number;
}

/** A memory that several threads may hold: it can be posted to them. */
export interface SharedKernelMemory {
  readonly buffer: SharedArrayBuffer;
  grow(pages: number): number;
}

/** The part of the API that is used here: Node's types leave it to the browser's. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports?: object) => { readonly exports: unknown };
  validate(bytes: Uint8Array): boolean;
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared: true }) => SharedKernelMemory;
};

export const KERNEL_PAGE_BYTES = 65_536;
/** What 32 bits can address. */
const PAGES_MAX = 65_536;

const resolver = createRequire(import.meta.url);

/** Instantiates `dist/kernels/<name>.wasm`. One that was built to share its memory takes `memory`; any other exports its own. */
export function loadKernel(name: string, memory?: SharedKernelMemory): unknown {
  return new WebAssembly.Instance(new WebAssembly.Module(readKernel(name)), { env: { memory } }).exports;
}

export function createSharedMemory(bytes: number): SharedKernelMemory {
  return new WebAssembly.Memory({ initial: Math.ceil(bytes / KERNEL_PAGE_BYTES), maximum: PAGES_MAX, shared: true });
}

/** Grows a kernel's memory to at least `bytes`. Views of it must be made anew. */
export function ensureMemory(memory: KernelMemory, bytes: number): void {
  const missing = Math.ceil((bytes - memory.buffer.byteLength) / KERNEL_PAGE_BYTES);
  if (missing > 0) memory.grow(missing);
}

const runs = new Map<string, boolean>();

/** Whether this engine and this processor run a kernel: V8 refuses vector instructions where the processor has none, or was told to do without. */
export function kernelRuns(name: string): boolean {
  const known = runs.get(name);
  if (known !== undefined) return known;
  const valid = typeof WebAssembly === 'object' && WebAssembly.validate(readKernel(name));
  runs.set(name, valid);
  return valid;
}

/** SHA-256 (hex) of a kernel: what is made for one is of no use to another. */
export function kernelDigest(name: string): string {
  return createHash('sha256').update(readKernel(name)).digest('hex');
}

function readKernel(name: string): Uint8Array {
  try {
    return readFileSync(resolver.resolve(`#kernels/${name}.wasm`));
  } catch (error) {
    throw cannotLoad(`${name}.wasm`, error);
  }
}
