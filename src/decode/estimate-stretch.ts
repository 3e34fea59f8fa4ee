/** What reading a stretch of an object in ascending slices will fetch, as if all its rows had the same length. */
import type { Block, Unit } from '../core/shard.js';
import { STORE_LIMITS } from '../store/limits.js';
import type { ByteRange } from '../store/store.js';
import type { ReadEstimate } from './decoder.js';
import { requestEnd } from './request-end.js';

/** Follows `AscendingReader`; a unit that is read whole is read by the first slice. */
export function estimateStretch(
  unit: Unit,
  block: Block,
  { startByte, endByte }: ByteRange,
): (startRow: number, endRow: number) => ReadEstimate {
  const byteOf = (row: number): number => startByte + Math.floor(((endByte - startByte) * (row - unit.startRow)) / unit.rows);
  const blockEnd = byteOf(block.endRow);
  let held = byteOf(block.startRow);
  return (startRow, endRow) => {
    const wanted = unit.isWhole === true ? blockEnd : byteOf(endRow);
    if (wanted <= held) return { bytes: 0, requests: 0 };
    const end = requestEnd(byteOf(startRow), wanted, blockEnd);
    const bytes = end - held;
    held = end;
    return { bytes, requests: Math.ceil(bytes / STORE_LIMITS.partBytesMax) };
  };
}
