/** What a trainer waited for: the waits that its client measures and tells with its credits, by what kept its batches from being ready. */
import { addStalls, NO_STALLS, scaledDifference, sumOf, type StallCause, type StallTimes } from '../../src/stream/stalls.js';

/** ms by cause; `transport`: no step was late, the batch was on its way. They sum up to what the trainer has told. */
export interface TrainerWaits {
  readonly stalls: StallTimes;
  readonly transportMs: number;
}

export const NO_WAITS: TrainerWaits = { stalls: NO_STALLS, transportMs: 0 };

export function addTrainerWaits(a: TrainerWaits, b: TrainerWaits): TrainerWaits {
  return { stalls: addStalls(a.stalls, b.stalls), transportMs: a.transportMs + b.transportMs };
}

export function waitedMsOf({ stalls, transportMs }: TrainerWaits): number {
  return sumOf(stalls) + transportMs;
}

/** Of one session. */
export class TrainerAccount {
  #waits = NO_WAITS;
  /** Of the stream, as of the last time that the trainer told something. */
  #accounted: StallTimes;

  constructor(stalls: StallTimes) {
    this.#accounted = stalls;
  }

  get waits(): TrainerWaits {
    return this.#waits;
  }

  /** The trainer waited for `waitedMs` since the last time; `stalls`: those of its stream, so far. A stalled stream that the trainer did not notice, because batches were ahead, is no wait. */
  add(waitedMs: number, stalls: StallTimes): void {
    // a stream that was joined anew counts from 0
    const before = isOfSameStream(stalls, this.#accounted) ? this.#accounted : NO_STALLS;
    this.#accounted = stalls;
    const stalledMs = sumOf(stalls) - sumOf(before);
    const share = stalledMs === 0 ? 0 : Math.min(1, waitedMs / stalledMs);
    const transportMs = Math.max(0, waitedMs - stalledMs);
    this.#waits = addTrainerWaits(this.#waits, { stalls: scaledDifference(stalls, before, share), transportMs });
  }
}

/** The causes of one stream only grow. */
function isOfSameStream(later: StallTimes, earlier: StallTimes): boolean {
  return (Object.keys(earlier) as StallCause[]).every((cause) => later[cause] >= earlier[cause]);
}
