/** The entries on disk, bounded: what is needed last, as far as the plan says, makes room for what is written. The directory is the truth; the index in memory follows it. */
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { mapConcurrent } from '../core/map-concurrent.js';
import type { Need } from '../core/need.js';
import type { CacheCounters } from './counters.js';
import { diskCode, noSpace, unlessMissing, type Disk } from './disk.js';
import { entryOfName, hashOf, readEntry, readEntryPart, writeEntry, type Entry, type EntryPartRead } from './entry.js';
import { createEvictionOrder } from './eviction-order.js';
import { claimsDir, entriesNamed, entryFile, listEntries, sweep, temporaryDir, temporaryFile } from './layout.js';
import { CACHE_LIMITS } from './limits.js';
import type { Troubles } from './troubles.js';

export interface EntriesOptions {
  readonly disk: Disk;
  readonly dir: string;
  readonly bytesMax: number;
  readonly fsync: boolean;
  readonly counters: CacheCounters;
  readonly troubles: Troubles;
  /** An entry is there no longer. */
  readonly onGone: (name: string) => void;
}

export interface Entries {
  /** The data of an entry, checked; undefined where there is none. A damaged one is deleted. `need`: as the run's plan has it. Errors: those of the disk. */
  read(entry: Entry, need?: Need): Promise<Uint8Array | undefined>;
  /** Fills `into` with the data of an entry from `startByte` on; as `read`. False: there is none. */
  readPart(entry: Entry, startByte: number, into: Uint8Array, need?: Need): Promise<boolean>;
  /** The entries of a key, as the directory has them: also other processes'. Errors: those of the disk. */
  ofKey(key: string): Promise<readonly Entry[]>;
  /** Makes room and writes. Errors: those of the disk; then there is no entry, and no part of one. */
  write(entry: Entry, data: Uint8Array, need?: Need): Promise<void>;
  /** Deletes an entry, if it is there. Errors: those of the disk. */
  remove(name: string): Promise<void>;
  /** Makes the directories, and sweeps what dead processes left. Lookups need not wait for it. Errors: those of the disk. */
  ready(): Promise<void>;
  /** Of the entries that are known, with those that are being written. */
  readonly bytes: number;
  /** Waits for deletions that are under way. */
  settled(): Promise<void>;
}

/** Names of a listing that are handled before the event loop runs: 1 µs each. */
const NAMES_A_TURN = 4096;

export function createEntries({ disk, dir, bytesMax, fsync, counters, troubles, onGone }: EntriesOptions): Entries {
  const victims: string[] = [];
  /** Given up since the directory was last begun to be looked through: a listing may still have them. */
  const gone = new Set<string>();
  const index = createEvictionOrder();
  /** Written, or being written, since the directory was last begun to be looked through: a listing may not have them. */
  const added = new Set<string>();
  const writing = new Set<string>();
  let looks = 0;
  let unseenBytes = 0;
  let looking: Promise<void> | undefined;
  let opened: Promise<void> | undefined;
  let looked: Promise<void> | undefined;
  let hasLooked = false;
  let roomyUntilMs = 0;
  let deleting: Promise<void> = Promise.resolve();
  let background: Promise<unknown> = Promise.resolve();

  const forget = (name: string): boolean => {
    gone.add(name);
    onGone(name);
    return index.delete(name);
  };
  /** Gives up entries until so many bytes fit. */
  const makeRoom = (bytes: number): void => {
    while (index.bytes + bytes > bytesMax) {
      const name = index.pop();
      if (name === undefined) return;
      gone.add(name);
      onGone(name);
      victims.push(name);
    }
  };
  const remember = (name: string, fileBytes: number, need: Need | undefined): void => {
    index.delete(name);
    makeRoom(fileBytes);
    if (fileBytes > bytesMax) return;
    added.add(name);
    gone.delete(name);
    index.set(name, { fileBytes, seenBy: looks }, need);
  };

  const deleteNow = async (): Promise<void> => {
    const names = victims.splice(0).filter((name) => !index.has(name));
    await mapConcurrent(names, CACHE_LIMITS.deletionsMax, async (name) => {
      await unlessMissing(disk.remove(entryFile(dir, name)));
      counters.evictions++;
    });
  };
  /** Deletes what the index gave up. A file that cannot be deleted is found again by the next look at the directory. */
  const deleteVictims = (): Promise<void> => {
    deleting = deleting.catch(() => undefined).then(deleteNow); // one after the other: who waits for the last waits for all before
    return deleting;
  };
  const inBackground = (work: () => Promise<void>): void => {
    background = Promise.all([background, work().catch((error: unknown) => troubles.writeFailed(error))]);
  };

  /** What other processes wrote and deleted since the last time. */
  const look = async (): Promise<void> => {
    unseenBytes = 0;
    gone.clear();
    added.clear();
    for (const name of writing) added.add(name);
    const look = ++looks;
    const hadNone = index.size === 0;
    for await (const entries of listEntries(disk, dir)) {
      for (const { name, fileBytes } of entries) {
        const known = index.peek(name);
        if (known !== undefined) known.seenBy = look;
        else if (fileBytes > bytesMax) victims.push(name);
        else if (!gone.has(name)) {
          makeRoom(fileBytes);
          // what is there at the start may be of a run that is long over
          if (look === 1) index.set(name, { fileBytes, seenBy: look }, undefined);
          else index.setOther(name, { fileBytes, seenBy: look });
        }
      }
    }
    if (!hadNone) await dropMissing(look);
    await deleteVictims();
  };
  const dropMissing = async (look: number): Promise<void> => {
    let turn = 0;
    // from the oldest on, and not from a copy, which would stop a million entries' process for long; what is used meanwhile is there
    for (const name of index.names()) {
      if (++turn % NAMES_A_TURN === 0) await setImmediate();
      const known = index.peek(name);
      if (known !== undefined && known.seenBy < look && !added.has(name) && forget(name)) counters.lost++;
    }
  };
  const lookOnce = (): Promise<void> =>
    (looking ??= look().finally(() => {
      looking = undefined;
    }));

  const makeDirectories = async (): Promise<void> => {
    for (const part of [claimsDir(dir), temporaryDir(dir)]) await disk.makeDirectory(part);
  };
  const open = async (): Promise<void> => {
    await makeDirectories();
    await sweep(disk, dir);
  };
  const ready = (): Promise<void> =>
    (opened ??= open().catch((error: unknown) => {
      opened = undefined; // tried again by the next one, when the pause after this failure is over
      throw error;
    }));
  const firstLook = (): Promise<void> =>
    (looked ??= lookOnce().then(
      () => void (hasLooked = true),
      (error: unknown) => {
        looked = undefined;
        throw error;
      },
    ));

  const evict = async (bytes: number): Promise<number> => {
    const before = index.bytes;
    if (before > 0) makeRoom(bytesMax - before + bytes);
    const freed = before - index.bytes;
    await deleteVictims();
    return freed;
  };
  const leaveFreeShare = async (fileBytes: number): Promise<void> => {
    if (performance.now() < roomyUntilMs) return;
    const { freeBytes, totalBytes } = await disk.space(dir);
    const missing = Math.ceil(totalBytes * CACHE_LIMITS.freeShareMin) + fileBytes - freeBytes;
    if (missing <= -CACHE_LIMITS.roomyBytes) roomyUntilMs = performance.now() + CACHE_LIMITS.roomyMs;
    if (missing <= 0) return;
    await firstLook(); // before its end, nobody knows all that could go
    if ((await evict(missing)) < missing)
      throw noSpace(`only ${freeBytes} of ${totalBytes} bytes are free, and ${CACHE_LIMITS.freeShareMin * 100} % stay free`);
  };
  const put = async (entry: Entry, data: Uint8Array): Promise<void> => {
    const temporary = temporaryFile(dir);
    const file = entryFile(dir, entry.name);
    try {
      await writeEntry(disk, temporary, entry, data, fsync);
      await disk.rename(temporary, file).catch(async (error: unknown) => {
        if (diskCode(error) !== 'ENOENT') throw error;
        await disk.makeDirectory(path.dirname(file)); // the first entry of this directory
        await disk.rename(temporary, file);
      });
    } catch (error) {
      await disk.remove(temporary).catch(() => undefined); // what stays behind is swept
      throw error;
    }
  };

  const write = async (entry: Entry, data: Uint8Array, need?: Need): Promise<void> => {
    await ready();
    if (!hasLooked) {
      const looking = firstLook();
      // nobody knows how much is there: no more is written before its end than between two later ones
      if (unseenBytes + entry.fileBytes > bytesMax * CACHE_LIMITS.unseenShareMax) await looking;
      else inBackground(() => looking);
    }
    unseenBytes += entry.fileBytes;
    writing.add(entry.name);
    remember(entry.name, entry.fileBytes, need); // first, so that entries and temporary files together keep the bound
    try {
      await deleteVictims();
      await leaveFreeShare(entry.fileBytes);
      await put(entry, data).catch(async (error: unknown) => {
        const code = diskCode(error);
        if (code === 'ENOSPC') await firstLook().then(() => evict(2 * entry.fileBytes));
        else if (code === 'ENOENT') await makeDirectories();
        else throw error;
        await put(entry, data);
      });
      // evicted by others' writes before it was there to be deleted
      if (!index.has(entry.name)) await unlessMissing(disk.remove(entryFile(dir, entry.name)));
    } catch (error) {
      forget(entry.name);
      throw error;
    } finally {
      writing.delete(entry.name);
    }
    counters.bytesWritten += entry.fileBytes;
    if (unseenBytes > bytesMax * CACHE_LIMITS.unseenShareMax) inBackground(lookOnce);
  };

  /** What a look at an entry says of it. True: what was read of it is whole. */
  const settle = async (entry: Entry, found: EntryPartRead, need: Need | undefined, isPart = false): Promise<boolean> => {
    switch (found.kind) {
      case 'whole':
        if (index.use(entry.name, need, isPart) === undefined) {
          remember(entry.name, entry.fileBytes, need); // another process's
          if (victims.length > 0) inBackground(deleteVictims);
        }
        return true;
      case 'missing':
        if (forget(entry.name)) counters.lost++;
        return false;
      case 'damaged':
        counters.corrupt++;
        forget(entry.name);
        troubles.noticed('damaged', `an entry of the cache was damaged (${found.why}): it is fetched again`);
        await unlessMissing(disk.remove(entryFile(dir, entry.name)));
        return false;
    }
  };

  return {
    read: async (entry, need) => {
      const found = await readEntry(disk, entryFile(dir, entry.name), entry);
      return (await settle(entry, found, need)) && found.kind === 'whole' ? found.data : undefined;
    },
    readPart: async (entry, startByte, into, need) =>
      settle(entry, await readEntryPart(disk, entryFile(dir, entry.name), entry, startByte, into), need, into.length < entry.dataBytes),
    ofKey: async (key) => {
      // a listing: the index would not know what other processes wrote since it last looked
      const named = await entriesNamed(disk, dir, `${hashOf(key)}-`);
      return named.flatMap(({ name }) => entryOfName(key, name) ?? []);
    },
    write,
    remove: async (name) => {
      forget(name);
      await unlessMissing(disk.remove(entryFile(dir, name)));
    },
    ready,
    get bytes() {
      return index.bytes;
    },
    settled: async () => {
      await Promise.allSettled([opened, looking, background]);
    },
  };
}
