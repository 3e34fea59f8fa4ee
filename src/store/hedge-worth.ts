/**
 * Whether second requests are worth sending, by how the latest ones ended. One that is answered first found an origin whose answers are slow by
 * chance; where most are answered second, it is slow as a whole, or this machine is, and more requests make it slower.
 */

export interface HedgeWorth {
  /** Whether to send a second request for a read that is slow. Asked once a slow read: where they are not worth it, one of many is sent to try. */
  isWorth(): boolean;
  /** `won`: it was answered first. */
  ended(won: boolean): void;
}

export interface HedgeWorthOptions {
  /** Of second requests, the share that must be answered first. */
  readonly hedgeWinShareMin: number;
  /** Outcomes that the share follows: the weight of the latest is one in so many. */
  readonly hedgeOutcomes: number;
  /** Slow reads among which one is tried, where it is not worth it. */
  readonly hedgeTrialReads: number;
}

/** The share is an exponentially weighted mean, and 1 at the start: second requests are sent until they are seen to lose. */
export function createHedgeWorth({ hedgeWinShareMin, hedgeOutcomes, hedgeTrialReads }: HedgeWorthOptions): HedgeWorth {
  let winShare = 1;
  let leftOut = 0;
  return {
    isWorth: () => {
      if (winShare >= hedgeWinShareMin || ++leftOut >= hedgeTrialReads) {
        leftOut = 0;
        return true;
      }
      return false;
    },
    ended: (won) => {
      winShare += (Number(won) - winShare) / hedgeOutcomes;
    },
  };
}
