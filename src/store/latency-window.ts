/** How long the latest reads took, by the size of their range, and which of them count as slow. */

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
  const classes = new Map<number, number[]>();
  return {
    slowMs: (bytes) => {
      const samples = classes.get(classOf(bytes)) ?? [];
      if (samples.length < samplesMin) return undefined;
      return Float64Array.from(samples).sort()[Math.ceil(quantile * samples.length) - 1];
    },
    add: (bytes, ms) => {
      const samples = classes.get(classOf(bytes)) ?? [];
      classes.set(classOf(bytes), samples);
      samples.push(ms);
      if (samples.length > samplesMax) samples.shift();
    },
  };
}

function classOf(bytes: number): number {
  return Math.ceil(Math.log2(Math.max(1, bytes)));
}
