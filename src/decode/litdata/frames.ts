/**
 * The head of a chunk whose samples are compressed in groups (`compression_level="batch"`, what `compression="zstd"` means by itself). Pure.
 *
 *   LDFZ01·· version flags items samples-a-frame frames │ offset 0 … offset items │ frame 0 … │ zstd │ zstd │ …
 *   frame    first item, items, where it is stored (uint64), stored bytes, bytes        offsets count what the frames decode to
 *
 * Source of the layout: `litdata/streaming/framed_zstd.py`.
 */
import { LITDATA_LIMITS } from './limits.js';

export const FRAMES_MAGIC = 'LDFZ01\0\0';
export const FRAMES_HEAD_BYTES = 24;
const FRAME_BYTES = 24;

export interface FramesHead {
  readonly items: number;
  /** Where the offsets are, and where the table of frames. */
  readonly tableByte: number;
  readonly framesByte: number;
  readonly frames: number;
  /** Where the first frame is stored. */
  readonly dataByte: number;
}

export interface Frame {
  readonly items: number;
  readonly startByte: number;
  readonly endByte: number;
  /** What it decodes to. */
  readonly firstByte: number;
  readonly lastByte: number;
}

export function isFramed(head: Uint8Array): boolean {
  return Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, 8)).toString('latin1') === FRAMES_MAGIC;
}

/** Throws `Error`. */
export function readFramesHead(head: Uint8Array, size: number): FramesHead {
  if (head.length < FRAMES_HEAD_BYTES) throw new Error('its head ends early');
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  const version = view.getUint16(8, true);
  if (version !== 1) throw new Error(`its groups of samples are of version ${version}, and 1 is read`);
  const items = view.getUint32(12, true);
  const frames = view.getUint32(20, true);
  const tableByte = FRAMES_HEAD_BYTES;
  const framesByte = tableByte + 4 * (items + 1);
  const dataByte = framesByte + FRAME_BYTES * frames;
  if (frames > LITDATA_LIMITS.framesMax || dataByte > size)
    throw new Error(`it claims ${items} samples in ${frames} groups, and has ${size} bytes`);
  return { items, tableByte, framesByte, frames, dataByte };
}

/** Groups lie one after the other, and have all samples. Throws `Error`. */
export function readFrames(table: Uint8Array, { items, dataByte }: FramesHead, size: number): Frame[] {
  const view = new DataView(table.buffer, table.byteOffset, table.length);
  const frames: Frame[] = [];
  let [item, startByte, firstByte] = [0, dataByte, 0];
  for (let at = 0; at < table.length; at += FRAME_BYTES) {
    const own = view.getUint32(at + 4, true);
    const place = Number(view.getBigUint64(at + 8, true));
    const endByte = place + view.getUint32(at + 16, true);
    const lastByte = firstByte + view.getUint32(at + 20, true);
    const isNext = view.getUint32(at, true) === item && place === startByte;
    if (!isNext || own === 0 || endByte <= place || endByte > size) {
      throw new Error(`its group ${frames.length} does not follow the one before it`);
    }
    frames.push({ items: own, startByte, endByte, firstByte, lastByte });
    [item, startByte, firstByte] = [item + own, endByte, lastByte];
  }
  if (item !== items) throw new Error(`its groups have ${item} samples of ${items}`);
  return frames;
}
