/** What the block reader will fetch, from the footer alone: as if all rows of a column chunk had the same length. */
import type { Block, Shard, Unit } from '../../core/shard.js';
import { STORE_LIMITS } from '../../store/limits.js';
import type { ReadEstimate } from '../decoder.js';
import { requestEnd } from '../request-end.js';
import { parquetShardLayout, parquetUnitLayout, type ParquetChunkLayout } from './layout.js';

/** The projected columns', those of the fields and of a filter, and the ids' where they are read. */
export function estimateBlock(shard: Shard, block: Block, withIds = false): (startRow: number, endRow: number) => ReadEstimate {
  const { id, fields = [], filter = [], leaves, ...chunk } = parquetUnitLayout(shard.units[block.unit].layout);
  const { fieldsOnly } = parquetShardLayout(shard.layout);
  const own = leaves ?? (fieldsOnly === true ? [] : [chunk]);
  const estimates = [...own, ...fields, ...filter, ...(withIds && id !== undefined ? [id] : [])].map((layout) =>
    estimateChunk(layout, shard.units[block.unit], block),
  );
  return (startRow, endRow) =>
    estimates
      .map((estimate) => estimate(startRow, endRow))
      .reduce((sum, { bytes, requests }) => ({ bytes: sum.bytes + bytes, requests: sum.requests + requests }));
}

/** Follows the reader, which has fetched what lies before `held`; but a block that is a part of its unit is taken to end with its own rows. */
function estimateChunk(
  { offsetIndex, startByte, endByte }: ParquetChunkLayout,
  unit: Unit,
  block: Block,
): (startRow: number, endRow: number) => ReadEstimate {
  const byteOf = (row: number): number => startByte + Math.floor(((endByte - startByte) * (row - unit.startRow)) / unit.rows);
  const blockEnd = byteOf(block.endRow);
  let held = byteOf(block.startRow);
  return (startRow, endRow) => {
    // an index is read for the first of the unit's blocks, and remembered for the others
    const index = offsetIndex !== undefined && startRow === unit.startRow ? offsetIndex.endByte - offsetIndex.startByte : 0;
    let bytes = index;
    let requests = index > 0 ? 1 : 0;
    const wanted = byteOf(endRow);
    if (wanted > held) {
      // surveys read ahead at any slice, pages that an index names only where the block has more slices
      const readsAhead = offsetIndex === undefined || endRow < block.endRow;
      const fetchEnd = readsAhead ? requestEnd(byteOf(startRow), wanted, blockEnd) : wanted;
      bytes += fetchEnd - held;
      requests += Math.ceil((fetchEnd - held) / STORE_LIMITS.partBytesMax);
      held = fetchEnd;
    }
    return { bytes, requests };
  };
}
