/** Cuts the units of a source's shards into blocks. Pure: shards and plan options in, blocks out, in canonical order. */
import { LIMITS } from '../config/limits.js';
import type { Block, Shard } from '../core/shard.js';

export interface BlockOptions {
  readonly lanes: number;
  readonly windowBytes: number;
}

/**
 * A unit is cut into row ranges of nearly equal length where it decodes to more than `windowsPerBlockMax` windows, or where the source would have fewer
 * than `blocksPerLaneMin` blocks a lane. Units without rows give no block.
 */
export function cutBlocks(shards: readonly Shard[], { lanes, windowBytes }: BlockOptions): Block[] {
  const units = shards.reduce((count, shard) => count + shard.units.filter((unit) => unit.rows > 0).length, 0);
  const piecesForLanes = units === 0 ? 1 : Math.ceil((LIMITS.blocksPerLaneMin * lanes) / units);
  const blockBytesMax = LIMITS.windowsPerBlockMax * windowBytes;
  const blocks: Block[] = [];
  for (const [shardIndex, shard] of shards.entries()) {
    for (const [unitIndex, unit] of shard.units.entries()) {
      const pieces = Math.min(unit.rows, Math.max(piecesForLanes, Math.ceil(unit.decodedBytes / blockBytesMax)));
      for (let piece = 0; piece < pieces; piece++) {
        const start = Math.floor((piece * unit.rows) / pieces);
        const end = Math.floor(((piece + 1) * unit.rows) / pieces);
        blocks.push({
          shard: shardIndex,
          unit: unitIndex,
          startRow: unit.startRow + start,
          endRow: unit.startRow + end,
          decodedBytes: Math.ceil((unit.decodedBytes * (end - start)) / unit.rows),
        });
      }
    }
  }
  return blocks;
}
