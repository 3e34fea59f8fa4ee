import { PutBucketPolicyCommand, S3Client } from '@aws-sdk/client-s3';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileStore } from '../../src/store/file.js';
import { memoryStore } from '../../src/store/memory.js';
import { decorated } from '../../src/store/open-store.js';
import { s3Store } from '../../src/store/s3.js';
import { withCoalescing } from '../../src/store/with-coalescing.js';
import { createStoreCounters, withCounters } from '../../src/store/with-counters.js';
import { withHedging } from '../../src/store/with-hedging.js';
import { withLimit } from '../../src/store/with-limit.js';
import { withParts } from '../../src/store/with-parts.js';
import { withRetry } from '../../src/store/with-retry.js';
import { MINIO_BINARY, startMinio } from '../support/minio.js';
import { storeConformance, type StoreFixture } from './conformance.js';

const memoryFixture = async (): Promise<StoreFixture & { readonly store: ReturnType<typeof memoryStore> }> => {
  const store = memoryStore('memory://test/');
  return Promise.resolve({ store, root: '', put: (name, bytes) => Promise.resolve(store.put(name, bytes)), stop: () => store.close() });
};

const fileFixture = async (): Promise<StoreFixture> => {
  const dir = await mkdtemp(path.join(tmpdir(), 'headrace-store-'));
  let writes = 0;
  return {
    store: fileStore(),
    root: `${dir}/`,
    put: async (file, bytes) => {
      await mkdir(path.dirname(file), { recursive: true });
      // a new file each time, as atomic writers make them: two writes inside one tick of the clock then still differ
      await rm(file, { force: true });
      await writeFile(`${dir}/.spare${writes++}`, '');
      await writeFile(file, bytes);
    },
    stop: () => rm(dir, { recursive: true }),
  };
};

const retry = { attemptsMax: 3, deadlineMs: 10_000, baseDelayMs: 1, maxDelayMs: 2 };

it('what is put into memory as a Buffer is read as bytes of its own, whose slices are copies', async () => {
  const store = memoryStore('memory://test/', { a: Buffer.from('0123456789') });
  const read = await store.read('a', { startByte: 1, endByte: 9 });
  const part = read.slice(3);
  read.fill(0);
  expect(Buffer.from(part).toString()).toBe('45678');
  expect(Buffer.from(await store.read('a', { startByte: 0, endByte: 10 })).toString()).toBe('0123456789');
});

storeConformance('memory', memoryFixture, { manyObjects: 1100 });
storeConformance('file', fileFixture, { manyObjects: 1100 });
storeConformance(
  'memory with retry',
  async () => ({ ...(await memoryFixture()), ...(await decorate((store) => withRetry(store, retry))) }),
  { manyObjects: 100 },
);
storeConformance(
  'memory with limit',
  async () => ({ ...(await decorate((store) => withLimit(store, { concurrencyMin: 1, concurrencyInitial: 2, concurrencyMax: 4 }))) }),
  { manyObjects: 100 },
);
storeConformance('memory with counters', async () => ({ ...(await decorate((store) => withCounters(store, createStoreCounters()))) }), {
  manyObjects: 100,
});

storeConformance(
  'memory with coalescing',
  async () => ({ ...(await decorate((store) => withCoalescing(store, { gapBytesMax: 100, joinedBytesMax: 10_000 }))) }),
  { manyObjects: 100 },
);
storeConformance(
  'memory with parts',
  async () => ({ ...(await decorate((store) => withParts(store, { partBytesMax: 999, partsAtOnceMax: 4 }))) }),
  {
    manyObjects: 100,
  },
);
// without a delay each read after the first is asked for twice
const hedging = {
  hedgeQuantile: 0.5,
  hedgeSamplesMax: 10,
  hedgeSamplesMin: 1,
  hedgeDelayMsMin: 0,
  hedgeBytesShare: 1,
  hedgeBytesSavedMax: 2 ** 30,
};
storeConformance('memory with hedging', async () => ({ ...(await decorate((store) => withHedging(store, hedging))) }), {
  manyObjects: 100,
});
storeConformance('memory with all decorators', async () => ({ ...(await decorate((store) => decorated(store, createStoreCounters()))) }), {
  manyObjects: 100,
});

async function decorate(wrap: (store: StoreFixture['store']) => StoreFixture['store']): Promise<StoreFixture> {
  const fixture = await memoryFixture();
  return { ...fixture, store: wrap(fixture.store) };
}

describe.skipIf(MINIO_BINARY === undefined)('with a real MinIO', () => {
  storeConformance(
    's3 with all decorators',
    async () => {
      const { endpoint, bucket, credentials, put, stop } = await startMinio();
      const store = s3Store({ bucket, endpoint, forcePathStyle: true, credentials });
      return {
        store: decorated(store, createStoreCounters()),
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

  it('names a bucket that is not there, and credentials that do not fit', async () => {
    const minio = await startMinio();
    try {
      const { endpoint, credentials } = minio;
      const missing = s3Store({ bucket: 'no-such-bucket', endpoint, forcePathStyle: true, credentials });
      await expect(missing.list('')[Symbol.asyncIterator]().next()).rejects.toMatchObject({
        code: 'STORE_NOT_FOUND',
        message: expect.stringContaining('bucket'),
      });
      const denied = s3Store({
        bucket: minio.bucket,
        endpoint,
        forcePathStyle: true,
        credentials: { accessKeyId: 'nobody', secretAccessKey: 'wrong-secret' },
      });
      await expect(denied.list('')[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'STORE_DENIED' });
      await expect(denied.head('x')).rejects.toMatchObject({ code: 'STORE_DENIED' });
      await Promise.all([missing.close(), denied.close()]);
    } finally {
      await minio.stop();
    }
  });

  it('gives a public bucket to who shows no credentials, and a private one not', async () => {
    const minio = await startMinio();
    const { endpoint, bucket, credentials } = minio;
    const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
    const store = s3Store({ bucket, endpoint, forcePathStyle: true, anonymous: true });
    try {
      await minio.put('key', Uint8Array.of(1, 2, 3));
      await expect(store.head('key')).rejects.toMatchObject({ code: 'STORE_DENIED' });
      const statement = { Effect: 'Allow', Principal: '*', Action: ['s3:GetObject'], Resource: [`arn:aws:s3:::${bucket}/*`] };
      const policy = JSON.stringify({ Version: '2012-10-17', Statement: [statement] });
      await client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy: policy }));
      expect(await store.read('key', { startByte: 1, endByte: 3 })).toEqual(Uint8Array.of(2, 3));
    } finally {
      client.destroy();
      await store.close();
      await minio.stop();
    }
  });
});

describe('fileStore', () => {
  let dir: string;
  const data = new Uint8Array(3);
  const listed = async (prefix: string): Promise<string[]> => {
    const paths: string[] = [];
    for await (const object of fileStore().list(prefix)) paths.push(object.path);
    return paths;
  };
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-files-'));
  });
  afterEach(() => rm(dir, { recursive: true }));

  it('follows links, and does not loop in a cycle of them', async () => {
    await mkdir(`${dir}/real`);
    await writeFile(`${dir}/real/a.bin`, data);
    await symlink(`${dir}/real`, `${dir}/real/loop`);
    await symlink(`${dir}/nowhere`, `${dir}/dangling`);
    await symlink(`${dir}/self`, `${dir}/self`);
    expect(await listed(`${dir}/`)).toEqual([`${dir}/real/a.bin`]);
    const dangling: string[] = [];
    for await (const { path } of fileStore().list(`${dir}/d`, { onDangling: (link) => dangling.push(link) })) expect(path).toBe('none');
    expect(dangling).toEqual([`${dir}/dangling`]);
  });

  it('lists a directory under every name that it has, as head and read find it there', async () => {
    await mkdir(`${dir}/z`);
    await writeFile(`${dir}/z/a.bin`, data);
    await symlink(`${dir}/z`, `${dir}/b`);
    expect(await listed(`${dir}/`)).toEqual([`${dir}/b/a.bin`, `${dir}/z/a.bin`]);
    expect(await listed(`${dir}/z`)).toEqual([`${dir}/z/a.bin`]);
    expect(await listed(`${dir}/z/a`)).toEqual([`${dir}/z/a.bin`]);
  });

  it('keeps the order of UTF-8 bytes of whole paths across linked directories', async () => {
    for (const name of ['x', 'x-1', '\uFF5E', '\u{1F600}']) await mkdir(`${dir}/real-${name}`);
    for (const name of ['x', 'x-1', '\uFF5E', '\u{1F600}']) await writeFile(`${dir}/real-${name}/a.bin`, data);
    await mkdir(`${dir}/links`);
    for (const name of ['\u{1F600}', 'x', '\uFF5E', 'x-1']) await symlink(`${dir}/real-${name}`, `${dir}/links/${name}`);
    // '-' comes before '/', so that the directory x follows x-1
    const expected = ['x-1', 'x', '\uFF5E', '\u{1F600}'].map((name) => `${dir}/links/${name}/a.bin`);
    expect(await listed(`${dir}/links/`)).toEqual(expected);
  });

  it('takes a path as it is spelled', async () => {
    await mkdir(`${dir}/a`);
    await writeFile(`${dir}/a/x.bin`, data);
    expect(await listed(`${dir}//a/./`)).toEqual([`${dir}//a/./x.bin`]);
  });

  it.skipIf(process.getuid?.() === 0)('enters only what the prefix may lead to', async () => {
    await mkdir(`${dir}/mine`);
    await writeFile(`${dir}/mine/a.bin`, data);
    await mkdir(`${dir}/secret`, { mode: 0 });
    expect(await listed(`${dir}/mi`)).toEqual([`${dir}/mine/a.bin`]);
    await expect(listed(`${dir}/`)).rejects.toMatchObject({ code: 'STORE_DENIED' });
  });

  it('refuses a pipe, a device and a socket at once, and leaves them out of listings', async () => {
    execFileSync('mkfifo', [`${dir}/pipe`]);
    const server = createServer().listen(`${dir}/socket`);
    await once(server, 'listening');
    await symlink('/dev/zero', `${dir}/device`);
    for (const name of ['pipe', 'device', 'socket']) {
      const refused = { code: 'STORE_READ_FAILED', message: `${dir}/${name} is not a regular file` };
      await expect(fileStore().head(`${dir}/${name}`)).rejects.toMatchObject(refused);
      await expect(fileStore().read(`${dir}/${name}`, { startByte: 0, endByte: 0 })).rejects.toMatchObject(refused);
    }
    expect(await listed(`${dir}/`)).toEqual([]);
    server.close();
  }, 5000);

  it.skipIf(process.platform !== 'linux')('opens a file once for all reads of a version, and closes it with the store', async () => {
    const file = `${dir}/a.bin`;
    await writeFile(file, data);
    const opened = async (): Promise<number> => {
      const links = await Promise.all((await readdir('/proc/self/fd')).map((name) => readlink(`/proc/self/fd/${name}`).catch(() => '')));
      return links.filter((link) => link === file).length;
    };
    const store = fileStore();
    const { etag } = await store.head(file);
    const read = (): Promise<Uint8Array> => store.read(file, { startByte: 1, endByte: 3 }, { ifMatch: etag });
    await Promise.all([read(), read()]);
    await read();
    expect(await opened()).toBe(1);
    await store.read(file, { startByte: 0, endByte: 3 }); // of no version: it is opened anew
    await store.close();
    expect(await opened()).toBe(0);
  });

  it('finds out that a file was replaced, or is gone, while the version that it read stays open', async () => {
    const file = `${dir}/a.bin`;
    await writeFile(file, data);
    const store = fileStore();
    const { etag } = await store.head(file);
    const read = (): Promise<Uint8Array> => store.read(file, { startByte: 0, endByte: 3 }, { ifMatch: etag });
    await read();
    await rename(file, `${dir}/old.bin`);
    await expect(read()).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
    await writeFile(file, data);
    await expect(read()).rejects.toMatchObject({ code: 'SHARD_CHANGED' });
    await store.close();
  });

  it('has no object under the name of a directory', async () => {
    await expect(fileStore().head(dir)).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
    await expect(fileStore().read(dir, { startByte: 0, endByte: 1 })).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
  });

  it('names a directory that is not there', async () => {
    await expect(listed('/no/such/directory/')).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
  });
});
