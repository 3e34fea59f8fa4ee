/** Counts what a store is asked for and what it gives. */
import { HeadraceError } from '../core/errors.js';
import { TransientStoreError } from './store-error.js';
import type { Store } from './store.js';

/** Added up over all stores of a pipeline; read by whoever shows them. */
export interface StoreCounters {
  /** Reads and heads; a listing counts once. */
  requests: number;
  /** Of those, the failed ones; one that was told to stop has not failed. */
  errors: number;
  /** Bytes read, those of reads that broke off included. */
  bytes: number;
  /** Second and later tries of a request. */
  retries: number;
  /** Bytes of reads that broke off which were not asked for again. */
  resumedBytes: number;
  /** Answers that said that the store is asked too much (429, 503). */
  throttled: number;
  /** Second requests for a read that took long … */
  hedges: number;
  /** … and those that answered first. */
  hedgesWon: number;
  /** Reads that another one's request answered too. */
  coalesced: number;
}

export function createStoreCounters(): StoreCounters {
  return { requests: 0, errors: 0, bytes: 0, retries: 0, resumedBytes: 0, throttled: 0, hedges: 0, hedgesWon: 0, coalesced: 0 };
}

export function withCounters(store: Store, counters: StoreCounters): Store {
  const counted = async <T>(request: () => Promise<T>): Promise<T> => {
    counters.requests++;
    try {
      return await request();
    } catch (error) {
      if (!(error instanceof HeadraceError && error.code === 'ABORTED')) counters.errors++;
      if (error instanceof TransientStoreError) counters.bytes += error.partial?.received ?? 0;
      throw error;
    }
  };
  return {
    uri: store.uri,
    list: (prefix, options) => {
      counters.requests++;
      return store.list(prefix, options);
    },
    head: (path, options) => counted(() => store.head(path, options)),
    read: (path, range, options) =>
      counted(async () => {
        const bytes = await store.read(path, range, options);
        counters.bytes += bytes.length;
        return bytes;
      }),
    close: () => store.close(),
  };
}
