/** From a URI to a store: one a origin, with the decorators that every origin gets. */
import type { RangeCache } from '../cache/range-cache.js';
import { HeadraceError } from '../core/errors.js';
import { fileStore } from './file.js';
import { STORE_LIMITS } from './limits.js';
import { s3Store } from './s3.js';
import type { Store } from './store.js';
import { withCache } from './with-cache.js';
import { createStoreCounters, withCounters, type StoreCounters } from './with-counters.js';
import { withLimit } from './with-limit.js';
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

/** `added`: more stores, each for the URIs that start with its `uri`. `cache`: of remote stores; the caller closes it. */
export function createStoreSet(storage: StorageConfig, added: readonly Store[] = [], cache?: RangeCache): StoreSet {
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
  const remote = (store: Store): Store => withLimit(withRetry(withCounters(store, counters), STORE_LIMITS), STORE_LIMITS.concurrencyMax);
  const cached = (store: Store, origin: string | undefined): Store => (cache === undefined ? store : withCache(store, cache, origin));

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
        const create = (): Store => cached(remote(s3Store({ bucket: authority, ...storage.s3 })), storage.s3.endpoint);
        return { store: storeOf(`s3://${authority}/`, create), path };
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
