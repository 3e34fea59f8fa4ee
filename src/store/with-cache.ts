/**
 * Keeps what a store gives on local disk. Only reads that name a version are kept: nothing says what the others are bytes of. A range that lies in ranges
 * that this process has read is put together from them.
 */
import type { RangeCache } from '../cache/range-cache.js';
import { withAnySignal } from '../core/abort.js';
import type { Need } from '../core/need.js';
import { rawBytes } from '../core/raw-memory.js';
import { storeClosed } from './store-error.js';
import { HeldRanges } from './held-ranges.js';
import type { ByteRange, Store } from './store.js';

/** 256 GB of a pass over tars, in 10 MB of memory. */
const HELD_RANGES_MAX = 2 ** 17;
/** A disk reads so much sooner than an object store answers. */
const HELD_BESIDE_BYTES_MAX = 8 * 2 ** 20;

/**
 * `origin`: what tells two stores of one URI apart, such as the endpoint of the server. A range of a version that the store no longer has is still
 * read, if it is in the cache: it is that version's.
 */
export function withCache(store: Store, cache: RangeCache, origin = ''): Store {
  const closing = new AbortController();
  const held = new HeldRanges({ rangesMax: HELD_RANGES_MAX, besideBytesMax: HELD_BESIDE_BYTES_MAX });

  /** Undefined where not all of it is there any more. */
  const readHeld = async (
    parts: readonly ByteRange[],
    wanted: ByteRange,
    keyOf: (part: ByteRange) => string,
    signal: AbortSignal | undefined,
    need: Need | undefined,
  ): Promise<Uint8Array | undefined> => {
    const bytes = rawBytes(wanted.endByte - wanted.startByte);
    for (const part of parts) {
      const found = await cache.readKept(keyOf(part), part.endByte - part.startByte, signal, need);
      if (found === undefined) return undefined;
      const startByte = Math.max(part.startByte, wanted.startByte);
      bytes.set(found.subarray(startByte - part.startByte, wanted.endByte - part.startByte), startByte - wanted.startByte);
    }
    return bytes;
  };

  return {
    uri: store.uri,
    list: (prefix, options) => store.list(prefix, options),
    head: (path, options) => store.head(path, options),
    read: (path, range, options = {}) => {
      const { ifMatch, signal, need } = options;
      const { startByte, endByte } = range;
      if (ifMatch === undefined || startByte < 0 || endByte <= startByte) return store.read(path, range, options);
      const keyOf = (part: ByteRange): string => JSON.stringify([origin, store.uri, path, ifMatch, part.startByte, part.endByte]);
      const key = keyOf(range);
      const object = JSON.stringify([path, ifMatch]);
      if (options.fresh !== undefined) {
        const { forget } = options.fresh;
        held.forget(object); // the damage may be in any of them
        return withAnySignal([signal, closing.signal], async (either) => {
          for (const old of [...forget, range]) await cache.forget(keyOf(old), old.endByte - old.startByte);
          const bytes = await store.read(path, range, { ifMatch, signal: either });
          cache.put(key, bytes.slice(), need);
          return bytes;
        });
      }
      const parts = held.cover(object, range);
      const isOwn = parts?.length === 1 && parts[0].startByte === startByte && parts[0].endByte === endByte;
      return withAnySignal([signal, closing.signal], async (either) => {
        const found = parts === undefined || isOwn ? undefined : await readHeld(parts, range, keyOf, either, need);
        if (found !== undefined) return found;
        if (parts !== undefined && !isOwn) held.forget(object); // made room, or were damaged
        const bytes = await cache.read(key, endByte - startByte, (signal) => store.read(path, range, { ifMatch, signal }), either, need);
        held.add(object, range);
        return bytes;
      });
    },
    close: () => {
      closing.abort(storeClosed(store.uri)); // who waits for the disk, or for another process, waits no more
      return store.close();
    },
  };
}
