/** The bodies of pages, decompressed: of the codecs that writers use today. Others are left to parquet-wasm. */
import { gunzipSync } from 'node:zlib';
import { LIMITS } from '../../config/limits.js';
import { releaseBuffer } from '../../core/raw-memory.js';
import { ensureMemory, kernelRuns, loadKernel, type KernelMemory } from '../../core/kernel.js';
import { decompressZstd, inOnePiece } from '../zstd.js';
import { snappyPrefix } from './snappy-prefix.js';

/** Exactly `size` bytes, which are read before the next call. Throws an Error that says what is wrong. */
export type Inflate = (body: Uint8Array, size: number) => Uint8Array;

/** Undefined where the codec is left to others. */
export function inflateOf(codec: string): Inflate | undefined {
  if (codec === 'SNAPPY') return kernelRuns('parquet-lists') ? unsnap : undefined;
  return INFLATES.get(codec);
}

const INFLATES = new Map<string, Inflate>([
  ['UNCOMPRESSED', (body, size) => sized(body, size)],
  ['GZIP', (body, size) => inTurn(sized(gunzipSync(body, inOnePiece(size)), size))],
  ['ZSTD', (body, size) => inTurn(decompressZstd(body, size))],
]);

/** The page that was decompressed last. */
let last: Uint8Array | undefined;

/** What came before has been read: its memory is given back. */
function inTurn(bytes: Uint8Array): Uint8Array {
  if (last !== undefined) releaseOwn(last);
  last = bytes.length > LIMITS.keptPageBytesMax ? undefined : bytes; // the collector has such a one before another page comes
  return bytes;
}

/** What was decompressed last, so that it stays when more is. `release`: for whoever reads it no more. */
export function lasting(bytes: Uint8Array): { readonly bytes: Uint8Array; readonly release: () => void } {
  if (kernel !== undefined && bytes.buffer === kernel.memory.buffer) return { bytes: new Uint8Array(bytes), release: () => undefined };
  if (bytes !== last) return { bytes, release: () => undefined };
  last = undefined;
  return { bytes, release: () => releaseOwn(bytes) };
}

/** Unless it is a part of what others use. */
function releaseOwn({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength > Buffer.poolSize) releaseBuffer(buffer);
}

function sized(bytes: Uint8Array, size: number): Uint8Array {
  if (bytes.length !== size) throw new Error(`a page has ${bytes.length} bytes where its header says ${size}`);
  return bytes;
}

interface SnappyKernel {
  readonly memory: KernelMemory;
  heapStart(): number;
  unsnap(from: number, end: number, to: number, size: number): number;
}

/** The kernel's vector copies may run over a buffer's end by less than this. */
const SLACK = 64;

let kernel: SnappyKernel | undefined;

function unsnap(body: Uint8Array, size: number): Uint8Array {
  // one byte more is asked for, so that a page that has more is seen to
  if (size > LIMITS.keptPageBytesMax) return sized(snappyPrefix(body, size + 1), size);
  kernel ??= loadKernel('parquet-lists') as SnappyKernel;
  const from = kernel.heapStart();
  const end = from + body.length;
  const to = Math.ceil((end + SLACK) / 16) * 16;
  ensureMemory(kernel.memory, to + size + SLACK);
  new Uint8Array(kernel.memory.buffer, from).set(body);
  if (kernel.unsnap(from, end, to, size) !== 0) throw new Error('a page is compressed wrongly');
  return new Uint8Array(kernel.memory.buffer, to, size);
}
