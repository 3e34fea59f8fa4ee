/** Says of each read when it is needed, when its bytes are needed again, and whether a cache leaves them. */
import type { Need } from '../core/need.js';
import type { ReadOptions, Store } from './store.js';

export function withNeed(store: Store, need: Need, isFleeting = false): Store {
  const told: ReadOptions = isFleeting ? { need, fleeting: true } : { need };
  return {
    uri: store.uri,
    list: (prefix, options) => store.list(prefix, options),
    head: (path, options) => store.head(path, options),
    read: (path, range, options) => store.read(path, range, { ...options, ...told }),
    close: () => store.close(),
  };
}
