/** Keeps what a store gives on local disk. Only reads that name a version are kept: nothing says what the others are bytes of. */
import type { RangeCache } from '../cache/range-cache.js';
import { withAnySignal } from '../core/abort.js';
import { rawCopy } from '../core/raw-memory.js';
import { storeClosed } from './store-error.js';
import type { Store } from './store.js';

/**
 * `origin`: what tells two stores of one URI apart, such as the endpoint of the server. A range of a version that the store no longer has is still
 * read, if it is in the cache: it is that version's.
 */
export function withCache(store: Store, cache: RangeCache, origin = ''): Store {
  const closing = new AbortController();
  return {
    uri: store.uri,
    list: (prefix, options) => store.list(prefix, options),
    head: (path, options) => store.head(path, options),
    read: (path, range, options = {}) => {
      const { ifMatch, signal, need, fresh, patient, fleeting } = options;
      const { startByte, endByte } = range;
      if (ifMatch === undefined || startByte < 0 || endByte <= startByte) return store.read(path, range, options);
      const key = JSON.stringify([origin, store.uri, path, ifMatch]);
      return withAnySignal([signal, closing.signal], async (either) => {
        if (fresh === undefined)
          return cache.read(
            key,
            range,
            (part, fetchSignal) => store.read(path, part, { ifMatch, signal: fetchSignal }),
            either,
            need,
            fleeting === true ? 'never' : patient === true ? 'awaited' : 'copied',
          );
        for (const old of [...fresh.forget, range]) await cache.forget(key, old);
        const bytes = await store.read(path, range, { ifMatch, signal: either });
        if (fleeting !== true) cache.put(key, rawCopy(bytes), need, startByte);
        return bytes;
      });
    },
    close: () => {
      closing.abort(storeClosed(store.uri)); // who waits for the disk, or for another process, waits no more
      return store.close();
    },
  };
}
