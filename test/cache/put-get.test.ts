import { readFile, truncate, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { localDisk } from '../../src/cache/disk.js';
import { CACHE_LIMITS } from '../../src/cache/limits.js';
import { bytesOf, countingOrigin, filesOf, openCache, temporaryDir } from './support.js';

describe('what is put into the cache', () => {
  let dir: string;
  let remove: () => Promise<void>;
  beforeEach(async () => {
    ({ dir, remove } = await temporaryDir());
  });
  afterEach(() => remove());

  it('is found by its key alone, in this run and the next, and by nobody else', async () => {
    const cache = openCache(dir);
    expect(await cache.get('a')).toBeUndefined();
    cache.put('a', bytesOf(1, 1000));
    cache.put('empty', new Uint8Array(0));
    expect(await cache.get('a')).toEqual(bytesOf(1, 1000)); // perhaps still being written
    await cache.close();
    expect(cache.counters).toMatchObject({ hits: 1, misses: 1 });

    const again = openCache(dir);
    const found = await again.get('a');
    expect(found).toEqual(bytesOf(1, 1000));
    expect(found?.buffer.byteLength).toBe(1000);
    expect(await again.get('empty')).toEqual(new Uint8Array(0));
    expect(await again.get('b')).toBeUndefined();
    expect(again.counters).toMatchObject({ hits: 2, misses: 1, bytesFromCache: 1000 });
    await again.close();
    await expect(again.get('a')).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it('is found when another process puts it there', async () => {
    const [reader, writer] = [openCache(dir), openCache(dir)];
    expect(await reader.get('a')).toBeUndefined();
    writer.put('a', bytesOf(1, 1000));
    await writer.close();
    expect(await reader.get('a')).toEqual(bytesOf(1, 1000));
    await reader.close();
  });

  it('is claimed by one process at a time, until that gives it up', async () => {
    const [one, other] = [openCache(dir), openCache(dir)];
    const claim = await one.claim('a');
    expect(claim).toBeDefined();
    expect(await other.claim('a')).toBeUndefined();
    expect(await one.claim('a')).toBeUndefined();
    expect(await other.claim('b')).toBeDefined();
    const ending = new AbortController();
    const waiting = other.claim('a', ending.signal);
    await one.putInTurn('a', bytesOf(1, 1000));
    await claim?.release();
    expect(await waiting).toBeDefined();
    expect(await other.has('a')).toBe(true); // written before the claim was given up
    expect(await other.has('b')).toBe(false);
    const late = one.claim('a', ending.signal);
    ending.abort();
    await expect(late).rejects.toMatchObject({ code: 'ABORTED' });
    await Promise.all([one.close(), other.close()]);
  });

  it('waits for a disk that is behind, where it is put in turn', async () => {
    let go: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (go = resolve));
    const disk = {
      ...localDisk,
      rename: async (from: string, to: string): Promise<void> => {
        await gate;
        await localDisk.rename(from, to);
      },
    };
    const cache = openCache(dir, { disk });
    const writing = ['a', 'b'].map((key) => cache.putInTurn(key, new Uint8Array(CACHE_LIMITS.pendingWriteBytesMax)));
    cache.put('c', bytesOf(3, 1000));
    expect(cache.counters.bypassed).toBe(1); // which waits for nothing
    go();
    await Promise.all(writing);
    for (const key of ['a', 'b']) expect(await cache.has(key)).toBe(true);
    expect(await cache.has('c')).toBe(false);
    await cache.close();
  });

  it.each(['cut', 'long', 'flipped'])('is gone once its file is damaged (%s), and can be put again', async (damage) => {
    const cache = openCache(dir);
    cache.put('a', bytesOf(1, 1000));
    await cache.close();
    const [{ file, bytes }] = await filesOf(dir, 'entries');
    if (damage === 'cut') await truncate(file, bytes - 1);
    else if (damage === 'long') await writeFile(file, 'x', { flag: 'a' });
    else {
      const content = await readFile(file);
      content[500] ^= 1;
      await writeFile(file, content);
    }
    const again = openCache(dir);
    expect(await again.get('a')).toBeUndefined();
    expect(again.counters.corrupt).toBe(1);
    expect(await filesOf(dir, 'entries')).toEqual([]);
    again.put('a', bytesOf(1, 1000));
    expect(await again.get('a')).toEqual(bytesOf(1, 1000));
    await again.close();
  });

  it('shares the bound with byte ranges, and is left out where it is larger', async () => {
    const cache = openCache(dir, { bytesMax: 5000 });
    const origin = countingOrigin();
    for (let key = 0; key < 10; key++) {
      cache.put(`tokens ${key}`, bytesOf(key, 1000));
      await origin.read(cache, key);
    }
    cache.put('large', bytesOf(1, 5001));
    await cache.close();
    expect(cache.counters.bypassed).toBe(1);
    expect((await filesOf(dir, 'entries')).reduce((sum, file) => sum + file.bytes, 0)).toBeLessThanOrEqual(5000);
    expect(cache.counters.evictions).toBeGreaterThan(0);
  });

  it('is left out, and is no error, where the disk cannot be written or read', async () => {
    const failure = (): Promise<never> => Promise.reject(Object.assign(new Error('injected'), { code: 'EIO' }));
    const warnings: string[] = [];
    const warn = (message: string): void => void warnings.push(message);
    const cache = openCache(dir, { disk: { ...localDisk, open: failure, names: failure }, warn });
    expect(await cache.get('a')).toBeUndefined();
    cache.put('a', bytesOf(1, 1000));
    await cache.close();
    expect(cache.counters.bypassed).toBe(2);
    expect(warnings).toHaveLength(2);
  });
});
