/** Bounds how many requests a store has under way, as many as its origin answers well; the others wait in line. */
import { abortError, throwIfAborted, whenAborted } from '../core/abort.js';
import { systemClock, type Clock } from '../core/clock.js';
import { adaptiveConcurrency, type ConcurrencyLimits } from './adaptive-concurrency.js';
import { isThrottled } from './store-error.js';
import type { Store } from './store.js';
import { createStoreCounters, type StoreCounters } from './with-counters.js';

export interface LimitOptions extends ConcurrencyLimits {
  readonly clock?: Clock;
  readonly counters?: StoreCounters;
}

/**
 * It belongs below the retries: there it sees each answer that says "too much", and a request that waits for its next try holds no place.
 * Listings are not counted: they are few, and they wait for their consumer.
 */
export function withLimit(store: Store, options: LimitOptions): Store {
  const { clock = systemClock, counters = createStoreCounters() } = options;
  const concurrency = adaptiveConcurrency(options, clock);
  const waiting = new Set<() => void>(); // in the order of arrival
  let running = 0;

  const enter = async (signal: AbortSignal | undefined): Promise<void> => {
    throwIfAborted(signal);
    if (running < concurrency.limit()) {
      running++;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const admit = (): void => {
        unlink?.();
        resolve();
      };
      const unlink =
        signal &&
        whenAborted(signal, () => {
          waiting.delete(admit);
          reject(abortError(signal));
        });
      waiting.add(admit);
    });
  };
  /** The limit may have grown, or shrunk below what is under way. */
  const leave = (): void => {
    running--;
    for (const admit of waiting) {
      if (running >= concurrency.limit()) return;
      waiting.delete(admit);
      running++;
      admit();
    }
  };
  const limited = async <T>(request: () => Promise<T>, signal: AbortSignal | undefined, bytesOf: (answer: T) => number): Promise<T> => {
    await enter(signal);
    const number = concurrency.began();
    let bytes = 0;
    let throttled = false;
    try {
      const answer = await request();
      bytes = bytesOf(answer);
      return answer;
    } catch (error) {
      throttled = isThrottled(error);
      if (throttled) counters.throttled++;
      throw error;
    } finally {
      concurrency.ended(number, bytes, throttled, waiting.size > 0);
      leave();
    }
  };
  return {
    uri: store.uri,
    list: (prefix, listOptions) => store.list(prefix, listOptions),
    head: (path, headOptions) =>
      limited(
        () => store.head(path, headOptions),
        headOptions?.signal,
        () => 0,
      ),
    read: (path, range, readOptions) =>
      limited(
        () => store.read(path, range, readOptions),
        readOptions?.signal,
        (bytes) => bytes.length,
      ),
    close: () => store.close(),
  };
}
