/** What every store and every decorator must do. A new one is one more call of this function. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ObjectInfo, Store } from '../../src/store/store.js';

export interface StoreFixture {
  readonly store: Store;
  /** What the paths of this fixture start with. */
  readonly root: string;
  /** Writes an object; overwrites one that exists. */
  put(path: string, bytes: Uint8Array): Promise<void>;
  stop(): Promise<void>;
}

const bytesOf = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 0xff);

async function all(objects: AsyncIterable<ObjectInfo>): Promise<ObjectInfo[]> {
  const found: ObjectInfo[] = [];
  for await (const object of objects) found.push(object);
  return found;
}

export interface ConformanceOptions {
  readonly manyObjects: number;
  /** Default: true. Over plain HTTP there is no listing. */
  readonly lists?: boolean;
}

export function storeConformance(name: string, create: () => Promise<StoreFixture>, options: ConformanceOptions): void {
  const { lists = true } = options;
  describe(`${name} as a store`, () => {
    let fixture: StoreFixture;
    const at = (path: string): string => fixture.root + path;
    const data = bytesOf(300_000);

    beforeAll(async () => {
      fixture = await create();
      await fixture.put(at('a/data.bin'), data);
      await fixture.put(at('a/empty.bin'), new Uint8Array(0));
    });
    afterAll(() => fixture.stop());

    it('reads exactly the range, into an array that owns its buffer', async () => {
      for (const [startByte, endByte] of [
        [0, 10],
        [17, 70_001],
        [299_999, 300_000],
        [0, 300_000],
      ]) {
        const bytes = await fixture.store.read(at('a/data.bin'), { startByte, endByte });
        expect(Buffer.compare(bytes, data.subarray(startByte, endByte))).toBe(0);
        expect(bytes.buffer.byteLength).toBe(bytes.byteLength);
        structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });
        expect(bytes.byteLength).toBe(0);
      }
    });

    it('reads an empty range, and an empty object', async () => {
      expect(await fixture.store.read(at('a/data.bin'), { startByte: 5, endByte: 5 })).toHaveLength(0);
      expect(await fixture.store.read(at('a/empty.bin'), { startByte: 0, endByte: 0 })).toHaveLength(0);
    });

    it('refuses a range beyond the end', async () => {
      for (const range of [
        { startByte: 299_990, endByte: 300_001 },
        { startByte: 400_000, endByte: 400_010 },
        { startByte: 300_001, endByte: 300_001 },
      ]) {
        await expect(fixture.store.read(at('a/data.bin'), range)).rejects.toMatchObject({ code: 'STORE_READ_FAILED' });
      }
    });

    it('describes an object, and reads it under its ETag', async () => {
      const info = await fixture.store.head(at('a/data.bin'));
      expect(info).toMatchObject({ path: at('a/data.bin'), size: 300_000 });
      expect(await fixture.store.read(at('a/data.bin'), { startByte: 0, endByte: 3 }, { ifMatch: info.etag })).toEqual(data.slice(0, 3));
    });

    it('names an object that is not there', async () => {
      await expect(fixture.store.head(at('a/none.bin'))).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
      await expect(fixture.store.read(at('a/none.bin'), { startByte: 0, endByte: 1 })).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
    });

    it('never mixes versions: an overwritten object fails reads under its old ETag', async () => {
      await fixture.put(at('changing.bin'), bytesOf(1000));
      const { etag } = await fixture.store.head(at('changing.bin'));
      await fixture.put(at('changing.bin'), bytesOf(1000).reverse());
      for (const range of [
        { startByte: 0, endByte: 10 },
        { startByte: 0, endByte: 0 },
      ]) {
        await expect(fixture.store.read(at('changing.bin'), range, { ifMatch: etag })).rejects.toMatchObject({ code: 'SHARD_CHANGED' });
      }
    });

    it.runIf(lists)('lists what is below a prefix, in order of UTF-8 bytes, with sizes and the ETags of head', async () => {
      const names = ['z.bin', 'é.bin', 'b/1.bin', 'b-1.bin', 'b/c/2.bin', '\u{1F600}.bin', '\uFF5E.bin', 'a b+c%.bin'];
      for (const name of names) await fixture.put(at(`list/${name}`), bytesOf(3));
      const listed = await all(fixture.store.list(at('list/')));
      const expected = names.map((name) => at(`list/${name}`)).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      expect(listed.map((object) => object.path)).toEqual(expected);
      expect(listed.map((object) => object.size)).toEqual(names.map(() => 3));
      for (const object of listed) expect(await fixture.store.head(object.path)).toEqual(object);
    });

    it.runIf(lists)(`lists ${options.manyObjects} objects, each once`, async () => {
      const paths = Array.from({ length: options.manyObjects }, (_, i) => at(`many/${String(i).padStart(5, '0')}`));
      for (let i = 0; i < paths.length; i += 64) await Promise.all(paths.slice(i, i + 64).map((path) => fixture.put(path, bytesOf(1))));
      expect((await all(fixture.store.list(at('many/')))).map((object) => object.path)).toEqual(paths);
    });

    it('answers many reads at once', async () => {
      const reads = Array.from({ length: 100 }, (_, i) =>
        fixture.store.read(at('a/data.bin'), { startByte: i * 1000, endByte: i * 1000 + 2000 }),
      );
      for (const [i, bytes] of (await Promise.all(reads)).entries())
        expect(Buffer.compare(bytes, data.subarray(i * 1000, i * 1000 + 2000))).toBe(0);
    });

    it('leaves no read waiting when it is closed', async () => {
      const other = await create();
      await other.put(`${other.root}data.bin`, data);
      const reads = Array.from({ length: 20 }, () => other.store.read(`${other.root}data.bin`, { startByte: 0, endByte: 300_000 }));
      const outcomes = Promise.allSettled(reads);
      await other.store.close();
      for (const outcome of await outcomes) {
        // a store may have had the bytes at hand already
        if (outcome.status === 'fulfilled') expect(outcome.value).toHaveLength(300_000);
        else expect(outcome.reason).toMatchObject({ code: 'ABORTED' });
      }
      await other.stop();
    });

    it('ends with ABORTED when it is told to, before and while reading', async () => {
      const before = AbortSignal.abort();
      await expect(fixture.store.head(at('a/data.bin'), { signal: before })).rejects.toMatchObject({ code: 'ABORTED' });
      await expect(fixture.store.read(at('a/data.bin'), { startByte: 0, endByte: 1 }, { signal: before })).rejects.toMatchObject({
        code: 'ABORTED',
      });
      if (lists) await expect(all(fixture.store.list(at('a/'), { signal: before }))).rejects.toMatchObject({ code: 'ABORTED' });
      const during = new AbortController();
      const reading = fixture.store.read(at('a/data.bin'), { startByte: 0, endByte: 300_000 }, { signal: during.signal });
      during.abort();
      // a store may have had the bytes at hand already
      const outcome = await reading.then(
        (bytes) => bytes.length,
        (error: unknown) => (error as { code: string }).code,
      );
      expect([300_000, 'ABORTED']).toContain(outcome);
    });
  });
}
