/** The mixture in the reference: weights, shares and whose turn it is, as docs/concepts.md has them. Shares no code with the product. */
import { range, sum } from './reference-order.js';

/** A source that a lane may take from. `credit`: tokens due less tokens delivered, in 2⁻²⁴ of a token. */
interface Candidate {
  readonly name: string;
  readonly credit: number;
}

export interface Change {
  readonly at: number;
  readonly ramp: number;
  readonly weights: Readonly<Record<string, number>>;
}

export const UNITS = 2 ** 24;

/** Weights as whole numbers of UNITS, by largest remainder; a weight above 0 gets at least one. */
export function sharesOf(weights: readonly number[]): number[] {
  const exact = weights.map((weight) => (sum(weights) === 0 ? 0 : (weight / sum(weights)) * UNITS));
  const shares = exact.map((share, i) => Math.max(Math.floor(share), weights[i] > 0 ? 1 : 0));
  const order = range(weights.length).filter((i) => exact[i] >= 1).sort((a, b) => (exact[b] % 1) - (exact[a] % 1) || a - b); // prettier-ignore
  for (let i = 0; sum(exact) > 0 && sum(shares) < UNITS; i++) shares[order[i % order.length]]++;
  if (sum(shares) > UNITS) shares[shares.indexOf(Math.max(...shares))] -= sum(shares) - UNITS;
  return shares;
}

/**
 * Tijdeman: of the sources that may be served already, the one whose next sequence would be late first. In doubles, in this order of operations: where two
 * deadlines are equal but for their rounding, that is what the plan is.
 */
export function choose<Source extends Candidate>(active: readonly Source[], shares: readonly number[], length: number): Source | undefined {
  const mixed = active.map((source, i) => ({ source, share: shares[i] })).filter(({ share }) => share > 0);
  const surplus = sum(mixed.map(({ source }) => source.credit)) / UNITS;
  const slack = mixed.length > 1 ? 1 / (2 * mixed.length - 2) : 1;
  const rated = mixed.map(({ source, share }) => {
    const due = (source.credit - surplus * share) / UNITS / length + share / UNITS;
    return { source, isReady: due >= slack, deadline: (1 - slack - due) / share };
  });
  const ready = rated.filter(({ isReady }) => isReady);
  const queue = (ready.length > 0 ? ready : rated).sort((a, b) => a.deadline - b.deadline || (a.source.name < b.source.name ? -1 : 1));
  return queue.at(0)?.source;
}

/** Weights step by step. A ramp that is under way ends where the next change begins. */
export function* weightsOf(
  sources: readonly { name: string; weight: number }[],
  changes: readonly Change[],
): Generator<ReadonlyMap<string, number>> {
  let from = new Map(sources.map(({ name, weight }) => [name, weight]));
  let change: Change = { at: 0, ramp: 0, weights: {} };
  for (let step = 0; ; step++) {
    const at = (): Map<string, number> => {
      const part = change.ramp > 1 ? Math.min(1, (step - change.at + 1) / change.ramp) : 1;
      return new Map(
        [...from].map(([name, weight]) => [name, name in change.weights ? weight + (change.weights[name] - weight) * part : weight]),
      );
    };
    for (const next of changes.filter((other) => other.at === step)) [from, change] = [at(), next];
    yield at();
  }
}
