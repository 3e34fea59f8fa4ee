import { afterEach, describe, expect, it } from 'vitest';
import { listShards } from '../../src/manifest/list-shards.js';
import { httpStore, splitUrl, type HttpOptions } from '../../src/store/http.js';
import { parseStorage } from '../../src/config/config.js';
import { loadTokenizer } from '../../src/open-tokenizer.js';
import { createStoreSet } from '../../src/store/open-store.js';
import type { Store } from '../../src/store/store.js';
import { withRetry } from '../../src/store/with-retry.js';
import { sendObject, startOrigin, type Answer, type Origin } from '../support/origin.js';
import { storeConformance } from './conformance.js';

const retry = { attemptsMax: 3, deadlineMs: 20_000, baseDelayMs: 1, maxDelayMs: 2 };

/** A server of objects that can be written. `headersOf`: what pins a version. */
function webConformance(name: string, headersOf: (version: number) => Readonly<Record<string, string>>): void {
  storeConformance(
    name,
    async () => {
      const objects = new Map<string, { readonly bytes: Uint8Array; readonly version: number }>();
      let version = 0;
      const origin = await startOrigin((request, response) => {
        const object = objects.get(request.url!.slice(1));
        sendObject(object?.bytes, object === undefined ? {} : headersOf(object.version))(request, response);
      });
      const store = httpStore({ origin: origin.url });
      return {
        store: withRetry(store, retry),
        root: 'some/prefix/',
        put: (path, bytes) => Promise.resolve(void objects.set(path, { bytes, version: ++version })),
        stop: async () => {
          await store.close();
          origin.close();
        },
      };
    },
    { manyObjects: 0, lists: false },
  );
}
webConformance('http with strong ETags', (version) => ({ etag: `"v${version}"` }));
webConformance('http with weak ETags', (version) => ({ etag: `W/"v${version}"` }));
webConformance('http with dates', (version) => ({ 'last-modified': new Date(version * 1000).toUTCString() }));

const BODY = Buffer.from(Array.from({ length: 5000 }, (_, i) => i % 251));
const ETAG = '"v1"';
const good = sendObject(BODY, { etag: ETAG });

/** FAULTS 1, 3 to 6, 8, 10 to 13. */
describe('a web server that misbehaves', () => {
  const origins: Origin[] = [];
  const stores: Store[] = [];
  afterEach(async () => {
    await Promise.all(stores.splice(0).map((store) => store.close()));
    origins.splice(0).forEach((origin) => origin.close());
  });
  async function serve(...script: Answer[]): Promise<Origin> {
    const origin = await startOrigin(...script);
    origins.push(origin);
    return origin;
  }
  function open(origin: Origin, options: Partial<HttpOptions> = {}): Store {
    const web = httpStore({ origin: origin.url, idleTimeoutMs: 300, throughputWindowMs: 400, ...options });
    stores.push(web);
    return withRetry(web, retry);
  }
  const range = { startByte: 100, endByte: 4000 };
  const expected = Uint8Array.from(BODY.subarray(100, 4000));
  const read = (store: Store): Promise<Uint8Array> => store.read('key', range, { ifMatch: ETAG });

  const headers = { etag: ETAG, 'content-length': 3900, 'content-range': `bytes 100-3999/${BODY.length}` };
  const faults: Record<string, Answer> = {
    'a 503': (_request, response) => response.writeHead(503).end(),
    'a 429': (_request, response) => response.writeHead(429, { 'retry-after': '1' }).end(),
    'a 500 whose body does not end': (_request, response) => response.writeHead(500).write('x'),
    'no answer at all': () => undefined,
    'a body that stalls': (_request, response) => response.writeHead(206, headers).write(BODY.subarray(100, 200)),
    'a body that drips': (_request, response) => {
      response.writeHead(206, headers);
      let at = 100;
      const drip = setInterval(() => response.write(BODY.subarray(at, ++at)), 10);
      response.on('close', () => clearInterval(drip));
    },
    'a reset in the body': (_request, response) => {
      response.writeHead(206, headers).write(BODY.subarray(100, 1000));
      setTimeout(() => response.destroy(), 20);
    },
    'a range that was not asked for': (_request, response) =>
      response.writeHead(206, { ...headers, 'content-range': `bytes 0-3899/${BODY.length}` }).end(BODY.subarray(0, 3900)),
    'a 206 without a range': (_request, response) => response.writeHead(206, { etag: ETAG }).end(BODY.subarray(100, 4000)),
  };
  it.each(Object.entries(faults))('%s is tried again, and the bytes are right', async (_name, fault) => {
    const origin = await serve(fault, good);
    expect(await read(open(origin))).toEqual(expected);
    expect(origin.requests.map((request) => request.headers)).toMatchObject([{ 'if-match': ETAG }, { 'if-match': ETAG }]);
  });

  it.each([
    [401, 'STORE_DENIED'],
    [403, 'STORE_DENIED'],
    [404, 'STORE_NOT_FOUND'],
    [412, 'SHARD_CHANGED'],
    [400, 'STORE_READ_FAILED'],
  ])('a %i is %s, at once', async (status, code) => {
    const origin = await serve((_request, response) => response.writeHead(status).end());
    await expect(read(open(origin))).rejects.toMatchObject({ code, detail: { status } });
    expect(origin.requests).toHaveLength(1);
  });

  it('how long to wait is told with the error', async () => {
    const origin = await serve((_request, response) => response.writeHead(429, { 'retry-after': '1' }).end());
    await expect(read(open(origin))).rejects.toMatchObject({ code: 'STORE_READ_FAILED', detail: { retryAfterMs: 1000 } });
  });

  it('another version is SHARD_CHANGED though the server ignores If-Match', async () => {
    const origin = await serve((request, response) => {
      delete request.headers['if-match'];
      sendObject(BODY, { etag: '"v2"' })(request, response);
    });
    await expect(read(open(origin))).rejects.toMatchObject({ code: 'SHARD_CHANGED' });
  });

  it('weak ETags and dates are not sent back as conditions, which are for strong ones', async () => {
    const origin = await serve(sendObject(BODY, { etag: 'W/"v1"', 'last-modified': 'Sat, 21 Nov 2026 10:00:00 GMT' }));
    const store = open(origin);
    const { etag } = await store.head('key');
    expect(await store.read('key', range, { ifMatch: etag })).toEqual(expected);
    expect(origin.requests.some((request) => 'if-match' in request.headers)).toBe(false);
  });

  it('an object without a version is refused, and so is one that comes compressed', async () => {
    const bare = open(await serve(sendObject(BODY, {})));
    for (const asked of [bare.head('key'), bare.read('key', range)])
      await expect(asked).rejects.toMatchObject({ code: 'STORE_READ_FAILED', hint: expect.stringContaining('Last-Modified') });
    const zipped = open(await serve(sendObject(BODY, { etag: ETAG, 'content-encoding': 'gzip' })));
    await expect(read(zipped)).rejects.toMatchObject({ code: 'STORE_READ_FAILED', message: expect.stringContaining('compressed (gzip)') });
  });

  it('a small object that comes whole is cut to the range, a large one refused', async () => {
    const whole =
      (length: number): Answer =>
      (_request, response) =>
        response.writeHead(200, { etag: ETAG, 'content-length': length }).write(BODY);
    expect(await read(open(await serve(whole(BODY.length))))).toEqual(expected);
    await expect(read(open(await serve(whole(2 ** 30))))).rejects.toMatchObject({
      code: 'STORE_READ_FAILED',
      message: expect.stringContaining('ignores byte ranges'),
    });
  });

  it.each([403, 405, 501])('a server that answers HEAD with %i is asked for one byte', async (status) => {
    const origin = await serve((request, response) => {
      if (request.method === 'HEAD') response.writeHead(status).end();
      else good(request, response);
    });
    expect(await open(origin).head('key')).toEqual({ path: 'key', size: BODY.length, etag: ETAG });
    expect(origin.requests.map((request) => request.headers.range)).toEqual([undefined, 'bytes=0-0']);
  });

  it('a read that is aborted frees its connection', async () => {
    const origin = await serve(faults['a body that stalls']);
    const abort = new AbortController();
    const outcome = expect(open(origin).read('key', range, { signal: abort.signal })).rejects.toMatchObject({ code: 'ABORTED' });
    while (origin.requests.length === 0) await new Promise(setImmediate);
    // closed in order, or reset: both free it
    const closed = new Promise((resolve) => origin.requests[0].socket.on('error', () => undefined).on('close', resolve));
    abort.abort();
    await Promise.all([outcome, closed]);
  });

  it.each(['a body that stalls', 'no answer at all'])('a store that is closed ends a read that waits: %s', async (fault) => {
    const origin = await serve(faults[fault]);
    const store = open(origin);
    const outcome = expect(read(store)).rejects.toMatchObject({ code: 'ABORTED', message: expect.stringContaining('was closed') });
    while (origin.requests.length === 0) await new Promise(setImmediate);
    await store.close();
    await outcome;
  });

  it('reads one after the other share a connection', async () => {
    const origin = await serve(good);
    const store = open(origin);
    await store.head('key');
    for (let i = 0; i < 10; i++) await read(store);
    // the head's answer may still be on its way out of its connection when the first read looks for one
    expect(new Set(origin.requests.map((request) => request.socket.remotePort)).size).toBeLessThanOrEqual(2);
  });

  describe('redirects', () => {
    const to =
      (url: string, status = 302): Answer =>
      (_request, response) =>
        response.writeHead(status, { location: url, 'content-length': 5 }).end('moved');

    it.each([301, 302, 303, 307, 308])('with %i are followed, from the start for each request', async (status) => {
      const target = await serve(good);
      const origin = await serve(to(`${target.url}/elsewhere?signature=1`, status), to(`${target.url}/elsewhere?signature=2`, status));
      const store = open(origin);
      for (let i = 0; i < 2; i++) expect(await read(store)).toEqual(expected);
      expect(target.requests.map((request) => request.url)).toEqual(['/elsewhere?signature=1', '/elsewhere?signature=2']);
    });

    it('take the credentials to the same origin only, and not back', async () => {
      const target = await serve((request, response) => to(`${origin.url}/end`)(request, response));
      const origin: Origin = await serve(to('/again'), to(`${target.url}/x`), good);
      expect(await read(open(origin, { authorization: 'Basic c2VjcmV0' }))).toEqual(expected);
      expect(origin.requests.map((request) => [request.url, request.headers.authorization])).toEqual([
        ['/key', 'Basic c2VjcmV0'],
        ['/again', 'Basic c2VjcmV0'],
        ['/end', undefined],
      ]);
      expect(target.requests.map((request) => request.headers.authorization)).toEqual([undefined]);
    });

    it('that do not end are an error, at once', async () => {
      const origin = await serve(to('/again?signature=secret'));
      const error: unknown = await read(open(origin)).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'STORE_READ_FAILED', message: expect.stringContaining('more than 5 times') });
      expect(JSON.stringify(error)).not.toContain('secret');
      expect(origin.requests).toHaveLength(6);
    });

    it('to what is no HTTP are not followed', async () => {
      const origin = await serve(to('file:///etc/passwd'));
      await expect(read(open(origin))).rejects.toMatchObject({ code: 'STORE_READ_FAILED', message: expect.stringContaining('file:') });
    });
  });

  describe('URLs', () => {
    it('with a query and a password show neither, and send both', async () => {
      const origin = await serve(good);
      const stores = createStoreSet({ s3: {} });
      const url = `${origin.url.replace('//', '//me:pass%20word@')}/a%20b/x.parquet?X-Signature=s3cr3t`;
      const { store, path, single } = stores.open(url);
      expect(single).toBe(true);
      expect(store.uri + path).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/a%20b\/x\.parquet\?[0-9a-f]{8}$/);
      expect(await store.read(path, range)).toEqual(expected);
      expect(origin.requests[0].url).toBe('/a%20b/x.parquet?X-Signature=s3cr3t');
      expect(origin.requests[0].headers.authorization).toBe(`Basic ${Buffer.from('me:pass word').toString('base64')}`);
      await stores.close();
    });

    it('that differ in their query are different objects, in the same order and under the same names with new signatures', async () => {
      const origin = await serve(good);
      const stores = createStoreSet({ s3: {} });
      const list = (signature: string): ReturnType<typeof listShards> =>
        listShards(
          [1, 2].map((id) => `${origin.url}/download.parquet?id=${id}&s=${signature}`),
          { sourceName: 'web', format: 'parquet', warn: () => undefined, openStore: (uri) => stores.open(uri) },
        );
      const [first, second] = [await list('a'), await list('b')];
      expect(first.map(({ path }) => path)).toEqual(['0/download.parquet', '1/download.parquet']);
      expect(second.map(({ path }) => path)).toEqual(first.map(({ path }) => path));
      await stores.close();
    });

    it.each(['', 'dir/', 'dir/*.parquet'])('cannot be listed: %j', async (path) => {
      const stores = createStoreSet({ s3: {} });
      const options = { sourceName: 'web', format: 'parquet', warn: () => undefined, openStore: stores.open } as const;
      await expect(listShards([`https://user:secret@127.0.0.1:1/${path}`], options)).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        message: `https://127.0.0.1:1/${path} cannot be listed: HTTP has no listings`,
        hint: expect.stringContaining('list of URLs'),
      });
      await stores.close();
    });

    it('that are none are errors without their password and query', () => {
      const set = createStoreSet({ s3: {} });
      expect(() => set.open('https://me:secret@host:99999/a/x.parquet?s=secret')).toThrow(
        expect.objectContaining({
          code: 'CONFIG_INVALID',
          message: 'https://…@host:99999/a/x.parquet?… is not a place that headrace can read',
          detail: { uri: 'https://…@host:99999/a/x.parquet?…' },
        }),
      );
    });

    it('that are none are told apart', () => {
      expect(splitUrl('https://')).toBeUndefined();
      expect(splitUrl('http://host:99999/x')).toBeUndefined();
    });
  });
});

describe('a URL that holds a secret', () => {
  it('is no place where its percent signs are no codes, and is not shown', () => {
    const open = (): unknown => createStoreSet(parseStorage()).open('https://user%zz:secret@host/object?signature');
    expect(open).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.not.stringMatching(/secret|signature/) }));
  });

  it('is not shown where what it names is no tokenizer', async () => {
    const origin = await startOrigin(sendObject(Buffer.from('no tokenizer'), { etag: '"1"' }));
    try {
      const url = `${origin.url.replace('//', '//user:secret@')}/tokenizer.json?signature`;
      await expect(loadTokenizer(url)).rejects.toMatchObject({
        code: 'TOKENIZER_INVALID',
        message: expect.not.stringMatching(/secret|signature/),
        detail: { file: expect.not.stringMatching(/secret|signature/) },
      });
    } finally {
      origin.close();
    }
  });
});
