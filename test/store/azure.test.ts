import { BlobSASPermissions } from '@azure/storage-blob';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { azureStore, type AzureOptions } from '../../src/store/azure.js';
import { createStoreSet } from '../../src/store/open-store.js';
import type { Store } from '../../src/store/store.js';
import { withRetry } from '../../src/store/with-retry.js';
import { startAzurite, type Azurite } from '../support/azurite.js';
import { startOrigin, type Answer, type Origin } from '../support/origin.js';
import { storeConformance } from './conformance.js';

const retry = { attemptsMax: 3, deadlineMs: 20_000, baseDelayMs: 1, maxDelayMs: 2 };

storeConformance(
  'az on Azurite',
  async () => {
    const { connectionString, put, stop } = await startAzurite();
    const store = azureStore({ container: 'corpus', environment: { AZURE_STORAGE_CONNECTION_STRING: connectionString } });
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
  { manyObjects: 600 },
);

describe('az on Azurite', () => {
  let azurite: Azurite;
  const stores: Store[] = [];
  const open = (connection: string, container = 'corpus'): Store => {
    const store = azureStore({ container, environment: { AZURE_STORAGE_CONNECTION_STRING: connection } });
    stores.push(store);
    return store;
  };
  beforeAll(async () => {
    azurite = await startAzurite();
    await azurite.put('key', Uint8Array.of(1, 2, 3));
  });
  afterEach(() => Promise.all(stores.splice(0).map((store) => store.close())));
  afterAll(() => azurite.stop());

  it('names a container that is not there, and credentials that do not fit', async () => {
    await expect(open(azurite.connectionString, 'none').list('')[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: 'STORE_NOT_FOUND',
      message: expect.stringContaining('container'),
    });
    const wrong = azurite.connectionString.replace(/AccountKey=[^;]*/, `AccountKey=${Buffer.from('wrong').toString('base64')}`);
    await expect(open(wrong).head('key')).rejects.toMatchObject({ code: 'STORE_DENIED' });
  });

  it('reads with a signature, which no message shows', async () => {
    const permissions = BlobSASPermissions.parse('r');
    const url = await azurite.container.getBlobClient('key').generateSasUrl({ permissions, expiresOn: new Date(Date.now() + 3_600_000) });
    const signature = new URL(url).search.slice(1);
    const { origin, pathname } = new URL(azurite.container.url);
    const store = open(`BlobEndpoint=${origin}${pathname.replace('/corpus', '')};SharedAccessSignature=${signature}`);
    expect(await store.read('key', { startByte: 1, endByte: 3 })).toEqual(Uint8Array.of(2, 3));
    const error: unknown = await store
      .list('')
      [Symbol.asyncIterator]()
      .next()
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'STORE_DENIED' });
    expect(String(error) + JSON.stringify(error)).not.toContain(new URLSearchParams(signature).get('sig'));
  });

  it('leaves out the directories of Data Lake Storage', async () => {
    await azurite.container.getBlockBlobClient('lake/x.parquet').upload('', 0, { metadata: { hdi_isfolder: 'true' } });
    await azurite.put('lake/x.parquet/part-0', Uint8Array.of(1));
    const paths: string[] = [];
    for await (const { path } of open(azurite.connectionString).list('lake/')) paths.push(path);
    expect(paths).toEqual(['lake/x.parquet/part-0']);
  });
});

const BODY = Buffer.from(Array.from({ length: 5000 }, (_, i) => i % 251));

/** FAULTS 1 to 6, 8, 10 to 13. */
describe('an Azure that misbehaves', () => {
  const origins: Origin[] = [];
  const stores: Store[] = [];
  afterEach(async () => {
    await Promise.all(stores.splice(0).map((store) => store.close()));
    origins.splice(0).forEach((origin) => origin.close());
  });
  async function serve(...script: Answer[]): Promise<{ readonly origin: Origin; readonly store: Store }> {
    const origin = await startOrigin(...script);
    origins.push(origin);
    const connection = `DefaultEndpointsProtocol=http;AccountName=a;AccountKey=${Buffer.from('k').toString('base64')};BlobEndpoint=${origin.url}/a;`;
    const options: AzureOptions = { container: 'c', environment: { AZURE_STORAGE_CONNECTION_STRING: connection } };
    const store = azureStore({ ...options, idleTimeoutMs: 300, throughputWindowMs: 400 });
    stores.push(store);
    return { origin, store: withRetry(store, retry) };
  }
  const range = { startByte: 100, endByte: 4000 };
  const expected = Uint8Array.from(BODY.subarray(100, 4000));
  const read = (store: Store): Promise<Uint8Array> => store.read('key', range, { ifMatch: '0x1' });
  const headers = { etag: '"0x1"', 'content-length': 3900, 'content-range': `bytes 100-3999/${BODY.length}` };
  const good: Answer = (request, response) => {
    const [, start, last] = /^bytes=(\d+)-(\d+)$/.exec(String(request.headers['x-ms-range']))!.map(Number);
    const range = { 'content-length': last + 1 - start, 'content-range': `bytes ${start}-${last}/${BODY.length}` };
    response.writeHead(206, { ...headers, ...range }).end(BODY.subarray(start, last + 1));
  };
  const refusal =
    (status: number, code: string): Answer =>
    (_request, response) =>
      response.writeHead(status, { 'x-ms-error-code': code, 'content-type': 'application/xml' }).end(`<Error><Code>${code}</Code></Error>`);

  const faults: Record<string, Answer> = {
    'a 503': refusal(503, 'ServerBusy'),
    'a 500': refusal(500, 'OperationTimedOut'),
    'no answer at all': () => undefined,
    'a reset instead of an answer': (request) => request.socket.destroy(),
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
  };
  it.each(Object.entries(faults))('%s is tried again, and the bytes are right', async (_name, fault) => {
    const { origin, store } = await serve(fault, good);
    expect(await read(store)).toEqual(expected);
    expect(origin.requests.map((request) => request.headers['if-match'])).toEqual(['"0x1"', '"0x1"']);
  });

  it('the SDK tries nothing again by itself', async () => {
    const origin = await startOrigin(refusal(503, 'ServerBusy'), good);
    origins.push(origin);
    const connection = `DefaultEndpointsProtocol=http;AccountName=a;AccountKey=aw==;BlobEndpoint=${origin.url}/a;`;
    const store = azureStore({ container: 'c', environment: { AZURE_STORAGE_CONNECTION_STRING: connection } });
    stores.push(store);
    await expect(read(store)).rejects.toMatchObject({ code: 'STORE_READ_FAILED', detail: { status: 503 } });
    expect(origin.requests).toHaveLength(1);
  });

  it.each([
    [403, 'AuthorizationFailure', 'STORE_DENIED'],
    [404, 'BlobNotFound', 'STORE_NOT_FOUND'],
    [412, 'ConditionNotMet', 'SHARD_CHANGED'],
  ])('a %i (%s) is %s, at once', async (status, reason, code) => {
    const { origin, store } = await serve(refusal(status, reason));
    await expect(read(store)).rejects.toMatchObject({ code, detail: { uri: 'az://c/key', status } });
    expect(origin.requests).toHaveLength(1);
  });

  it('an archived blob is an error that names its tier', async () => {
    const { origin, store } = await serve(refusal(409, 'BlobArchived'));
    await expect(read(store)).rejects.toMatchObject({
      code: 'STORE_READ_FAILED',
      message: 'az://c/key is archived (storage class Archive)',
      hint: expect.stringContaining('Restore it'),
    });
    expect(origin.requests).toHaveLength(1);
  });

  it('another version is SHARD_CHANGED, whatever the status says', async () => {
    const { store } = await serve((_request, response) =>
      response.writeHead(206, { ...headers, etag: '"0x2"' }).end(BODY.subarray(100, 4000)),
    );
    await expect(read(store)).rejects.toMatchObject({ code: 'SHARD_CHANGED' });
  });

  const listing = (inner: string): string => `<?xml version="1.0"?><EnumerationResults ContainerName="c">${inner}</EnumerationResults>`;
  it.each([
    ['a page of HTML', 'text/html', '<html><body/></html>'],
    ['an empty body', 'application/xml', ''],
    ['a body that is cut', 'application/xml', listing('<Blobs><Blob><Name>x</Name>').slice(0, -30)],
    ['a blob without a size', 'application/xml', listing('<Blobs><Blob><Name>x</Name><Properties/></Blob></Blobs><NextMarker/>')],
  ])('%s is no empty container: it is tried again, and then an error', async (_name, type, body) => {
    const { origin, store } = await serve((_request, response) => response.writeHead(200, { 'content-type': type }).end(body));
    await expect(store.list('')[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'STORE_READ_FAILED' });
    expect(origin.requests).toHaveLength(3);
  });

  it('an account that nobody names, or a key of no form, is an error that says what to set', async () => {
    for (const environment of [{}, { AZURE_STORAGE_CONNECTION_STRING: 'secret' }]) {
      const store = azureStore({ container: 'c', environment });
      const error: unknown = await store.head('x').catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'STORE_DENIED', hint: expect.stringContaining('AZURE_STORAGE_ACCOUNT') });
      expect(String(error) + JSON.stringify(error)).not.toContain('secret');
    }
  });

  it('is found by its URI, as blobs and as a data lake', async () => {
    const set = createStoreSet({ s3: {} });
    for (const [uri, store] of [
      ['az://c/dir/key', 'az://c/'],
      ['abfss://c@acc.dfs.core.windows.net/dir/key', 'abfss://c@acc.dfs.core.windows.net/'],
    ])
      expect(set.open(uri)).toMatchObject({ path: 'dir/key', store: { uri: store } });
    for (const uri of ['az:///key', 'abfss://c/key'])
      expect(() => set.open(uri)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
    await set.close();
  });
});
