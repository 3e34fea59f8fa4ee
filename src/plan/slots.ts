/** Slots of a step: which lane feeds each, and which rank takes each. Pure arithmetic. */
import { HeadraceError } from '../core/errors.js';

export interface Rank {
  /** The data-parallel rank. */
  readonly rank: number;
  readonly worldSize: number;
}

/** Slot j of a step takes the next sequence of this lane. */
export function laneOfSlot(slot: number, lanes: number): number {
  return slot % lanes;
}

/** The slots of a rank, ascending: every j with j mod worldSize = rank. */
export function slotsOfRank({ rank, worldSize }: Rank, batchSize: number): number[] {
  return Array.from({ length: batchSize / worldSize }, (_, i) => i * worldSize + rank);
}

/** The lanes that a rank's slots take from, ascending. */
export function lanesOfRank(rank: Rank, batchSize: number, lanes: number): number[] {
  return [...new Set(slotsOfRank(rank, batchSize).map((slot) => laneOfSlot(slot, lanes)))].sort((a, b) => a - b);
}

/** Errors: `WORLD_SIZE`. */
export function checkRank({ rank, worldSize }: Rank, batchSize: number): void {
  const integers = Number.isInteger(rank) && Number.isInteger(worldSize);
  if (!integers || worldSize < 1 || rank < 0 || rank >= worldSize) {
    throw new HeadraceError('WORLD_SIZE', `rank ${rank} of ${worldSize} does not exist: a rank is 0 … world size − 1`, {
      detail: { rank, worldSize },
      hint: 'Pass the data-parallel rank and the number of data-parallel ranks.',
    });
  }
  if (batchSize % worldSize !== 0) {
    throw new HeadraceError('WORLD_SIZE', `${worldSize} ranks cannot share a global batch of ${batchSize} sequences equally`, {
      detail: { rank, worldSize, 'batch.size': batchSize },
      hint: 'Use a world size that divides batch.size.',
    });
  }
}
