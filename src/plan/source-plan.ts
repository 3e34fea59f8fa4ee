/** The plan of one source: which rows each window of each group holds, and in which order. Pure: no I/O, no clock, no state. */
import type { Block, BlockTable, Slice } from '../core/shard.js';
import { deriveKey } from '../core/keyed-random.js';
import { createPermutation, identityPermutation, type Permutation } from '../core/permutation.js';
import { layoutGroups } from './groups.js';

export interface SourcePlanOptions {
  readonly name: string;
  readonly seed: number;
  readonly lanes: number;
  /** `undefined`: file order, in windows of `windowBytes`. */
  readonly shuffleBlocks: number | undefined;
  /** The windows of a shuffled plan, but blocks and rows as they lie: what does not depend on the seed. */
  readonly unshuffled?: boolean;
  readonly windowBytes: number;
  /** `undefined`: for ever. */
  readonly epochs: number | undefined;
}

/** One window: the rows of its slices, concatenated, are visited in the order of `order`. */
export interface WindowPlan {
  readonly slices: readonly Slice[];
  readonly rows: number;
  /** Key of the permutation of the window's rows; `undefined`: as they lie. */
  readonly orderKey: Uint32Array | undefined;
}

/** Names a window: the group counted over all epochs, and the window of the group. */
export interface WindowPlace {
  readonly group: number;
  readonly window: number;
}

export interface SourcePlan {
  readonly name: string;
  /** Groups of one epoch, G. */
  readonly groupsPerEpoch: number;
  /** Windows of a group. */
  windowCount(group: number): number;
  window(place: WindowPlace): WindowPlan;
  /** A lane's first place; it may lie past the end. */
  firstPlace(lane: number): WindowPlace;
  /** The place after `place` in the same lane: the group's next window, else the lane's next group. */
  nextPlace(place: WindowPlace): WindowPlace;
  /** Of each block of a group, the next group in which it, or another block of its unit, is read again; `Infinity`: none is left. */
  nextGroups(group: number): readonly { readonly block: Block; readonly group: number }[];
  /** Whether a place lies past the last epoch. */
  isPastEnd(place: WindowPlace): boolean;
}

export function createSourcePlan(blocks: BlockTable, options: SourcePlanOptions): SourcePlan {
  const { name, seed, lanes, shuffleBlocks, unshuffled = false, windowBytes, epochs } = options;
  const shuffled = shuffleBlocks !== undefined && !unshuffled;
  const layout = layoutGroups(blocks.length, lanes, shuffleBlocks ?? 1);
  const groupsEnd = epochs === undefined ? Infinity : epochs * layout.groups;
  const sliceBytes = windowBytes / layout.blocksMax;

  const blockOrder = (epoch: number): Permutation =>
    shuffled ? createPermutation(deriveKey('blocks', seed, name, epoch), blocks.length) : identityPermutation(blocks.length);

  const indexesOf = (group: number): number[] => {
    const epoch = Math.floor(group / layout.groups);
    const order = blockOrder(epoch);
    const { start, end } = layout.range(group % layout.groups);
    return Array.from({ length: end - start }, (_, i) => order.at(start + i));
  };
  const blocksOf = (group: number): Block[] => indexesOf(group).map((index) => blocks.at(index));

  /** The blocks of a unit lie side by side: [first, end). */
  const unitOf = (index: number): { readonly first: number; readonly end: number } => {
    const { shard, unit } = blocks.at(index);
    const isOfUnit = (other: number): boolean => {
      const block = blocks.at(other);
      return block.shard === shard && block.unit === unit;
    };
    let first = index;
    while (first > 0 && isOfUnit(first - 1)) first--;
    let end = index + 1;
    while (end < blocks.length && isOfUnit(end)) end++;
    return { first, end };
  };
  /** `orders`: of the group's epoch, and of the next. */
  const nextGroupOf = (index: number, group: number, epoch: number, orders: readonly Permutation[]): number => {
    const { first, end } = unitOf(index);
    let next = Infinity;
    for (const [i, order] of orders.entries()) {
      const later = epoch + i;
      for (let other = first; other < end; other++) {
        const candidate = later * layout.groups + layout.groupAt(order.indexOf(other));
        if (candidate > group && candidate < groupsEnd) next = Math.min(next, candidate);
      }
    }
    return next;
  };

  const windowCount = (group: number): number => Math.max(...blocksOf(group).map((block) => sliceCount(block, sliceBytes)));

  return {
    name,
    groupsPerEpoch: layout.groups,
    windowCount,
    window: ({ group, window }) => {
      const slices = blocksOf(group).flatMap((block) => sliceOf(block, window, sliceBytes));
      return {
        slices,
        rows: slices.reduce((rows, slice) => rows + slice.endRow - slice.startRow, 0),
        orderKey: shuffled ? deriveKey('rows', seed, name, group, window) : undefined,
      };
    },
    firstPlace: (lane) => ({ group: lane, window: 0 }),
    nextPlace: ({ group, window }) =>
      window + 1 < windowCount(group) ? { group, window: window + 1 } : { group: group + lanes, window: 0 },
    nextGroups: (group) => {
      const epoch = Math.floor(group / layout.groups);
      const orders = [blockOrder(epoch), blockOrder(epoch + 1)];
      return indexesOf(group).map((index) => ({ block: blocks.at(index), group: nextGroupOf(index, group, epoch, orders) }));
    },
    isPastEnd: ({ group }) => group >= groupsEnd,
  };
}

/** ⌈decoded bytes ÷ slice bytes⌉, at least one, and never more than rows. */
function sliceCount(block: Block, sliceBytes: number): number {
  return Math.max(1, Math.min(block.endRow - block.startRow, Math.ceil(block.decodedBytes / sliceBytes)));
}

/** The block's slice in window `window`: none where the block has fewer slices. */
function sliceOf(block: Block, window: number, sliceBytes: number): Slice[] {
  const slices = sliceCount(block, sliceBytes);
  if (window >= slices) return [];
  const rows = block.endRow - block.startRow;
  const startRow = block.startRow + Math.floor((window * rows) / slices);
  const endRow = block.startRow + Math.floor(((window + 1) * rows) / slices);
  return [{ block, startRow, endRow }];
}
