/**
 * In which order the windows of one epoch are needed, over all lanes and sources, as far as that can be told without tokens. Pure.
 *
 * A lane takes from its sources by their weights in tokens. What a window holds in tokens is not known before it is tokenized; so decoded bytes stand
 * for tokens, and a window is due when its source, at its weight's share of the lane, has delivered what comes before it.
 */
import { LIMITS } from '../config/limits.js';
import type { Slice } from '../core/shard.js';
import type { KnownPlan, WindowPlace, WindowPlan } from './source-plan.js';

export interface NeedSource {
  readonly plan: KnownPlan;
  /** Of the delivered tokens, by weight; positive, 1 for a single source. */
  readonly share: number;
}

export interface NeedOptions {
  readonly lanes: number;
  readonly epoch: number;
  /** Tokens that each lane delivers, `undefined` for the whole epoch of every source. What a stream of so many has fetched is then among the windows. */
  readonly laneTokens: number | undefined;
}

export interface NeededWindow {
  /** Index into the sources. */
  readonly source: number;
  readonly lane: number;
  readonly place: WindowPlace;
  readonly window: WindowPlan;
}

interface Walk {
  readonly source: number;
  readonly lane: number;
  /** Decoded bytes that the lane delivers for each of this source. */
  readonly perByte: number;
  /** Decoded bytes of this source that the stream needs, beyond which one window more is fetched ahead. */
  readonly bytesNeeded: number;
  place: WindowPlace;
  /** Decoded bytes before `place`. */
  bytesBefore: number;
}

/** Tokens that a lane of a source keeps ready, beyond a step's, where there are so many of them. */
export function readyTokensOf(sourceLanes: number): number {
  return Math.min(LIMITS.laneReadyTokensMax, Math.max(LIMITS.laneReadyTokensMin, Math.floor(LIMITS.readyTokens / sourceLanes)));
}

/** Soonest first; ties in order of lane, then source. */
export function* windowsByNeed(sources: readonly NeedSource[], { lanes, epoch, laneTokens }: NeedOptions): Generator<NeededWindow, void> {
  const aheadTokens = readyTokensOf(lanes * sources.length) + LIMITS.chunkTokens;
  let walks: Walk[] = Array.from({ length: lanes }, (_, lane) =>
    sources.map(({ plan, share }, source): Walk => {
      const tokens = laneTokens === undefined ? Infinity : laneTokens * share + aheadTokens;
      const firstGroup = epoch * plan.groupsPerEpoch;
      // group g belongs to lane g mod lanes
      const group = firstGroup + ((((lane - firstGroup) % lanes) + lanes) % lanes);
      return {
        source,
        lane,
        perByte: 1 / share,
        bytesNeeded: tokens * LIMITS.tokenBytesAssumed,
        place: { group, window: 0 },
        bytesBefore: 0,
      };
    }),
  )
    .flat()
    .filter((walk) => walk.place.group < (epoch + 1) * sources[walk.source].plan.groupsPerEpoch);
  while (walks.length > 0) {
    const walk = walks.reduce((first, other) => (other.bytesBefore * other.perByte < first.bytesBefore * first.perByte ? other : first));
    const { plan } = sources[walk.source];
    const window = plan.window(walk.place);
    yield { source: walk.source, lane: walk.lane, place: walk.place, window };
    const isAhead = walk.bytesBefore >= walk.bytesNeeded;
    walk.bytesBefore += decodedBytes(window);
    walk.place = plan.nextPlace(walk.place);
    if (isAhead || walk.place.group >= (epoch + 1) * plan.groupsPerEpoch) walks = walks.filter((other) => other !== walk);
  }
}

function decodedBytes({ slices }: WindowPlan): number {
  return slices.reduce((sum, slice) => sum + decodedBytesOf(slice), 0);
}

/** On average over its block. */
export function decodedBytesOf({ block, startRow, endRow }: Slice): number {
  return (block.decodedBytes * (endRow - startRow)) / (block.endRow - block.startRow);
}
