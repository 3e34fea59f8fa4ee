import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/core/clock.js';
import { memoryStore } from '../../src/store/memory.js';
import { brokenOff, transientError } from '../../src/store/store-error.js';
import type { ReadOptions, Store } from '../../src/store/store.js';
import { createStoreCounters } from '../../src/store/with-counters.js';
import { withHedging, type HedgingOptions } from '../../src/store/with-hedging.js';

interface Asked {
  readonly options: ReadOptions;
  answer(byte: number): void;
  fail(error: Error): void;
}

/** A store whose reads wait until the test answers them, and a clock whose sleeps end as time is moved on. */
function scene(overrides: Partial<HedgingOptions> = {}) {
  let now = 0;
  const sleepers = new Set<{ readonly until: number; readonly wake: () => void }>();
  const clock: Clock = {
    now: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const sleeper = { until: now + ms, wake: resolve };
        sleepers.add(sleeper);
        signal!.addEventListener('abort', () => {
          sleepers.delete(sleeper);
          reject(new Error('aborted'));
        });
      }),
  };
  const asked: Asked[] = [];
  const inner: Store = {
    ...memoryStore('memory://x/'),
    read: (_path, { startByte, endByte }, options = {}) =>
      new Promise((resolve, reject) => {
        options.signal?.addEventListener('abort', () => reject(options.signal!.reason as Error), { once: true });
        asked.push({ options, answer: (byte) => resolve(new Uint8Array(endByte - startByte).fill(byte)), fail: reject });
      }),
  };
  const counters = createStoreCounters();
  const store = withHedging(inner, {
    hedgeQuantile: 0.95,
    hedgeSamplesMax: 100,
    hedgeSamplesMin: 20,
    hedgeDelayMsMin: 5,
    hedgeBytesShare: 0.1,
    hedgeBytesSavedMax: 1000,
    clock,
    counters,
    ...overrides,
  });
  const range = { startByte: 0, endByte: 100 };
  const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
  const after = async (ms: number): Promise<void> => {
    now += ms;
    for (const sleeper of [...sleepers]) if (sleeper.until <= now) sleeper.wake();
    await turn();
  };
  /** Reads that take 1, 2 … `count` ms. */
  const train = async (count: number): Promise<void> => {
    for (let ms = 1; ms <= count; ms++) {
      const read = store.read('a', range);
      await after(ms);
      asked.at(-1)!.answer(0);
      await read;
    }
    asked.length = 0;
  };
  return { store, asked, counters, range, after, train, sleepers };
}

describe('withHedging', () => {
  it('asks again for a read that takes longer than 19 of 20, takes the first answer, and aborts the other', async () => {
    const { store, asked, counters, range, after, train, sleepers } = scene();
    await train(20);
    const reading = store.read('a', range);
    await after(18);
    expect(asked).toHaveLength(1);
    await after(1);
    expect(asked).toHaveLength(2);
    asked[1].answer(2);
    expect((await reading)[0]).toBe(2);
    expect(asked[0].options.signal?.aborted).toBe(true);
    expect(counters).toMatchObject({ hedges: 1, hedgesWon: 1 });
    expect(sleepers.size).toBe(0);
  });

  it('takes the first request if that answers first, and writes into its array only', async () => {
    const { store, asked, counters, range, after, train } = scene();
    await train(20);
    const into = new Uint8Array(100);
    const reading = store.read('a', range, { into, ifMatch: 'v1' });
    await after(30);
    expect(asked.map(({ options }) => [options.into, options.ifMatch])).toEqual([
      [into, 'v1'],
      [undefined, 'v1'],
    ]);
    asked[0].answer(1);
    expect((await reading)[0]).toBe(1);
    expect(asked[1].options.signal?.aborted).toBe(true);
    expect(counters).toMatchObject({ hedges: 1, hedgesWon: 0 });
  });

  it('does not ask again before it has seen enough reads of that size', async () => {
    const { store, asked, range, after, train } = scene();
    await train(19);
    const reading = store.read('a', range);
    await after(1000);
    expect(asked).toHaveLength(1);
    asked[0].answer(1);
    await reading;
    const longer = store.read('a', { startByte: 0, endByte: 1000 });
    await after(1000);
    expect(asked).toHaveLength(2);
    asked[1].answer(1);
    await longer;
  });

  it('asks again for no more than its share of the bytes that were read', async () => {
    const { store, asked, counters, range, after, train } = scene();
    await train(20); // 2,000 bytes, of which a tenth may be asked for twice: two reads
    const reads = Array.from({ length: 5 }, () => store.read('a', range));
    await after(50);
    expect(asked).toHaveLength(7);
    expect(counters.hedges).toBe(2);
    for (const one of asked) one.answer(1);
    await Promise.all(reads);
  });

  it('asks again no more where it does not help, but for a trial now and then, and does so again once that has helped', async () => {
    const { store, asked, counters, range, after, train } = scene({
      hedgeBytesShare: 1,
      hedgeSamplesMax: 20,
      hedgeWinShareMin: 0.3,
      hedgeOutcomes: 2,
      hedgeTrialReads: 4,
    });
    await train(20);
    /** A slow read that one of its requests answers; whether it was asked for twice. */
    const slow = async (answers: 'first' | 'second'): Promise<boolean> => {
      const [before, sent] = [counters.hedges, asked.length];
      const reading = store.read('a', range);
      await after(30);
      const hedged = counters.hedges > before;
      asked[sent + (hedged && answers === 'second' ? 1 : 0)].answer(1);
      await reading;
      return hedged;
    };
    const lost = [];
    for (let i = 0; i < 10; i++) lost.push(await slow('first'));
    // shares of 1, 1/2, 1/4: two that lose, then every fourth
    expect(lost).toEqual([true, true, false, false, false, true, false, false, false, true]);
    const won = [];
    for (let i = 0; i < 6; i++) won.push(await slow('second'));
    expect(won).toEqual([false, false, false, true, true, true]);
  });

  it('is in no hurry where every answer comes soon', async () => {
    const { store, asked, range, after, train } = scene({ hedgeDelayMsMin: 50 });
    await train(20);
    const reading = store.read('a', range);
    await after(49);
    expect(asked).toHaveLength(1);
    await after(1);
    expect(asked).toHaveLength(2);
    asked[0].answer(1);
    await reading;
  });

  it('waits for the other request when one fails, and fails with what leaves least to ask for', async () => {
    const reset = (received: number): Error =>
      brokenOff(transientError('STORE_READ_FAILED', `reset after ${received}`, {}), { bytes: new Uint8Array(100), received, etag: 'v1' });
    const { store, asked, range, after, train } = scene();
    await train(20);
    const first = store.read('a', range);
    await after(30);
    asked[0].fail(reset(10));
    asked[1].answer(2);
    expect((await first)[0]).toBe(2);
    const second = store.read('a', range);
    await after(30);
    asked[2].fail(reset(10));
    asked[3].fail(reset(20));
    await expect(second).rejects.toThrow('reset after 20');
  });

  it('fails at once when the only request does, and leaves no wait behind', async () => {
    const { store, asked, range, train, sleepers } = scene();
    await train(20);
    const reading = store.read('a', range);
    asked[0].fail(transientError('STORE_READ_FAILED', 'answered with 500', {}));
    await expect(reading).rejects.toThrow('answered with 500');
    expect(sleepers.size).toBe(0);
    expect(asked).toHaveLength(1);
  });

  it('ends both requests when its caller leaves', async () => {
    const { store, asked, range, after, train } = scene();
    await train(20);
    const abort = new AbortController();
    const reading = store.read('a', range, { signal: abort.signal });
    await after(30);
    abort.abort();
    await expect(reading).rejects.toBeDefined();
    expect(asked.map(({ options }) => options.signal?.aborted)).toEqual([true, true]);
    expect(getEventListeners(abort.signal, 'abort')).toHaveLength(0);
  });
});
