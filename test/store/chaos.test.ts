/** The whole stack of decorators on bad days: a network that breaks before a real server, and callers that leave. */
import { getEventListeners, once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { STORE_LIMITS } from '../../src/store/limits.js';
import { decorated } from '../../src/store/open-store.js';
import { s3Store } from '../../src/store/s3.js';
import { createStoreCounters } from '../../src/store/with-counters.js';
import { mulberry32, startChaosProxy } from '../support/chaos-proxy.js';
import { MINIO_BINARY, startMinio } from '../support/minio.js';

describe.skipIf(MINIO_BINARY === undefined)('a network that resets and stalls, before a real MinIO', () => {
  it('changes no byte of 200 random ranges, and of one that is read in parts', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = mulberry32(seed);
    const object = Uint8Array.from({ length: 20 * 2 ** 20 }, () => random() * 256);
    const minio = await startMinio();
    const proxy = await startChaosProxy(minio.endpoint, { seed, bytesMax: 2 * 2 ** 20, stallShare: 0.1 });
    const { bucket, credentials } = minio;
    const counters = createStoreCounters();
    const store = decorated(
      s3Store({ bucket, endpoint: proxy.endpoint, forcePathStyle: true, credentials, idleTimeoutMs: 1000 }),
      counters,
    );
    try {
      await minio.put('object', object);
      const { etag } = await store.head('object');
      const wanted = Array.from({ length: 200 }, () => {
        const startByte = Math.floor(random() * object.length);
        return { startByte, endByte: Math.min(object.length, startByte + 1 + Math.floor(random() ** 4 * 2 ** 20)) };
      });
      wanted.push({ startByte: 0, endByte: object.length });
      const reads = wanted.map(async ({ startByte, endByte }) => {
        const bytes = await store.read('object', { startByte, endByte }, { ifMatch: etag });
        expect(Buffer.compare(bytes, object.subarray(startByte, endByte)), `seed ${seed}, bytes ${startByte} to ${endByte}`).toBe(0);
        expect(bytes.buffer.byteLength).toBe(endByte - startByte);
      });
      await Promise.all(reads);
      expect(proxy.faults.resets, `seed ${seed}`).toBeGreaterThan(0);
      expect(counters.retries).toBeGreaterThan(0);
      expect(counters.resumedBytes).toBeGreaterThan(0);
      await store.close();
      await proxy.drained();
    } finally {
      await store.close();
      await proxy.stop();
      await minio.stop();
    }
  }, 120_000);
});

describe('10,000 reads in flight', () => {
  it('leave no listener, no request and no socket behind when most are cancelled at random', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = mulberry32(seed);
    const length = 16;
    const held: (() => void)[] = [];
    let holds = true;
    let answered = 0;
    const server = createServer((request, response) => {
      const [, start, last] = /bytes=(\d+)-(\d+)/.exec(request.headers.range!)!.map(Number);
      const answer = (): void => {
        answered++;
        response.writeHead(206, { etag: '"v1"', 'content-length': last + 1 - start, 'content-range': `bytes ${start}-${last}/${2 ** 40}` });
        response.end(Buffer.alloc(last + 1 - start, start / 2 ** 20));
      };
      if (holds) {
        held.push(answer);
        server.emit('held');
      } else answer();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const credentials = { accessKeyId: 'a', secretAccessKey: 's' };
    const counters = createStoreCounters();
    const store = decorated(s3Store({ bucket: 'b', endpoint, forcePathStyle: true, credentials }), counters);
    const callers = Array.from({ length: 100 }, () => new AbortController());
    // too far apart to be joined
    const reads = Array.from({ length: 10_000 }, (_, i) => {
      const { signal } = callers[Math.floor(random() * callers.length)];
      const startByte = i * 2 ** 20;
      return { i, signal, bytes: store.read('key', { startByte, endByte: startByte + length }, { ifMatch: '"v1"', signal }) };
    });
    const outcomes = Promise.allSettled(reads.map(({ bytes }) => bytes));
    for (const caller of callers.slice(0, 20)) caller.abort(); // before anything was sent
    while (held.length < STORE_LIMITS.concurrencyInitial) await once(server, 'held');
    for (const caller of callers.slice(20, 90)) caller.abort(); // under way, or in line
    holds = false;
    for (const answer of held) answer();
    for (const [i, outcome] of (await outcomes).entries()) {
      const cancelled = reads[i].signal.aborted;
      expect(outcome.status, `seed ${seed}, read ${i}`).toBe(cancelled ? 'rejected' : 'fulfilled');
      if (outcome.status === 'fulfilled') expect(outcome.value).toEqual(new Uint8Array(length).fill(i & 0xff));
      else expect(outcome.reason).toMatchObject({ code: 'ABORTED' });
    }
    for (const { signal } of callers) expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    const survivors = reads.filter(({ signal }) => !signal.aborted).length;
    expect(answered).toBeLessThanOrEqual(survivors + STORE_LIMITS.concurrencyInitial + counters.hedges); // nothing was asked for in vain
    await store.close();
    server.close();
    await once(server, 'close'); // which waits for every connection
  }, 60_000);
});
