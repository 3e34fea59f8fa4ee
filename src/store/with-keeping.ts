/** Lets a cache keep what is read through it up to a sum of bytes: of a pass over more than a cache holds, what comes later would only push out what came first. */
import type { Store } from './store.js';

/** What several stores share. */
export interface KeepBudget {
  bytes: number;
}

export function withKeeping(store: Store, budget: KeepBudget): Store {
  return {
    uri: store.uri,
    list: (prefix, options) => store.list(prefix, options),
    head: (path, options) => store.head(path, options),
    read: (path, range, options) => {
      budget.bytes -= range.endByte - range.startByte;
      return store.read(path, range, budget.bytes < 0 ? { ...options, fleeting: true } : options);
    },
    close: () => store.close(),
  };
}
