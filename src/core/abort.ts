/** Helpers around AbortSignal: one error for every abort, and waits that an abort or a deadline ends. */
import { setMaxListeners } from 'node:events';
import { HeadraceError } from './errors.js';

export function abortError(signal: AbortSignal): HeadraceError {
  const reason: unknown = signal.reason;
  if (reason instanceof HeadraceError) return reason;
  return new HeadraceError('ABORTED', 'the operation was aborted', { cause: reason });
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortError(signal);
}

/**
 * Calls `then` once the signal aborts, unless what it answers was called before. A signal that outlives thousands of works keeps nothing of them: Node's list of
 * listeners is linked, and a listener that was removed holds on to those that came after it for as long as V8 has it in the old heap; so what a
 * listener would do is taken out of it.
 */
export function whenAborted(signal: AbortSignal, then: () => void): () => void {
  let call: (() => void) | undefined = then;
  const listener = (): void => call?.();
  setMaxListeners(0, signal); // many works share a signal: that is no leak, and Node would warn of one
  signal.addEventListener('abort', listener, { once: true });
  return () => {
    call = undefined;
    signal.removeEventListener('abort', listener);
  };
}

/** Settles as `promise` does, or rejects as soon as the signal aborts. The promise itself goes on: use it where the work is shared. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  if (signal.aborted) {
    promise.catch(() => undefined); // its failure is not ours: the caller hears of the abort
    return Promise.reject(abortError(signal));
  }
  return new Promise<T>((resolve, reject) => {
    const unlink = whenAborted(signal, () => reject(abortError(signal)));
    promise.then(resolve, reject).finally(unlink);
  });
}

/**
 * Runs `work` under a signal that aborts, with the same reason, as soon as one of `signals` does. Nothing stays behind on `signals`, which
 * may outlive thousands of such works; `AbortSignal.any` would leave an entry for each.
 */
export async function withAnySignal<T>(
  signals: readonly (AbortSignal | undefined)[],
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const any = new AbortController();
  return underSignals(any, signals, () => work(any.signal));
}

/** Runs `work`, and meanwhile aborts `controller`, with the same reason, as soon as one of `signals` does. Nothing stays behind on `signals`. */
export async function underSignals<T>(
  controller: AbortController,
  signals: readonly (AbortSignal | undefined)[],
  work: () => Promise<T>,
): Promise<T> {
  const unlinks = signals.map((signal) => {
    if (signal === undefined) return undefined;
    if (signal.aborted) controller.abort(signal.reason);
    return whenAborted(signal, () => controller.abort(signal.reason));
  });
  try {
    return await work();
  } finally {
    for (const unlink of unlinks) unlink?.();
  }
}
