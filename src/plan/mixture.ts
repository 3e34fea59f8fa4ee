/** Which source a lane's next sequence comes from: the one that lags most behind its weight. Pure. */

export interface MixtureShare {
  readonly name: string;
  /** Relative to the weights of the other sources; positive. */
  readonly weight: number;
  /** Tokens that the lane has delivered from this source. */
  readonly delivered: number;
}

/**
 * The index of the source whose delivered tokens lag most behind its weight's share of what the given sources delivered together; ties go to the first
 * by name. Sources that have ended in the lane are left out by the caller, so the other weights are renormalised. −1 for no source.
 */
export function chooseSource(shares: readonly MixtureShare[]): number {
  const weights = shares.reduce((sum, share) => sum + share.weight, 0);
  const total = shares.reduce((sum, share) => sum + share.delivered, 0);
  let chosen = -1;
  let lagMax = -Infinity;
  for (const [index, share] of shares.entries()) {
    const lag = (share.weight / weights) * total - share.delivered;
    if (lag > lagMax || (lag === lagMax && share.name < shares[chosen].name)) {
      chosen = index;
      lagMax = lag;
    }
  }
  return chosen;
}
