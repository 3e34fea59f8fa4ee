/** Says of each read when it is needed, and when its bytes are needed again. */
import type { Need } from '../core/need.js';
import type { Store } from './store.js';

export function withNeed(store: Store, need: Need): Store {
  return {
    uri: store.uri,
    list: (prefix, options) => store.list(prefix, options),
    head: (path, options) => store.head(path, options),
    read: (path, range, options) => store.read(path, range, { ...options, need }),
    close: () => store.close(),
  };
}
