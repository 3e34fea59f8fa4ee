/**
 * Checks from the plan what a stretch of a source's lanes has delivered: no row twice, and in an epoch that all lanes have passed, every row once.
 * Memory: a bit a row.
 *
 *   lane 0   ──w w w│w w w p·          p: a window in the middle of which the lane stands
 *   lane 1   ──w w w│w w p···
 *             epoch 0  epoch 1
 */
import { createPermutation, identityPermutation } from '../core/permutation.js';
import type { LanePosition } from '../plan/cursor.js';
import type { KnownPlan, WindowPlace, WindowPlan } from '../plan/source-plan.js';
import { LEDGER_LIMITS } from './limits.js';
import { ProblemList } from './problems.js';

export interface CoverageOptions {
  readonly plan: KnownPlan;
  readonly lanes: number;
  /** Rows of each shard. */
  readonly shardRows: ArrayLike<number>;
  /** Of all blocks; left out: as many as the shards have. */
  readonly rows?: number;
  /** By lane. */
  readonly stretches: readonly { readonly from: LanePosition; readonly to: LanePosition }[];
}

export interface EpochCoverage {
  readonly epoch: number;
  /** Every lane has passed it, from its start. */
  readonly isWhole: boolean;
  readonly windows: number;
  /** Rows whose turn has come: delivered, or left out by policy. Of a window that is not finished, those before the position. */
  readonly rows: number;
}

export interface SourceCoverage {
  readonly source: string;
  readonly rows: number;
  readonly tokens: number;
  readonly epochs: readonly EpochCoverage[];
  readonly problems: ProblemList;
}

interface Walk {
  readonly lane: number;
  readonly from: LanePosition;
  readonly to: LanePosition;
  place: WindowPlace;
}

export function checkCoverage({ plan, lanes, shardRows, rows: blockRows, stretches }: CoverageOptions): SourceCoverage {
  const problems = new ProblemList(LEDGER_LIMITS.problemsMax);
  const starts = new Float64Array(shardRows.length + 1);
  for (let shard = 0; shard < shardRows.length; shard++) starts[shard + 1] = starts[shard] + shardRows[shard];
  const rows = blockRows ?? starts[shardRows.length];
  const walks = stretches.map(({ from, to }, lane): Walk => ({ lane, from, to, place: { group: from[0], window: from[1] } }));
  for (const { lane, from, to } of walks) {
    for (const [group] of [from, to]) {
      if (group % lanes !== lane) problems.add(`lane ${lane} of ${plan.name} stands in group ${group}, which is another lane's`);
    }
  }
  const epochs: EpochCoverage[] = [];
  const areOwn = walks.every(({ lane, from, to }) => from[0] % lanes === lane && to[0] % lanes === lane);
  // a lane that stands in another's group would walk past its end
  if (areOwn && walks.length > 0) {
    const epochOf = (group: number): number => Math.floor(group / plan.groupsPerEpoch);
    const first = Math.min(...walks.map(({ from: [group] }) => epochOf(group)));
    const last = Math.max(...walks.map(({ to: [group] }) => epochOf(group)));
    for (let epoch = first; epoch <= last && problems.count === 0; epoch++) {
      const covered = coverEpoch(plan, epoch, walks, starts, problems);
      const isWhole = walks.every(({ lane, from, to }) => hasPassed(plan, lanes, epoch, lane, from, to));
      if (isWhole && covered.rows !== rows) {
        problems.add(`epoch ${epoch} of ${plan.name} has passed ${covered.rows} of ${rows} rows`);
      }
      if (covered.windows > 0) epochs.push({ epoch, isWhole, ...covered });
    }
  }
  const tokens = stretches.reduce((sum, { from, to }) => sum + to[4] - from[4], 0);
  return { source: plan.name, rows, tokens, epochs, problems };
}

function coverEpoch(
  plan: KnownPlan,
  epoch: number,
  walks: readonly Walk[],
  starts: Float64Array,
  problems: ProblemList,
): { readonly windows: number; readonly rows: number } {
  const seen = new RowSet(starts[starts.length - 1]);
  const startGroup = epoch * plan.groupsPerEpoch;
  const endGroup = startGroup + plan.groupsPerEpoch;
  let windows = 0;
  for (const walk of walks) {
    const { from, to, lane } = walk;
    while (walk.place.group >= startGroup && walk.place.group < endGroup && comparePlaces(walk.place, to) <= 0) {
      const { place } = walk;
      const isFirst = comparePlaces(place, from) === 0;
      const isLast = comparePlaces(place, to) === 0;
      if (isLast && to[2] === 0 && to[3] === 0) break;
      if (plan.isPastEnd(place) || place.window >= plan.windowCount(place.group)) {
        problems.add(`lane ${lane} of ${plan.name} stands in group ${place.group}, window ${place.window}, which the plan does not have`);
        return { windows, rows: seen.count };
      }
      const window = plan.window(place);
      const startDocument = isFirst ? from[2] : 0;
      const endDocument = isLast ? to[2] : window.rows;
      if (endDocument > window.rows || startDocument > endDocument) {
        problems.add(`lane ${lane} of ${plan.name} stands at document ${endDocument} of a window of ${window.rows}`);
        return { windows, rows: seen.count };
      }
      // rows that are excluded, held out or skipped keep their places in a window: their turn comes as well
      for (const row of rowsOf(window, startDocument, endDocument, starts)) {
        if (!seen.add(row)) problems.add(`row ${row} of ${plan.name}, counted over its shards, comes twice in epoch ${epoch}`);
      }
      windows++;
      if (isLast) break;
      walk.place = plan.nextPlace(place);
    }
    // what the walk has stepped over is no place of the plan
    if (comparePlaces(walk.place, to) > 0) {
      problems.add(`lane ${lane} of ${plan.name} stands in group ${to[0]}, window ${to[1]}, which the plan does not have`);
    }
  }
  return { windows, rows: seen.count };
}

/** Rows of a window's documents [startDocument, endDocument), counted over all shards. */
function* rowsOf(window: WindowPlan, startDocument: number, endDocument: number, starts: Float64Array): Generator<number, void> {
  const { slices, rows, orderKey } = window;
  if (startDocument === 0 && endDocument === rows) {
    for (const { block, startRow, endRow } of slices) for (let row = startRow; row < endRow; row++) yield starts[block.shard] + row;
    return;
  }
  const order = orderKey === undefined ? identityPermutation(rows) : createPermutation(orderKey, rows);
  for (let document = startDocument; document < endDocument; document++) {
    let place = order.at(document);
    let slice = 0;
    while (place >= slices[slice].endRow - slices[slice].startRow) {
      place -= slices[slice].endRow - slices[slice].startRow;
      slice++;
    }
    yield starts[slices[slice].block.shard] + slices[slice].startRow + place;
  }
}

function hasPassed(plan: KnownPlan, lanes: number, epoch: number, lane: number, from: LanePosition, to: LanePosition): boolean {
  const startGroup = epoch * plan.groupsPerEpoch;
  const firstGroup = startGroup + ((((lane - startGroup) % lanes) + lanes) % lanes);
  if (firstGroup >= startGroup + plan.groupsPerEpoch) return true; // it has none of this epoch
  const fromStart = from[0] < firstGroup || (from[0] === firstGroup && from[1] === 0 && from[2] === 0 && from[3] === 0);
  return fromStart && to[0] >= startGroup + plan.groupsPerEpoch;
}

function comparePlaces({ group, window }: WindowPlace, position: LanePosition): number {
  return group - position[0] || window - position[1];
}

/** A bit a row. */
class RowSet {
  count = 0;
  readonly #bits: Uint8Array;

  constructor(rows: number) {
    this.#bits = new Uint8Array(Math.ceil(rows / 8));
  }

  /** Whether it was not there. */
  add(row: number): boolean {
    const byte = Math.floor(row / 8);
    const bit = 1 << (row % 8);
    if ((this.#bits[byte] & bit) !== 0) return false;
    this.#bits[byte] |= bit;
    this.count++;
    return true;
  }
}
