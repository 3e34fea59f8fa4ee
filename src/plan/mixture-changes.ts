/**
 * Weights over time: the changes that the configuration schedules and those that were made while running, and the weights that hold at a step. Pure.
 *
 *   weight │        ╭────      a change at step 3, with a ramp of 4 steps: step 3 is the first that differs, step 6 the first with the new weight
 *          │      ╭─╯
 *          │──────╯
 *          └─0──2──4──6──▶ step
 */

import * as z from 'zod';

export interface MixtureChange {
  /** The first step with other weights. */
  readonly at: number;
  /** By source; a source that is not named keeps its weight. */
  readonly weights: Readonly<Record<string, number>>;
  /** Steps from the old weights to the new ones, in equal parts; 0 and 1: at once. */
  readonly ramp: number;
}

/** As cursors, ledgers and run directories have it. */
export const mixtureChangeSchema = z.object({ at: z.int().min(0), weights: z.record(z.string(), z.number().min(0)), ramp: z.int().min(0) });

/** The weights of a step, in the order of `names`. `changes` in any order; of two at one step, the later in the list holds. */
export function weightsAt(
  names: readonly string[],
  weights: readonly number[],
  changes: readonly MixtureChange[],
  step: number,
): readonly number[] {
  const due = changes.filter(({ at }) => at <= step).toSorted((a, b) => a.at - b.at);
  let current = weights;
  let running: { readonly from: readonly number[]; readonly change: MixtureChange } | undefined;
  const valueAt = (at: number): readonly number[] => {
    if (running === undefined) return current;
    const { from, change } = running;
    const part = change.ramp > 1 ? Math.min(1, (at - change.at + 1) / change.ramp) : 1;
    return names.map((name, i) => (name in change.weights ? from[i] + (change.weights[name] - from[i]) * part : from[i]));
  };
  for (const change of due) {
    // a ramp that is under way ends where the next change begins
    current = valueAt(change.at);
    running = { from: current, change };
  }
  return valueAt(step);
}

export function sameChanges(a: readonly MixtureChange[], b: readonly MixtureChange[]): boolean {
  return a.length === b.length && a.every((change, i) => sameChange(change, b[i]));
}

function sameChange(a: MixtureChange, b: MixtureChange): boolean {
  const names = Object.keys(a.weights);
  return (
    a.at === b.at &&
    a.ramp === b.ramp &&
    names.length === Object.keys(b.weights).length &&
    names.every((name) => a.weights[name] === b.weights[name])
  );
}
