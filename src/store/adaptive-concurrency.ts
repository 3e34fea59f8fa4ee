/**
 * How many requests an origin may have under way, learnt from how it answers: additive increase, multiplicative decrease. Sources: Chiu and
 * Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance", 1989; once per round trip as in RFC 6582 (NewReno).
 *
 * ```
 *  limit  ──┐ throttled: halved          a round is `limit` requests that end while others wait;
 *           └──┐        ┌─┐ ┌──          the limit grows by one after a round that was faster
 *              └──┌─┐┌─┘  └─┘            than the one before, and now and then to try
 * ```
 */
import type { Clock } from '../core/clock.js';
import { STORE_LIMITS } from './limits.js';

export interface ConcurrencyLimits {
  readonly concurrencyMin: number;
  readonly concurrencyInitial: number;
  readonly concurrencyMax: number;
}

export interface AdaptiveConcurrency {
  limit(): number;
  /** A request sets out; returns its number, which `ended` wants. */
  began(): number;
  /** It ended with so many bytes. `waiting`: whether others wait for their turn. */
  ended(request: number, bytes: number, throttled: boolean, waiting: boolean): void;
}

/** Requests that end while nobody waits say nothing about the limit: then it is not what holds them back. */
export function adaptiveConcurrency(limits: ConcurrencyLimits, clock: Clock): AdaptiveConcurrency {
  let limit = limits.concurrencyInitial;
  let begun = 0;
  /** Requests before this one set out before the limit was halved: that they are throttled is no news. */
  let firstAfterHalving = 0;
  let round: { readonly startedMs: number; bytes: number; requests: number } | undefined;
  let bytesPerMsBefore: number | undefined;
  let flatRounds = 0;

  const endRound = (bytes: number, elapsedMs: number): void => {
    if (bytes === 0) return; // heads, or failures
    const bytesPerMs = bytes / Math.max(1, elapsedMs);
    // one request more brings a share of 1/limit: half of that is growth, less may be noise
    const grew = bytesPerMsBefore === undefined || bytesPerMs > bytesPerMsBefore * (1 + 0.5 / limit);
    flatRounds = grew ? 0 : flatRounds + 1;
    if (!grew && flatRounds < STORE_LIMITS.flatRoundsMax) return;
    flatRounds = 0;
    bytesPerMsBefore = bytesPerMs;
    limit = Math.min(limits.concurrencyMax, limit + 1);
  };

  return {
    limit: () => limit,
    began: () => begun++,
    ended: (request, bytes, throttled, waiting) => {
      if (throttled) {
        round = undefined;
        if (request < firstAfterHalving) return;
        firstAfterHalving = begun;
        bytesPerMsBefore = undefined;
        limit = Math.max(limits.concurrencyMin, Math.floor(limit / 2));
      } else if (!waiting) {
        round = undefined;
      } else if (round === undefined) {
        round = { startedMs: clock.now(), bytes: 0, requests: 0 };
      } else {
        round.bytes += bytes;
        round.requests++;
        if (round.requests < limit) return;
        endRound(round.bytes, clock.now() - round.startedMs);
        round = undefined;
      }
    },
  };
}
