import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { fileStore } from '../../src/store/file.js';
import { memoryStore } from '../../src/store/memory.js';
import { s3Store } from '../../src/store/s3.js';
import { createStoreCounters, withCounters } from '../../src/store/with-counters.js';
import { withLimit } from '../../src/store/with-limit.js';
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

storeConformance('memory', memoryFixture, { manyObjects: 1500 });
storeConformance('file', fileFixture, { manyObjects: 1500 });
storeConformance(
  'memory with retry',
  async () => ({ ...(await memoryFixture()), ...(await decorated((store) => withRetry(store, retry))) }),
  { manyObjects: 100 },
);
storeConformance('memory with limit', async () => ({ ...(await decorated((store) => withLimit(store, 2))) }), { manyObjects: 100 });
storeConformance('memory with counters', async () => ({ ...(await decorated((store) => withCounters(store, createStoreCounters()))) }), {
  manyObjects: 100,
});

async function decorated(decorate: (store: StoreFixture['store']) => StoreFixture['store']): Promise<StoreFixture> {
  const fixture = await memoryFixture();
  return { ...fixture, store: decorate(fixture.store) };
}

describe.skipIf(MINIO_BINARY === undefined)('with a real MinIO', () => {
  storeConformance(
    's3',
    async () => {
      const { endpoint, bucket, credentials, put, stop } = await startMinio();
      const store = s3Store({ bucket, endpoint, forcePathStyle: true, credentials });
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
    { manyObjects: 1500 },
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
});

describe('fileStore', () => {
  it('follows links, and does not loop in a cycle of them', async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'headrace-links-'));
    await mkdir(`${dir}/real`);
    await writeFile(`${dir}/real/a.bin`, 'abc');
    await symlink(`${dir}/real`, `${dir}/real/loop`);
    await symlink(`${dir}/nowhere`, `${dir}/dangling`);
    const paths: string[] = [];
    for await (const object of fileStore().list(`${dir}/`)) paths.push(object.path);
    expect(paths).toEqual([`${dir}/real/a.bin`]);
    await rm(dir, { recursive: true });
  });

  it('names a directory that is not there', async () => {
    await expect(fileStore().list('/no/such/directory/')[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
  });
});
