/** Time as an interface, so that waits can be tested without waiting. */
import { abortError, throwIfAborted, whenAborted } from './abort.js';

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
      const timer = setTimeout(() => {
        unlink?.();
        resolve();
      }, ms);
      const unlink =
        signal &&
        whenAborted(signal, () => {
          clearTimeout(timer);
          reject(abortError(signal));
        });
    }),
};
