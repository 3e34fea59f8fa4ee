/**
 * How many retries an origin may get: a token bucket that all its requests share, so that an origin which fails most of them is not asked
 * several times as much. Sources: gRPC proposal A6, "Retry throttling"; the retry quota of the AWS SDKs' standard mode.
 */

export interface RetryBudget {
  /** One retry's token; false if there is none. */
  take(): boolean;
  /** A request that succeeded gives one back. */
  succeeded(): void;
}

/** It begins full. */
export function createRetryBudget(tokensMax: number): RetryBudget {
  let tokens = tokensMax;
  return {
    take: () => {
      if (tokens < 1) return false;
      tokens--;
      return true;
    },
    succeeded: () => void (tokens = Math.min(tokensMax, tokens + 1)),
  };
}
