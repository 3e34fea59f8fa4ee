/** The start of a cache with very many entries: how soon it gives one, and how soon it can take one, for which it looks through all names first. */
import { mkdir, open } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { entryFile } from '../../src/cache/layout.js';
import { createRangeCache } from '../../src/cache/range-cache.js';
import { mapConcurrent } from '../../src/core/map-concurrent.js';
import type { Case, Sample, Section } from './section.js';

const ENTRY_BYTES = 1000;
const FILES_AT_ONCE = 8;
/** A cache does not say when it has written. */
const LOOK_AGAIN_MS = 2;

const ENTRY = { startByte: 0, endByte: ENTRY_BYTES };

export const manyEntries: Section = {
  name: 'entries',
  title: 'The start of a cache of very many entries, names in the memory of the machine',
  open: async ({ dir, quick }) => {
    const count = quick ? 100_000 : 1_000_000;
    const cacheDir = path.join(dir, 'many');
    const missing = (): Promise<never> => Promise.reject(new Error('the entry was not kept'));
    const give = (key: string): Promise<Uint8Array> => Promise.resolve(new Uint8Array(ENTRY_BYTES).fill(key.length));
    const writer = openCache(cacheDir);
    await writer.read('known', ENTRY, () => give('known'));
    await writer.close();
    await makeNames(cacheDir, count);

    let written = 0;
    const start = async (use: (cache: ReturnType<typeof openCache>) => Promise<unknown>): Promise<Sample> => {
      const cpu = process.cpuUsage();
      const started = performance.now();
      const cache = openCache(cacheDir);
      await use(cache);
      const value = (performance.now() - started) / 1000;
      const { user, system } = process.cpuUsage(cpu);
      await cache.close();
      return { value, note: `${((user + system) / 1e6).toFixed(2)} s of the processor` };
    };
    const contestants = [
      { name: 'first read', measure: () => start((cache) => cache.read('known', ENTRY, missing)) },
      {
        name: 'first write, done',
        measure: () =>
          start(async (cache) => {
            const key = `new ${written++}`;
            await cache.read(key, ENTRY, () => give(key));
            while (cache.counters.bytesWritten === 0) await delay(LOOK_AGAIN_MS);
          }),
      },
    ];
    const cases: Case[] = [{ label: `${count} entries`, unit: 's', hasRatio: false, contestants }];
    return { cases, close: () => Promise.resolve() };
  },
};

function openCache(dir: string): ReturnType<typeof createRangeCache> {
  return createRangeCache({ dir, bytesMax: 2 ** 50, fsync: 'never' });
}

/** Empty files under the names of entries: a start reads no more of them than the names. */
async function makeNames(dir: string, count: number): Promise<void> {
  const names = Array.from({ length: count }, (_, i) => {
    const hash = Math.imul(i + 1, 0x9e3779b1) >>> 0; // spread over the directories, each once
    return `${hash.toString(16).padStart(8, '0')}${i.toString(16).padStart(24, '0')}-${ENTRY_BYTES.toString(36)}`;
  });
  const shelves = new Set(names.map((name) => path.dirname(entryFile(dir, name))));
  for (const shelf of shelves) await mkdir(shelf, { recursive: true });
  await mapConcurrent(names, FILES_AT_ONCE, async (name) => {
    const file = await open(entryFile(dir, name), 'w');
    await file.close();
  });
}
