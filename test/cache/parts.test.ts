import { readFile, rm, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { localDisk } from '../../src/cache/disk.js';
import { entryOf, entryOfName, readEntry, readEntryPart, verifyEntry, writeEntry } from '../../src/cache/entry.js';
import type { RangeCache } from '../../src/cache/range-cache.js';
import type { ByteRange } from '../../src/core/byte-range.js';
import { bytesOf, filesOf, openCache, temporaryDir } from './support.js';

const range = (startByte: number, endByte: number): ByteRange => ({ startByte, endByte });
const BLOCK = 64 * 1024;

let dir: string;
let remove: () => Promise<void>;
beforeEach(async () => {
  ({ dir, remove } = await temporaryDir());
});
afterEach(() => remove());

describe('a part of an entry', () => {
  it('is the bytes that the whole has there, checked without the rest (property)', async () => {
    const lengths = fc.oneof(fc.nat(300), fc.nat(5 * BLOCK), fc.constantFrom(BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK));
    let run = 0;
    await fc.assert(
      fc.asyncProperty(
        lengths,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (length, a, b) => {
          const file = `${dir}/${run++}`;
          const data = bytesOf(run, length);
          const entry = entryOf('a key', 12_345, length);
          expect(entryOfName('a key', entry.name)?.dataBytes).toBe(length);
          await writeEntry(localDisk, file, entry, data, false);
          const whole = await readEntry(localDisk, file, entry);
          expect(whole.kind === 'whole' && Buffer.compare(whole.data, data)).toBe(0);
          const [from, to] = [Math.floor(Math.min(a, b) * length), Math.floor(Math.max(a, b) * length)];
          const into = new Uint8Array(to - from);
          expect(await readEntryPart(localDisk, file, entry, from, into)).toEqual({ kind: 'whole' });
          expect(Buffer.compare(into, data.subarray(from, to))).toBe(0);
          if (length === 0) return;

          // a bit anywhere in the file: the part is damaged exactly where its own blocks are, its header, or their checksums
          const bytes = await readFile(file);
          const dataStart = bytes.length - length;
          const at = Math.floor(a * 7919 * bytes.length) % bytes.length;
          bytes[at] ^= 1 << (run % 8);
          await writeFile(file, bytes);
          const checksums = dataStart - 4 * Math.ceil(length / BLOCK);
          const block = at >= dataStart ? Math.floor((at - dataStart) / BLOCK) : Math.floor((at - checksums) / 4);
          const isOwn = at < checksums || (block >= Math.floor(from / BLOCK) && block < Math.ceil(to / BLOCK));
          const found = await readEntryPart(localDisk, file, entry, from, into);
          expect([at, found.kind]).toEqual([at, isOwn ? 'damaged' : 'whole']);
          if (found.kind === 'whole') expect(Buffer.compare(into, data.subarray(from, to))).toBe(0);
          expect((await readEntry(localDisk, file, entry)).kind).toBe('damaged');
        },
      ),
      { numRuns: 100 },
    );
  });

  it('is not taken from a file that ends in it, nor from one of another key', async () => {
    const entry = entryOf('a key', 0, 3 * BLOCK);
    const file = `${dir}/file`;
    await writeEntry(localDisk, file, entry, bytesOf(1, 3 * BLOCK), false);
    const into = new Uint8Array(10);
    expect(await readEntryPart(localDisk, file, entryOf('b key', 0, 3 * BLOCK), 5, into)).toMatchObject({ kind: 'damaged' });
    expect(await readEntryPart(localDisk, file, entryOf('a key', 1, 3 * BLOCK), 2 * BLOCK, into)).toMatchObject({ kind: 'damaged' });
    await writeFile(file, (await readFile(file)).subarray(0, -BLOCK));
    expect(await readEntryPart(localDisk, file, entry, BLOCK, into)).toEqual({ kind: 'whole' });
    expect(await readEntryPart(localDisk, file, entry, 2 * BLOCK, into)).toMatchObject({ kind: 'damaged' });
    expect(await readEntryPart(localDisk, `${dir}/none`, entry, 0, into)).toEqual({ kind: 'missing' });
  });

  it('of another version of the program is neither damage nor an entry', async () => {
    const entry = entryOf('a key', 0, 10);
    const file = `${dir}/file`;
    await writeEntry(localDisk, file, entry, bytesOf(1, 10), false);
    const bytes = await readFile(file);
    bytes[4] = 1;
    await writeFile(file, bytes);
    expect(await verifyEntry(localDisk, file, entry.name)).toBe('other');
    expect(await readEntry(localDisk, file, entry)).toMatchObject({ kind: 'damaged' });
  });
});

describe('ranges that are put together', () => {
  const object = bytesOf(7, 10 * BLOCK);
  let fetched: ByteRange[];
  let cache: RangeCache;
  const read = async (startByte: number, endByte: number, from = cache): Promise<void> => {
    const bytes = await from.read('object', range(startByte, endByte), (part) => {
      fetched.push(part);
      return Promise.resolve(object.slice(part.startByte, part.endByte));
    });
    expect(Buffer.compare(bytes, object.subarray(startByte, endByte))).toBe(0);
    expect(bytes.buffer.byteLength).toBe(bytes.length); // the reader's own
  };
  beforeEach(() => {
    fetched = [];
    cache = openCache(dir);
  });
  afterEach(() => cache.close());

  it('are not written again, and count as one hit of their bytes', async () => {
    await read(0, 4 * BLOCK);
    await read(4 * BLOCK, 10 * BLOCK);
    await cache.close();
    cache = openCache(dir);
    await read(BLOCK + 1, 9 * BLOCK - 1);
    await read(5, 6);
    expect(fetched).toHaveLength(2);
    expect(cache.counters).toMatchObject({ hits: 2, misses: 0, bytesFromCache: 8 * BLOCK - 1, bytesWritten: 0, lost: 0, corrupt: 0 });
    expect(await filesOf(dir, 'entries')).toHaveLength(2);
  });

  it('are fetched where they lack much, and from then on there', async () => {
    await read(0, BLOCK);
    await read(0, 10 * BLOCK);
    await read(BLOCK, 10 * BLOCK);
    await read(3, 9 * BLOCK);
    expect(fetched).toEqual([range(0, BLOCK), range(0, 10 * BLOCK)]);
    expect(cache.counters).toMatchObject({ hits: 2, misses: 2 });
  });

  it('keep the gaps that were fetched for them, for any process', async () => {
    await read(0, 4 * BLOCK);
    await read(4 * BLOCK + 1000, 10 * BLOCK);
    await read(BLOCK, 9 * BLOCK);
    expect(fetched.slice(2)).toEqual([range(4 * BLOCK, 4 * BLOCK + 1000)]);
    expect(cache.counters).toMatchObject({ hits: 1, misses: 3, bytesFromCache: 8 * BLOCK - 1000 });
    await cache.close();
    cache = openCache(dir);
    await read(BLOCK, 9 * BLOCK);
    await read(0, 10 * BLOCK);
    expect(fetched).toHaveLength(3);
  });

  it('are fetched anew where another process has made room of a part, or a block of one is damaged', async () => {
    const reopened = async (): Promise<void> => {
      await cache.close();
      cache = openCache(dir);
    };
    const fileAt = async (start: number): Promise<string> =>
      (await filesOf(dir, 'entries')).find(({ file }) => file.endsWith(`-${start.toString(36)}`))!.file;
    await read(0, 4 * BLOCK);
    await read(4 * BLOCK, 8 * BLOCK);
    await reopened();
    await read(10, 8 * BLOCK - 10);
    expect(fetched).toHaveLength(2);
    await rm(await fileAt(0));
    await read(10, 8 * BLOCK - 10);
    expect(fetched.slice(2)).toEqual([range(10, 8 * BLOCK - 10)]);
    expect(cache.counters).toMatchObject({ lost: 1, corrupt: 0 });

    await reopened();
    const file = await fileAt(10);
    const bytes = await readFile(file);
    bytes[bytes.length - 7 * BLOCK] ^= 4; // in the second block
    await writeFile(file, bytes);
    await read(2 * BLOCK + 10, 8 * BLOCK);
    expect([fetched.length, cache.counters.corrupt]).toEqual([3, 0]);
    await read(BLOCK, 4 * BLOCK);
    expect(fetched.slice(3)).toEqual([range(BLOCK, 4 * BLOCK)]);
    expect(cache.counters.corrupt).toBe(1);
    await read(BLOCK, 8 * BLOCK);
    expect(fetched).toHaveLength(4);
  });

  it('are forgotten in whatever entries they are', async () => {
    await read(0, 4 * BLOCK);
    await read(4 * BLOCK, 8 * BLOCK);
    await read(3 * BLOCK, 5 * BLOCK);
    expect(fetched).toHaveLength(2);
    await cache.forget('object', range(4 * BLOCK - 1, 4 * BLOCK));
    expect(await filesOf(dir, 'entries')).toHaveLength(1);
    await read(3 * BLOCK, 4 * BLOCK);
    expect(fetched.slice(2)).toEqual([range(3 * BLOCK, 4 * BLOCK)]);
    await read(4 * BLOCK, 5 * BLOCK);
    expect(fetched).toHaveLength(3);
  });

  it('are read by many at once, each once from the store', async () => {
    await Promise.all([read(0, 4 * BLOCK), read(0, 4 * BLOCK), read(4 * BLOCK, 10 * BLOCK)]);
    await Promise.all(Array.from({ length: 40 }, (_, i) => read(i * 1000, 10 * BLOCK - i * 500)));
    expect(fetched).toHaveLength(2);
  });
});
