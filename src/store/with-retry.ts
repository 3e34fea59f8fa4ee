/**
 * Tries a store's requests again while their cause may pass. Exponential backoff with full jitter: the wait before try n is uniform in
 * [0, min(maxDelay, baseDelay · 2^(n−1))]. Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
import { withAnySignal } from '../core/abort.js';
import { compareUtf8 } from '../core/canonical-json.js';
import { systemClock, type Clock } from '../core/clock.js';
import { HeadraceError } from '../core/errors.js';
import { storeClosed, TransientStoreError } from './store-error.js';
import type { ObjectInfo, Store } from './store.js';

export interface RetryOptions {
  /** Tries, the first included. */
  readonly attemptsMax: number;
  /** All tries and waits of one request together. */
  readonly deadlineMs: number;
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
  readonly clock?: Clock;
  /** Uniform in [0, 1). It spreads requests in time; nothing that is delivered depends on it. */
  readonly random?: () => number;
}

/** Only `TransientStoreError`s are tried again; the last one is passed on with attempts, elapsed time and limit in its message. */
export function withRetry(store: Store, options: RetryOptions): Store {
  const { clock = systemClock, random = Math.random } = options;
  const closing = new AbortController();

  const attempt = async <T>(request: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> => {
    const started = clock.now();
    for (let attempts = 1; ; attempts++) {
      try {
        return await request();
      } catch (error) {
        if (!(error instanceof TransientStoreError)) throw error;
        const elapsedMs = clock.now() - started;
        const delayMs = random() * Math.min(options.maxDelayMs, options.baseDelayMs * 2 ** (attempts - 1));
        if (attempts >= options.attemptsMax || elapsedMs + delayMs >= options.deadlineMs) throw gaveUp(error, attempts, elapsedMs, options);
        await withAnySignal([signal, closing.signal], (either) => clock.sleep(delayMs, either));
      }
    }
  };

  return {
    uri: store.uri,
    // a listing that breaks off is begun again after the last object that it gave: listings are ordered
    list: async function* (prefix, listOptions) {
      let last: string | undefined;
      let ordered = true;
      let iterator = store.list(prefix, listOptions)[Symbol.asyncIterator]();
      for (;;) {
        const next = await attempt(async () => {
          try {
            return await iterator.next();
          } catch (error) {
            if (!ordered && error instanceof TransientStoreError) throw unordered(error, store.uri + prefix);
            iterator = after(last, store.list(prefix, listOptions));
            throw error;
          }
        }, listOptions?.signal);
        if (next.done === true) return;
        ordered &&= last === undefined || compareUtf8(next.value.path, last) > 0;
        last = next.value.path;
        yield next.value;
      }
    },
    head: (path, headOptions) => attempt(() => store.head(path, headOptions), headOptions?.signal),
    read: (path, range, readOptions) => attempt(() => store.read(path, range, readOptions), readOptions?.signal),
    close: () => {
      closing.abort(storeClosed(store.uri)); // whoever waits for a next try waits no more
      return store.close();
    },
  };
}

/** The objects that come after `last` in a listing's order; `last` itself may have been deleted meanwhile. */
async function* after(last: string | undefined, objects: AsyncIterable<ObjectInfo>): AsyncGenerator<ObjectInfo, void> {
  for await (const object of objects) {
    if (last === undefined || compareUtf8(object.path, last) > 0) yield object;
  }
}

/** Some object stores list in no order (S3 directory buckets do): what such a listing gave before it broke off cannot be told from the rest. */
function unordered(error: TransientStoreError, uri: string): HeadraceError {
  return new HeadraceError(error.code, `the listing of ${uri} broke off, and its objects came in no order to go on in: ${error.message}`, {
    detail: error.detail,
    hint: 'Start again, or use a store that lists in the order of names.',
    cause: error,
  });
}

function gaveUp(error: TransientStoreError, attempts: number, elapsedMs: number, { attemptsMax, deadlineMs }: RetryOptions): HeadraceError {
  const tries = `${attempts} of ${attemptsMax} attempts in ${Math.round(elapsedMs)} of ${deadlineMs} ms`;
  return new HeadraceError(error.code, `${error.message} (gave up after ${tries})`, {
    detail: { ...error.detail, attempts, elapsedMs: Math.round(elapsedMs) },
    hint: error.hint,
    cause: error.cause,
  });
}
