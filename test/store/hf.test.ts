import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { hubEndpoint, hubToken } from '../../src/store/hf-environment.js';
import { hfStore, type HfOptions } from '../../src/store/hf.js';
import { createStoreSet } from '../../src/store/open-store.js';
import type { Store } from '../../src/store/store.js';
import { withRetry } from '../../src/store/with-retry.js';
import { COMMIT, startHub, type Hub } from '../support/hub.js';
import { startOrigin, type Answer, type Origin } from '../support/origin.js';
import { storeConformance } from './conformance.js';

const retry = { attemptsMax: 3, deadlineMs: 20_000, baseDelayMs: 1, maxDelayMs: 2 };
const noToken = (): Promise<undefined> => Promise.resolve(undefined);

storeConformance(
  'a dataset of the hub',
  async () => {
    const { endpoint, put, close } = await startHub('hf_secret');
    const store = withRetry(hfStore({ dataset: 'me/data', endpoint, token: () => Promise.resolve('hf_secret') }), retry);
    return {
      store,
      root: 'some/prefix/',
      put: (name, bytes) => Promise.resolve(put(name, bytes)),
      stop: async () => {
        await store.close();
        close();
      },
    };
  },
  { manyObjects: 350 },
);

describe('a dataset of the hub', () => {
  let hub: Hub;
  const stores: Store[] = [];
  const data = Uint8Array.from({ length: 5000 }, (_, i) => i % 251);
  const range = { startByte: 10, endByte: 20 };
  function open(options: Partial<HfOptions> = {}): Store {
    const store = hfStore({ dataset: 'me/data', endpoint: hub.endpoint, token: noToken, ...options });
    stores.push(store);
    return withRetry(store, retry);
  }
  beforeEach(async () => {
    hub = await startHub();
    hub.put('train/0.parquet', data);
  });
  afterEach(async () => {
    await Promise.all(stores.splice(0).map((store) => store.close()));
    hub.close();
    vi.unstubAllEnvs();
  });

  it('is asked for its commit once, and for each file with a new signature', async () => {
    const store = open();
    await Promise.all(Array.from({ length: 10 }, () => store.read('train/0.parquet', range)));
    expect(hub.hub.requests.filter(({ url }) => url!.includes('/revision/'))).toHaveLength(1);
    expect(hub.hub.requests.filter(({ url }) => url === `/datasets/me/data/resolve/${COMMIT}/train/0.parquet`)).toHaveLength(10);
    expect(new Set(hub.cdn.requests.map(({ url }) => url)).size).toBe(10);
  });

  it('is described by the hub alone', async () => {
    const info = await open().head('train/0.parquet');
    expect(info).toMatchObject({ size: 5000, etag: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(hub.cdn.requests).toHaveLength(0);
  });

  it('gets the token, which the CDN does not', async () => {
    await open({ token: () => Promise.resolve('hf_t') }).read('train/0.parquet', range);
    expect(hub.hub.requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer hf_t', 'Bearer hf_t']);
    expect(hub.cdn.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });

  it('that is gated says so, and how a token is given', async () => {
    const gated = await startHub('hf_right');
    for (const [token, hint] of [
      [undefined, 'set HF_TOKEN'],
      ['hf_wrong', 'gated dataset'],
    ]) {
      const error: unknown = await open({ endpoint: gated.endpoint, token: () => Promise.resolve(token) })
        .head('x')
        .catch((reason: unknown) => reason);
      expect(error).toMatchObject({
        code: 'STORE_DENIED',
        message: 'access to hf://datasets/me/data/ is denied (401: Access to dataset me/data is restricted.)',
        hint: expect.stringContaining(hint!),
      });
      expect(JSON.stringify(error)).not.toContain('hf_wrong');
    }
    gated.close();
  });

  it('is found by its URI, at any revision', async () => {
    vi.stubEnv('HF_ENDPOINT', `${hub.endpoint}/`);
    vi.stubEnv('HF_TOKEN', 'hf_t');
    const set = createStoreSet({ s3: {} });
    for (const revision of ['', '@main', '@refs/convert/parquet', '@refs%2Fconvert%2Fparquet', `@${COMMIT}`]) {
      const { store, path: file } = set.open(`hf://datasets/me/data${revision}/train/0.parquet`);
      expect(file).toBe('train/0.parquet');
      expect(await store.read(file, range)).toEqual(data.slice(10, 20));
    }
    expect(hub.hub.requests.filter(({ url }) => url!.includes('/revision/')).map(({ url }) => url)).toEqual([
      '/api/datasets/me/data/revision/main',
      '/api/datasets/me/data/revision/main',
      '/api/datasets/me/data/revision/refs%2Fconvert%2Fparquet',
    ]);
    for (const uri of ['hf://datasets/alone', 'hf://models/me/data/x', 'hf://datasets'])
      expect(() => set.open(uri)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
    await set.close();
  });

  describe('that misbehaves', () => {
    const origins: Origin[] = [];
    afterEach(() => origins.splice(0).forEach((origin) => origin.close()));
    const pinned = { revision: COMMIT };
    async function scripted(...script: Answer[]): Promise<Store> {
      const origin = await startOrigin(...script);
      origins.push(origin);
      return open({ ...pinned, endpoint: origin.url, idleTimeoutMs: 300 });
    }
    const json =
      (value: unknown, headers = {}): Answer =>
      (_request, response) =>
        response.writeHead(200, headers).end(JSON.stringify(value));
    const good = json([{ type: 'file', path: 'z', size: 3, oid: 'abc' }]);
    const listed = async (store: Store): Promise<string[]> => {
      const paths: string[] = [];
      for await (const object of store.list('')) paths.push(object.path);
      return paths;
    };

    const faults: Record<string, Answer> = {
      'a 429': (_request, response) => response.writeHead(429).end(),
      'a 504 of HTML': (_request, response) => response.writeHead(504).end('<html>'),
      'a page of HTML': (_request, response) => response.writeHead(200).end('<html>'),
      'an entry without a size': json([{ type: 'file', path: 'z', oid: 'abc' }]),
      'a body that is cut': (_request, response) => response.writeHead(200).end('[{"type":"file"'),
      'a body that does not end': (_request, response) => {
        const flood = setInterval(() => response.write(' '.repeat(2 ** 20)), 1);
        response.on('close', () => clearInterval(flood));
      },
      'no answer at all': () => undefined,
    };
    it.each(Object.entries(faults))('%s is tried again, and then an error', async (_name, fault) => {
      expect(await listed(await scripted(fault, good))).toEqual(['z']);
      await expect(listed(await scripted(fault))).rejects.toMatchObject({ message: expect.stringContaining('gave up after 3 of 3') });
    });

    it('with a listing that leads back to its first page is an error', async () => {
      await expect(listed(await scripted(json([], { link: '</api?again>; rel="next"' })))).rejects.toMatchObject({
        code: 'STORE_READ_FAILED',
        message: expect.stringContaining('leads back'),
      });
    });

    it('with a signature that the CDN refuses is asked for another', async () => {
      const cdn = await startOrigin(
        (_request, response) => response.writeHead(403).end(),
        (_request, response) => response.writeHead(206, { 'content-range': 'bytes 10-19/5000' }).end(data.subarray(10, 20)),
      );
      origins.push(cdn);
      const store = await scripted((_request, response) =>
        response.writeHead(302, { location: `${cdn.url}/x`, 'x-linked-etag': '"abc"', 'x-linked-size': 5000 }).end(),
      );
      expect(await store.read('x', range, { ifMatch: 'abc' })).toEqual(data.slice(10, 20));
      await expect(store.read('x', range, { ifMatch: 'other' })).rejects.toMatchObject({ code: 'SHARD_CHANGED' });
    });

    it('once, when it is asked for its commit, is asked again', async () => {
      const origin = await startOrigin(
        (_request, response) => response.writeHead(503).end(),
        json({ sha: COMMIT }),
        (_request, response) => response.writeHead(200, { etag: 'W/"abc"', 'content-length': 3 }).end(),
      );
      origins.push(origin);
      expect(await open({ endpoint: origin.url }).head('x')).toEqual({ path: 'x', size: 3, etag: 'abc' });
    });
  });
});

describe('the environment of the hub', () => {
  it('has a token in a variable, or in the file that logging in writes', async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'headrace-hub-'));
    await mkdir(path.join(dir, 'huggingface'));
    await writeFile(path.join(dir, 'huggingface', 'token'), 'hf_file\n');
    expect(await hubToken({ HF_TOKEN: ' hf_env ', HF_HOME: path.join(dir, 'huggingface') })).toBe('hf_env');
    expect(await hubToken({ HF_HOME: path.join(dir, 'huggingface') })).toBe('hf_file');
    expect(await hubToken({ XDG_CACHE_HOME: dir })).toBe('hf_file');
    expect(await hubToken({ HF_HOME: dir })).toBeUndefined();
    await expect(hubToken({ HF_TOKEN_PATH: dir })).rejects.toMatchObject({ code: 'STORE_DENIED', detail: { file: dir } });
    await rm(dir, { recursive: true });
  });

  it('has an endpoint', () => {
    expect(hubEndpoint({})).toBe('https://huggingface.co');
    expect(hubEndpoint({ HF_ENDPOINT: 'http://mirror/' })).toBe('http://mirror');
  });
});
