/**
 * The memory of rows that were released, for later ones of the same worker. A window's ids, or texts, are megabytes, and fresh ones come from the system page
 * by page: to use them again is half the time of a copy.
 */
import { rawBuffer, releaseBuffer, takeOver } from '../../core/raw-memory.js';

/** As many as lanes, by default, that end their windows together. */
const BUFFERS_MAX = 8;
/** Slices of the default's windows have 2 MiB each: more only where row groups are decoded whole. */
const BYTES_MAX = 32 * 2 ** 20;

/** The last that came back is at the end. */
const free: ArrayBuffer[] = [];
let freeBytes = 0;

/** At least so many bytes, with whatever was in them; not many more, which others could use. */
export function rowMemory(bytes: number): ArrayBuffer {
  const index = free.findIndex(({ byteLength }) => byteLength >= bytes && byteLength <= 2 * bytes + 4096);
  if (index < 0) return rawBuffer(bytes);
  const [taken] = free.splice(index, 1);
  freeBytes -= taken.byteLength;
  return taken;
}

/** Views of the buffer are empty afterwards. What was released before is nothing more. */
export function releaseRowMemory(buffer: ArrayBuffer): void {
  if (buffer.byteLength === 0) return;
  const own = takeOver(buffer);
  free.push(own);
  freeBytes += own.byteLength;
  while (free.length > BUFFERS_MAX || freeBytes > BYTES_MAX) dropOldest();
}

function dropOldest(): void {
  const [dropped] = free.splice(0, 1);
  freeBytes -= dropped.byteLength;
  releaseBuffer(dropped);
}
