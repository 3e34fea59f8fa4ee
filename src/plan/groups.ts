/**
 * Groups: which stretches of the permuted block order are shuffled together. Pure arithmetic, O(log K) an answer.
 *
 *   blocks   0 1 2 3 | 4 5 6  7 8 9  10 11 12  13 14 15 | 16 …      4 lanes, K = 4: every lane's first group is one block,
 *   groups   0 1 2 3 | 4      5      6         7        | 8 …       what is left is divided evenly
 */
import { LIMITS } from '../config/limits.js';

export interface GroupLayout {
  /** Blocks of the largest group. */
  readonly blocksMax: number;
  /** Groups of an epoch, G. */
  readonly groups: number;
  /** The positions [start, end) in the epoch's block order that group g consists of. */
  range(group: number): { readonly start: number; readonly end: number };
  /** The group that has a position of the epoch's block order. */
  groupAt(position: number): number;
}

/**
 * Groups have at most K = clamp(⌈blocks ÷ lanes⌉, 1, shuffleBlocks) blocks. The first `lanes` have 1, the next `lanes` 2, then 4 …, as long as all of these
 * together are at most `rampShareMax` of the epoch (below 1). The others have the rest in as few rounds of the lanes as K allows, evenly: sizes differ by one block.
 */
export function layoutGroups(
  blocks: number,
  lanes: number,
  shuffleBlocks: number,
  rampShareMax: number = LIMITS.rampShareMax,
): GroupLayout {
  const most = Math.max(1, Math.min(Math.ceil(blocks / lanes), shuffleBlocks));
  let rampLevels = 0;
  while (2 ** rampLevels < most && rampBlocksOf(rampLevels + 1, lanes) <= blocks * rampShareMax) rampLevels++;
  const rampBlocks = rampBlocksOf(rampLevels, lanes);
  const rampGroups = rampLevels * lanes;
  const rest = blocks - rampBlocks;
  const evenGroups = Math.min(rest, Math.ceil(rest / (lanes * most)) * lanes);
  const groups = rampGroups + evenGroups;

  const startOf = (group: number): number => {
    if (group >= rampGroups) return rampBlocks + Math.floor(((group - rampGroups) * rest) / evenGroups);
    const level = Math.floor(group / lanes);
    return rampBlocksOf(level, lanes) + (group % lanes) * 2 ** level;
  };
  return {
    blocksMax: Math.max(Math.ceil(rest / evenGroups), rampLevels === 0 ? 0 : 2 ** (rampLevels - 1)),
    groups,
    range: (group) => {
      if (!(group >= 0 && group < groups)) throw new RangeError(`group ${group} of ${groups}`);
      return { start: startOf(group), end: startOf(group + 1) };
    },
    groupAt: (position) => {
      // the last group that starts at the position or before it: ⌊i · rest ÷ groups⌋ ≤ p means i < (p + 1) · groups ÷ rest
      if (position >= rampBlocks) return rampGroups + Math.ceil(((position - rampBlocks + 1) * evenGroups) / rest) - 1;
      const level = Math.floor(Math.log2(Math.floor(position / lanes) + 1)); // level l begins at lanes · (2^l − 1)
      return level * lanes + Math.floor((position - rampBlocksOf(level, lanes)) / 2 ** level);
    },
  };
}

/** Of the groups with 1, 2, 4 … blocks, in so many levels of one group a lane. */
function rampBlocksOf(levels: number, lanes: number): number {
  return lanes * (2 ** levels - 1);
}
