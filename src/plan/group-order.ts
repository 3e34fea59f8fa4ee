/** Which blocks of a source each group has, in which epoch and for which lane: what all plans share, whatever a block is. Pure arithmetic, O(1) a position. */
import { deriveKey } from '../core/keyed-random.js';
import { createPermutation, identityPermutation, type Permutation } from '../core/permutation.js';
import { layoutGroups } from './groups.js';
import type { SourcePlanOptions, WindowPlace } from './source-plan.js';

/** Blocks [first, end), as the manifest counts them. */
export interface BlockStretch {
  readonly first: number;
  readonly end: number;
}

export interface GroupOrder {
  /** G. */
  readonly groupsPerEpoch: number;
  /** Decoded bytes of a block's part in a window. */
  readonly sliceBytes: number;
  /** Of the group's blocks, in the order of its windows' slices. */
  indexesOf(group: number): number[];
  /** Of each stretch of blocks, the first group after `group` that has one of them; `Infinity`: none is left. */
  nextGroupsOf(group: number, stretches: readonly BlockStretch[]): number[];
  /** Of a window's rows; `undefined`: as they lie. */
  rowsKey(place: WindowPlace): Uint32Array | undefined;
  readonly firstPlace: (lane: number) => WindowPlace;
  /** The place after `place` in its lane, whose group has so many windows. */
  readonly placeAfter: (place: WindowPlace, windowCount: number) => WindowPlace;
  readonly isPastEnd: (place: WindowPlace) => boolean;
}

/** `rampShareMax`: as `layoutGroups` has it. */
export function createGroupOrder(blocks: number, options: SourcePlanOptions, rampShareMax?: number): GroupOrder {
  const { name, seed, lanes, shuffleBlocks, unshuffled = false, windowBytes, epochs } = options;
  const shuffled = shuffleBlocks !== undefined && !unshuffled;
  const layout = layoutGroups(blocks, lanes, shuffleBlocks ?? 1, rampShareMax);
  const groupsEnd = epochs === undefined ? Infinity : epochs * layout.groups;

  const epochOf = (group: number): number => Math.floor(group / layout.groups);
  const blockOrder = (epoch: number): Permutation =>
    shuffled ? createPermutation(deriveKey('blocks', seed, name, epoch), blocks) : identityPermutation(blocks);

  return {
    groupsPerEpoch: layout.groups,
    sliceBytes: windowBytes / layout.blocksMax,
    indexesOf: (group) => {
      const order = blockOrder(epochOf(group));
      const { start, end } = layout.range(group % layout.groups);
      return Array.from({ length: end - start }, (_, i) => order.at(start + i));
    },
    nextGroupsOf: (group, stretches) => {
      const epoch = epochOf(group);
      const orders = [blockOrder(epoch), blockOrder(epoch + 1)];
      return stretches.map(({ first, end }) => {
        let next = Infinity;
        for (const [i, order] of orders.entries()) {
          for (let index = first; index < end; index++) {
            const candidate = (epoch + i) * layout.groups + layout.groupAt(order.indexOf(index));
            if (candidate > group && candidate < groupsEnd) next = Math.min(next, candidate);
          }
        }
        return next;
      });
    },
    rowsKey: ({ group, window }) => (shuffled ? deriveKey('rows', seed, name, group, window) : undefined),
    firstPlace: (lane) => ({ group: lane, window: 0 }),
    placeAfter: ({ group, window }, windowCount) =>
      window + 1 < windowCount ? { group, window: window + 1 } : { group: group + lanes, window: 0 },
    isPastEnd: ({ group }) => group >= groupsEnd,
  };
}
