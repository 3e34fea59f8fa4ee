/** The weights of one stream, step by step: what the configuration schedules, and what was changed while running, checked against what was served already. */
import { HeadraceError } from '../core/errors.js';
import { sameChanges, weightsAt, type MixtureChange } from '../plan/mixture-changes.js';

/** Changes that are made while running, by whoever may. */
export interface MixtureLog {
  /** All changes so far, in order; resolves when no other can be made any more for `step` or an earlier one. Errors: `RUN_DIRECTORY`. */
  through(step: number): Promise<readonly MixtureChange[]>;
}

export interface MixtureTimelineOptions {
  /** Of the sources, in order. */
  readonly names: readonly string[];
  readonly weights: readonly number[];
  /** By the configuration. */
  readonly scheduled: readonly MixtureChange[];
  /** Of the cursor that the stream starts from: of steps before `startStep`. */
  readonly taken: readonly MixtureChange[];
  readonly log: MixtureLog | undefined;
}

export class MixtureTimeline {
  readonly #options: MixtureTimelineOptions;
  /** Changes that were made while running and that steps were made with, or may be; in order of step, and of one step in the log's order. */
  #live: readonly MixtureChange[];
  #last: readonly number[];

  constructor(options: MixtureTimelineOptions, startStep: number) {
    this.#options = options;
    this.#live = options.taken;
    this.#last = this.#weightsAt(startStep);
  }

  /** As far as they are known now. */
  get weights(): readonly number[] {
    return this.#last;
  }

  /** Of the sources, in order; the same array as long as they do not change. Steps are asked for in order. Errors: `CURSOR_MISMATCH`, `RUN_DIRECTORY`. */
  async weightsOf(step: number): Promise<readonly number[]> {
    const { log } = this.#options;
    if (log !== undefined) this.#take(await log.through(step), step);
    const weights = this.#weightsAt(step);
    if (weights.some((weight, i) => weight !== this.#last[i])) this.#last = weights;
    return this.#last;
  }

  /** Made while running, of the steps before `step`: what a cursor keeps. */
  changesBefore(step: number): readonly MixtureChange[] {
    return this.#live.filter(({ at }) => at < step);
  }

  /** A change of a step that was made without it would give this stream another order than others have. */
  #take(changes: readonly MixtureChange[], step: number): void {
    const ordered = changes.toSorted((a, b) => a.at - b.at);
    const before = ordered.filter(({ at }) => at < step);
    const known = this.changesBefore(step);
    if (before.length > 0 && !sameChanges(before, known)) {
      throw new HeadraceError(
        'CURSOR_MISMATCH',
        `the weights that the run directory has for the steps before ${step} are not those of this stream`,
        {
          detail: { field: 'mixture', step, changes: known.length, run: before.length },
          hint: 'Continue from a checkpoint of the run that this directory belongs to, or give a run of its own a new run.dir.',
        },
      );
    }
    this.#live = [...known, ...ordered.filter(({ at }) => at >= step)];
  }

  #weightsAt(step: number): readonly number[] {
    const { names, weights, scheduled } = this.#options;
    return weightsAt(names, weights, [...scheduled, ...this.#live], step);
  }
}
