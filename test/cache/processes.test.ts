import { fork, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { lutimes, mkdir, rm, symlink } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CacheCounters } from '../../src/cache/counters.js';
import { entryOf } from '../../src/cache/entry.js';
import { CACHE_LIMITS } from '../../src/cache/limits.js';
import { systemClock, type Clock } from '../../src/core/clock.js';
import { bytesOf, countingOrigin, filesOf, openCache, temporaryDir, written } from './support.js';

const CHILD = fileURLToPath(new URL('child.mjs', import.meta.url));
const digestOf = (key: number, length: number): string => createHash('sha256').update(bytesOf(key, length)).digest('hex');

/** An origin over HTTP that counts what it is asked for: `/KEY?LENGTH`. */
async function httpOrigin(delayMs: number): Promise<{ readonly url: string; readonly asked: Map<number, number>; stop(): void }> {
  const asked = new Map<number, number>();
  // no connection is closed for its silence: on a busy machine a child may send its next request just then, and fail
  const server: Server = createServer({ keepAliveTimeout: 0 }, (request, response) => {
    const [key, length] = (request.url ?? '').slice(1).split('?').map(Number);
    asked.set(key, (asked.get(key) ?? 0) + 1);
    setTimeout(() => response.end(bytesOf(key, length)), delayMs);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

interface Outcome {
  readonly digests: Readonly<Record<string, string>>;
  readonly counters: CacheCounters;
}

function startChild(args: readonly (string | number)[]): {
  readonly child: ChildProcess;
  readonly outcome: Promise<string>;
} {
  const child = fork(CHILD, args.map(String), { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return { child, outcome: once(child, 'close').then(() => output) };
}

describe('processes that share a cache', () => {
  let dir: string;
  let remove: () => Promise<void>;
  beforeEach(async () => {
    ({ dir, remove } = await temporaryDir());
  });
  afterEach(() => remove());

  // FAULTS 20
  it('fetch each range once, all together, and get the right bytes', async () => {
    const [keys, length] = [60, 50_000];
    const origin = await httpOrigin(5);
    try {
      const children = Array.from({ length: 3 }, () => startChild([dir, origin.url, length, 0, keys - 1, 'shuffled']));
      const outcomes = await Promise.all(children.map(async ({ outcome }) => JSON.parse(await outcome) as Outcome));
      for (const { digests } of outcomes) for (let key = 0; key < keys; key++) expect(digests[key]).toBe(digestOf(key, length));
      expect(origin.asked.size).toBe(keys);
      expect([...origin.asked.values()].filter((times) => times !== 1)).toEqual([]);
      const sum = (name: keyof CacheCounters): number => outcomes.reduce((total, { counters }) => total + counters[name], 0);
      // of three processes each reads a part of each as well, from what there is of the whole
      expect([sum('misses'), sum('hits'), sum('corrupt'), sum('lost')]).toEqual([keys, (2 + 3) * keys, 0, 0]);
      expect(await filesOf(dir, 'claims')).toEqual([]);
      expect(await filesOf(dir, 'entries')).toHaveLength(keys);
    } finally {
      origin.stop();
    }
  });

  // FAULTS 19
  it('never read a wrong byte after one of them was killed, at 100 moments while it wrote', async () => {
    const [length, keysARound, childrenARound, killsMin] = [300_000, 40, 6, 100];
    const origin = await httpOrigin(0);
    const wrong: number[] = [];
    let kills = 0;
    let torn = 0;
    try {
      // several at a time, which share the directory and wait for each other's keys. They kill themselves, at a moment of their own progress: a timer
      // here would find them not begun, or done, on a machine that is busy. The threads that write are as surprised as by anybody else's SIGKILL
      for (let first = 0; kills < killsMin; first += keysARound) {
        const last = first + keysARound - 1;
        const children = Array.from({ length: childrenARound }, () => {
          const readsBefore = 1 + Math.floor(Math.random() * (keysARound - 1));
          return startChild([dir, origin.url, length, first, last, 'shuffled', readsBefore]);
        });
        await Promise.all(children.map(({ outcome }) => outcome));
        for (const { child } of children) expect(child.signalCode).toBe('SIGKILL');
        kills += children.length;
        torn += (await filesOf(dir, 'temporary')).length;
        const cache = openCache(dir);
        const local = countingOrigin();
        for (let key = first; key <= last; key++)
          if (Buffer.compare(await local.read(cache, key, length), bytesOf(key, length)) !== 0) wrong.push(key);
        await local.read(cache, 1e6 + first); // a miss for certain: what dead processes left is swept before it
        await cache.close();
        // an entry has its name only when it is whole: a process that dies does not even cost a check
        expect(cache.counters).toMatchObject({ corrupt: 0, bypassed: 0 });
        expect([await filesOf(dir, 'temporary'), await filesOf(dir, 'claims')]).toEqual([[], []]);
        for (const { file } of await filesOf(dir, 'entries')) await rm(file);
      }
      expect(wrong).toEqual([]);
      expect(torn).toBeGreaterThan(0);
    } finally {
      origin.stop();
    }
  }, 600_000); // over a hundred processes, each of which takes seconds to start where the processors are busy

  describe('take over the claim', () => {
    const claimed = async (owner: string, ageMs: number): Promise<void> => {
      await mkdir(path.join(dir, 'claims'), { recursive: true });
      const file = path.join(dir, 'claims', entryOf('key 1', 0, 1000).name);
      await symlink(owner, file);
      const when = new Date(Date.now() - ageMs);
      await lutimes(file, when, when);
    };
    /** Ids are below 2²² on Linux. */
    const nobody = 2 ** 30;

    it.each([
      ['of a process that ended', `${hostname()} ${nobody}`, 0],
      ['of a process that is silent', `${hostname()} ${process.pid}`, CACHE_LIMITS.leaseMs + 60_000],
      ['of another machine that is silent', `elsewhere 1`, CACHE_LIMITS.leaseMs + 60_000],
    ])('%s', async (_, owner, ageMs) => {
      const cache = openCache(dir);
      await countingOrigin().read(cache, 0); // swept by now
      await written(dir);
      await claimed(owner, ageMs);
      expect(await countingOrigin().read(cache, 1)).toEqual(bytesOf(1, 1000));
      expect(cache.counters.waitsForOther).toBe(0);
      await cache.close();
      expect(await filesOf(dir, 'entries')).toHaveLength(2);
    });

    it('of nobody who is alive: they wait, up to their deadline, and then fetch themselves', async () => {
      await claimed(`${hostname()} ${process.pid}`, 0);
      let now = 0;
      const polls: number[] = [];
      const clock: Clock = {
        now: () => now,
        sleep: (ms, signal) => {
          if (ms > CACHE_LIMITS.pollMsMax) return systemClock.sleep(ms, signal);
          polls.push(ms);
          now += ms;
          return Promise.resolve();
        },
      };
      const cache = openCache(dir, { clock });
      expect(await countingOrigin().read(cache, 1)).toEqual(bytesOf(1, 1000));
      expect(cache.counters).toMatchObject({ waitsForOther: 1, misses: 1, bypassed: 1 });
      expect(polls.slice(0, 6)).toEqual([20, 40, 80, 160, 250, 250]);
      expect(now).toBeGreaterThanOrEqual(CACHE_LIMITS.waitForOtherMsMax);
      await cache.close();
    });
  });
});
