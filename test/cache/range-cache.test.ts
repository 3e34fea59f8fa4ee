import { lutimes, mkdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bytesOf, countingOrigin, filesOf, openCache, temporaryDir, upTo, written } from './support.js';

describe('the range cache', () => {
  let dir: string;
  let remove: () => Promise<void>;
  beforeEach(async () => {
    ({ dir, remove } = await temporaryDir());
  });
  afterEach(() => remove());

  /** Has keys 0 to n − 1 on disk. */
  async function filled(n: number, length = 1000): Promise<void> {
    const cache = openCache(dir);
    const origin = countingOrigin();
    for (let key = 0; key < n; key++) await origin.read(cache, key, length);
    await cache.close();
  }

  it('fetches once, then reads its own disk, also in the next run', async () => {
    const origin = countingOrigin();
    for (let run = 0; run < 3; run++) {
      const cache = openCache(dir);
      for (let key = 0; key < 20; key++) expect(await origin.read(cache, key)).toEqual(bytesOf(key, 1000));
      await cache.close();
      expect(cache.counters).toMatchObject(run === 0 ? { hits: 0, misses: 20 } : { hits: 20, misses: 0, bytesFromCache: 20_000 });
    }
    expect([...origin.fetched.values()]).toEqual(Array<number>(20).fill(1));
    expect(await filesOf(dir, 'temporary')).toEqual([]);
    expect(await filesOf(dir, 'claims')).toEqual([]);
  });

  it('gives each reader an array of its own, whether it fetched, joined, or read', async () => {
    const cache = openCache(dir);
    const origin = countingOrigin();
    const reads = await Promise.all([1, 1, 1].map((key) => origin.read(cache, key)));
    reads.push(await origin.read(cache, 1)); // perhaps still being written
    await cache.close();
    const again = openCache(dir);
    reads.push(...(await Promise.all([1, 1].map((key) => origin.read(again, key)))));
    for (const bytes of reads) {
      expect(bytes).toEqual(bytesOf(1, 1000));
      expect(bytes.buffer.byteLength).toBe(1000);
      structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] }); // the others keep theirs
    }
    expect(origin.fetched.get(1)).toBe(1);
    await again.close();
  });

  it('gives a patient reader what was fetched, once it is written, and others who joined copies', async () => {
    const cache = openCache(dir);
    const [alone, shared] = [bytesOf(1, 1000), bytesOf(2, 1000)];
    const read = (key: string, bytes: Uint8Array): Promise<Uint8Array> =>
      cache.read(key, upTo(1000), () => Promise.resolve(bytes), undefined, undefined, 'awaited');
    expect(await read('alone', alone)).toBe(alone);
    expect(await filesOf(dir, 'entries')).toHaveLength(1);
    for (const copy of await Promise.all([read('shared', shared), read('shared', shared)])) {
      expect(copy).not.toBe(shared);
      expect(copy).toEqual(bytesOf(2, 1000));
    }
    expect(await read('alone', shared)).toEqual(alone);
    await cache.close();
  });

  it('does not write what is only passing, and gives it of what is there', async () => {
    const cache = openCache(dir);
    const read = (): Promise<Uint8Array> =>
      cache.read('k', upTo(1000), () => Promise.resolve(bytesOf(1, 1000)), undefined, undefined, 'never');
    expect(await read()).toEqual(bytesOf(1, 1000));
    await cache.close();
    expect(cache.counters).toMatchObject({ hits: 0, misses: 1, bytesWritten: 0, bypassed: 0 });
    const other = openCache(dir);
    await other.read('k', upTo(1000), () => Promise.resolve(bytesOf(1, 1000)));
    await other.close();
    const third = openCache(dir);
    await third.read('k', upTo(1000), () => Promise.reject(new Error('it is there')), undefined, undefined, 'never');
    expect(third.counters).toMatchObject({ hits: 1, misses: 0 });
    await third.close();
  });

  it('aborts a shared fetch when its last reader leaves, and not before', async () => {
    const cache = openCache(dir);
    const [first, second] = [new AbortController(), new AbortController()];
    let aborted = 0;
    let started: () => void = () => undefined;
    const fetching = new Promise<void>((resolve) => (started = resolve));
    const read = (signal: AbortSignal): Promise<Uint8Array> =>
      cache.read(
        'slow',
        upTo(10),
        (_range, inner) =>
          new Promise((_, reject) => {
            inner.addEventListener('abort', () => {
              aborted++;
              reject(new Error('aborted'));
            });
            started();
          }),
        signal,
      );
    const reads = [read(first.signal), read(second.signal)];
    await fetching;
    first.abort();
    await expect(reads[0]).rejects.toMatchObject({ code: 'ABORTED' });
    expect(aborted).toBe(0);
    second.abort();
    await expect(reads[1]).rejects.toMatchObject({ code: 'ABORTED' });
    expect(aborted).toBe(1);
    // the next one begins anew
    expect(await cache.read('slow', upTo(3), () => Promise.resolve(Uint8Array.of(1, 2, 3)))).toEqual(Uint8Array.of(1, 2, 3));
    await cache.close();
    expect(await filesOf(dir, 'claims')).toEqual([]);
  });

  it('keeps nothing of a failed fetch, and asks again', async () => {
    const cache = openCache(dir);
    await expect(cache.read('key 1', upTo(1000), () => Promise.reject(new Error('the store is down')))).rejects.toThrow(
      'the store is down',
    );
    expect(await filesOf(dir, 'claims')).toEqual([]);
    expect(await countingOrigin().read(cache, 1)).toEqual(bytesOf(1, 1000));
    await cache.close();
  });

  it('deletes what was used longest ago, and keeps its bound', async () => {
    const cache = openCache(dir, { bytesMax: 5500 });
    const origin = countingOrigin();
    const settle = async (key: number): Promise<void> => {
      await origin.read(cache, key);
      await written(dir);
    };
    for (const key of [0, 1, 2, 3, 4]) await settle(key);
    await settle(0); // a hit: 1 is the oldest now
    await settle(5);
    await settle(0);
    await settle(1);
    await cache.close();
    expect(origin.fetched.get(0)).toBe(1);
    expect(origin.fetched.get(1)).toBe(2);
    expect(cache.counters.evictions).toBe(2);
    const files = await filesOf(dir, 'entries');
    expect(files).toHaveLength(5);
    expect(files.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(5500);
  });

  it('keeps its bound over what earlier runs left, and does not keep what is larger', async () => {
    await filled(10);
    const cache = openCache(dir, { bytesMax: 3500 });
    await countingOrigin().read(cache, 99);
    await countingOrigin().read(cache, 100, 4000);
    await cache.close();
    expect(cache.counters).toMatchObject({ evictions: 8, bypassed: 1 });
    expect(await filesOf(dir, 'entries')).toHaveLength(3);
  });

  // FAULTS 18
  describe('finds damage, deletes the entry, and fetches it again', () => {
    const data = bytesOf(0, 1000);
    const flip = (at: number) => async (file: string) => {
      const bytes = await readFile(file);
      bytes[at < 0 ? bytes.length + at : at] ^= 0x10;
      await writeFile(file, bytes);
    };
    it.each([
      ['magic', flip(0)],
      ['version', flip(4)],
      ['length of the key', flip(8)],
      ['length of the data', flip(13)],
      ['key', flip(21)],
      ['first byte of the data', flip(26)],
      ['data', flip(500)],
      ['last byte of the data', flip(-5)],
      ['checksum', flip(-1)],
      ['an end that is cut off', (file: string) => truncate(file, 700)],
      ['an end inside the header', (file: string) => truncate(file, 7)],
      ['an empty file', (file: string) => truncate(file, 0)],
      ['a byte too many', async (file: string) => writeFile(file, Uint8Array.of(1), { flag: 'a' })],
    ])('%s', async (_, damage) => {
      await filled(1);
      const [{ file }] = await filesOf(dir, 'entries');
      await damage(file);
      const warnings: string[] = [];
      const cache = openCache(dir, { warn: (message) => warnings.push(message) });
      const origin = countingOrigin();
      expect(await origin.read(cache, 0)).toEqual(data);
      expect(cache.counters).toMatchObject({ corrupt: 1, hits: 0, misses: 1 });
      expect(warnings).toHaveLength(1);
      await cache.close();
      const mended = openCache(dir);
      expect(await origin.read(mended, 0)).toEqual(data);
      expect(mended.counters).toMatchObject({ corrupt: 0, hits: 1, misses: 0 });
      await mended.close();
    });

    it('a whole entry under the name of another', async () => {
      await filled(2);
      const [a, b] = await filesOf(dir, 'entries');
      await writeFile(a.file, await readFile(b.file));
      const cache = openCache(dir);
      for (const key of [0, 1]) expect(await countingOrigin().read(cache, key)).toEqual(bytesOf(key, 1000));
      expect(cache.counters).toMatchObject({ corrupt: 1, hits: 1, misses: 1 });
      await cache.close();
    });
  });

  // FAULTS 21
  it('fetches again what was deleted from outside, and counts it', async () => {
    await filled(10);
    const cache = openCache(dir);
    const origin = countingOrigin();
    for (let key = 0; key < 10; key++) await origin.read(cache, key);
    for (const { file } of await filesOf(dir, 'entries')) await rm(file);
    for (let key = 0; key < 10; key++) expect(await origin.read(cache, key)).toEqual(bytesOf(key, 1000));
    expect(cache.counters).toMatchObject({ hits: 10, misses: 10, lost: 10 });
    await cache.close();
    await rm(dir, { recursive: true });
    const again = openCache(dir);
    expect(await origin.read(again, 1)).toEqual(bytesOf(1, 1000));
    await again.close();
    expect(await filesOf(dir, 'entries')).toHaveLength(1);
  });

  it('goes on when its whole directory is deleted while it runs', async () => {
    const cache = openCache(dir);
    const origin = countingOrigin();
    await origin.read(cache, 1);
    await written(dir);
    await rm(dir, { recursive: true });
    expect(await origin.read(cache, 2)).toEqual(bytesOf(2, 1000));
    expect(await origin.read(cache, 1)).toEqual(bytesOf(1, 1000));
    await cache.close();
  });

  it('finds what another process added, and counts it toward its bound', async () => {
    const [one, two] = [openCache(dir, { bytesMax: 5500 }), openCache(dir, { bytesMax: 5500 })];
    const origin = countingOrigin();
    for (const key of [0, 1, 2]) {
      await origin.read(one, key);
      await written(dir);
    }
    for (const key of [0, 1, 2]) expect(await origin.read(two, key)).toEqual(bytesOf(key, 1000));
    expect(two.counters).toMatchObject({ hits: 3, misses: 0 });
    for (const key of [3, 4, 5, 6]) {
      await origin.read(two, key);
      await written(dir);
    }
    await Promise.all([one.close(), two.close()]);
    expect(two.counters.evictions).toBe(2);
    expect(await filesOf(dir, 'entries')).toHaveLength(5);
  });

  it('sweeps what dead processes left, and lets the living write', async () => {
    await mkdir(path.join(dir, 'temporary'), { recursive: true });
    await mkdir(path.join(dir, 'claims'), { recursive: true });
    const old = new Date(Date.now() - 3600_000);
    await writeFile(path.join(dir, 'temporary/else.1.abc'), 'x');
    await symlink('elsewhere 1', path.join(dir, 'claims/0'));
    for (const file of ['temporary/else.1.abc', 'claims/0']) await lutimes(path.join(dir, file), old, old);
    await writeFile(path.join(dir, 'temporary/elsewhere.2.abc'), 'x');
    const cache = openCache(dir);
    await countingOrigin().read(cache, 1);
    await cache.close();
    expect((await filesOf(dir, 'temporary')).map(({ file }) => path.basename(file))).toEqual(['elsewhere.2.abc']);
    expect(await filesOf(dir, 'claims')).toEqual([]);
  });

  it('gives the right bytes and keeps its bound under any interleaving of reads, deletions and restarts', async () => {
    const step = fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({ kind: fc.constant('read' as const), keys: fc.array(fc.nat(11), { minLength: 1, maxLength: 8 }) }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), nth: fc.nat(11) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('damage' as const), nth: fc.nat(11), at: fc.nat(400) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('abort' as const), key: fc.nat(11) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
    );
    const lengthOf = (key: number): number => 200 + 37 * key;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.integer({ min: 300, max: 3000 }), async (steps, bytesMax) => {
        await rm(dir, { recursive: true, force: true });
        const origin = countingOrigin();
        let cache = openCache(dir, { bytesMax });
        const check = async (): Promise<void> => {
          const files = [...(await filesOf(dir, 'entries')), ...(await filesOf(dir, 'temporary'))];
          expect(files.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(bytesMax);
        };
        const nth = async (n: number) => (await filesOf(dir, 'entries')).at(n);
        for (const action of steps) {
          if (action.kind === 'read') {
            const reads = action.keys.map(async (key) =>
              expect(Buffer.compare(await origin.read(cache, key, lengthOf(key)), bytesOf(key, lengthOf(key)))).toBe(0),
            );
            await Promise.all(reads);
          } else if (action.kind === 'abort') {
            const aborting = new AbortController();
            const read = origin.read(cache, action.key, lengthOf(action.key), aborting.signal).catch(() => undefined);
            aborting.abort();
            await read;
          } else if (action.kind === 'restart') {
            await cache.close();
            await check();
            cache = openCache(dir, { bytesMax });
          } else {
            const entry = await nth(action.nth);
            // a file may be evicted in between
            if (entry !== undefined && action.kind === 'delete') await rm(entry.file, { force: true });
            // cut off only: what others add is no matter of the bound
            else if (entry !== undefined && action.kind === 'damage')
              await truncate(entry.file, Math.min(action.at, entry.bytes)).catch(() => undefined);
          }
        }
        await cache.close();
        await check();
      }),
      { numRuns: 60 },
    );
  });
});
