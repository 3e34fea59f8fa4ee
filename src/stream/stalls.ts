/**
 * Why steps were not ready when they were wanted. Each moment that an assembler waits has one cause, so that the causes sum up to the whole:
 *
 *   a lane waits   ──── for the bytes of its window ────┬──── for the worker threads ────▶ sequences
 *                                store                    decode · tokenize · pack
 *   anything else  the ledger, a change of weights, the assembling itself: other
 *
 * Threads serve several lanes. While a lane waits for them, whose turn it is does not matter: the time is split as their work was that came back meanwhile.
 */
import { systemClock, type Clock } from '../core/clock.js';
import type { PipelineStats } from './stats.js';

const WORK_CAUSES = ['decode', 'tokenize', 'pack'] as const;
const STALL_CAUSES = ['store', ...WORK_CAUSES, 'other'] as const;
export type StallCause = (typeof STALL_CAUSES)[number];

/** ms by cause. */
export type StallTimes = Readonly<Record<StallCause, number>>;

/** Time of all worker threads, so far. */
export type WorkTimes = Pick<PipelineStats, 'decodeMs' | 'tokenizeMs' | 'packMs'>;

export const NO_STALLS: StallTimes = { store: 0, decode: 0, tokenize: 0, pack: 0, other: 0 };

export class Stalls {
  readonly #work: WorkTimes;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #times: Record<StallCause, number> = { ...NO_STALLS };

  /** `work`: read whenever a wait begins and ends. */
  constructor(work: WorkTimes, clock: Pick<Clock, 'now'> = systemClock) {
    this.#work = work;
    this.#clock = clock;
  }

  get times(): StallTimes {
    return { ...this.#times };
  }

  get sumMs(): number {
    return sumOf(this.#times);
  }

  /** A lane begins to wait. What it answers is told of the end, and when (`performance.now`) the bytes of the window were there. */
  begin(): (loadedMs: number) => void {
    const fromMs = this.#clock.now();
    const before = workOf(this.#work);
    return (loadedMs) => {
      const untilMs = this.#clock.now();
      const loaded = Math.min(untilMs, Math.max(fromMs, loadedMs));
      this.#times.store += loaded - fromMs;
      const done = workOf(this.#work).map((ms, i) => ms - before[i]);
      const total = done.reduce((sum, ms) => sum + ms, 0);
      if (total === 0) this.#times.other += untilMs - loaded;
      else for (const [i, cause] of WORK_CAUSES.entries()) this.#times[cause] += ((untilMs - loaded) * done[i]) / total;
    };
  }

  addOther(ms: number): void {
    this.#times.other += Math.max(0, ms);
  }
}

export function sumOf(times: StallTimes): number {
  return STALL_CAUSES.reduce((sum, cause) => sum + times[cause], 0);
}

/** Each cause's time of `later` that is not in `earlier`, times `factor`. */
export function scaledDifference(later: StallTimes, earlier: StallTimes, factor: number): StallTimes {
  return timesOf((cause) => (later[cause] - earlier[cause]) * factor);
}

export function addStalls(a: StallTimes, b: StallTimes): StallTimes {
  return timesOf((cause) => a[cause] + b[cause]);
}

function timesOf(of: (cause: StallCause) => number): StallTimes {
  return Object.fromEntries(STALL_CAUSES.map((cause) => [cause, of(cause)])) as Record<StallCause, number>;
}

/** In the order of `WORK_CAUSES`. */
function workOf({ decodeMs, tokenizeMs, packMs }: WorkTimes): readonly number[] {
  return [decodeMs, tokenizeMs, packMs];
}
