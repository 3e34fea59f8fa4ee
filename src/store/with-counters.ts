/** Counts what a store is asked for and what it gives. */
import type { Store } from './store.js';

/** Added up over all stores of a pipeline; read by whoever shows them. */
export interface StoreCounters {
  /** Reads and heads; a listing counts once. */
  requests: number;
  /** Of those, the failed ones. */
  errors: number;
  /** Bytes read. */
  bytes: number;
}

export function createStoreCounters(): StoreCounters {
  return { requests: 0, errors: 0, bytes: 0 };
}

export function withCounters(store: Store, counters: StoreCounters): Store {
  const counted = async <T>(request: () => Promise<T>): Promise<T> => {
    counters.requests++;
    try {
      return await request();
    } catch (error) {
      counters.errors++;
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
