/** Loads the WebAssembly kernels that are built from `kernels/*.ts`. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

export interface KernelMemory {
  readonly buffer: ArrayBuffer;
  /** By pages of 64 KiB. Throws RangeError where the machine has no more. */
  grow(pages: number): number;
}

/** The part of the API that is used here: Node's types leave it to the browser's. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

const PAGE_BYTES = 65_536;

const resolver = createRequire(import.meta.url);

/** Instantiates `dist/kernels/<name>.wasm`, which imports nothing and exports its memory. */
export function loadKernel(name: string): unknown {
  const module = new WebAssembly.Module(readFileSync(resolver.resolve(`#kernels/${name}.wasm`)));
  return new WebAssembly.Instance(module).exports;
}

/** Grows a kernel's memory to at least `bytes`. Views of it must be made anew. */
export function ensureMemory(memory: KernelMemory, bytes: number): void {
  const missing = Math.ceil((bytes - memory.buffer.byteLength) / PAGE_BYTES);
  if (missing > 0) memory.grow(missing);
}
