/**
 * Tries a store's requests again while their cause may pass. Exponential backoff with full jitter: the wait before try n is uniform in
 * [0, min(maxDelay, baseDelay · 2^(n−1))]. Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
import { withAnySignal } from '../core/abort.js';
import { compareUtf8 } from '../core/canonical-json.js';
import { systemClock, type Clock } from '../core/clock.js';
import { HeadraceError } from '../core/errors.js';
import { STORE_LIMITS } from './limits.js';
import { resumableRead } from './resumable-read.js';
import { createRetryBudget } from './retry-budget.js';
import { storeClosed, TransientStoreError } from './store-error.js';
import type { ObjectInfo, Store } from './store.js';
import { createStoreCounters, type StoreCounters } from './with-counters.js';

export interface RetryOptions {
  /** Tries without progress, the first included. */
  readonly attemptsMax: number;
  /** What a try must bring to count as progress. */
  readonly progressBytesMin?: number;
  /** Retries in a row, over all requests, that no success pays for. */
  readonly retryTokensMax?: number;
  /** All tries and waits of one request after its first failure: before that, it may have waited long for its turn. */
  readonly deadlineMs: number;
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
  readonly clock?: Clock;
  /** Uniform in [0, 1). It spreads requests in time; nothing that is delivered depends on it. */
  readonly random?: () => number;
  readonly counters?: StoreCounters;
}

/**
 * Only `TransientStoreError`s are tried again; the last one is passed on with attempts, elapsed time and limit in its message. A read goes
 * on where it broke off, and a try that brought some of it is not held against it: such a read ends by its deadline, or whole.
 */
export function withRetry(store: Store, options: RetryOptions): Store {
  const { clock = systemClock, random = Math.random, counters = createStoreCounters() } = options;
  const { progressBytesMin = STORE_LIMITS.progressBytesMin, retryTokensMax = STORE_LIMITS.retryTokensMax } = options;
  const budget = createRetryBudget(retryTokensMax);
  const closing = new AbortController();

  const attempt = async <T>(request: () => Promise<T>, signal: AbortSignal | undefined, received = (): number => 0): Promise<T> => {
    let failedFirst: number | undefined;
    let receivedBefore = 0;
    let fruitless = 0;
    for (let attempts = 1; ; attempts++) {
      try {
        const answer = await request();
        budget.succeeded();
        return answer;
      } catch (error) {
        if (!(error instanceof TransientStoreError)) throw error;
        const progress = received() - receivedBefore >= progressBytesMin;
        if (progress) receivedBefore = received();
        fruitless = progress ? 0 : fruitless + 1;
        failedFirst ??= clock.now();
        const elapsedMs = clock.now() - failedFirst;
        const backoffMs = random() * Math.min(options.maxDelayMs, options.baseDelayMs * 2 ** Math.max(0, fruitless - 1));
        const delayMs = Math.max(backoffMs, retryAfterMs(error));
        const effort = { attempts, fruitless, elapsedMs };
        if (fruitless >= options.attemptsMax || elapsedMs + delayMs >= options.deadlineMs) throw gaveUp(error, effort, options);
        // a read that gets on asks for no byte twice: it adds nothing to an origin's load
        if (!progress && !budget.take()) throw gaveUp(error, effort, options, spent(store.uri, retryTokensMax));
        await withAnySignal([signal, closing.signal], (either) => clock.sleep(delayMs, either));
        counters.retries++;
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
    read: async (path, range, readOptions) => {
      const read = resumableRead(store, path, range, readOptions);
      try {
        return await attempt(
          () => read.attempt(),
          readOptions?.signal,
          () => read.received(),
        );
      } finally {
        counters.resumedBytes += read.received();
      }
    },
    close: () => {
      closing.abort(storeClosed(store.uri)); // whoever waits for a next try waits no more
      return store.close();
    },
  };
}

/** How long a store asks to be left alone. */
function retryAfterMs({ detail: { retryAfterMs: asked } }: TransientStoreError): number {
  return typeof asked === 'number' ? asked : 0;
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

interface Effort {
  readonly attempts: number;
  /** Attempts since the last one that brought something. */
  readonly fruitless: number;
  readonly elapsedMs: number;
}

function gaveUp(error: TransientStoreError, effort: Effort, { attemptsMax, deadlineMs }: RetryOptions, why?: string): HeadraceError {
  const { attempts, fruitless } = effort;
  const elapsedMs = Math.round(effort.elapsedMs);
  const tries =
    attempts === fruitless
      ? `${attempts} of ${attemptsMax} attempts`
      : `${attempts} attempts, ${fruitless} of ${attemptsMax} without progress`;
  const reason = why === undefined ? '' : `: ${why}`;
  return new HeadraceError(error.code, `${error.message} (gave up after ${tries} in ${elapsedMs} of ${deadlineMs} ms${reason})`, {
    detail: { ...error.detail, attempts, elapsedMs },
    hint: error.hint,
    cause: error.cause,
  });
}

function spent(uri: string, retryTokensMax: number): string {
  return `most requests to ${uri} fail, and their common budget of ${retryTokensMax} retries is spent`;
}
