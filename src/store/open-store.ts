import { fileStore } from './file.js';
import type { Store } from './store.js';
import type { StoreCounters } from './with-counters.js';
export interface StoreSet { open(uri: string): Promise<{ store: Store; path: string }>; counters: StoreCounters; close(): Promise<void> }
export function createStoreSet(_s: unknown, _stores?: unknown): StoreSet {
  const counters = { requests: 0, bytes: 0, errors: 0 };
  const file = fileStore(counters);
  return { counters, open: async (uri) => ({ store: file, path: uri.replace('file://', '') }), close: async () => undefined };
}
