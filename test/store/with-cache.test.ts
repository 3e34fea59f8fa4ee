import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRangeCache, type RangeCache } from '../../src/cache/range-cache.js';
import { memoryStore, type MemoryStore } from '../../src/store/memory.js';
import { s3Store } from '../../src/store/s3.js';
import type { ByteRange, Store } from '../../src/store/store.js';
import { withCache } from '../../src/store/with-cache.js';
import { createStoreCounters, withCounters, type StoreCounters } from '../../src/store/with-counters.js';
import { MINIO_BINARY, startMinio } from '../support/minio.js';
import { storeConformance, type StoreFixture } from './conformance.js';

/** Reads every range under the object's ETag, as the block reader does, so that what is asked of the store is asked of the cache; the second time, it is there. */
function pinned(store: Store): Store {
  return {
    ...store,
    read: async (name, range, options = {}) => {
      if (options.ifMatch !== undefined) return store.read(name, range, options);
      const { etag } = await store.head(name, options);
      await store.read(name, range, { ...options, ifMatch: etag });
      return store.read(name, range, { ...options, ifMatch: etag });
    },
  };
}

async function cachedFixture(fixture: StoreFixture): Promise<StoreFixture> {
  const dir = await mkdtemp(path.join(tmpdir(), 'headrace-cache-'));
  const cache = createRangeCache({ dir, bytesMax: 2 ** 30, fsync: 'never' });
  return {
    ...fixture,
    store: pinned(withCache(fixture.store, cache)),
    stop: async () => {
      await fixture.stop();
      await cache.close();
      await rm(dir, { recursive: true });
    },
  };
}

storeConformance(
  'memory with cache',
  async () => {
    const store = memoryStore('memory://test/');
    return cachedFixture({
      store,
      root: '',
      put: (name, bytes) => Promise.resolve(store.put(name, bytes)),
      stop: () => store.close(),
    });
  },
  { manyObjects: 100 },
);

describe.skipIf(MINIO_BINARY === undefined)('with a real MinIO', () => {
  storeConformance(
    's3 with cache',
    async () => {
      const { endpoint, bucket, credentials, put, stop } = await startMinio();
      const store = s3Store({ bucket, endpoint, forcePathStyle: true, credentials });
      return cachedFixture({ store, root: 'some/prefix/', put, stop: () => store.close().then(stop) });
    },
    { manyObjects: 100 },
  );
});

describe('withCache', () => {
  let dir: string;
  let memory: MemoryStore;
  let counters: StoreCounters;
  let cache: RangeCache;
  let store: Store;
  const range: ByteRange = { startByte: 2, endByte: 5 };
  const etagOf = async (): Promise<string> => (await memory.head('a')).etag;

  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-cache-'));
    memory = memoryStore('memory://x/', { a: Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7) });
    counters = createStoreCounters();
    cache = createRangeCache({ dir, bytesMax: 2 ** 20, fsync: 'never' });
    store = withCache(withCounters(memory, counters), cache);
  });
  afterEach(async () => {
    await store.close();
    await cache.close();
    await rm(dir, { recursive: true });
  });

  it('asks the store once for a range of a version', async () => {
    const ifMatch = await etagOf();
    for (let i = 0; i < 3; i++) expect(await store.read('a', range, { ifMatch })).toEqual(Uint8Array.of(2, 3, 4));
    expect(counters).toMatchObject({ requests: 1, bytes: 3 });
  });

  it('asks again for another version, another range, another origin, and another path', async () => {
    const ifMatch = await etagOf();
    await store.read('a', range, { ifMatch });
    await store.read('a', { startByte: 2, endByte: 6 }, { ifMatch });
    await withCache(withCounters(memory, counters), cache, 'elsewhere').read('a', range, { ifMatch });
    memory.put('a', new Uint8Array(8).fill(9));
    expect(await store.read('a', range, { ifMatch: await etagOf() })).toEqual(Uint8Array.of(9, 9, 9));
    memory.put('b', new Uint8Array(8).fill(7));
    expect(await store.read('b', range, { ifMatch: (await memory.head('b')).etag })).toEqual(Uint8Array.of(7, 7, 7));
    expect(counters.requests).toBe(5);
  });

  it('does not keep what names no version', async () => {
    for (let i = 0; i < 2; i++) await store.read('a', range);
    memory.put('a', new Uint8Array(8).fill(9));
    expect(await store.read('a', range)).toEqual(Uint8Array.of(9, 9, 9));
    expect(counters.requests).toBe(3);
    expect(cache.counters).toMatchObject({ hits: 0, misses: 0 });
  });

  it('keeps no error', async () => {
    for (let i = 0; i < 2; i++) await expect(store.read('a', range, { ifMatch: 'other' })).rejects.toMatchObject({ code: 'SHARD_CHANGED' });
    expect(counters).toMatchObject({ requests: 2, errors: 2 });
    await expect(store.read('a', { startByte: 5, endByte: 2 }, { ifMatch: await etagOf() })).rejects.toMatchObject({
      code: 'STORE_READ_FAILED',
    });
  });

  it('puts a range together from others that it has', async () => {
    const ifMatch = await etagOf();
    await store.read('a', { startByte: 0, endByte: 3 }, { ifMatch });
    await store.read('a', { startByte: 3, endByte: 8 }, { ifMatch });
    for (const [startByte, endByte] of [
      [2, 5],
      [0, 8],
      [3, 4],
      [1, 3],
    ])
      // prettier-ignore
      expect([...(await store.read('a', { startByte, endByte }, { ifMatch }))]).toEqual([0, 1, 2, 3, 4, 5, 6, 7].slice(startByte, endByte));
    expect(counters).toMatchObject({ requests: 2, bytes: 8 });
  });

  it('asks the store for the gaps between them only, where these are small, and for each once', async () => {
    const bytes = Uint8Array.from({ length: 100 }, (_, i) => i);
    memory.put('b', bytes);
    const ifMatch = (await memory.head('b')).etag;
    await store.read('b', { startByte: 0, endByte: 45 }, { ifMatch });
    await store.read('b', { startByte: 50, endByte: 100 }, { ifMatch });
    for (let i = 0; i < 2; i++) expect(await store.read('b', { startByte: 10, endByte: 90 }, { ifMatch })).toEqual(bytes.slice(10, 90));
    expect(counters).toMatchObject({ requests: 3, bytes: 100 });
  });

  it('asks the store where one of them is gone, and where they are said to be damaged', async () => {
    const ifMatch = await etagOf();
    const [first, second] = [
      { startByte: 0, endByte: 3 },
      { startByte: 3, endByte: 8 },
    ];
    for (const part of [first, second]) await store.read('a', part, { ifMatch });
    await cache.close();
    await rm(dir, { recursive: true });
    expect(await store.read('a', range, { ifMatch }).catch((error: unknown) => error)).toMatchObject({ code: 'ABORTED' });
    cache = createRangeCache({ dir, bytesMax: 2 ** 20, fsync: 'never' });
    store = withCache(withCounters(memory, counters), cache);
    for (const part of [first, second]) await store.read('a', part, { ifMatch });
    await cache.forget(JSON.stringify(['', 'memory://x/', 'a', ifMatch]), second);
    expect(await store.read('a', range, { ifMatch })).toEqual(Uint8Array.of(2, 3, 4));
    expect(counters.requests).toBe(5);
    expect(await store.read('a', { startByte: 2, endByte: 4 }, { ifMatch })).toEqual(Uint8Array.of(2, 3));
    expect(counters.requests).toBe(5);
    await store.read('a', range, { ifMatch, fresh: { forget: [first] } });
    expect(counters.requests).toBe(6);
    await store.read('a', { startByte: 1, endByte: 3 }, { ifMatch });
    expect(counters.requests).toBe(7);
  });
});
