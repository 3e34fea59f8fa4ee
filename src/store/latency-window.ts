/** How long the latest reads took, by the size of their range, and which of them count as slow. */
import { lowerBound } from '../core/lower-bound.js';

export interface LatencyWindow {
  /** The wait after which a read of `bytes` is among the slowest; undefined while there are too few to tell. */
  slowMs(bytes: number): number | undefined;
  add(bytes: number, ms: number): void;
}

export interface LatencyOptions {
  /** In (0, 1): the share of reads that are not slow. */
  readonly quantile: number;
  /** Reads of a size class that are remembered … */
  readonly samplesMax: number;
  /** … and without which nothing is said. */
  readonly samplesMin: number;
}

/** A size class is a power of two of bytes: what streams twice as long is not slow for it. */
export function createLatencyWindow({ quantile, samplesMax, samplesMin }: LatencyOptions): LatencyWindow {
  const classes = new Map<number, { readonly latest: number[]; readonly ascending: number[] }>();
  return {
    slowMs: (bytes) => {
      const { ascending } = classes.get(classOf(bytes)) ?? NO_SAMPLES;
      return ascending.length < samplesMin ? undefined : ascending[Math.ceil(quantile * ascending.length) - 1];
    },
    add: (bytes, ms) => {
      const samples = classes.get(classOf(bytes)) ?? { latest: [], ascending: [] };
      classes.set(classOf(bytes), samples);
      const { latest, ascending } = samples;
      latest.push(ms);
      ascending.splice(placeOf(ascending, ms), 0, ms);
      if (latest.length > samplesMax) ascending.splice(placeOf(ascending, latest.shift() ?? ms), 1);
    },
  };
}

const NO_SAMPLES = { ascending: [] as readonly number[] };

/** The place of a value among ascending ones. */
function placeOf(ascending: readonly number[], value: number): number {
  return lowerBound(ascending.length, (i) => ascending[i] < value);
}

function classOf(bytes: number): number {
  return Math.ceil(Math.log2(Math.max(1, bytes)));
}
