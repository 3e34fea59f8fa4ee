/** Sends a request to S3, and a second time where the answer says what was wrong with the first one's signature: its credentials or its clock. */
import { answered } from './request.js';
import type { Signing } from './s3-access.js';
import { isClockCorrected, isExpired } from './s3-error.js';

/** `name`: the URI of what is asked for. */
export type Resend = <T>(name: string, signing: Signing, signal: AbortSignal, send: (abortSignal: AbortSignal) => Promise<T>) => Promise<T>;

/**
 * For the requests of one store. Credentials that have expired are renewed once for all requests that were signed with them. `idleTimeoutMs`:
 * silence is silence, before the first byte and between two; a head and a page of a listing have no more time than that as a whole.
 */
export function createResend(idleTimeoutMs: number, signed: boolean): Resend {
  let renewals = 0;
  let renewal: Promise<unknown> | undefined;
  const renew = async (signing: Signing, seen: number): Promise<void> => {
    if (seen === renewals) {
      renewals++;
      renewal = signing.credentials({ forceRefresh: true });
    }
    await renewal;
  };

  return async (name, signing, signal, send) => {
    const seen = renewals;
    try {
      return await answered(name, idleTimeoutMs, signal, send);
    } catch (error) {
      const expired = isExpired(error);
      if (!signed || !(expired || isClockCorrected(error))) throw error;
      if (expired) await answered(name, idleTimeoutMs, signal, () => renew(signing, seen));
      return answered(name, idleTimeoutMs, signal, send);
    }
  };
}
