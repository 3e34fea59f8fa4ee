/** Reads an object from end to end. */
import type { Store } from './store.js';

/** In the version that it has now. Errors: those of `Store.head` and `Store.read`. */
export async function readWhole(store: Store, path: string, options: { readonly signal?: AbortSignal } = {}): Promise<Uint8Array> {
  const { size, etag } = await store.head(path, options);
  return store.read(path, { startByte: 0, endByte: size }, { ...options, ifMatch: etag });
}
