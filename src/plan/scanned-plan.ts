/**
 * The plan of a source whose shards are opened when they are needed: a shard is a block, and what it holds is known when its group is opened. Which shards
 * a group has is known before, so that the order is a function of the listing and of what the shards hold, whenever they are opened.
 *
 *   shard    u0 │ u1    │ u2 │ u3 │ u4         its units
 *   slices   ──0──│──1──│────2────│──3         of whole units where these are small, of a unit's parts where it is large; slice j is part of window j
 */
import { LIMITS } from '../config/limits.js';
import type { Block, Shard, Slice } from '../core/shard.js';
import { createGroupOrder, type GroupOrder } from './group-order.js';
import {
  knownPlan,
  sliceCount,
  sliceOf,
  type GroupContents,
  type KnownPlan,
  type SourcePlan,
  type SourcePlanOptions,
} from './source-plan.js';

/** `group`: that needs it. Errors: those of opening, which name the shard. */
export type OpenShard = (shard: number, group: number, signal?: AbortSignal) => Promise<Shard>;

/** `shards`: how many the source has. */
export function createScannedPlan(shards: number, openShard: OpenShard, options: SourcePlanOptions): SourcePlan {
  const order = createGroupOrder(shards, options, LIMITS.scannedRampShareMax);
  const { groupsPerEpoch, firstPlace, placeAfter, isPastEnd } = order;
  return {
    name: options.name,
    groupsPerEpoch,
    firstPlace,
    placeAfter,
    isPastEnd,
    open: async (group, signal) => {
      const opened = await Promise.all(
        order.indexesOf(group).map(async (index) => [index, await openShard(index, group, signal)] as const),
      );
      const own = new Map(opened);
      const known = knownPlan(
        options.name,
        order,
        contentsOf(order, (index) => openedOf(own, index)),
      ).open(group);
      const { windowCount } = known;
      return { windowCount, window: (window) => known.window(window), nextGroups: () => known.nextGroups(), shards: own };
    },
  };
}

/** The same plan where all shards are opened. */
export function createOpenedPlan(shards: OpenedShards, options: SourcePlanOptions): KnownPlan {
  const order = createGroupOrder(shards.length, options, LIMITS.scannedRampShareMax);
  return knownPlan(
    options.name,
    order,
    contentsOf(order, (index) => shards.at(index)),
  );
}

/** Of a source, in canonical order. */
export interface OpenedShards {
  readonly length: number;
  at(index: number): Shard;
}

function openedOf(shards: ReadonlyMap<number, Shard>, index: number): Shard {
  const shard = shards.get(index);
  if (shard === undefined) throw new RangeError(`shard ${index} is of another group`);
  return shard;
}

function contentsOf(order: GroupOrder, shardAt: (index: number) => Shard): GroupContents {
  // a group is asked for window after window; of all groups at once a million shards would be too many
  let cuts: { readonly group: number; readonly of: readonly (readonly (readonly Slice[])[])[] } | undefined;
  const cutsOf = (group: number): readonly (readonly (readonly Slice[])[])[] => {
    if (cuts?.group !== group) {
      cuts = { group, of: order.indexesOf(group).map((index) => cutShard(index, shardAt(index), order.sliceBytes)) };
    }
    return cuts.of;
  };
  return {
    windowCount: (group) => Math.max(1, ...cutsOf(group).map(({ length }) => length)),
    slices: ({ group, window }) => cutsOf(group).flatMap((shard) => shard[window] ?? []),
    nextGroups: (group) => {
      const indexes = order.indexesOf(group);
      const stretches = indexes.map((index) => ({ first: index, end: index + 1 }));
      const next = order.nextGroupsOf(group, stretches);
      return indexes.flatMap((index, i) => blocksOf(index, shardAt(index)).map((block) => ({ block, group: next[i] })));
    },
  };
}

/** Of each unit that has rows. */
function blocksOf(shard: number, { units }: Shard): Block[] {
  return units.flatMap(({ startRow, rows, decodedBytes }, unit) =>
    rows === 0 ? [] : [{ shard, unit, startRow, endRow: startRow + rows, decodedBytes }],
  );
}

/** Parts of units, side by side, of at most `sliceBytes` decoded bytes, or one row. None is without rows. */
function cutShard(index: number, shard: Shard, sliceBytes: number): Slice[][] {
  const cuts: Slice[][] = [];
  let bytes = Infinity;
  for (const block of blocksOf(index, shard)) {
    const pieces = sliceCount(block, sliceBytes);
    const pieceBytes = block.decodedBytes / pieces;
    for (let piece = 0; piece < pieces; piece++) {
      if (bytes + pieceBytes > sliceBytes) {
        cuts.push([]);
        bytes = 0;
      }
      cuts[cuts.length - 1].push(...sliceOf(block, piece, sliceBytes));
      bytes += pieceBytes;
    }
  }
  return cuts;
}
