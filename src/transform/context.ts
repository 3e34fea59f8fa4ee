/** What a transform is told of a row beside its columns: nothing that the plan does not say, so that the answer is the same on every machine. */
import { deriveKey } from '../core/keyed-random.js';

export interface RowContext {
  readonly source: string;
  /** The shard, below the source's root. Where the root is, a copy of the data would say otherwise. */
  readonly shard: string;
  /** Counted in the shard. */
  readonly row: number;
  /** How often the source was gone through before: 0, 1 … */
  readonly epoch: number;
  /** A number in [0, 1) with 53 random bits; the next one with each call. They depend on the seed and on the row's place, and on nothing else. */
  readonly random: () => number;
}

export interface RowPlace {
  readonly seed: number;
  readonly source: string;
  readonly shard: string;
  readonly row: number;
  readonly epoch: number;
}

export function createRowContext(place: RowPlace): RowContext {
  const { source, shard, row, epoch } = place;
  return Object.freeze({ source, shard, row, epoch, random: randomNumbers(place) });
}

/** Two words a number: a key has four. */
const NUMBERS_PER_KEY = 4;

function randomNumbers({ seed, source, shard, row, epoch }: RowPlace): () => number {
  let key: Uint32Array | undefined;
  let count = 0;
  return () => {
    const at = count % NUMBERS_PER_KEY;
    // most rows never ask
    if (key === undefined || at === 0) key = deriveKey('transform', seed, source, shard, row, epoch, Math.floor(count / NUMBERS_PER_KEY));
    count++;
    return ((key[2 * at] >>> 5) * 2 ** 26 + (key[2 * at + 1] >>> 6)) / 2 ** 53;
  };
}
