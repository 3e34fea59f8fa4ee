/** From a URI to a store: one a origin, with the decorators that every origin gets. */
import type { RangeCache } from '../cache/range-cache.js';
import { HeadraceError } from '../core/errors.js';
import { fileStore } from './file.js';
import { STORE_LIMITS } from './limits.js';
import { placeOf, SCHEME_FORMS, shownUri, type StorageConfig } from './schemes.js';
import type { Store } from './store.js';
import { withCache } from './with-cache.js';
import { withCoalescing } from './with-coalescing.js';
import { createStoreCounters, withCounters, type StoreCounters } from './with-counters.js';
import { withHedging } from './with-hedging.js';
import { withLimit } from './with-limit.js';
import { withParts } from './with-parts.js';
import { withRetry } from './with-retry.js';

/** A store, and the path in it that a URI means. */
export interface OpenedStore {
  readonly store: Store;
  readonly path: string;
  /** The URI names one object: there is no listing. */
  readonly single?: boolean;
}

/** Whether a URI of a configuration names files of this machine, which are not kept in the cache. */
export function isLocalUri(uri: string): boolean {
  return uri.startsWith('/') || uri.startsWith('file:///');
}

export interface StoreSet {
  /** Absolute paths, `file://`, the schemes of schemes.ts, and whatever was added. Errors: `CONFIG_INVALID`. */
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
  const cached = (store: Store, service: string): Store => (cache === undefined ? store : withCache(store, cache, service));

  return {
    counters,
    open: (uri) => {
      const own = added.find((store) => uri.startsWith(store.uri));
      if (own !== undefined) return { store: storeOf(own.uri, () => own), path: uri.slice(own.uri.length) };
      if (isLocalUri(uri)) {
        return { store: storeOf('file://', () => withCounters(fileStore(), counters)), path: uri.replace(/^file:\/\//, '') };
      }
      const place = placeOf(uri, storage);
      if (place !== undefined) {
        const create = (): Store => cached(decorated(place.create(), counters), place.service);
        return { store: storeOf(place.key, create), path: place.path, single: place.single };
      }
      const shown = shownUri(uri);
      throw new HeadraceError('CONFIG_INVALID', `${shown} is not a place that headrace can read`, {
        detail: { uri: shown },
        hint: `Use a path, file:///PATH, or one of ${SCHEME_FORMS}.`,
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
