/**
 * Puts a range together from entries that hold parts of it:
 *
 *   entries   │ 0 … 2 MiB │ 2 … 4 MiB │   │ 4.1 … 6 MiB │       as the directory lists them, and as they come and go
 *   wanted          └──────────────────────────┘
 *   read            part ·    part      gap · part             gaps from the store, each kept by itself
 */
import { throwIfAborted } from '../core/abort.js';
import type { ByteRange } from '../core/byte-range.js';
import type { Need } from '../core/need.js';
import { rawBytes } from '../core/raw-memory.js';
import { entryOf, placeOfName, type Entry } from './entry.js';
import type { Entries } from './entries.js';
import { HeldRanges, type Cover } from './held-ranges.js';
import { CACHE_LIMITS } from './limits.js';

/** What is read: one entry, or parts of others. */
export interface Wanted {
  readonly key: string;
  readonly hash: string;
  readonly range: ByteRange;
  readonly entry: Entry;
}

export interface HeldReaderOptions {
  readonly entries: Pick<Entries, 'readPart' | 'ofKey'>;
  /** What a read of the disk finds; undefined where it does not answer, or fails. */
  readonly lookUp: <T>(read: () => Promise<T>) => Promise<T | undefined>;
  /** By name, what may not have its name yet. */
  readonly writes: ReadonlyMap<string, { readonly entry: Entry; readonly bytes: Uint8Array }>;
}

export interface HeldRead {
  readonly bytes: Uint8Array;
  /** Of them, those that were in entries. */
  readonly heldBytes: number;
}

export interface HeldReader {
  /** Whether the entries of a key are known. */
  knows(hash: string): boolean;
  /** Asks the directory for the entries of a key: once, for all that wait for it, so that nobody's answer is older than what another has added to it. */
  learn(key: string, hash: string): Promise<void>;
  /** An entry of this name will be there. */
  add(hash: string, range: ByteRange): void;
  /** An entry of this name is there no longer. */
  remove(name: string): void;
  /** As far as the entries of the key are known; undefined: too little of it is there. Errors: those of `readGap`, `ABORTED`. */
  read(
    wanted: Wanted,
    readGap: (gap: ByteRange) => Promise<Uint8Array>,
    signal: AbortSignal,
    need: Need | undefined,
  ): Promise<HeldRead | undefined>;
}

export function createHeldReader({ entries, lookUp, writes }: HeldReaderOptions): HeldReader {
  const held = new HeldRanges(CACHE_LIMITS);
  const learning = new Map<string, Promise<void>>();

  const readPart = async (entry: Entry, startByte: number, into: Uint8Array, need: Need | undefined): Promise<boolean> => {
    const writing = writes.get(entry.name);
    if (writing === undefined) return (await lookUp(() => entries.readPart(entry, startByte, into, need))) === true;
    into.set(writing.bytes.subarray(startByte, startByte + into.length));
    return true;
  };

  /** Undefined: a part is gone, or cannot be read. */
  const readCovered = async (
    { key, hash, range }: Wanted,
    cover: Cover,
    readGap: (gap: ByteRange) => Promise<Uint8Array>,
    signal: AbortSignal,
    need: Need | undefined,
  ): Promise<HeldRead | undefined> => {
    const bytes = rawBytes(range.endByte - range.startByte); // handed out only when all of it was read
    const parts = cover.held.map((part, i): Promise<boolean> => {
      // where two have the same bytes, those of the first are read
      const from = Math.max(range.startByte, part.startByte, i === 0 ? 0 : cover.held[i - 1].endByte);
      const to = Math.min(part.endByte, range.endByte);
      const entry = entryOf(key, part.startByte, part.endByte - part.startByte, hash);
      return readPart(entry, from - part.startByte, bytes.subarray(from - range.startByte, to - range.startByte), need);
    });
    const areRead = await Promise.all(parts);
    throwIfAborted(signal);
    if (areRead.includes(false)) return undefined;
    await Promise.all(cover.gaps.map(async (gap) => bytes.set(await readGap(gap), gap.startByte - range.startByte)));
    return { bytes, heldBytes: cover.gaps.reduce((rest, { startByte, endByte }) => rest - (endByte - startByte), bytes.length) };
  };

  const ask = async (key: string, hash: string): Promise<void> => {
    const kept = await lookUp(() => entries.ofKey(key));
    learning.delete(hash);
    if (kept === undefined) return;
    const written = [...writes.values()].map(({ entry }) => entry).filter(({ name }) => placeOfName(name).hash === hash);
    const ranges = [...kept, ...written].map(({ startByte, dataBytes }) => ({ startByte, endByte: startByte + dataBytes }));
    held.learn(hash, ranges);
  };

  return {
    knows: (hash) => held.knows(hash),
    learn: (key, hash) => {
      const asked = learning.get(hash) ?? ask(key, hash);
      learning.set(hash, asked);
      return asked;
    },
    add: (hash, range) => held.add(hash, range),
    remove: (name) => {
      const { hash, startByte } = placeOfName(name);
      held.remove(hash, startByte);
    },
    read: async (wanted, readGap, signal, need) => {
      // a part that is gone is held no longer: others may have its bytes
      for (let attempt = 0; attempt < CACHE_LIMITS.coverAttemptsMax; attempt++) {
        const cover = held.cover(wanted.hash, wanted.range);
        if (cover === undefined) return undefined;
        const found = await readCovered(wanted, cover, readGap, signal, need);
        if (found !== undefined) return found;
      }
      return undefined;
    },
  };
}
