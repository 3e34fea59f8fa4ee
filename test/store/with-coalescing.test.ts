import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { joinRanges } from '../../src/store/join-ranges.js';
import { memoryStore } from '../../src/store/memory.js';
import { storeError } from '../../src/store/store-error.js';
import type { ByteRange, Store } from '../../src/store/store.js';
import { withCoalescing } from '../../src/store/with-coalescing.js';
import { createStoreCounters } from '../../src/store/with-counters.js';

const object = Uint8Array.from({ length: 10_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
const limits = { gapBytesMax: 100, joinedBytesMax: 2000 };
const range = (startByte: number, endByte: number): ByteRange => ({ startByte, endByte });

interface Asked extends ByteRange {
  readonly path: string;
  readonly signal: AbortSignal;
  answer(): void;
  fail(error: Error): void;
}

/** A store whose reads wait until the test answers them. */
function held(): Store & { readonly asked: Asked[] } {
  const asked: Asked[] = [];
  const read: Store['read'] = (path, { startByte, endByte }, { signal } = {}) =>
    new Promise((resolve, reject) => {
      signal!.addEventListener('abort', () => reject(signal!.reason as Error), { once: true });
      asked.push({ path, startByte, endByte, signal: signal!, answer: () => resolve(object.slice(startByte, endByte)), fail: reject });
    });
  return { ...memoryStore('memory://x/'), read, asked };
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
const rangesOf = (asked: readonly Asked[]): number[][] => asked.map(({ startByte, endByte }) => [startByte, endByte]);

describe('joinRanges', () => {
  it('puts each range into exactly one joined range, within the bounds', () => {
    const someRange = fc.tuple(fc.nat(5000), fc.integer({ min: 1, max: 3000 })).map(([start, length]) => range(start, start + length));
    fc.assert(
      fc.property(fc.array(someRange), (ranges) => {
        const joined = joinRanges(ranges, limits);
        expect(joined.flatMap((one) => one.ranges)).toHaveLength(ranges.length);
        expect(new Set(joined.flatMap((one) => one.ranges))).toEqual(new Set(ranges));
        for (const { startByte, endByte, ranges: inside } of joined) {
          expect(startByte).toBe(Math.min(...inside.map((one) => one.startByte)));
          expect(endByte).toBe(Math.max(...inside.map((one) => one.endByte)));
          if (endByte - startByte > limits.joinedBytesMax)
            expect(inside.some((one) => one.startByte === startByte && one.endByte === endByte)).toBe(true);
          const sorted = [...inside].sort((a, b) => a.startByte - b.startByte);
          for (const [i, one] of sorted.entries())
            expect(one.startByte - Math.max(startByte, ...sorted.slice(0, i).map((before) => before.endByte))).toBeLessThanOrEqual(100);
        }
      }),
    );
  });
});

describe('withCoalescing', () => {
  it('reads what lies close together by one request, and gives each caller its own array', async () => {
    const store = held();
    const counters = createStoreCounters();
    const coalesced = withCoalescing(store, { ...limits, counters });
    const wanted = [range(300, 400), range(0, 250), range(5000, 5010), range(20, 30)];
    const reads = wanted.map((one) => coalesced.read('a', one, { ifMatch: 'v1' }));
    await turn();
    expect(rangesOf(store.asked)).toEqual([
      [0, 400],
      [5000, 5010],
    ]);
    for (const asked of store.asked) asked.answer();
    for (const [i, bytes] of (await Promise.all(reads)).entries()) {
      expect(bytes).toEqual(object.slice(wanted[i].startByte, wanted[i].endByte));
      expect(bytes.buffer.byteLength).toBe(bytes.length);
      structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });
    }
    expect(counters.coalesced).toBe(2);
  });

  it('joins neither objects, nor versions, nor turns', async () => {
    const store = held();
    const coalesced = withCoalescing(store, limits);
    const reads = [
      coalesced.read('a', range(0, 10), { ifMatch: 'v1' }),
      coalesced.read('b', range(10, 20), { ifMatch: 'v1' }),
      coalesced.read('a', range(10, 20), { ifMatch: 'v2' }),
    ];
    await turn();
    reads.push(coalesced.read('a', range(10, 20), { ifMatch: 'v1' }));
    await turn();
    expect(store.asked).toHaveLength(4);
    for (const asked of store.asked) asked.answer();
    await Promise.all(reads);
  });

  it('lets a read wait for the same one that is under way, of a named version only', async () => {
    const store = held();
    const coalesced = withCoalescing(store, limits);
    const reads: Promise<Uint8Array>[] = [];
    for (const ifMatch of ['v1', 'v1', undefined, undefined]) {
      reads.push(coalesced.read('a', range(0, 10), { ...(ifMatch !== undefined && { ifMatch }) }));
      await turn();
    }
    expect(store.asked).toHaveLength(3);
    for (const asked of store.asked) asked.answer();
    const answers = await Promise.all(reads);
    expect(new Set(answers.map((bytes) => bytes.buffer)).size).toBe(4);
    void coalesced.read('a', range(0, 10), { ifMatch: 'v1' }).catch(() => undefined); // the first has ended
    await turn();
    expect(store.asked).toHaveLength(4);
  });

  it('aborts a request only when its last reader has left, and then does not give it to others', async () => {
    const store = held();
    const coalesced = withCoalescing(store, limits);
    const [first, second] = [new AbortController(), new AbortController()];
    const reads = [first, second].map((abort) => coalesced.read('a', range(0, 10), { ifMatch: 'v1', signal: abort.signal }));
    await turn();
    first.abort();
    await expect(reads[0]).rejects.toMatchObject({ code: 'ABORTED' });
    expect(store.asked[0].signal.aborted).toBe(false);
    second.abort();
    expect(store.asked[0].signal.aborted).toBe(true);
    const again = coalesced.read('a', range(0, 10), { ifMatch: 'v1' });
    await expect(reads[1]).rejects.toMatchObject({ code: 'ABORTED' });
    await turn();
    expect(store.asked).toHaveLength(2);
    store.asked[1].answer();
    expect(await again).toEqual(object.slice(0, 10));
  });

  it('asks for nothing whose readers have all left before the turn ended', async () => {
    const store = held();
    const abort = new AbortController();
    const read = withCoalescing(store, limits).read('a', range(0, 10), { signal: abort.signal });
    abort.abort();
    await expect(read).rejects.toMatchObject({ code: 'ABORTED' });
    await turn();
    expect(store.asked).toHaveLength(0);
  });

  it('gives each reader the error of their request', async () => {
    const store = held();
    const coalesced = withCoalescing(store, limits);
    const outcomes = Promise.allSettled([range(0, 10), range(20, 30)].map((one) => coalesced.read('a', one)));
    await turn();
    store.asked[0].fail(storeError('STORE_DENIED', 'denied', {}));
    for (const outcome of await outcomes) expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'STORE_DENIED' } });
  });

  it('leaves no listener behind on a signal that many reads share', async () => {
    const store = held();
    const coalesced = withCoalescing(store, limits);
    const { signal } = new AbortController();
    const reads = Array.from({ length: 50 }, (_, i) => coalesced.read('a', range(i * 10, i * 10 + 10), { signal }));
    await turn();
    expect(getEventListeners(signal, 'abort')).toHaveLength(50);
    store.asked[0].answer();
    await Promise.all(reads);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });
});
