/** Objects in memory: for tests, and for programs that make their data themselves. */
import { compareUtf8 } from '../core/canonical-json.js';
import { throwIfAborted } from '../core/abort.js';
import { rawBytes } from '../core/raw-memory.js';
import { outsideObject, shardChanged, storeError } from './store-error.js';
import type { ObjectInfo, Store } from './store.js';

export interface MemoryStore extends Store {
  /** Adds or overwrites an object; overwriting gives it another ETag. */
  put(path: string, bytes: Uint8Array): void;
  delete(path: string): void;
}

interface Entry {
  readonly bytes: Uint8Array;
  readonly info: ObjectInfo;
}

/** `uri`: what messages call it, such as `memory://corpus/`. */
export function memoryStore(uri: string, objects: Readonly<Record<string, Uint8Array>> = {}): MemoryStore {
  const entries = new Map<string, Entry>();
  let version = 0;

  const entryOf = (path: string): Entry => {
    const entry = entries.get(path);
    if (entry === undefined) throw storeError('STORE_NOT_FOUND', `${uri}${path} does not exist`, { uri: uri + path });
    return entry;
  };
  const store: MemoryStore = {
    uri,
    put: (path, bytes) => {
      version++;
      // `slice` of a Buffer would be a view, and what is read is the reader's own
      const own = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
      entries.set(path, { bytes: own, info: { path, size: bytes.length, etag: `v${version}` } });
    },
    delete: (path) => void entries.delete(path),
    list: async function* (prefix, options) {
      const found = [...entries.keys()].filter((path) => path.startsWith(prefix)).sort(compareUtf8);
      for (const path of found) {
        throwIfAborted(options?.signal);
        yield await Promise.resolve(entryOf(path).info);
      }
    },
    head: async (path, options) => {
      throwIfAborted(options?.signal);
      return Promise.resolve(entryOf(path).info);
    },
    read: async (path, { startByte, endByte }, options = {}) => {
      throwIfAborted(options.signal);
      const { bytes, info } = await Promise.resolve(entryOf(path));
      if (options.ifMatch !== undefined && options.ifMatch !== info.etag) throw shardChanged(uri + path, options.ifMatch, info.etag);
      if (startByte < 0 || endByte < startByte || endByte > info.size) throw outsideObject(uri + path, startByte, endByte, info.size);
      const own = options.into ?? rawBytes(endByte - startByte); // `slice` would fill it with zeros first
      own.set(bytes.subarray(startByte, endByte));
      return own;
    },
    close: () => Promise.resolve(),
  };
  for (const [path, bytes] of Object.entries(objects)) store.put(path, bytes);
  return store;
}
