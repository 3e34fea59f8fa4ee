/** Cuts the units of a source's shards into blocks. Pure: shards and plan options in, blocks out, in canonical order. */
import { LIMITS } from '../config/limits.js';
import type { Block, BlockTable } from '../core/shard.js';
import { countUpTo } from './columns.js';
import type { ShardTable } from './shard-table.js';

export interface BlockOptions {
  readonly lanes: number;
  readonly windowBytes: number;
}

/**
 * A unit is cut into row ranges of nearly equal length where it decodes to more than `windowsPerBlockMax` windows, or where the source would have fewer
 * than `blocksPerLaneMin` blocks a lane; not one that must be read from its start. Units without rows give no block. Memory: 4 bytes a unit, and none a block; a block in O(log units).
 */
export function cutBlocks({ columns }: ShardTable, { lanes, windowBytes }: BlockOptions): BlockTable {
  const { unitEnds, unitStartRow, unitRows, unitDecodedBytes, unitIsWhole } = columns;
  let units = 0;
  for (let unit = 0; unit < unitRows.length; unit++) if (unitRows[unit] > 0) units++;
  const piecesForLanes = units === 0 ? 1 : Math.ceil((LIMITS.blocksPerLaneMin * lanes) / units);
  const blockBytesMax = LIMITS.windowsPerBlockMax * windowBytes;

  // the blocks of unit u are [blockEnds[u − 1], blockEnds[u])
  const blockEnds = new Uint32Array(unitRows.length);
  let length = 0;
  for (let unit = 0; unit < unitRows.length; unit++) {
    const piecesMax = unitIsWhole[unit] === 1 ? 1 : Math.max(piecesForLanes, Math.ceil(unitDecodedBytes[unit] / blockBytesMax));
    length += Math.min(unitRows[unit], piecesMax);
    blockEnds[unit] = length;
  }
  if (length >= 2 ** 32) throw new RangeError(`${length} blocks in one source`); // a petabyte in the smallest blocks

  const at = (index: number): Block => {
    if (!(index >= 0 && index < length)) throw new RangeError(`block ${index} of ${length}`);
    const unit = countUpTo(blockEnds, index);
    const shard = countUpTo(unitEnds, unit);
    const firstBlock = unit === 0 ? 0 : blockEnds[unit - 1];
    const pieces = blockEnds[unit] - firstBlock;
    const piece = index - firstBlock;
    const rows = unitRows[unit];
    const start = Math.floor((piece * rows) / pieces);
    const end = Math.floor(((piece + 1) * rows) / pieces);
    return {
      shard,
      unit: unit - (shard === 0 ? 0 : unitEnds[shard - 1]),
      startRow: unitStartRow[unit] + start,
      endRow: unitStartRow[unit] + end,
      decodedBytes: Math.ceil((unitDecodedBytes[unit] * (end - start)) / rows),
    };
  };
  return { length, at };
}
