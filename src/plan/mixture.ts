/**
 * Which source a lane's next sequence comes from: by deadline, so that at every step the tokens of each source stay within about one sequence of its
 * weight's share. Pure.
 *
 *   credit = tokens due − tokens delivered, of one source in one lane; each delivered token makes `share` of one due to every source of the mixture
 *
 * The rule is Tijdeman's for the chairman assignment problem (Discrete Mathematics 32, 1980): among the sources that may be served already, the one whose
 * sequence would be late first. To serve the one that lags most, which is simpler, lets small sources lag by more than a sequence where there are many.
 */

/** Shares are integers that sum up to this, so that credits are exact, in any language, over any number of tokens: their resolution is 6e−8. */
export const SHARE_UNITS = 2 ** 24;

/** A source that a lane may take from. */
export interface MixtureCandidate {
  readonly name: string;
  /** Of `SHARE_UNITS`. */
  readonly share: number;
  /** In 1 ÷ SHARE_UNITS of a token. At most some sequences either way: 2²² tokens × 2²⁴ leave 2⁷ of them to 2⁵³. */
  readonly credit: number;
}

/**
 * Weights as integer shares of `SHARE_UNITS`, rounded by largest remainder (ties to the first). A weight above 0 gets at least one unit. All 0 where no
 * weight is above 0.
 */
export function sharesOfWeights(weights: readonly number[]): number[] {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  if (sum === 0) return weights.map(() => 0);
  const exact = weights.map((weight) => (weight / sum) * SHARE_UNITS);
  const shares = exact.map((share, i) => (weights[i] === 0 ? 0 : Math.max(1, Math.floor(share))));
  const byRemainder = [...exact.keys()].filter((i) => exact[i] >= 1).sort((a, b) => (exact[b] % 1) - (exact[a] % 1) || a - b);
  let missing = SHARE_UNITS - shares.reduce((total, share) => total + share, 0);
  for (let i = 0; missing > 0; i = (i + 1) % byRemainder.length, missing--) shares[byRemainder[i]]++;
  // what the smallest were given beyond their due is taken from the largest
  if (missing < 0) shares[shares.indexOf(Math.max(...shares))] += missing;
  return shares;
}

/**
 * The index of the source that a sequence of `length` tokens is taken from; ties go to the first by name. −1 where none has a share.
 *
 * Deadlines are compared as doubles, in this order of operations: where exact fractions would tie, rounding decides, on every machine alike.
 */
export function chooseSource(candidates: readonly MixtureCandidate[], length: number): number {
  const mixed = candidates.filter(({ share }) => share > 0);
  // sources that left or joined the mixture took their credit with them: what is left is spread, so that the rest sum up to 0 again
  const surplus = mixed.reduce((sum, { credit }) => sum + credit, 0) / SHARE_UNITS;
  const slack = mixed.length > 1 ? 1 / (2 * mixed.length - 2) : 1;
  let chosen: { readonly index: number; readonly isReady: boolean; readonly deadline: number; readonly name: string } | undefined;
  for (const [index, { name, share, credit }] of candidates.entries()) {
    if (share === 0) continue;
    // in sequences: due after this one
    const due = (credit - surplus * share) / SHARE_UNITS / length + share / SHARE_UNITS;
    const isReady = due >= slack;
    const deadline = (1 - slack - due) / share;
    const sooner =
      chosen === undefined ||
      (isReady !== chosen.isReady ? isReady : deadline !== chosen.deadline ? deadline < chosen.deadline : name < chosen.name);
    if (sooner) chosen = { index, isReady, deadline, name };
  }
  return chosen?.index ?? -1;
}
