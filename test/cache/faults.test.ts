import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { localDisk, type Disk, type DiskFile } from '../../src/cache/disk.js';
import { CACHE_LIMITS } from '../../src/cache/limits.js';
import { systemClock, type Clock } from '../../src/core/clock.js';
import { bytesOf, countingOrigin, filesOf, openCache, temporaryDir, upTo, written } from './support.js';

const failure = (code: string): Error => Object.assign(new Error(`${code}: injected`), { code });

/** A real clock that a test can put forward. */
function shiftedClock(): Clock & { forward(ms: number): void } {
  let shift = 0;
  return {
    now: () => systemClock.now() + shift,
    sleep: (ms, signal) => systemClock.sleep(ms, signal),
    forward: (ms) => void (shift += ms),
  };
}

/** The local disk, but for what `change` puts in the place of a file's operations. */
function diskWithFiles(change: (file: DiskFile, name: string, flags: string) => Partial<DiskFile>): Disk {
  return {
    ...localDisk,
    open: async (name, flags) => {
      const file = await localDisk.open(name, flags);
      return { ...file, ...change(file, name, flags) };
    },
  };
}

/** Whether this process may mount a file system; CI containers may not. */
function tmpfs(dir: string, size: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', dir], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe('the range cache on a bad disk', () => {
  let dir: string;
  let remove: () => Promise<void>;
  const warnings: string[] = [];
  const warn = (message: string): void => void warnings.push(message);
  beforeEach(async () => {
    warnings.length = 0;
    ({ dir, remove } = await temporaryDir());
  });
  afterEach(() => remove());

  // FAULTS 16
  it('evicts, and then goes round the cache, on a disk that is really full', async ({ skip }) => {
    const mount = path.join(dir, 'mount');
    await mkdir(mount);
    if (!tmpfs(mount, '1m')) return skip('this process may not mount a tmpfs');
    const cache = openCache(path.join(mount, 'ranges'), { warn });
    try {
      const origin = countingOrigin();
      for (let key = 0; key < 60; key++) {
        expect(Buffer.compare(await origin.read(cache, key, 40_000), bytesOf(key, 40_000))).toBe(0);
        await written(path.join(mount, 'ranges'));
      }
      expect(cache.counters.evictions).toBeGreaterThan(30);
      expect(cache.counters.bypassed).toBe(0);
      const kept = await filesOf(path.join(mount, 'ranges'), 'entries');
      expect(kept.length).toBeGreaterThan(15);
      // 5 % stay free
      expect(kept.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(0.95 * 2 ** 20);

      // now others fill the disk, to its last byte, and take whatever the cache gives up
      for (let key = 100; key < 130; key++) {
        await writeFile(path.join(mount, `others${key}`), new Uint8Array(2 ** 20)).catch(() => undefined);
        expect(Buffer.compare(await origin.read(cache, key, 40_000), bytesOf(key, 40_000))).toBe(0);
        await written(path.join(mount, 'ranges'));
      }
      await cache.close();
      expect(cache.counters.bypassed).toBeGreaterThan(0);
      expect(warnings).toHaveLength(1);
      expect(await filesOf(path.join(mount, 'ranges'), 'temporary')).toEqual([]);
    } finally {
      await cache.close();
      execFileSync('umount', [mount]);
    }
  });

  it('evicts twice what is needed and tries once more when the disk says that it is full', async () => {
    let full = 0;
    const disk = diskWithFiles((file, name, flags) => ({
      write: (buffers, position) =>
        flags === 'wx' && name.includes('temporary') && full-- > 0 ? Promise.reject(failure('ENOSPC')) : file.write(buffers, position),
    }));
    const cache = openCache(dir, { disk, warn });
    const origin = countingOrigin();
    for (const key of [0, 1, 2, 3]) {
      await origin.read(cache, key);
      await written(dir);
    }
    full = 1;
    expect(await origin.read(cache, 4)).toEqual(bytesOf(4, 1000));
    await written(dir);
    expect(cache.counters).toMatchObject({ evictions: 2, bypassed: 0 });
    expect(warnings).toEqual([]);

    full = 2;
    expect(await origin.read(cache, 5)).toEqual(bytesOf(5, 1000));
    await written(dir);
    expect(cache.counters.bypassed).toBe(1);
    expect(warnings).toHaveLength(1);
    expect(await filesOf(dir, 'temporary')).toEqual([]);
    await cache.close();
  });

  // FAULTS 17
  it.each(['EIO', 'EROFS', 'EACCES'])(
    'goes round a disk that refuses to be written (%s), says so once, and tries again later',
    async (code) => {
      let attempts = 0;
      const clock = shiftedClock();
      const disk: Disk = {
        ...localDisk,
        makeLink: () => {
          attempts++;
          return Promise.reject(failure(code));
        },
      };
      const cache = openCache(dir, { disk, clock, warn });
      const origin = countingOrigin();
      for (let key = 0; key < 20; key++) expect(await origin.read(cache, key)).toEqual(bytesOf(key, 1000));
      expect(cache.counters).toMatchObject({ misses: 20, bypassed: 20 });
      expect(warnings).toHaveLength(1);
      expect(attempts).toBe(1);
      clock.forward(CACHE_LIMITS.pauseMs);
      await origin.read(cache, 99);
      expect(attempts).toBe(2);
      expect(warnings).toHaveLength(1);
      await cache.close();
    },
  );

  it.skipIf(process.getuid?.() === 0)('goes round a directory that may not be written', async () => {
    await chmod(dir, 0o500);
    const cache = openCache(path.join(dir, 'ranges'), { warn });
    expect(await countingOrigin().read(cache, 1)).toEqual(bytesOf(1, 1000));
    expect(warnings).toHaveLength(1);
    await cache.close();
    await chmod(dir, 0o700);
  });

  it('goes round a path that is no directory', async () => {
    await writeFile(path.join(dir, 'file'), 'x');
    const cache = openCache(path.join(dir, 'file'), { warn });
    expect(await countingOrigin().read(cache, 1)).toEqual(bytesOf(1, 1000));
    expect(cache.counters.bypassed).toBeGreaterThan(0);
    await cache.close();
  });

  it('still reads a disk that became read-only', async () => {
    const before = openCache(dir);
    const origin = countingOrigin();
    for (const key of [0, 1]) await origin.read(before, key);
    await before.close();
    const readOnly = (): Promise<never> => Promise.reject(failure('EROFS'));
    const disk: Disk = {
      ...localDisk,
      open: (name, flags) => (flags === 'r' ? localDisk.open(name, flags) : readOnly()),
      makeDirectory: readOnly,
      makeLink: readOnly,
      rename: readOnly,
      remove: readOnly,
      touch: readOnly,
    };
    const cache = openCache(dir, { disk, warn });
    for (const key of [0, 1, 2]) expect(await origin.read(cache, key)).toEqual(bytesOf(key, 1000));
    expect(cache.counters).toMatchObject({ hits: 2, misses: 1, bypassed: 1 });
    await cache.close();
  });

  it('fetches what the disk fails to read, and writes it anew', async () => {
    let broken = false;
    const disk = diskWithFiles((file, _, flags) => ({
      read: (buffers, position) => (broken && flags === 'r' ? Promise.reject(failure('EIO')) : file.read(buffers, position)),
    }));
    const origin = countingOrigin();
    // each time a new cache: what one is still writing, it has not to read
    const readOnce = async (): Promise<number> => {
      const cache = openCache(dir, { disk, warn });
      expect(await origin.read(cache, 0)).toEqual(bytesOf(0, 1000));
      await cache.close();
      return cache.counters.bypassed;
    };
    expect(await readOnce()).toBe(0);
    broken = true;
    expect(await readOnce()).toBeGreaterThan(0);
    broken = false;
    expect(await readOnce()).toBe(0);
    expect(origin.fetched.get(0)).toBe(2);
    expect(warnings).toHaveLength(1);
  });

  it('asks the store when the disk does not answer, and leaves the disk alone for a while', async () => {
    let opens = 0;
    // every wait for the disk runs out at once
    const clock: Clock = { now: () => 0, sleep: () => Promise.resolve() };
    const disk: Disk = {
      ...localDisk,
      open: () => {
        opens++;
        return new Promise(() => undefined);
      },
    };
    const cache = openCache(dir, { disk, clock, warn });
    const origin = countingOrigin();
    for (let key = 0; key < 5; key++) expect(await origin.read(cache, key)).toEqual(bytesOf(key, 1000));
    expect(opens).toBe(1);
    expect(cache.counters).toMatchObject({ misses: 5, bypassed: 5 });
    expect(warnings).toHaveLength(1);
    await cache.close();
  });

  it('writes a little before it has looked through what is there, and waits with more', async () => {
    const origin = countingOrigin();
    const before = openCache(dir);
    await origin.read(before, 0);
    await before.close();
    let show = (): void => undefined;
    const shown = new Promise<void>((resolve) => (show = resolve));
    const disk: Disk = {
      ...localDisk,
      names: async (part) => {
        // of the directories of entries, for the look through all; a key's own are asked for by their names
        if (path.basename(part) === 'entries') await shown;
        return localDisk.names(part);
      },
    };
    const bytesMax = 64 * 3000; // of which one in 64 parts may be written
    const cache = openCache(dir, { disk, bytesMax, warn });
    const untilKept = async (entries: number): Promise<void> => {
      while ((await filesOf(dir, 'entries')).length < entries) await setImmediate();
    };
    await origin.read(cache, 1);
    await origin.read(cache, 2);
    await untilKept(3);
    await origin.read(cache, 3);
    await origin.read(cache, 4); // more than the part
    for (let turn = 0; turn < 50; turn++) await setImmediate();
    expect(await filesOf(dir, 'entries')).toHaveLength(3);
    show();
    await untilKept(5);
    await cache.close();
    expect(warnings).toEqual([]);
  });

  it('keeps no more than its bound of bytes waiting for a disk that does not write', async () => {
    let stuck: (() => void)[] = [];
    const disk = diskWithFiles((file, name, flags) => ({
      write: async (buffers, position) => {
        if (flags === 'wx' && name.includes('temporary')) await new Promise<void>((resolve) => stuck.push(resolve));
        return file.write(buffers, position);
      },
    }));
    let late = false;
    const clock: Clock = { now: () => 0, sleep: (ms, signal) => (late ? Promise.resolve() : systemClock.sleep(ms, signal)) };
    const cache = openCache(dir, { disk, clock, warn });
    const half = CACHE_LIMITS.pendingWriteBytesMax / 2;
    const data = new Uint8Array(half - 4096);
    const read = (key: string): Promise<Uint8Array> => cache.read(key, upTo(data.length), () => Promise.resolve(data.slice()));
    await read('a');
    await read('b');
    const third = cache.read('c', upTo(data.length), () => {
      late = true;
      return Promise.resolve(data.slice());
    });
    expect(await third).toHaveLength(data.length);
    expect(cache.counters.bypassed).toBe(1);
    late = false;
    const release = setInterval(() => {
      for (const resolve of stuck) resolve();
      stuck = [];
    }, 1);
    await cache.close();
    clearInterval(release);
    expect(await filesOf(dir, 'entries')).toHaveLength(2);
  });

  it('gives a patient reader a copy when the disk takes too long to write', async () => {
    let finish: () => void = () => undefined;
    let late = false;
    const disk = diskWithFiles((file, _name, flags) => ({
      write: async (buffers, position) => {
        late = true;
        if (flags === 'wx') await new Promise<void>((resolve) => (finish = resolve));
        return file.write(buffers, position);
      },
    }));
    // a wait that has begun is over as soon as the disk is asked to write
    const clock: Clock = {
      now: () => 0,
      sleep: async (_ms, signal) => {
        while (!late && signal?.aborted !== true) await setImmediate();
      },
    };
    const cache = openCache(dir, { disk, clock, warn });
    const fetched = bytesOf(1, 1000);
    const copy = await cache.read('key 1', upTo(1000), () => Promise.resolve(fetched), undefined, undefined, 'awaited');
    copy.fill(0); // what is written is another array
    finish();
    await written(dir);
    await cache.close();
    const [entry] = await filesOf(dir, 'entries');
    expect((await readFile(entry.file)).subarray(-1000)).toEqual(Buffer.from(bytesOf(1, 1000)));
  });

  it('syncs before the rename, if it shall', async () => {
    const order: string[] = [];
    const disk: Disk = {
      ...diskWithFiles((file) => ({ sync: () => (order.push('sync'), file.sync()) })),
      rename: (from, to) => (order.push('rename'), localDisk.rename(from, to)),
    };
    for (const fsync of ['never', 'data'] as const) {
      const cache = openCache(path.join(dir, fsync), { disk, fsync });
      await countingOrigin().read(cache, 1);
      await cache.close();
    }
    expect(order.filter((step, i) => step === 'sync' || order[i - 1] !== step)).toEqual(['rename', 'sync', 'rename']);
  });
});
