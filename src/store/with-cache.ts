/**
 * Keeps what a store gives on local disk. Only reads that name a version are kept: nothing says what the others are bytes of. A range that lies in ranges
 * that this process has read, but for gaps, is put together from them, and kept by itself.
 */
import type { RangeCache } from '../cache/range-cache.js';
import { withAnySignal } from '../core/abort.js';
import { rawBytes } from '../core/raw-memory.js';
import { storeClosed } from './store-error.js';
import { HeldRanges, type Cover } from './held-ranges.js';
import type { ByteRange, Store } from './store.js';

/** 256 GB of a pass over tars, in 10 MB of memory. */
const HELD_RANGES_MAX = 2 ** 17;
/** A disk reads so much sooner than an object store answers. */
const HELD_BESIDE_BYTES_MAX = 8 * 2 ** 20;
/** Between the reads of a pass over a tar lie ends of bodies, one for each 2 MiB: more gaps, and larger ones, are better read in one request. */
const GAP_SHARE_MAX = 1 / 8;
const GAPS_MAX = 8;

/**
 * `origin`: what tells two stores of one URI apart, such as the endpoint of the server. A range of a version that the store no longer has is still
 * read, if it is in the cache: it is that version's.
 */
export function withCache(store: Store, cache: RangeCache, origin = ''): Store {
  const closing = new AbortController();
  const held = new HeldRanges({
    rangesMax: HELD_RANGES_MAX,
    besideBytesMax: HELD_BESIDE_BYTES_MAX,
    gapShareMax: GAP_SHARE_MAX,
    gapsMax: GAPS_MAX,
  });

  /** Undefined where not all that is held is there any more. */
  const readCovered = async (
    { held: parts, gaps }: Cover,
    wanted: ByteRange,
    readPart: (part: ByteRange) => Promise<Uint8Array | undefined>,
    readGap: (gap: ByteRange) => Promise<Uint8Array>,
  ): Promise<Uint8Array | undefined> => {
    const bytes = rawBytes(wanted.endByte - wanted.startByte);
    const put = (part: ByteRange, found: Uint8Array): void => {
      const startByte = Math.max(part.startByte, wanted.startByte);
      bytes.set(found.subarray(startByte - part.startByte, wanted.endByte - part.startByte), startByte - wanted.startByte);
    };
    for (const part of parts) {
      const found = await readPart(part);
      if (found === undefined) return undefined;
      put(part, found);
    }
    await Promise.all(gaps.map(async (gap) => put(gap, await readGap(gap))));
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
      const fetch = async (fetchSignal: AbortSignal): Promise<Uint8Array> => {
        const read = (part: ByteRange): Promise<Uint8Array> => store.read(path, part, { ifMatch, signal: fetchSignal });
        const cover = held.cover(object, range);
        if (cover === undefined) return read(range);
        // without its need: what is put together is kept by itself, and the parts may go
        const readPart = (part: ByteRange): Promise<Uint8Array | undefined> =>
          cache.readKept(keyOf(part), part.endByte - part.startByte, fetchSignal);
        const found = await readCovered(cover, range, readPart, read);
        if (found !== undefined) return found;
        held.forget(object); // made room, or were damaged
        return read(range);
      };
      return withAnySignal([signal, closing.signal], async (either) => {
        const bytes = await cache.read(key, endByte - startByte, fetch, either, need);
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
