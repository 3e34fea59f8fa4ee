import dns from 'node:dns';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { httpStore } from '../../src/store/http.js';
import { s3Store } from '../../src/store/s3.js';
import { TransientStoreError } from '../../src/store/store-error.js';
import type { Store } from '../../src/store/store.js';
import { withRetry } from '../../src/store/with-retry.js';
import { sendObject, startOrigin } from '../support/origin.js';
import { SELF_SIGNED } from '../support/self-signed.js';

const stores: Record<string, (origin: string, idleTimeoutMs?: number) => Store> = {
  s3: (endpoint, idleTimeoutMs = 1000) =>
    s3Store({ bucket: 'b', endpoint, forcePathStyle: true, credentials: { accessKeyId: 'a', secretAccessKey: 's' }, idleTimeoutMs }),
  http: (origin, idleTimeoutMs = 1000) => httpStore({ origin, idleTimeoutMs }),
};
/** Where nobody answers, however long one waits. */
const SILENCE_MS = 300;
const retry = { attemptsMax: 3, deadlineMs: 60_000, baseDelayMs: 1, maxDelayMs: 2 };
const range = { startByte: 1, endByte: 3 };

/** FAULTS 14. */
describe.each(Object.entries(stores))('the network before an origin, for the %s store', (_name, open) => {
  afterEach(() => vi.restoreAllMocks());

  /** Names are looked up by a script, an entry each time; after it, each is this machine. */
  function lookUp(...script: (NodeJS.ErrnoException | 'silence')[]): { readonly names: string[] } {
    const names: string[] = [];
    const answer = (name: string, options: { readonly all?: boolean }, done: (error: Error | null, ...found: unknown[]) => void): void => {
      const fault = script.at(names.length);
      names.push(name);
      if (fault === 'silence') return;
      if (fault !== undefined) setImmediate(done, fault);
      else if (options.all === true) setImmediate(done, null, [{ address: '127.0.0.1', family: 4 }]);
      else setImmediate(done, null, '127.0.0.1', 4);
    };
    vi.spyOn(dns, 'lookup').mockImplementation(answer as unknown as typeof dns.lookup);
    return { names };
  }
  const notFound = (code: string): NodeJS.ErrnoException =>
    Object.assign(new Error(`getaddrinfo ${code} far.test`), { code, syscall: 'getaddrinfo' });

  it('a name that is not found is looked up afresh at each try', async () => {
    const origin = await startOrigin(sendObject(Uint8Array.of(0, 1, 2, 3), { etag: '"v1"' }));
    const { names } = lookUp(notFound('EAI_AGAIN'), notFound('ENOTFOUND'));
    const store = withRetry(open(origin.url.replace('127.0.0.1', 'far.test')), retry);
    try {
      expect(await store.read('key', range, { ifMatch: '"v1"' })).toEqual(Uint8Array.of(1, 2));
      expect(names).toEqual(['far.test', 'far.test', 'far.test']);
      expect(origin.requests).toHaveLength(1);
    } finally {
      await store.close();
      origin.close();
    }
  });

  it('a name that stays unknown is an error that says it, and how often it was looked up', async () => {
    lookUp(...Array.from({ length: 3 }, () => notFound('ENOTFOUND')));
    const store = withRetry(open('http://far.test:1'), retry);
    await expect(store.read('key', range)).rejects.toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringMatching(/key: getaddrinfo ENOTFOUND far\.test \(gave up after 3 of 3 attempts/),
    });
    await store.close();
  });

  it('a name server that does not answer has a deadline', async () => {
    const { names } = lookUp('silence', 'silence', 'silence');
    const store = withRetry(open('http://far.test:1', SILENCE_MS), retry);
    await expect(store.read('key', range)).rejects.toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringMatching(/key did not answer within 300 ms \(gave up after 3 of 3 attempts/),
    });
    expect(names).toHaveLength(3);
    await store.close();
  });

  it('a connection that is never made has a deadline', async () => {
    const deaf = await startDeafServer();
    const store = withRetry(open(`http://127.0.0.1:${deaf.port}`, SILENCE_MS), retry);
    try {
      await expect(store.read('key', range)).rejects.toMatchObject({
        code: 'STORE_UNREACHABLE',
        message: expect.stringMatching(/key did not answer within 300 ms \(gave up after 3 of 3 attempts/),
      });
    } finally {
      await store.close();
      await deaf.stop();
    }
  });
});

/** A server whose thread sleeps, and whose queue of connections is full: the kernel answers no more of them. */
async function startDeafServer(): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const script = `
    const { createServer } = require('node:net');
    const { parentPort } = require('node:worker_threads');
    const server = createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      parentPort.postMessage(server.address().port);
      setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
    });`;
  const worker = new Worker(script, { eval: true });
  const [port] = (await once(worker, 'message')) as [number];
  const sockets: Socket[] = [];
  // one after the other, until one is not answered: how many a queue of one holds is the kernel's affair
  for (let answered = true; answered;) {
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    sockets.push(socket);
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), 500);
    answered = await once(socket, 'connect', { signal: late.signal }).then(
      () => true,
      () => false,
    );
    clearTimeout(timer);
  }
  return {
    port,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await worker.terminate();
    },
  };
}

/** FAULTS 15; those of S3 are in s3-error.test.ts, and its clock in s3-faults.test.ts: the web has no signatures that a clock could spoil. */
describe('a web server whose connection is not secure', () => {
  async function errorOf(server: Server, passes = false): Promise<unknown> {
    let connections = 0;
    server.on('connection', () => connections++).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const store = withRetry(
      httpStore({ origin: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, idleTimeoutMs: 1000 }),
      retry,
    );
    const error: unknown = await store.read('key', range).catch((reason: unknown) => reason);
    await store.close();
    server.close();
    expect(connections).toBe(passes ? retry.attemptsMax : 1);
    return error;
  }

  it.each<[string, () => Server]>([
    ['with a certificate that nobody vouches for', () => createHttpsServer(SELF_SIGNED)],
    ['with HTTP where HTTPS was meant', () => createHttpServer()],
  ])('%s is asked once, and the error names the object', async (_name, create) => {
    const error = await errorOf(create());
    expect(error).not.toBeInstanceOf(TransientStoreError);
    expect(error).toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringMatching(/no secure connection to the store of https:.*key: /),
      hint: expect.stringContaining('certificate'),
    });
  });

  it('with a handshake that breaks off is asked again', async () => {
    const server = createServer((socket) => void socket.on('error', () => undefined).once('data', () => socket.end()));
    expect(await errorOf(server, true)).toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringContaining('gave up after 3 of 3 attempts'),
    });
  });
});
