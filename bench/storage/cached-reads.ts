/** Reads of the local cache, whose files the page cache holds, with their checksums; beside plain reads of the same files. */
import { randomFillSync } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { createRangeCache, type RangeCache } from '../../src/cache/range-cache.js';
import { MEBIBYTE, type Case, type Sample, type Section } from './section.js';

/** As many as libuv has threads for files. */
const AT_ONCE = 4;

export const cachedReads: Section = {
  name: 'cache',
  title: `Entries of the local cache from the page cache, with checksum, ${AT_ONCE} at once, in one process`,
  open: async ({ dir, quick }) => {
    const bytes = (quick ? 128 : 512) * MEBIBYTE;
    const caches: RangeCache[] = [];
    const cases: Case[] = [];
    for (const mebibytes of [1, 4, 8]) {
      const entryBytes = mebibytes * MEBIBYTE;
      const cacheDir = path.join(dir, `entries-${mebibytes}`);
      const writer = createRangeCache({ dir: cacheDir, bytesMax: 4 * bytes, fsync: 'never' });
      const keys = Array.from({ length: bytes / entryBytes }, (_, i) => `entry ${i}`);
      for (const key of keys)
        await writer.read(key, { startByte: 0, endByte: entryBytes }, () => Promise.resolve(randomFillSync(new Uint8Array(entryBytes))));
      await writer.close(); // which waits for what is being written
      const cache = createRangeCache({ dir: cacheDir, bytesMax: 4 * bytes, fsync: 'never' });
      caches.push(cache);
      const found = await readdir(path.join(cacheDir, 'entries'), { recursive: true, withFileTypes: true });
      const files = found.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
      const missing = (): Promise<never> => Promise.reject(new Error('an entry was not kept'));
      cases.push({
        label: `${mebibytes} MiB`,
        unit: 'GB/s',
        hasRatio: true,
        contestants: [
          {
            name: 'cache',
            measure: () => measureReads(keys, bytes, (key) => cache.read(key, { startByte: 0, endByte: entryBytes }, missing)),
          },
          { name: 'plain reads (node:fs)', measure: () => measureReads(files, bytes, (file) => readFile(file)) },
        ],
      });
    }
    const close = async (): Promise<void> => {
      await Promise.all(caches.map((cache) => cache.close()));
    };
    return { cases, close };
  },
};

async function measureReads(names: readonly string[], bytes: number, read: (name: string) => Promise<unknown>): Promise<Sample> {
  const queue = [...names];
  const reader = async (): Promise<void> => {
    for (let name = queue.pop(); name !== undefined; name = queue.pop()) await read(name);
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: AT_ONCE }, reader));
  return { value: bytes / (performance.now() - started) / 1e6 };
}
