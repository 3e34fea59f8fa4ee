import { createServer, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { mapConcurrent } from '../../src/core/map-concurrent.js';
import { createHttpClient } from '../../src/store/http-client.js';
import { openSdk, placeOfBucket } from '../../src/store/s3-client.js';
import { s3Store, type S3Options } from '../../src/store/s3.js';
import type { ObjectInfo } from '../../src/store/store.js';
import { MINIO_BINARY, startMinio, type Minio } from '../support/minio.js';

const CREDENTIALS = { accessKeyId: 'a', secretAccessKey: 's' };
const RANGE = { startByte: 1, endByte: 4 };

describe('the place of a bucket', () => {
  async function placeOf(bucket: string, options: Partial<S3Options> = {}): Promise<unknown> {
    const http = createHttpClient();
    const opened = await openSdk({ region: 'eu-west-1', credentials: CREDENTIALS, ...options }, http.agents);
    const place = await placeOfBucket(opened, bucket).finally(() => http.close());
    return place && { url: place.url.href, region: place.region, service: place.service };
  }

  it.each<[string, string, Partial<S3Options>, string]>([
    ['a host of its own at AWS', 'bucket', {}, 'https://bucket.s3.eu-west-1.amazonaws.com/'],
    ['a path where its name has dots', 'dotted.bucket', {}, 'https://s3.eu-west-1.amazonaws.com/dotted.bucket'],
    ['a host of its own at an endpoint', 'bucket', { endpoint: 'http://s3.test:9000' }, 'http://bucket.s3.test:9000/'],
    ['a path, if it is told to', 'bucket', { endpoint: 'http://s3.test/below', forcePathStyle: true }, 'http://s3.test/below/bucket'],
    ['no credentials', 'bucket', { anonymous: true, credentials: undefined }, 'https://bucket.s3.eu-west-1.amazonaws.com/'],
  ])('is %s', async (_name, bucket, options, url) => {
    expect(await placeOf(bucket, options)).toEqual({ url, region: 'eu-west-1', service: 's3' });
  });

  it.each(['bucket--usw2-az1--x-s3', 'arn:aws:s3::123456789012:accesspoint/name.mrap'])(
    'is the SDK’s alone to sign for: %s',
    async (bucket) => {
      expect(await placeOf(bucket)).toBeUndefined();
    },
  );
});

describe('a read of S3', () => {
  const closing: (() => Promise<void> | void)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });

  async function asked(path: string, status: number, body: string, headers: Record<string, string> = {}, options: Partial<S3Options> = {}) {
    const requests: IncomingMessage[] = [];
    const server = createServer((request, response) => {
      requests.push(request);
      response.writeHead(status, headers).end(body);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const store = s3Store({ bucket: 'b', endpoint, forcePathStyle: true, credentials: CREDENTIALS, ...options });
    closing.push(
      () => store.close(),
      () => void server.close(),
    );
    const outcome = await store.read(path, RANGE, { ifMatch: '"v1"' }).catch((error: unknown) => error);
    return { requests, outcome };
  }

  it('is signed here, with the range, the version and the session, and asks for the key as it is', async () => {
    const { requests, outcome } = await asked(
      'a/../b//./ü +%',
      206,
      'abc',
      { etag: '"v1"', 'content-range': 'bytes 1-3/9' },
      { credentials: { ...CREDENTIALS, sessionToken: 'token' }, requestPayer: true },
    );
    expect(outcome).toEqual(new Uint8Array(Buffer.from('abc')));
    expect(requests[0].url).toBe('/b/a/../b//./%C3%BC%20%2B%25');
    expect(requests[0].headers).toMatchObject({
      range: 'bytes=1-3',
      'if-match': '"v1"',
      'x-amz-security-token': 'token',
      'x-amz-request-payer': 'requester',
      authorization: expect.stringContaining(
        'SignedHeaders=host;if-match;range;x-amz-content-sha256;x-amz-date;x-amz-request-payer;x-amz-security-token,',
      ),
    });
    expect(requests[0].headers['user-agent']).toBeUndefined(); // the SDK would name itself
  });

  it('does not follow a redirect, and names the region where the bucket is', async () => {
    const { requests, outcome } = await asked(
      'k',
      301,
      '<Error><Code>PermanentRedirect</Code><Message>Use &quot;the&quot; endpoint &#38; no other</Message></Error>',
      { location: '/elsewhere', 'x-amz-bucket-region': 'eu-central-1' },
    );
    expect(requests).toHaveLength(1);
    expect(outcome).toMatchObject({
      code: 'STORE_READ_FAILED',
      message: 'the store refused to read s3://b/k: 301 Use "the" endpoint & no other',
      detail: { status: 301, region: 'eu-central-1' },
      hint: expect.stringContaining('storage.s3.region'),
    });
  });

  it('that is refused by something that is not S3 is named by its status', async () => {
    expect((await asked('k', 403, '<html><h1>No</h1></html>')).outcome).toMatchObject({ code: 'STORE_DENIED', detail: { status: 403 } });
    expect((await asked('k', 400, 'x'.repeat(1_000_000), {}, { anonymous: true })).outcome).toMatchObject({ code: 'STORE_READ_FAILED' });
  });

  it('corrects the clock of all reads that a wrong one refused', async () => {
    const server = createServer((request, response) => {
      const signed = Date.parse(String(request.headers['x-amz-date']).replace(/(....)(..)(..T..)(..)(..Z)/, '$1-$2-$3:$4:$5'));
      const now = Date.now() + 3_600_000;
      if (Math.abs(signed - now) < 60_000) response.writeHead(206, { etag: '"v1"', 'content-range': 'bytes 1-3/9' }).end('abc');
      else response.writeHead(403, { date: new Date(now).toUTCString() }).end('<Error><Code>RequestTimeTooSkewed</Code></Error>');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const store = s3Store({ bucket: 'b', endpoint, forcePathStyle: true, credentials: CREDENTIALS });
    closing.push(
      () => store.close(),
      () => void server.close(),
    );
    const reads = await Promise.all(Array.from({ length: 8 }, () => store.read('k', RANGE)));
    expect(reads.map((bytes) => Buffer.from(bytes).toString())).toEqual(Array.from({ length: 8 }, () => 'abc'));
  });
});

describe.skipIf(MINIO_BINARY === undefined)('a real MinIO', () => {
  let minio: Minio;
  beforeAll(async () => {
    minio = await startMinio();
  }, 60_000);
  afterAll(() => minio.stop());

  it.each(['a b/c  d', 'ü/日本/\u{1F600}', 'a+b&c=d;e', '100%/%41%', "it's (so)!*", '~-_.', 'q?x=1#y', 'trailing /.x', 'a:b@c,d$'])(
    'accepts the signature for the key %s',
    async (key) => {
      await minio.put(key, Buffer.from(`the bytes of ${key}`));
      const { endpoint, bucket, credentials } = minio;
      const store = s3Store({ bucket, endpoint, forcePathStyle: true, credentials });
      const { etag, size } = await store.head(key);
      const bytes = await store.read(key, { startByte: 4, endByte: size }, { ifMatch: etag });
      expect(Buffer.from(bytes).toString()).toBe(`bytes of ${key}`);
      await store.close();
    },
  );

  it('lists the same without the SDK as with it, over pages', async () => {
    const { endpoint, bucket, credentials } = minio;
    const keys = ['l/a & b', 'l/<c>', 'l/\'"', 'l/\u{1F600}', 'l/%41', 'l/ d ', ...Array.from({ length: 1010 }, (_, i) => `l/many/${i}`)];
    await mapConcurrent(keys, 16, (key) => minio.put(key, Buffer.from(key)));
    const list = async (own: boolean): Promise<ObjectInfo[]> => {
      // a provider may give others each time: it is the SDK's to ask
      const store = s3Store({
        bucket,
        endpoint,
        forcePathStyle: true,
        credentials: own ? credentials : () => Promise.resolve(credentials),
      });
      const objects: ObjectInfo[] = [];
      for await (const object of store.list('l/')) objects.push(object);
      await store.close();
      return objects;
    };
    const found = await list(true);
    expect(new Set(found.map(({ path }) => path))).toEqual(new Set(keys));
    expect(found).toEqual(await list(false));
  });

  it('refuses a wrong secret', async () => {
    await minio.put('k', Buffer.from('abcd'));
    const { endpoint, bucket, credentials } = minio;
    const store = s3Store({ bucket, endpoint, forcePathStyle: true, credentials: { ...credentials, secretAccessKey: 'wrong' } });
    await expect(store.read('k', RANGE)).rejects.toMatchObject({
      code: 'STORE_DENIED',
      message: expect.stringContaining('SignatureDoesNotMatch'),
    });
    await store.close();
  });
});
