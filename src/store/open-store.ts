/** From a URI to a store: one a origin, with the decorators that every origin gets. */
import { HeadraceError } from '../core/errors.js';
import { fileStore } from './file.js';
import { STORE_LIMITS } from './limits.js';
import { s3Store } from './s3.js';
import type { Store } from './store.js';
import { withCoalescing } from './with-coalescing.js';
import { createStoreCounters, withCounters, type StoreCounters } from './with-counters.js';
import { withHedging } from './with-hedging.js';
import { withLimit } from './with-limit.js';
import { withParts } from './with-parts.js';
import { withRetry } from './with-retry.js';

export interface StorageConfig {
  readonly s3: { readonly endpoint?: string | undefined; readonly region?: string | undefined; readonly forcePathStyle: boolean };
}

/** A store, and the path in it that a URI means. */
export interface OpenedStore {
  readonly store: Store;
  readonly path: string;
}

export interface StoreSet {
  /** Absolute paths, `file://`, `s3://`, and whatever was added. Errors: `CONFIG_INVALID`. */
  open(uri: string): OpenedStore;
  /** Over all its stores. */
  readonly counters: StoreCounters;
  close(): Promise<void>;
}

/** `added`: more stores, each for the URIs that start with its `uri`. */
export function createStoreSet(storage: StorageConfig, added: readonly Store[] = []): StoreSet {
  const counters = createStoreCounters();
  const stores = new Map<string, Store>(added.map((store) => [store.uri, withCounters(store, counters)]));

  const storeOf = (origin: string, create: () => Store): Store => {
    let store = stores.get(origin);
    if (store === undefined) {
      store = create();
      stores.set(origin, store);
    }
    return store;
  };
  return {
    counters,
    open: (uri) => {
      const own = added.find((store) => uri.startsWith(store.uri));
      if (own !== undefined) return { store: storeOf(own.uri, () => own), path: uri.slice(own.uri.length) };
      if (uri.startsWith('/')) return { store: storeOf('file://', () => withCounters(fileStore(), counters)), path: uri };
      const match = /^([a-z][a-z0-9+.-]*):\/\/([^/]*)(?:\/(.*))?$/is.exec(uri);
      const [, scheme, authority, path = ''] = match ?? [];
      if (scheme === 'file' && authority === '') {
        return { store: storeOf('file://', () => withCounters(fileStore(), counters)), path: `/${path}` };
      }
      if (scheme === 's3' && authority !== '') {
        return { store: storeOf(`s3://${authority}/`, () => decorated(s3Store({ bucket: authority, ...storage.s3 }), counters)), path };
      }
      throw new HeadraceError('CONFIG_INVALID', `${uri} is not a place that headrace can read`, {
        detail: { uri },
        hint: 'Use a path, file:///PATH, or s3://BUCKET/PREFIX.',
      });
    },
    close: async () => {
      await Promise.all([...stores.values()].map((store) => store.close()));
    },
  };
}

/**
 * The decorators of an origin behind a network, in the order that a read passes them:
 *
 * ```
 *  with-coalescing  the callers' reads, before anything is made of them: joined ranges are no longer than a part
 *  with-parts       above the retries, so that each part goes on by itself where it broke off
 *  with-retry       above the limit, so that a request that waits for its next try holds no place
 *  with-limit       sees each try, and so each answer that says "too much"
 *  with-hedging     below the limit: its latencies are the origin's alone, and a hedge, bounded by its bytes, shares the place of its read
 *  with-counters    each request as it is sent
 * ```
 */
export function decorated(store: Store, counters: StoreCounters): Store {
  const options = { ...STORE_LIMITS, counters };
  return withCoalescing(
    withParts(withRetry(withLimit(withHedging(withCounters(store, counters), options), options), options), options),
    options,
  );
}
