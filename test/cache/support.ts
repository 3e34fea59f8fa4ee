/** What the tests of the cache share: a directory, an origin that counts, and what lies on the disk. */
import { lstat, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { ByteRange } from '../../src/core/byte-range.js';
import { createRangeCache, type RangeCache, type RangeCacheOptions } from '../../src/cache/range-cache.js';

export async function temporaryDir(): Promise<{ readonly dir: string; readonly remove: () => Promise<void> }> {
  const dir = await mkdtemp(path.join(tmpdir(), 'headrace-cache-'));
  return { dir, remove: () => rm(dir, { recursive: true, force: true }) };
}

/** The bytes of a key: each differs from every other's nearly everywhere. */
export function bytesOf(key: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = (key + 1) * 2654435761;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** The first bytes of what a key names. */
export const upTo = (bytes: number): ByteRange => ({ startByte: 0, endByte: bytes });

export interface Origin {
  /** How often each key was fetched. */
  readonly fetched: Map<number, number>;
  read(cache: RangeCache, key: number, length?: number, signal?: AbortSignal): Promise<Uint8Array>;
}

export function countingOrigin(): Origin {
  const fetched = new Map<number, number>();
  return {
    fetched,
    read: (cache, key, length = 1000, signal) =>
      cache.read(
        `key ${key}`,
        upTo(length),
        () => {
          fetched.set(key, (fetched.get(key) ?? 0) + 1);
          return Promise.resolve(bytesOf(key, length));
        },
        signal,
      ),
  };
}

export const openCache = (dir: string, options: Partial<RangeCacheOptions> = {}): RangeCache =>
  createRangeCache({ dir, bytesMax: 2 ** 30, fsync: 'never', ...options });

/** Every file below a part of the directory, with its bytes; what vanishes meanwhile is not there. */
export async function filesOf(
  dir: string,
  part: 'entries' | 'temporary' | 'claims',
): Promise<{ readonly file: string; readonly bytes: number }[]> {
  const found = await readdir(path.join(dir, part), { recursive: true, withFileTypes: true }).catch(() => []);
  const files = found.filter((entry) => !entry.isDirectory()).map((entry) => path.join(entry.parentPath, entry.name));
  const sizes = await Promise.all(files.map((file) => lstat(file).catch(() => undefined)));
  return files.flatMap((file, i) => (sizes[i] === undefined ? [] : [{ file, bytes: sizes[i].size }]));
}

/** Waits until nothing is being fetched or written: claims are given up last. */
export async function written(dir: string): Promise<void> {
  while ((await filesOf(dir, 'claims')).length > 0) await setImmediate();
}
