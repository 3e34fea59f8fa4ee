/** The plan of one source: which rows each window of each group holds, and in which order. Pure: no I/O, no clock, no state. */
import type { Block, BlockTable, Shard, Slice } from '../core/shard.js';
import { createGroupOrder, type BlockStretch, type GroupOrder } from './group-order.js';

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

/** A block of a group, and the next group in which it, or another block of its unit, is read again; `Infinity`: none is left. */
export interface BlockNeed {
  readonly block: Block;
  readonly group: number;
}

/** What a group consists of. */
export interface GroupPlan {
  /** At least 1: of shards without rows it is one window without rows. */
  readonly windowCount: number;
  window(window: number): WindowPlan;
  nextGroups(): readonly BlockNeed[];
  /** By index, the shards that were opened for it; `undefined`: the manifest knows them all. */
  readonly shards?: ReadonlyMap<number, Shard> | undefined;
}

export interface SourcePlan {
  readonly name: string;
  /** Groups of one epoch, G. */
  readonly groupsPerEpoch: number;
  /** A promise where shards have to be opened first to know it. Errors: those of opening, named. */
  open(group: number, signal?: AbortSignal): GroupPlan | Promise<GroupPlan>;
  /** A lane's first place; it may lie past the end. */
  firstPlace(lane: number): WindowPlace;
  /** The place after `place` in the same lane, where its group has so many windows: the group's next window, else the lane's next group. */
  placeAfter(place: WindowPlace, windowCount: number): WindowPlace;
  /** Whether a place lies past the last epoch. */
  isPastEnd(place: WindowPlace): boolean;
}

/** A plan that knows all of its groups. */
export interface KnownPlan extends SourcePlan {
  open(group: number): GroupPlan;
  /** Windows of a group. */
  windowCount(group: number): number;
  window(place: WindowPlace): WindowPlan;
  nextPlace(place: WindowPlace): WindowPlace;
  nextGroups(group: number): readonly BlockNeed[];
}

export function isKnown(plan: SourcePlan): plan is KnownPlan {
  return 'windowCount' in plan;
}

export function createSourcePlan(blocks: BlockTable, options: SourcePlanOptions): KnownPlan {
  const order = createGroupOrder(blocks.length, options);
  const { sliceBytes } = order;
  const blocksOf = (group: number): Block[] => order.indexesOf(group).map((index) => blocks.at(index));

  /** The blocks of a unit lie side by side: [first, end). */
  const unitOf = (index: number): BlockStretch => {
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

  return knownPlan(options.name, order, {
    windowCount: (group) => Math.max(...blocksOf(group).map((block) => sliceCount(block, sliceBytes))),
    slices: ({ group, window }) => blocksOf(group).flatMap((block) => sliceOf(block, window, sliceBytes)),
    nextGroups: (group) => {
      const indexes = order.indexesOf(group);
      const next = order.nextGroupsOf(group, indexes.map(unitOf));
      return indexes.map((index, i) => ({ block: blocks.at(index), group: next[i] }));
    },
  });
}

/** What the groups of a plan hold. */
export interface GroupContents {
  readonly windowCount: (group: number) => number;
  readonly slices: (place: WindowPlace) => readonly Slice[];
  readonly nextGroups: (group: number) => readonly BlockNeed[];
}

export function knownPlan(name: string, order: GroupOrder, contents: GroupContents): KnownPlan {
  const { groupsPerEpoch, firstPlace, placeAfter, isPastEnd } = order;
  const { windowCount, nextGroups } = contents;
  const window = (place: WindowPlace): WindowPlan => {
    const slices = contents.slices(place);
    return { slices, rows: slices.reduce((rows, slice) => rows + slice.endRow - slice.startRow, 0), orderKey: order.rowsKey(place) };
  };
  return {
    name,
    groupsPerEpoch,
    firstPlace,
    placeAfter,
    isPastEnd,
    windowCount,
    window,
    nextPlace: (place) => placeAfter(place, windowCount(place.group)),
    nextGroups,
    open: (group) => ({
      get windowCount() {
        return windowCount(group);
      },
      window: (at) => window({ group, window: at }),
      nextGroups: () => nextGroups(group),
    }),
  };
}

/** ⌈decoded bytes ÷ slice bytes⌉, at least one, and never more than rows. */
export function sliceCount(block: Block, sliceBytes: number): number {
  return Math.max(1, Math.min(block.endRow - block.startRow, Math.ceil(block.decodedBytes / sliceBytes)));
}

/** The block's slice in window `window`: none where the block has fewer slices. */
export function sliceOf(block: Block, window: number, sliceBytes: number): Slice[] {
  const slices = sliceCount(block, sliceBytes);
  if (window >= slices) return [];
  const rows = block.endRow - block.startRow;
  const startRow = block.startRow + Math.floor((window * rows) / slices);
  const endRow = block.startRow + Math.floor(((window + 1) * rows) / slices);
  return [{ block, startRow, endRow }];
}
