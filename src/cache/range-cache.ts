/**
 * A cache of byte ranges, and of what is made of them, on local disk, shared by the processes of a machine. It can be slow or gone, but never
 * wrong: an entry is checked whole before it is used, and whatever fails, the bytes come from the store.
 *
 *   read ─▶ under way here? ─▶ on disk? ─▶ claim, or wait for the process that has it ─▶ fetch ─▶ reader
 *                                                                                          └────▶ temporary file ─▶ rename
 */
import { LRUCache } from 'lru-cache';
import { abortError, throwIfAborted, untilAborted, withAnySignal } from '../core/abort.js';
import { systemClock, type Clock } from '../core/clock.js';
import { HeadraceError } from '../core/errors.js';
import type { Need } from '../core/need.js';
import { createClaims, type Claim } from './claims.js';
import { createCacheCounters, type CacheCounters } from './counters.js';
import { localDisk, type Disk } from './disk.js';
import { createEntries } from './entries.js';
import { entryOf, hashOf, type Entry } from './entry.js';
import { CACHE_LIMITS } from './limits.js';
import { createTroubles, type Warn } from './troubles.js';

export interface RangeCacheOptions {
  /** Its own directory; made when it is first written to. */
  readonly dir: string;
  readonly bytesMax: number;
  /** `data`: an entry is on the medium before it has its name. Without, a power cut may damage entries, which their checksums show. */
  readonly fsync: 'never' | 'data';
  readonly warn?: Warn | undefined;
  readonly disk?: Disk;
  readonly clock?: Clock;
}

export type Fetch = (signal: AbortSignal) => Promise<Uint8Array>;

export interface RangeCache {
  readonly counters: CacheCounters;
  /**
   * The `dataBytes` bytes that `key` stands for, from the cache or by `fetch`, which is aborted when its last reader leaves. The caller owns the
   * array; it is the only view of its buffer. `need`: what room is made by. Errors: those of `fetch`, `ABORTED`; a failing disk is no error.
   */
  read(key: string, dataBytes: number, fetch: Fetch, signal?: AbortSignal, need?: Need): Promise<Uint8Array>;
  /** As `read`, where it is there: undefined where it is not. A miss is not counted: whoever reads it then does. Errors: `ABORTED`. */
  readKept(key: string, dataBytes: number, signal?: AbortSignal): Promise<Uint8Array | undefined>;
  /**
   * What was put under `key`, of whatever length; undefined where nothing is. No claim is taken: two processes may make the same. The caller owns
   * the array, as of `read`. `need` is also that of what is put under the key soon after. Errors: `ABORTED`; a failing disk is no error.
   */
  get(key: string, signal?: AbortSignal, need?: Need): Promise<Uint8Array | undefined>;
  /** Begins to write `bytes`, which nobody changes any more, under `key`; leaves it where the disk is behind, full or failing. */
  put(key: string, bytes: Uint8Array, need?: Need): void;
  /** Deletes the `dataBytes` bytes of `key`; who reads them now fetches them. */
  forget(key: string, dataBytes: number): Promise<void>;
  /** Ends reads with `ABORTED`, and waits for what is being written, up to `closeWaitMs`. */
  close(): Promise<void>;
}

/** One fetch or look-up, and who waits for it. */
interface Flight {
  readonly result: Promise<Loaded>;
  readonly aborting: AbortController;
  joined: number;
  waiting: number;
}

interface Loaded {
  readonly bytes: Uint8Array;
  /** It is being written: readers get copies. */
  readonly kept: boolean;
}

export function createRangeCache(options: RangeCacheOptions): RangeCache {
  const { dir, bytesMax, disk = localDisk, clock = systemClock, warn = () => undefined } = options;
  const counters = createCacheCounters();
  const troubles = createTroubles(dir, clock, warn);
  const entries = createEntries({ disk, dir, bytesMax, fsync: options.fsync === 'data', counters, troubles });
  const claims = createClaims(disk, dir);
  const flights = new Map<string, Flight>();
  /** Also those that nobody waits for any more. */
  const loads = new Set<Promise<unknown>>();
  const closing = new AbortController();
  const writes = new Map<string, { readonly bytes: Uint8Array; readonly done: Promise<void> }>();
  /** By key, of what was not there when it was asked for. */
  const awaited = new LRUCache<string, Need>({ max: CACHE_LIMITS.awaitedNeedsMax });
  const entryBytesMax = Math.min(CACHE_LIMITS.entryBytesMax, bytesMax);
  let pendingBytes = 0;

  const hit = (bytes: Uint8Array): Uint8Array => {
    counters.hits++;
    counters.bytesFromCache += bytes.length;
    return bytes;
  };

  /** What a read of the disk finds, as long as it answers. */
  const lookUp = async (read: () => Promise<Uint8Array | undefined>): Promise<Uint8Array | undefined> => {
    if (troubles.readsPaused) return undefined;
    try {
      const reading = read();
      if (await settlesWithin(reading, CACHE_LIMITS.readTimeoutMs, clock)) return await reading;
      troubles.stalled();
    } catch (error) {
      counters.bypassed++;
      troubles.readFailed(error);
    }
    return undefined;
  };

  /** What a read of the disk finds, by somebody who may leave before it does. */
  const lookedUp = (read: () => Promise<Uint8Array | undefined>, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> => {
    const looking = lookUp(read).finally(() => loads.delete(looking));
    loads.add(looking);
    return untilAborted(looking, signal);
  };

  /** The claim of this entry; or its bytes, when another process had fetched them meanwhile; or neither, when it takes too long. */
  const claimOrWait = async (
    entry: Entry,
    signal: AbortSignal,
    need: Need | undefined,
  ): Promise<{ readonly claim?: Claim; readonly found?: Uint8Array }> => {
    await entries.ready();
    const deadline = clock.now() + CACHE_LIMITS.waitForOtherMsMax;
    let waited = false;
    // other processes send no event when they are done: this is the one place that polls
    for (let delayMs: number = CACHE_LIMITS.pollMs; ; delayMs = Math.min(2 * delayMs, CACHE_LIMITS.pollMsMax)) {
      const claim = await claims.take(entry.name);
      const found = await lookUp(() => entries.read(entry, need)); // after the claim: whoever had it before may just have finished
      if (found !== undefined) await claim?.release();
      if (found !== undefined) return { found };
      if (claim !== undefined) return { claim };
      if (!waited) counters.waitsForOther++;
      waited = true;
      if (clock.now() >= deadline) return {};
      await clock.sleep(delayMs, signal);
    }
  };

  const release = async (claim: Claim | undefined): Promise<void> => {
    try {
      await claim?.release();
    } catch (error) {
      troubles.writeFailed(error); // it runs out
    }
  };

  const hasRoom = ({ fileBytes }: Entry): boolean => pendingBytes === 0 || pendingBytes + fileBytes <= CACHE_LIMITS.pendingWriteBytesMax;

  const beginWrite = (entry: Entry, bytes: Uint8Array, claim: Claim | undefined, need: Need | undefined): void => {
    pendingBytes += entry.fileBytes;
    const write = async (): Promise<void> => {
      try {
        await entries.write(entry, bytes, need);
      } catch (error) {
        counters.bypassed++;
        troubles.writeFailed(error);
      }
      await release(claim);
      writes.delete(entry.name);
      pendingBytes -= entry.fileBytes;
    };
    writes.set(entry.name, { bytes, done: write() });
  };

  /** Begins to write; answers when the reader may go on. */
  const keep = async (entry: Entry, bytes: Uint8Array, claim: Claim, need: Need | undefined): Promise<boolean> => {
    while (!hasRoom(entry)) {
      const room = Promise.race([...writes.values()].map(({ done }) => done));
      if (!(await settlesWithin(room, CACHE_LIMITS.writeWaitMs, clock))) {
        troubles.writeFailed(new Error(`of ${pendingBytes} bytes, none were written in ${CACHE_LIMITS.writeWaitMs} ms`));
        counters.bypassed++;
        await release(claim);
        return false;
      }
    }
    beginWrite(entry, bytes, claim, need);
    return true;
  };

  const load = async (entry: Entry, fetch: Fetch, signal: AbortSignal, need: Need | undefined): Promise<Loaded> => {
    let found = await lookUp(() => entries.read(entry, need));
    let claim: Claim | undefined;
    if (found === undefined && entry.fileBytes <= entryBytesMax && !troubles.writesPaused) {
      try {
        ({ claim, found } = await claimOrWait(entry, signal, need));
      } catch (error) {
        throwIfAborted(signal);
        troubles.writeFailed(error);
      }
    }
    if (found !== undefined) return { bytes: hit(found), kept: false };
    counters.misses++;
    let bytes: Uint8Array;
    try {
      throwIfAborted(signal);
      bytes = await fetch(signal);
    } catch (error) {
      await release(claim);
      throw error;
    }
    if (claim !== undefined) return { bytes, kept: await keep(entry, bytes, claim, need) };
    counters.bypassed++;
    return { bytes, kept: false };
  };

  const start = (entry: Entry, fetch: Fetch, need: Need | undefined): Flight => {
    const aborting = new AbortController();
    const result = load(entry, fetch, aborting.signal, need).finally(() => {
      leave(entry, flight);
      loads.delete(result);
    });
    loads.add(result);
    result.catch(() => undefined); // its readers hear of it, as far as there are any left
    const flight: Flight = { result, aborting, joined: 0, waiting: 0 };
    flights.set(entry.name, flight);
    return flight;
  };
  const leave = (entry: Entry, flight: Flight): void => {
    if (flights.get(entry.name) === flight) flights.delete(entry.name);
  };

  return {
    counters,
    read: async (key, dataBytes, fetch, signal, need) => {
      throwIfAborted(signal);
      throwIfAborted(closing.signal);
      const entry = entryOf(key, dataBytes);
      const writing = writes.get(entry.name);
      if (writing !== undefined) return hit(writing.bytes.slice());
      const flight = flights.get(entry.name) ?? start(entry, fetch, need);
      flight.joined++;
      flight.waiting++;
      try {
        const { bytes, kept } = await untilAborted(flight.result, signal);
        return kept || flight.joined > 1 ? bytes.slice() : bytes;
      } finally {
        if (--flight.waiting === 0) {
          leave(entry, flight); // whoever comes now begins anew
          flight.aborting.abort(signal?.aborted === true ? abortError(signal) : SETTLED);
        }
      }
    },
    readKept: (key, dataBytes, signal) =>
      withAnySignal([signal, closing.signal], async (either) => {
        throwIfAborted(either);
        const entry = entryOf(key, dataBytes);
        const writing = writes.get(entry.name);
        if (writing !== undefined) return hit(writing.bytes.slice());
        const found = await lookedUp(() => entries.read(entry), either);
        return found && hit(found);
      }),
    get: (key, signal, need) =>
      withAnySignal([signal, closing.signal], async (either) => {
        throwIfAborted(either);
        const start = `${hashOf(key)}-`;
        for (const [name, { bytes }] of writes) if (name.startsWith(start)) return hit(bytes.slice());
        const found = await lookedUp(() => entries.find(key, need), either);
        if (found !== undefined) return hit(found);
        counters.misses++;
        if (need !== undefined) awaited.set(key, need);
        return undefined;
      }),
    put: (key, bytes, need = awaited.get(key)) => {
      awaited.delete(key);
      const entry = entryOf(key, bytes.length);
      if (closing.signal.aborted || writes.has(entry.name)) return;
      if (hasRoom(entry) && entry.fileBytes <= entryBytesMax && !troubles.writesPaused) beginWrite(entry, bytes, undefined, need);
      else counters.bypassed++;
    },
    forget: async (key, dataBytes) => {
      const { name } = entryOf(key, dataBytes);
      flights.delete(name); // whoever comes now begins anew
      await writes.get(name)?.done;
      try {
        await entries.remove(name);
      } catch (error) {
        troubles.writeFailed(error);
      }
    },
    close: async () => {
      closing.abort(new HeadraceError('ABORTED', `the cache in ${dir} was closed`, { detail: { dir } }));
      for (const flight of flights.values()) flight.aborting.abort(abortError(closing.signal));
      const finish = async (): Promise<void> => {
        await Promise.allSettled(loads);
        await Promise.allSettled([...writes.values()].map(({ done }) => done));
        await entries.settled();
      };
      await settlesWithin(finish(), CACHE_LIMITS.closeWaitMs, clock);
      claims.close();
    },
  };
}

/** Ends waits that are over. Made once: an error takes the time to describe its stack, and there are two such waits in each read. */
const SETTLED = new HeadraceError('ABORTED', 'nobody waits for it any more');

/** Whether a promise settles in time. Its failure is the caller's to see. */
async function settlesWithin(promise: Promise<unknown>, ms: number, clock: Clock): Promise<boolean> {
  const timer = new AbortController();
  const settled = promise.then(
    () => true,
    () => true,
  );
  const late = clock.sleep(ms, timer.signal).then(
    () => false,
    () => true,
  );
  try {
    return await Promise.race([settled, late]);
  } finally {
    timer.abort(SETTLED);
  }
}
