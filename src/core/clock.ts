/** Time as an interface, so that waits can be tested without waiting. */
import { abortError, throwIfAborted } from './abort.js';

export interface Clock {
  /** Milliseconds from an arbitrary origin, monotonic. */
  now(): number;
  /** Resolves after `ms`, rejects with `ABORTED` when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      throwIfAborted(signal);
      const onAbort = (): void => {
        clearTimeout(timer);
        if (signal !== undefined) reject(abortError(signal));
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
};
