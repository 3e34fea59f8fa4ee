/**
 * Groups: which stretches of the permuted block order are shuffled together. Pure arithmetic, O(log K) an answer.
 *
 *   blocks   0 1 2 3 | 4 5  6 7  8 9  10 11 | 12 … 15  16 … 19  …
 *   groups   0 1 2 3 | 4    5    6    7     | 8        9        …        4 lanes, K = 4: every lane's first group is one block
 */
import { LIMITS } from '../config/limits.js';

export interface GroupLayout {
  /** Blocks of a full group, K. */
  readonly blocksMax: number;
  /** Groups of an epoch, G. */
  readonly groups: number;
  /** The positions [start, end) in the epoch's block order that group g consists of. */
  range(group: number): { readonly start: number; readonly end: number };
  /** The group that has a position of the epoch's block order. */
  groupAt(position: number): number;
}

/** K = clamp(⌊blocks ÷ (4 · lanes)⌋, 1, shuffleBlocks); the first `lanes` groups have 1 block, the next `lanes` 2, then 4 … K. */
export function layoutGroups(blocks: number, lanes: number, shuffleBlocks: number): GroupLayout {
  const blocksMax = Math.max(1, Math.min(Math.floor(blocks / (LIMITS.blocksPerLaneMin * lanes)), shuffleBlocks));
  const rampLevels = Math.ceil(Math.log2(blocksMax));
  const rampBlocks = lanes * (2 ** rampLevels - 1);

  const startOf = (group: number): number => {
    const level = Math.floor(group / lanes);
    if (level >= rampLevels) return rampBlocks + (group - rampLevels * lanes) * blocksMax;
    return lanes * (2 ** level - 1) + (group % lanes) * 2 ** level;
  };
  // the ramp never takes all blocks: it has fewer than 2 K lanes of them, and there are at least 4 K lanes
  const groups = rampLevels * lanes + Math.ceil((blocks - rampBlocks) / blocksMax);
  return {
    blocksMax,
    groups,
    range: (group) => {
      if (!(group >= 0 && group < groups)) throw new RangeError(`group ${group} of ${groups}`);
      return { start: startOf(group), end: Math.min(blocks, startOf(group + 1)) };
    },
    groupAt: (position) => {
      if (position >= rampBlocks) return rampLevels * lanes + Math.floor((position - rampBlocks) / blocksMax);
      const level = Math.floor(Math.log2(Math.floor(position / lanes) + 1)); // level l begins at lanes · (2^l − 1)
      return level * lanes + Math.floor((position - lanes * (2 ** level - 1)) / 2 ** level);
    },
  };
}
