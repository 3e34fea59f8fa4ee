/** A rank's steps as micro-batches: the same rows in the same order, some at a time, for gradient accumulation. */
import { rowsOf } from '../batch/rows.js';
import { HeadraceError } from '../core/errors.js';
import { betweenSteps, rowsGivenOf, type Cursor, type RowsGiven } from '../plan/cursor.js';
import type { Batch, RankStream } from './rank-stream.js';

/** Some rows of a rank's part of a step. Its arrays are views of the step's, but for `cuSeqlens`, which starts at 0 again. */
export interface MicroBatch extends Batch {
  /** 0 … */
  readonly microStep: number;
  readonly isLastMicroStep: boolean;
  /** Tokens of all of the rank's rows of the step: what sums of losses are divided by. `digest` is of these rows, too. */
  readonly stepTokens: number;
}

export interface MicroBatchOptions {
  /** Rows of a micro-batch. */
  readonly microBatch: number;
  readonly worldSize: number;
}

/** Cuts steps up; between `begin` and the last micro-batch it holds one step. */
export class MicroBatches {
  readonly #options: MicroBatchOptions;
  #batch: Batch | undefined;
  #before: Cursor | undefined;
  #given = 0;

  /** Errors: `CONFIG_INVALID`. */
  constructor(options: MicroBatchOptions) {
    const { microBatch } = options;
    if (!Number.isInteger(microBatch) || microBatch < 1)
      throw invalid(`microBatch is ${microBatch}; it is an integer of at least 1`, microBatch);
    this.#options = options;
  }

  /** The step that `batch` is: what is given out next. `before`: the cursor of its start, or of its middle. Errors: `CONFIG_INVALID`, `CURSOR_MISMATCH`. */
  begin(batch: Batch, before: Cursor): void {
    const { microBatch, worldSize } = this.#options;
    if (batch.rows % microBatch !== 0) {
      throw invalid(
        `microBatch is ${microBatch}, which does not divide the ${batch.rows} rows of a step that a rank has`,
        microBatch,
        batch.rows,
      );
    }
    this.#given = rowsGivenOf(before, worldSize, microBatch);
    this.#before = betweenSteps(before);
    this.#batch = batch;
  }

  /** The next of the step that was begun; undefined when all were given out. */
  next(): MicroBatch | undefined {
    const batch = this.#batch;
    if (batch === undefined || this.#before === undefined) return undefined;
    const start = this.#given;
    const end = start + this.#options.microBatch;
    const isLastMicroStep = end === batch.rows;
    const cursor = isLastMicroStep ? batch.cursor : { ...this.#before, rows: { given: end, of: batch.rows } };
    const microStep = start / this.#options.microBatch;
    this.#given = end;
    if (isLastMicroStep) this.#batch = undefined;
    return { ...rowsOf(batch, start, end), step: batch.step, cursor, microStep, isLastMicroStep, stepTokens: batch.tokens };
  }
}

/** The micro-batches of a stream. `rows`: of the first step, those that were given out before. */
export async function* microBatchesOf(
  { start, next }: Pick<RankStream, 'start' | 'next'>,
  rows: RowsGiven | undefined,
  steps: MicroBatches,
): AsyncGenerator<MicroBatch, void, undefined> {
  let before: Cursor = rows === undefined ? start : { ...start, rows };
  for (let batch = await next(); batch !== undefined; batch = await next()) {
    steps.begin(batch, before);
    for (let part = steps.next(); part !== undefined; part = steps.next()) yield part;
    before = batch.cursor;
  }
}

function invalid(problem: string, microBatch: number, rows?: number): HeadraceError {
  return new HeadraceError('CONFIG_INVALID', problem, {
    detail: { microBatch, ...(rows !== undefined && { rows }) },
    hint: "A rank's rows of a step are batch.size / worldSize, a multiple of microBatch.",
  });
}
