/** A store whose reads do not come from a cache: of what turned out to be damaged, maybe on its way. */
import type { ByteRange, Store } from '../store/store.js';

/** `forget`: what the cache may have kept of it. */
export function withFreshReads(store: Store, forget: readonly ByteRange[]): Store {
  return { ...store, read: (path, range, options) => store.read(path, range, { ...options, fresh: { forget } }) };
}
