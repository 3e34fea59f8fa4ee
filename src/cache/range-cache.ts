/**
 * A cache of byte ranges, and of what is made of them, on local disk, shared by the processes of a machine. It can be slow or gone, but never
 * wrong: an entry is checked whole before it is used, and whatever fails, the bytes come from the store.
 *
 *   read ─▶ under way here? ─▶ on disk, in whatever ranges? ─▶ claim, or wait for the process that has it ─▶ fetch ─▶ reader
 *                                                                                                             └────▶ temporary file ─▶ rename
 */
import { setImmediate } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { abortError, throwIfAborted, untilAborted, withAnySignal } from '../core/abort.js';
import type { ByteRange } from '../core/byte-range.js';
import { after, systemClock, type Clock } from '../core/clock.js';
import { HeadraceError } from '../core/errors.js';
import type { Need } from '../core/need.js';
import { rawCopy, releaseBuffer } from '../core/raw-memory.js';
import { createClaims, type Claim } from './claims.js';
import { createCacheCounters, type CacheCounters } from './counters.js';
import { localDisk, type Disk } from './disk.js';
import { createEntries } from './entries.js';
import { entryOf, hashOf, type Entry } from './entry.js';
import { createHeldReader, type Wanted } from './held-reader.js';
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

/** Bytes of what a key names: those that were asked for, or a part of them that the cache lacks. The cache owns the array, and its buffer. */
export type Fetch = (range: ByteRange, signal: AbortSignal) => Promise<Uint8Array>;

/** What becomes of what is fetched: it is written while its reader has a copy; or its reader waits for that, and gets it as it is; or it is not written. */
export type Keeping = 'copied' | 'awaited' | 'never';

export interface RangeCache {
  readonly counters: CacheCounters;
  /**
   * A range of the bytes that `key` names, from the cache or by `fetch`, which is aborted when its last reader leaves. What lies in ranges that were read
   * before, but for small gaps, is put together from them. The caller owns the array; it is the only view of its buffer. `need`: what room is made by.
   * Errors: those of `fetch`, `ABORTED`; a failing disk is no error.
   */
  read(key: string, range: ByteRange, fetch: Fetch, signal?: AbortSignal, need?: Need, keeping?: Keeping): Promise<Uint8Array>;
  /**
   * What was put under `key`, of whatever length; undefined where nothing is. No claim is taken: two processes may make the same. The caller owns
   * the array, as of `read`. `need` is also that of what is put under the key soon after. Errors: `ABORTED`; a failing disk is no error.
   */
  get(key: string, signal?: AbortSignal, need?: Need): Promise<Uint8Array | undefined>;
  /** Begins to write `bytes`, which nobody changes any more, under `key`, as those from `startByte` on; leaves it where the disk is behind, full or failing. */
  put(key: string, bytes: Uint8Array, need?: Need, startByte?: number): void;
  /** As `put`, for whoever makes more than the disk takes: waits for it, up to `writeWaitMs`, and resolves when the bytes are written, or left. */
  putInTurn(key: string, bytes: Uint8Array): Promise<void>;
  /** Whether something lies under `key`; it is not read, and may be damaged. */
  has(key: string): Promise<boolean>;
  /**
   * Of what somebody makes in order to put it under `key`: undefined while somebody else has the claim, in this process or another. With `signal`
   * waits for it, up to `waitForOtherMsMax`. A disk that fails gives it to everybody. Errors: `ABORTED`.
   */
  claim(key: string, signal?: AbortSignal): Promise<Claim | undefined>;
  /** Deletes all that has bytes of a range; who reads them now fetches them. */
  forget(key: string, range: ByteRange): Promise<void>;
  /** Ends reads with `ABORTED`, and waits for what is being written, up to `closeWaitMs`. */
  close(): Promise<void>;
}

/** One fetch or look-up, and who waits for it. */
interface Flight {
  readonly wanted: Wanted;
  /** Undefined once it is over: what a `Map` has grown out of keeps alive what was deleted from it, and that would be its bytes. */
  result: Promise<Loaded> | undefined;
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
  const entries = createEntries({
    disk,
    dir,
    bytesMax,
    fsync: options.fsync === 'data',
    counters,
    troubles,
    onGone: (name) => held.remove(name),
  });
  const claims = createClaims(disk, dir);
  const flights = new Map<string, Flight>();
  /** Also those that nobody waits for any more. */
  const loads = new Set<Promise<unknown>>();
  const closing = new AbortController();
  const writes = new Map<string, { readonly entry: Entry; readonly bytes: Uint8Array; readonly done: Promise<void> }>();
  /** By key, of what was not there when it was asked for. */
  const awaited = new LRUCache<string, Need>({ max: CACHE_LIMITS.awaitedNeedsMax });
  const entryBytesMax = Math.min(CACHE_LIMITS.entryBytesMax, bytesMax);
  let pendingBytes = 0;

  /** `keptBytes`: those that the cache had. */
  const hit = (bytes: Uint8Array, keptBytes = bytes.length): Uint8Array => {
    counters.hits++;
    counters.bytesFromCache += keptBytes;
    return bytes;
  };

  /** What a read of the disk finds, as long as it answers. */
  const lookUp = async <T>(read: () => Promise<T>): Promise<T | undefined> => {
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

  /** Until it is over, for whoever closes the cache; never what comes of it, which the set would keep. */
  const remember = (load: Promise<unknown>): void => {
    const over = load.then(NOTHING, NOTHING).then(() => void loads.delete(over));
    loads.add(over);
  };

  /** What a read of the disk finds, by somebody who may leave before it does. */
  const lookedUp = <T>(read: () => Promise<T>, signal: AbortSignal | undefined): Promise<T | undefined> => {
    const looking = lookUp(read);
    remember(looking);
    return untilAborted(looking, signal);
  };

  /** What `attempt` answers, asked again for as long as another process may have it; undefined, when that takes too long. Errors: those of `attempt`, `ABORTED`. */
  const whileOther = async <T>(attempt: () => Promise<T | undefined>, signal: AbortSignal): Promise<T | undefined> => {
    const deadline = clock.now() + CACHE_LIMITS.waitForOtherMsMax;
    let waited = false;
    // other processes send no event when they are done: this is the one place that polls
    for (let delayMs: number = CACHE_LIMITS.pollMs; ; delayMs = Math.min(2 * delayMs, CACHE_LIMITS.pollMsMax)) {
      const answer = await attempt();
      if (answer !== undefined) return answer;
      if (!waited) counters.waitsForOther++;
      waited = true;
      if (clock.now() >= deadline) return undefined;
      await clock.sleep(delayMs, signal);
    }
  };

  /** The claim of this entry; or its bytes, when another process had fetched them meanwhile; or neither, when it takes too long. */
  const claimOrWait = async (
    entry: Entry,
    signal: AbortSignal,
    need: Need | undefined,
  ): Promise<{ readonly claim?: Claim; readonly found?: Uint8Array }> => {
    await entries.ready();
    const attempt = async (): Promise<{ readonly claim?: Claim; readonly found?: Uint8Array } | undefined> => {
      const claim = await claims.take(entry.name);
      const found = await lookUp(() => entries.read(entry, need)); // after the claim: whoever had it before may just have finished
      if (found !== undefined) await claim?.release();
      return found !== undefined ? { found } : claim && { claim };
    };
    return (await whileOther(attempt, signal)) ?? {};
  };

  const release = async (claim: Claim | undefined): Promise<void> => {
    try {
      await claim?.release();
    } catch (error) {
      troubles.writeFailed(error); // it runs out
    }
  };

  const held = createHeldReader({ entries, lookUp, writes });

  const hasRoom = ({ fileBytes }: Entry): boolean => pendingBytes === 0 || pendingBytes + fileBytes <= CACHE_LIMITS.pendingWriteBytesMax;

  /** Resolves when it is written, or will not be; never rejects. */
  const beginWrite = (entry: Entry, bytes: Uint8Array, claim: Claim | undefined, need: Need | undefined): Promise<void> => {
    pendingBytes += entry.fileBytes;
    const write = async (): Promise<void> => {
      try {
        await entries.write(entry, bytes, need);
      } catch (error) {
        counters.bypassed++;
        troubles.writeFailed(error);
        held.remove(entry.name);
      }
      await release(claim);
      writes.delete(entry.name);
      pendingBytes -= entry.fileBytes;
    };
    const done = write();
    writes.set(entry.name, { entry, bytes, done });
    return done;
  };

  /** Begins when what is being written leaves room for the entry. Undefined: the disk took too long. */
  const whenRoom = async (entry: Entry, begin: () => Promise<void>): Promise<{ readonly written: Promise<void> } | undefined> => {
    while (!hasRoom(entry)) {
      const room = Promise.race([...writes.values()].map(({ done }) => done));
      if (!(await settlesWithin(room, CACHE_LIMITS.writeWaitMs, clock))) {
        troubles.writeFailed(new Error(`of ${pendingBytes} bytes, none were written in ${CACHE_LIMITS.writeWaitMs} ms`));
        counters.bypassed++;
        return undefined;
      }
    }
    return { written: begin() };
  };

  /** Begins to write; answers when the reader may go on, and whether the bytes are still the writer's, who releases them. */
  const keep = async (
    { entry, hash, range }: Wanted,
    bytes: Uint8Array,
    claim: Claim,
    need: Need | undefined,
    patient: boolean,
  ): Promise<boolean> => {
    const begun = await whenRoom(entry, () => beginWrite(entry, bytes, claim, need));
    if (begun === undefined) {
      await release(claim);
      return false;
    }
    held.add(hash, range);
    if (patient && (await settlesWithin(begun.written, CACHE_LIMITS.writeWaitMs, clock))) return false;
    void begun.written.then(async () => {
      await setImmediate(); // whoever waited for the fetch has taken a copy by now
      if (bytes.length === bytes.buffer.byteLength) releaseBuffer(bytes.buffer as ArrayBuffer);
    });
    return true;
  };

  /** The bytes that are being written under a key. */
  const writingOf = (key: string): Uint8Array | undefined => {
    const hash = `${hashOf(key)}-`;
    for (const { entry, bytes } of writes.values()) if (entry.name.startsWith(hash)) return bytes;
    return undefined;
  };

  /** Begins to write what was put. */
  const beginPut = (entry: Entry, key: string, bytes: Uint8Array, need: Need | undefined): Promise<void> => {
    const done = beginWrite(entry, bytes, undefined, need);
    held.add(hashOf(key), { startByte: entry.startByte, endByte: entry.startByte + bytes.length });
    return done;
  };
  const mayWrite = ({ fileBytes }: Entry): boolean => fileBytes <= entryBytesMax && !troubles.writesPaused;

  /** What is on disk of it, in whatever entries, and what little is missing from the store. */
  const loadKept = async (
    wanted: Wanted,
    fetch: Fetch,
    aborting: AbortController,
    need: Need | undefined,
  ): Promise<Uint8Array | undefined> => {
    const { key, hash, entry } = wanted;
    if (!held.knows(hash)) {
      const found = await lookUp(() => entries.read(entry, need));
      if (found !== undefined) return hit(found);
      await held.learn(key, hash);
    }
    if (troubles.readsPaused) return undefined;
    const { signal } = aborting;
    const found = await held.read(wanted, (gap) => read(key, gap, fetch, signal, need), signal, need);
    return found && hit(found.bytes, found.heldBytes);
  };

  /** A controller makes its signal when it is first asked for: what is on disk as a whole needs none. */
  const load = async (
    wanted: Wanted,
    fetch: Fetch,
    aborting: AbortController,
    need: Need | undefined,
    keeping: Keeping,
  ): Promise<Loaded> => {
    const { entry, hash, range } = wanted;
    const known = await loadKept(wanted, fetch, aborting, need);
    if (known !== undefined) return { bytes: known, kept: false };
    const { signal } = aborting;
    let found: Uint8Array | undefined;
    let claim: Claim | undefined;
    if (keeping !== 'never' && mayWrite(entry)) {
      try {
        ({ claim, found } = await claimOrWait(entry, signal, need));
      } catch (error) {
        throwIfAborted(signal);
        troubles.writeFailed(error);
      }
    }
    if (found !== undefined) {
      held.add(hash, range);
      return { bytes: hit(found), kept: false };
    }
    counters.misses++;
    let bytes: Uint8Array;
    try {
      throwIfAborted(signal);
      bytes = await fetch(range, signal);
    } catch (error) {
      await release(claim);
      throw error;
    }
    if (claim !== undefined) {
      return { bytes, kept: await keep(wanted, bytes, claim, need, keeping === 'awaited') };
    }
    if (keeping !== 'never') counters.bypassed++;
    return { bytes, kept: false };
  };

  const start = (wanted: Wanted, fetch: Fetch, need: Need | undefined, keeping: Keeping): Flight => {
    const { entry } = wanted;
    const aborting = new AbortController();
    const result = load(wanted, fetch, aborting, need, keeping).finally(() => {
      leave(entry, flight);
      flight.result = undefined;
    });
    remember(result); // its readers hear of a failure, as far as there are any left
    const flight: Flight = { wanted, result, aborting, joined: 0, waiting: 0 };
    flights.set(entry.name, flight);
    return flight;
  };
  const leave = (entry: Entry, flight: Flight): void => {
    if (flights.get(entry.name) === flight) flights.delete(entry.name);
  };

  const read: RangeCache['read'] = async (key, range, fetch, signal, need, keeping = 'copied') => {
    throwIfAborted(signal);
    throwIfAborted(closing.signal);
    const hash = hashOf(key);
    const entry = entryOf(key, range.startByte, range.endByte - range.startByte, hash);
    const writing = writes.get(entry.name);
    if (writing !== undefined) return hit(rawCopy(writing.bytes));
    const flight = flights.get(entry.name) ?? start({ key, hash, range, entry }, fetch, need, keeping);
    flight.joined++;
    flight.waiting++;
    try {
      // a flight that is over has left `flights`
      const { bytes, kept } = await untilAborted(flight.result as Promise<Loaded>, signal);
      return kept || flight.joined > 1 ? rawCopy(bytes) : bytes;
    } finally {
      if (--flight.waiting === 0) {
        leave(entry, flight); // whoever comes now begins anew
        if (flight.result !== undefined) flight.aborting.abort(signal?.aborted === true ? abortError(signal) : undefined);
      }
    }
  };

  return {
    counters,
    read,
    get: (key, signal, need) =>
      withAnySignal([signal, closing.signal], async (either) => {
        throwIfAborted(either);
        const writing = writingOf(key);
        if (writing !== undefined) return hit(rawCopy(writing));
        const found = await lookedUp(async () => {
          for (const entry of await entries.ofKey(key)) {
            const data = await entries.read(entry, need);
            if (data !== undefined) return data;
          }
          return undefined;
        }, either);
        if (found !== undefined) return hit(found);
        counters.misses++;
        if (need !== undefined) awaited.set(key, need);
        return undefined;
      }),
    put: (key, bytes, need = awaited.get(key), startByte = 0) => {
      awaited.delete(key);
      const entry = entryOf(key, startByte, bytes.length);
      if (closing.signal.aborted || writes.has(entry.name)) return;
      if (hasRoom(entry) && mayWrite(entry)) void beginPut(entry, key, bytes, need);
      else counters.bypassed++;
    },
    putInTurn: async (key, bytes) => {
      const need = awaited.get(key);
      awaited.delete(key);
      const entry = entryOf(key, 0, bytes.length);
      if (closing.signal.aborted || writes.has(entry.name)) return;
      if (mayWrite(entry)) await (await whenRoom(entry, () => beginPut(entry, key, bytes, need)))?.written;
      else counters.bypassed++;
    },
    has: async (key) => writingOf(key) !== undefined || ((await lookUp(() => entries.ofKey(key))) ?? []).length > 0,
    claim: async (key, signal) => {
      const take = (): Promise<Claim | undefined> => claims.take(hashOf(key));
      let claim: Claim | undefined;
      try {
        await entries.ready();
        claim = signal === undefined ? await take() : await whileOther(take, signal);
        if (claim === undefined && signal === undefined) return undefined;
      } catch (error) {
        throwIfAborted(signal);
        troubles.writeFailed(error);
      }
      return { release: () => release(claim) };
    },
    forget: async (key, { startByte, endByte }) => {
      const hash = hashOf(key);
      const overlap = (entry: Entry): boolean => entry.startByte < endByte && startByte < entry.startByte + entry.dataBytes;
      for (const { wanted } of flights.values()) if (wanted.key === key && overlap(wanted.entry)) flights.delete(wanted.entry.name); // whoever comes now begins anew
      for (const { entry, done } of writes.values()) if (entry.name.startsWith(hash) && overlap(entry)) await done;
      try {
        for (const entry of await entries.ofKey(key)) if (overlap(entry)) await entries.remove(entry.name);
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

const NOTHING = (): void => undefined;

/** Whether a promise settles in time. Its failure is the caller's to see. */
function settlesWithin(promise: Promise<unknown>, ms: number, clock: Clock): Promise<boolean> {
  return new Promise((resolve) => {
    const cancel = after(clock, ms, () => resolve(false));
    const settled = (): void => {
      cancel();
      resolve(true);
    };
    promise.then(settled, settled);
  });
}
