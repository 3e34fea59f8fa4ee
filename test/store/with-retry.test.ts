import { EventEmitter, once } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemClock, type Clock } from '../../src/core/clock.js';
import { memoryStore, type MemoryStore } from '../../src/store/memory.js';
import { brokenOff, storeError, transientError } from '../../src/store/store-error.js';
import type { Store } from '../../src/store/store.js';
import { withRetry, type RetryOptions } from '../../src/store/with-retry.js';

/** A clock that jumps over every wait, and remembers it. */
function fakeClock(): Clock & { readonly slept: number[] } {
  let now = 0;
  const slept: number[] = [];
  return {
    slept,
    now: () => now,
    sleep: (ms, signal) => {
      signal?.throwIfAborted();
      slept.push(ms);
      now += ms;
      return Promise.resolve();
    },
  };
}

/** Fails the first `failures` reads. */
function failing(failures: number, error: () => Error): Store & { attempts: number } {
  const store = memoryStore('memory://x/', { a: Uint8Array.of(1, 2, 3) });
  const flaky = {
    ...store,
    attempts: 0,
    read: (...args: Parameters<Store['read']>) => {
      flaky.attempts++;
      return flaky.attempts <= failures ? Promise.reject(error()) : store.read(...args);
    },
  };
  return flaky;
}

const transient = (): Error => transientError('STORE_READ_FAILED', 'the store answered with 503', { uri: 'memory://x/a' });
const options: RetryOptions = { attemptsMax: 5, deadlineMs: 60_000, baseDelayMs: 100, maxDelayMs: 1000 };
const range = { startByte: 0, endByte: 3 };

describe('withRetry', () => {
  it('tries again what may pass, and gives the bytes', async () => {
    const store = failing(4, transient);
    expect(await withRetry(store, { ...options, clock: fakeClock() }).read('a', range)).toEqual(Uint8Array.of(1, 2, 3));
    expect(store.attempts).toBe(5);
  });

  it('leaves a store alone for as long as it asks to be, but not beyond the deadline', async () => {
    const asking = (retryAfterMs: number) => () => transientError('STORE_READ_FAILED', 'busy', { uri: 'memory://x/a', retryAfterMs });
    const clock = fakeClock();
    await withRetry(failing(1, asking(7000)), { ...options, clock }).read('a', range);
    expect(clock.slept).toEqual([7000]);
    const late = withRetry(failing(1, asking(70_000)), { ...options, clock: fakeClock() }).read('a', range);
    await expect(late).rejects.toMatchObject({
      code: 'STORE_READ_FAILED',
      message: expect.stringContaining('gave up after 1 of 5 attempts'),
    });
  });

  it('gives up after its attempts, and says how many, how long, and why', async () => {
    const store = failing(Infinity, transient);
    await expect(withRetry(store, { ...options, clock: fakeClock(), random: () => 1 }).read('a', range)).rejects.toMatchObject({
      code: 'STORE_READ_FAILED',
      message: 'the store answered with 503 (gave up after 5 of 5 attempts in 1500 of 60000 ms)',
      detail: { uri: 'memory://x/a', attempts: 5, elapsedMs: 1500 },
    });
    expect(store.attempts).toBe(5);
  });

  it('gives up rather than wait beyond its deadline', async () => {
    const clock = fakeClock();
    const store = failing(Infinity, transient);
    await expect(
      withRetry(store, { ...options, attemptsMax: 1000, deadlineMs: 2000, clock, random: () => 1 }).read('a', range),
    ).rejects.toThrow(/of 2000 ms/);
    expect(clock.now()).toBeLessThanOrEqual(2000);
  });

  it('does not try again what cannot pass', async () => {
    const store = failing(1, () => storeError('STORE_DENIED', 'denied', {}));
    await expect(withRetry(store, { ...options, clock: fakeClock() }).read('a', range)).rejects.toMatchObject({ code: 'STORE_DENIED' });
    expect(store.attempts).toBe(1);
  });

  it('waits no more for a next try when it is closed', async () => {
    const store = failing(Infinity, transient);
    const waiting = new EventEmitter();
    const clock: Clock = {
      now: () => 0,
      sleep: (ms, signal) => {
        waiting.emit('wait');
        return systemClock.sleep(ms, signal);
      },
    };
    const retried = withRetry(store, { ...options, baseDelayMs: 50_000, maxDelayMs: 50_000, clock, random: () => 1 });
    const began = once(waiting, 'wait');
    const outcome = expect(retried.read('a', range)).rejects.toMatchObject({
      code: 'ABORTED',
      message: expect.stringContaining('was closed'),
    });
    await began;
    await retried.close();
    await outcome;
    expect(store.attempts).toBe(1);
  }, 5000);

  it('waits at most twice as long each time, up to its bound, at random', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 10, maxLength: 10 }), async (chances) => {
        const clock = fakeClock();
        const store = failing(9, transient);
        await withRetry(store, { ...options, attemptsMax: 20, clock, random: () => chances[clock.slept.length] }).read('a', range);
        expect(clock.slept).toHaveLength(9);
        for (const [i, ms] of clock.slept.entries()) expect(ms).toBeCloseTo(chances[i] * Math.min(1000, 100 * 2 ** i));
      }),
    );
  });

  /** Each read of `size` bytes brings `step` of what is asked for and breaks off. */
  function crumbling(size: number, step: number): Store & { readonly asked: number[] } {
    const object = Uint8Array.from({ length: size }, (_, i) => i % 251);
    const asked: number[] = [];
    const read: Store['read'] = (_path, { startByte, endByte }, { into = new Uint8Array(endByte - startByte) } = {}) => {
      asked.push(startByte);
      const received = Math.min(step, into.length);
      into.set(object.subarray(startByte, startByte + received));
      return received === into.length
        ? Promise.resolve(into)
        : Promise.reject(brokenOff(transientError('STORE_READ_FAILED', 'reset', {}), { bytes: into, received, etag: 'v1' }));
    };
    return { ...memoryStore('memory://x/', { a: object }), read, asked };
  }

  it('does not count an attempt that got on, and asks for each byte once', async () => {
    const store = crumbling(1000, 100);
    const retried = withRetry(store, { ...options, attemptsMax: 2, progressBytesMin: 100, retryTokensMax: 1, clock: fakeClock() });
    const bytes = await retried.read('a', { startByte: 0, endByte: 1000 });
    expect(bytes).toEqual(Uint8Array.from({ length: 1000 }, (_, i) => i % 251));
    expect(bytes.buffer.byteLength).toBe(1000);
    expect(store.asked).toEqual(Array.from({ length: 10 }, (_, i) => i * 100));
  });

  it('gives up where attempts bring less than counts, and says how many there were in all', async () => {
    const store = crumbling(1000, 40);
    const retried = withRetry(store, { ...options, progressBytesMin: 150, attemptsMax: 3, clock: fakeClock(), random: () => 0 });
    await expect(retried.read('a', { startByte: 0, endByte: 1000 })).rejects.toThrow('(gave up after 3 of 3 attempts in 0 of 60000 ms)');
    const slower = crumbling(1000, 60);
    const again = withRetry(slower, {
      ...options,
      progressBytesMin: 150,
      attemptsMax: 3,
      clock: fakeClock(),
      random: () => 1,
      deadlineMs: 500,
    });
    await expect(again.read('a', { startByte: 0, endByte: 1000 })).rejects.toThrow(
      /gave up after \d+ attempts, \d of 3 without progress in/,
    );
  });

  it('shares a budget of retries over all requests: an origin that fails them all is soon asked once each', async () => {
    const store = failing(Infinity, transient);
    const retried = withRetry(store, { ...options, retryTokensMax: 10, clock: fakeClock() });
    const outcomes = await Promise.allSettled(Array.from({ length: 50 }, () => retried.read('a', range)));
    expect(outcomes.every((outcome) => outcome.status === 'rejected')).toBe(true);
    expect(store.attempts).toBe(60);
    await expect(retried.read('a', range)).rejects.toMatchObject({
      code: 'STORE_READ_FAILED',
      message:
        'the store answered with 503 (gave up after 1 of 5 attempts in 0 of 60000 ms: most requests to memory://x/ fail, ' +
        'and their common budget of 10 retries is spent)',
    });
  });

  it('earns its budget back by requests that succeed', async () => {
    const store = failing(4, transient);
    const retried = withRetry(store, { ...options, retryTokensMax: 2, clock: fakeClock() });
    await expect(retried.read('a', range)).rejects.toThrow('budget'); // attempts 1 to 3
    await expect(retried.read('a', range)).rejects.toThrow('budget'); // 4
    await retried.read('a', range);
    store.attempts = 3;
    await retried.read('a', range); // fails once
    expect(store.attempts).toBe(5);
  });

  /** A listing that breaks off before its third object, `breaks` times; `onBreak` is what happens in the store meanwhile. */
  function breakingList(store: Store, breaks: number, onBreak: () => void = () => undefined): Store {
    return {
      ...store,
      list: async function* (prefix) {
        let given = 0;
        for await (const object of store.list(prefix)) {
          if (given++ === 2 && breaks-- > 0) {
            onBreak();
            throw transient();
          }
          yield object;
        }
      },
    };
  }
  async function listed(store: Store): Promise<string[]> {
    const paths: string[] = [];
    for await (const { path } of withRetry(store, { ...options, clock: fakeClock() }).list('')) paths.push(path);
    return paths;
  }
  const holding = (names: readonly string[]): MemoryStore =>
    memoryStore('memory://x/', Object.fromEntries(names.map((name) => [name, new Uint8Array(1)])));

  it('goes on with a listing after the last object that it gave', async () => {
    expect(await listed(breakingList(holding(['a', 'b', 'c', 'd']), 2))).toEqual(['a', 'b', 'c', 'd']);
  });

  it('goes on with a listing whose last object was deleted meanwhile, in the order of UTF-8 bytes', async () => {
    // U+FF5E comes before U+1F600 in UTF-8, and after it in UTF-16
    const store = holding(['a', '\uFF5E', '\u{1F600}', '\u{1F601}']);
    const flaky = breakingList(store, 1, () => store.delete('\uFF5E'));
    expect(await listed(flaky)).toEqual(['a', '\uFF5E', '\u{1F600}', '\u{1F601}']);
  });

  it('fails a listing that breaks off and came in no order, for it cannot tell what is left', async () => {
    const backwards: Store = {
      ...holding([]),
      list: async function* () {
        for (const name of ['c', 'b', 'a']) yield await Promise.resolve({ path: name, size: 1, etag: 'v1' });
      },
    };
    expect(await listed(backwards)).toEqual(['c', 'b', 'a']);
    await expect(listed(breakingList(backwards, 1))).rejects.toMatchObject({
      code: 'STORE_READ_FAILED',
      message: expect.stringContaining('in no order'),
    });
  });
});
