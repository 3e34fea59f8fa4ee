/** The life of one request over the network: its deadline, who may end it, and the names of its errors. */
import { abortError, throwIfAborted, untilAborted, underSignals, whenAborted } from '../core/abort.js';
import { HeadraceError } from '../core/errors.js';
import { nameSilence } from './network-error.js';
import { transientError } from './store-error.js';

/** Waits for the head of an answer, no longer than `timeoutMs`: the SDK's own request timeout only logs. */
export async function answered<T>(
  uri: string,
  timeoutMs: number,
  signal: AbortSignal,
  send: (abortSignal: AbortSignal) => Promise<T>,
): Promise<T> {
  const ending = new AbortController();
  const timer = setTimeout(
    () =>
      ending.abort(transientError('STORE_UNREACHABLE', `the store of ${uri} did not answer within ${timeoutMs} ms`, { uri, timeoutMs })),
    timeoutMs,
  );
  try {
    // not all that the SDK waits for heeds the signal: it may be asking for credentials still
    return await underSignals(ending, [signal], () => untilAborted(send(ending.signal), ending.signal));
  } finally {
    clearTimeout(timer);
  }
}

/** Runs a request for `path` until its caller gives up or its store is closed, and gives its errors their names. */
export type Guard = <T>(path: string, signal: AbortSignal | undefined, request: (signal: AbortSignal) => Promise<T>) => Promise<T>;

/** `uri`: the store's. `nameError`: of what is no error of headrace yet. */
export function createGuard(
  uri: string,
  closing: AbortSignal,
  nameError: (error: unknown, uri: string) => HeadraceError = nameByNode,
): Guard {
  /** Of the requests under way: one listener for all of them. */
  const underWay = new Set<AbortController>();
  whenAborted(closing, () => {
    for (const ending of underWay) ending.abort(closing.reason);
  });
  return async (path, callers, request) => {
    throwIfAborted(closing);
    throwIfAborted(callers);
    const ending = new AbortController();
    const { signal } = ending;
    underWay.add(ending);
    const unlink = callers && whenAborted(callers, () => ending.abort(callers.reason));
    try {
      return await request(signal);
    } catch (error) {
      if (signal.aborted) throw abortError(signal);
      throw error instanceof HeadraceError ? error : nameError(error, uri + path);
    } finally {
      unlink?.();
      underWay.delete(ending);
    }
  };
}

function nameByNode(error: unknown, uri: string): HeadraceError {
  return nameSilence(error, uri, { uri });
}
