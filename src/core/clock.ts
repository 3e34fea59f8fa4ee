/** Time as an interface, so that waits can be tested without waiting. */
import { abortError, throwIfAborted, whenAborted } from './abort.js';
import { HeadraceError } from './errors.js';

export interface Clock {
  /** Milliseconds from an arbitrary origin, monotonic. */
  now(): number;
  /** Resolves after `ms`, rejects with `ABORTED` when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `then` after `ms`, unless what it answers was called before. A clock that has no cheaper way leaves it out: `after` sleeps. */
  after?(ms: number, then: () => void): () => void;
}

/** Calls `then` after `ms`, unless what it answers was called before: a deadline without a signal, of which every read has some. */
export function after(clock: Clock, ms: number, then: () => void): () => void {
  if (clock.after !== undefined) return clock.after(ms, then);
  const ending = new AbortController();
  clock.sleep(ms, ending.signal).then(then, () => undefined);
  return () => ending.abort(OVER);
}

// made once: an error takes the time to describe its stack
const OVER = new HeadraceError('ABORTED', 'what was waited for has come');

export const systemClock: Clock = {
  now: () => performance.now(),
  after: (ms, then) => {
    const timer = setTimeout(then, ms);
    return () => clearTimeout(timer);
  },
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
