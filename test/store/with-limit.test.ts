import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/core/clock.js';
import { memoryStore } from '../../src/store/memory.js';
import { transientError } from '../../src/store/store-error.js';
import type { Store } from '../../src/store/store.js';
import { createStoreCounters } from '../../src/store/with-counters.js';
import { withLimit, type LimitOptions } from '../../src/store/with-limit.js';
import { withRetry } from '../../src/store/with-retry.js';

interface Waiting {
  answer(bytes: number): Promise<void>;
  fail(status: number): Promise<void>;
}

/** Until all that can go on has gone on. */
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** An origin whose reads wait until the test answers them. */
function origin(): Store & { readonly underWay: Waiting[] } {
  const underWay: Waiting[] = [];
  const read: Store['read'] = (_path, _range, { signal } = {}) =>
    new Promise((resolve, reject) => {
      const leave = (): void => void underWay.splice(underWay.indexOf(waiting), 1);
      const waiting: Waiting = {
        answer: (bytes) => {
          leave();
          resolve(new Uint8Array(bytes));
          return turn();
        },
        fail: (status) => {
          leave();
          reject(transientError('STORE_READ_FAILED', `answered with ${status}`, { status }));
          return turn();
        },
      };
      signal?.addEventListener('abort', () => reject(new Error('aborted')), { once: true });
      underWay.push(waiting);
    });
  return { ...memoryStore('memory://x/'), read, underWay };
}

const options: LimitOptions = { concurrencyMin: 2, concurrencyInitial: 8, concurrencyMax: 12 };
const range = { startByte: 0, endByte: 1 };

/** `count` reads, whose failures are expected. */
function ask(store: Store, count: number): Promise<void> {
  for (let i = 0; i < count; i++) store.read('a', range).catch(() => undefined);
  return turn();
}

describe('withLimit', () => {
  it('halves once for a burst of throttled requests, and again for one that set out later', async () => {
    const store = origin();
    const counters = createStoreCounters();
    await ask(withLimit(store, { ...options, counters }), 100);
    expect(store.underWay).toHaveLength(8);
    for (const waiting of [...store.underWay]) await waiting.fail(503);
    expect(store.underWay).toHaveLength(4);
    await store.underWay[0].fail(429);
    expect(store.underWay).toHaveLength(3); // of which one more will leave without a successor
    await store.underWay[0].answer(1);
    expect(store.underWay).toHaveLength(2);
    expect(counters.throttled).toBe(9);
  });

  it('never goes below its minimum, and does not shrink for errors of other kinds', async () => {
    const store = origin();
    await ask(withLimit(store, options), 200);
    for (let i = 0; i < 20; i++) await store.underWay[0].fail(500);
    expect(store.underWay).toHaveLength(8);
    for (let i = 0; i < 40; i++) await store.underWay[0].fail(503);
    expect(store.underWay).toHaveLength(2);
  });

  /** A link of so many bytes a millisecond for each request, and in all; answers `requests` reads in turn. */
  async function serve(store: ReturnType<typeof origin>, clock: { now: number }, requests: number, linkBytesPerMs: number): Promise<void> {
    for (let i = 0; i < requests; i++) {
      clock.now += 100 / Math.min(10 * store.underWay.length, linkBytesPerMs);
      await store.underWay[0].answer(100);
    }
  }
  const faked = (): { now: number; readonly clock: Clock } => {
    const fake = { now: 0, clock: { now: () => fake.now, sleep: () => Promise.resolve() } };
    return fake;
  };

  it('grows by one a round while that brings more, up to its maximum', async () => {
    const store = origin();
    const fake = faked();
    await ask(withLimit(store, { ...options, clock: fake.clock }), 1000);
    await serve(store, fake, 9, Infinity);
    expect(store.underWay).toHaveLength(9);
    await serve(store, fake, 10, Infinity);
    expect(store.underWay).toHaveLength(10);
    await serve(store, fake, 200, Infinity);
    expect(store.underWay).toHaveLength(12);
  });

  it('stays where more requests bring nothing more, and tries one more now and then', async () => {
    const store = origin();
    const fake = faked();
    await ask(withLimit(store, { ...options, clock: fake.clock }), 1000);
    await serve(store, fake, 9, 80); // the link is full with 8
    expect(store.underWay).toHaveLength(9);
    await serve(store, fake, 7 * 10, 80);
    expect(store.underWay).toHaveLength(9);
    await serve(store, fake, 10, 80);
    expect(store.underWay).toHaveLength(10);
  });

  it('does not grow while nobody waits', async () => {
    const store = origin();
    const fake = faked();
    const limited = withLimit(store, { ...options, clock: fake.clock });
    for (let i = 0; i < 100; i++) {
      await ask(limited, 8);
      for (const waiting of [...store.underWay]) await waiting.answer(100);
    }
    await ask(limited, 100);
    expect(store.underWay).toHaveLength(8);
  });

  it('sees each throttled try below the retries, whose waits hold no place', async () => {
    const store = origin();
    const counters = createStoreCounters();
    const waits: (() => void)[] = [];
    const clock: Clock = { now: () => 0, sleep: () => new Promise((resolve) => waits.push(resolve)) };
    const bounds = { attemptsMax: 3, deadlineMs: 1000, baseDelayMs: 1, maxDelayMs: 1, clock, counters };
    const retried = withRetry(withLimit(store, { ...options, concurrencyInitial: 2, counters }), bounds);
    await ask(retried, 3);
    await store.underWay[0].fail(503);
    expect(waits).toHaveLength(1);
    expect(store.underWay).toHaveLength(2); // the third went in while the first waits for its next try
    expect(counters).toMatchObject({ throttled: 1 });
  });

  it('frees a place in line, and its listener, when its request is aborted', async () => {
    const store = origin();
    const limited = withLimit(store, { ...options, concurrencyInitial: 2 });
    await ask(limited, 2);
    const abort = new AbortController();
    const read = limited.read('a', range, { signal: abort.signal });
    await ask(limited, 1);
    abort.abort();
    await expect(read).rejects.toMatchObject({ code: 'ABORTED' });
    await store.underWay[0].answer(1);
    await store.underWay[0].answer(1);
    expect(store.underWay).toHaveLength(1);
    await store.underWay[0].answer(1);
    expect(store.underWay).toHaveLength(0);
  });
});
