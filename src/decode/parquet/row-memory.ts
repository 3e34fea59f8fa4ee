/**
 * The memory of rows that were released, for later ones of the same worker. A window's ids, or texts, are megabytes, and fresh ones come from the system page
 * by page: to use them again is half the time of a copy.
 */
import { rawBuffer, releaseBuffer, takeOver } from '../../core/raw-memory.js';

/** What the windows of four lanes have at the defaults: what a huge document had is not kept. */
const FREE_BYTES_MAX = 128 * 2 ** 20;

/** The last that came back is at the end. */
const free: ArrayBuffer[] = [];
let freeBytes = 0;
/** What rows have now, and what they have had at most. Lanes end their windows together: what they give back is what their next windows take. */
let usedBytes = 0;
let usedBytesMax = 0;

/** At least so many bytes, with whatever was in them; not many more, which others could use. */
export function rowMemory(bytes: number): ArrayBuffer {
  const index = free.findIndex(({ byteLength }) => byteLength >= bytes && byteLength <= 2 * bytes + 4096);
  const taken = index < 0 ? rawBuffer(bytes) : free.splice(index, 1)[0];
  if (index >= 0) freeBytes -= taken.byteLength;
  usedBytes += taken.byteLength;
  usedBytesMax = Math.max(usedBytesMax, usedBytes);
  dropRest();
  return taken;
}

/** Views of the buffer are empty afterwards. What was released before is nothing more. */
export function releaseRowMemory(buffer: ArrayBuffer): void {
  if (buffer.byteLength === 0) return;
  const own = takeOver(buffer);
  usedBytes -= own.byteLength;
  free.push(own);
  freeBytes += own.byteLength;
  dropRest();
}

/** With what waits, rows have no more than they had at once before. */
function dropRest(): void {
  while (freeBytes > Math.max(0, Math.min(FREE_BYTES_MAX, usedBytesMax - usedBytes))) {
    const [dropped] = free.splice(0, 1);
    freeBytes -= dropped.byteLength;
    releaseBuffer(dropped);
  }
}
