import { afterEach, describe, expect, it, vi } from 'vitest';
import { gcsStore, type GcsOptions } from '../../src/store/gcs.js';
import { createStoreSet } from '../../src/store/open-store.js';
import type { Store } from '../../src/store/store.js';
import { withRetry } from '../../src/store/with-retry.js';
import { FAKE_GCS_BINARY, startFakeGcs } from '../support/fake-gcs.js';
import { sendObject, startOrigin, type Answer, type Origin } from '../support/origin.js';
import { storeConformance } from './conformance.js';

const retry = { attemptsMax: 3, deadlineMs: 20_000, baseDelayMs: 1, maxDelayMs: 2 };

describe.skipIf(FAKE_GCS_BINARY === undefined)('with a fake-gcs-server', () => {
  storeConformance(
    'gs',
    async () => {
      const { endpoint, bucket, put, stop } = await startFakeGcs();
      const store = gcsStore({ bucket, endpoint, anonymous: true });
      return {
        store: withRetry(store, retry),
        root: 'some/prefix/',
        put,
        stop: async () => {
          await store.close();
          await stop();
        },
      };
    },
    { manyObjects: 1100 },
  );

  it('names a bucket that is not there', async () => {
    const { endpoint, stop } = await startFakeGcs();
    const store = gcsStore({ bucket: 'no-such-bucket', endpoint, anonymous: true });
    await expect(store.list('')[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
    await store.close();
    await stop();
  });
});

const BODY = Buffer.from(Array.from({ length: 5000 }, (_, i) => i % 251));

/** FAULTS 1 to 6, 8 to 13. */
describe('a Google Cloud Storage that misbehaves', () => {
  const origins: Origin[] = [];
  const stores: Store[] = [];
  afterEach(async () => {
    await Promise.all(stores.splice(0).map((store) => store.close()));
    origins.splice(0).forEach((origin) => origin.close());
    vi.unstubAllEnvs();
  });
  async function serve(...script: Answer[]): Promise<Origin> {
    const origin = await startOrigin(...script);
    origins.push(origin);
    return origin;
  }
  function open(origin: Origin, options: Partial<GcsOptions> = {}): Store {
    const store = gcsStore({ bucket: 'b', endpoint: origin.url, anonymous: true, idleTimeoutMs: 300, throughputWindowMs: 400, ...options });
    stores.push(store);
    return withRetry(store, retry);
  }
  const range = { startByte: 100, endByte: 4000 };
  const expected = Uint8Array.from(BODY.subarray(100, 4000));
  const read = (store: Store): Promise<Uint8Array> => store.read('dir/key', range, { ifMatch: '7' });
  const headers = { 'x-goog-generation': '7', 'content-length': 3900, 'content-range': `bytes 100-3999/${BODY.length}` };
  const good = sendObject(BODY, { 'x-goog-generation': '7' });

  const faults: Record<string, Answer> = {
    'a 503': (_request, response) => response.writeHead(503).end('{}'),
    'a 429': (_request, response) => response.writeHead(429).end('{}'),
    'a 408': (_request, response) => response.writeHead(408).end('{}'),
    'no answer at all': () => undefined,
    'a body that stalls': (_request, response) => response.writeHead(206, headers).write(BODY.subarray(100, 200)),
    'a reset in the body': (_request, response) => {
      response.writeHead(206, headers).write(BODY.subarray(100, 1000));
      setTimeout(() => response.destroy(), 20);
    },
    'a range that was not asked for': (_request, response) =>
      response.writeHead(206, { ...headers, 'content-range': `bytes 0-3899/${BODY.length}` }).end(BODY.subarray(0, 3900)),
    'no generation': (_request, response) =>
      response.writeHead(206, { 'content-range': headers['content-range'] }).end(BODY.subarray(100, 4000)),
  };
  it.each(Object.entries(faults))('%s is tried again, and the bytes are right', async (name, fault) => {
    const origin = await serve(fault, good);
    expect(await read(open(origin))).toEqual(expected);
    expect(origin.requests.map(({ url }) => url)).toEqual(Array(2).fill('/storage/v1/b/b/o/dir%2Fkey?alt=media&ifGenerationMatch=7'));
    // what had arrived is not asked for again
    const from = { 'a body that stalls': 200, 'a reset in the body': 1000 }[name] ?? 100;
    expect(origin.requests[1].headers).toMatchObject({ range: `bytes=${from}-3999`, 'accept-encoding': 'gzip' });
  });

  it.each([
    [403, 'STORE_DENIED'],
    [404, 'STORE_NOT_FOUND'],
    [412, 'SHARD_CHANGED'],
  ])('a %i is %s, at once', async (status, code) => {
    const origin = await serve((_request, response) => response.writeHead(status).end('{}'));
    await expect(read(open(origin))).rejects.toMatchObject({ code, detail: { uri: 'gs://b/dir/key', status } });
    expect(origin.requests).toHaveLength(1);
  });

  it('another generation is SHARD_CHANGED, whatever the status says', async () => {
    const origin = await serve((_request, response) => response.writeHead(206, { ...headers, 'x-goog-generation': '8' }).end());
    await expect(read(open(origin))).rejects.toMatchObject({ code: 'SHARD_CHANGED' });
  });

  describe('lists', () => {
    const json =
      (value: unknown): Answer =>
      (_request, response) =>
        response.writeHead(200).end(JSON.stringify(value));
    const item = (name: string): object => ({ name, size: '3', generation: '7' });
    const page = (name: string, nextPageToken?: string): Answer => json({ kind: 'storage#objects', items: [item(name)], nextPageToken });
    const listed = async (store: Store): Promise<string[]> => {
      const paths: string[] = [];
      for await (const { path } of store.list('')) paths.push(path);
      return paths;
    };

    it.each(
      Object.entries({
        'a page of HTML': (_request, response) => response.writeHead(200).end('<html>'),
        'a document that is no listing': json({}),
        'an object without a generation': json({ kind: 'storage#objects', items: [{ name: 'a', size: '3' }] }),
      } satisfies Record<string, Answer>),
    )('%s is tried again, and then an error', async (_name, fault) => {
      expect(await listed(open(await serve(fault, page('z'))))).toEqual(['z']);
      await expect(listed(open(await serve(fault)))).rejects.toMatchObject({ code: 'STORE_READ_FAILED' });
    });

    it('page after page, and refuses a token that leads back to the same page', async () => {
      const origin = await serve(page('a', 't1'), page('b', 't2'), page('c'));
      expect(await listed(open(origin))).toEqual(['a', 'b', 'c']);
      expect(origin.requests.map(({ url }) => new URL(url!, origin.url).searchParams.get('pageToken'))).toEqual([null, 't1', 't2']);
      await expect(listed(open(await serve(page('a', 't1'))))).rejects.toMatchObject({
        code: 'STORE_READ_FAILED',
        message: expect.stringContaining('leads back'),
      });
    });

    it('an empty bucket', async () => {
      expect(await listed(open(await serve(json({ kind: 'storage#objects' }))))).toEqual([]);
    });
  });

  describe('credentials', () => {
    const expiring =
      (newest: string): Answer =>
      (request, response) =>
        request.headers.authorization === newest ? good(request, response) : response.writeHead(401).end('{}');
    const tokens = (): { readonly authorize: (renew: boolean) => Promise<string>; issued: number } => {
      const state = {
        issued: 1,
        authorize: async (renew: boolean) => {
          if (renew) state.issued++;
          return Promise.resolve(`Bearer ${state.issued}`);
        },
      };
      return state;
    };

    it('that are refused are renewed once for all reads, which are then sent again', async () => {
      const state = tokens();
      const store = open(await serve(expiring('Bearer 2')), { authorize: state.authorize });
      expect(await Promise.all(Array.from({ length: 20 }, () => read(store)))).toEqual(Array.from({ length: 20 }, () => expected));
      expect(state.issued).toBe(2);
    });

    it('that are refused again are an error', async () => {
      const origin = await serve(expiring('Bearer 9'));
      await expect(read(open(origin, { authorize: tokens().authorize }))).rejects.toMatchObject({ code: 'STORE_DENIED' });
      expect(origin.requests).toHaveLength(2);
    });

    it('that are not to be had are an error that says what to do', async () => {
      vi.stubEnv('GOOGLE_APPLICATION_CREDENTIALS', '/no/such/file.json');
      await expect(read(open(await serve(good), { anonymous: false }))).rejects.toMatchObject({
        code: 'STORE_DENIED',
        hint: expect.stringContaining('storage.gcs.anonymous'),
      });
    });
  });

  it('is found by its URI, and at the address of an emulator', async () => {
    const origin = await serve(good);
    vi.stubEnv('STORAGE_EMULATOR_HOST', origin.url.replace('http://', ''));
    const set = createStoreSet({ s3: {} });
    const { store, path } = set.open('gs://b/dir/key');
    expect(await store.read(path, range, { ifMatch: '7' })).toEqual(expected);
    expect(origin.requests[0].headers.authorization).toBeUndefined();
    expect(() => set.open('gs:///key')).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
    await set.close();
  });
});
