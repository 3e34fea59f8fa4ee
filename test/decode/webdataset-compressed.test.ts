import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
// built: zstd is decompressed in a thread, which is a file of its own
import { HeadraceError } from '../../dist/src/core/errors.js';
import { FORMATS, formatOfPath } from '../../dist/src/core/format.js';
import type { Block, Shard } from '../../dist/src/core/shard.js';
import { scanHere } from '../../dist/src/decode/scan.js';
import { createWebDatasetDecoder } from '../../dist/src/decode/webdataset/block-reader.js';
import { memoryStore } from '../../dist/src/store/memory.js';
import type { ByteRange, Store } from '../../dist/src/store/store.js';
import { tarOf } from '../support/tar.js';
import { decodeSlice, rowsAndIds, sliceOf } from '../support/slices.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('../support/tar_reference.py', import.meta.url));
const signal = new AbortController().signal;
const decoder = createWebDatasetDecoder(scanHere);

interface Row {
  readonly key: string | null;
  readonly text: string;
}

async function openShard(store: Store, file: string): Promise<Shard> {
  const object = await store.head(file);
  const index = await decoder.index(store, object, { column: 'txt', kind: 'text', id: '__key__' });
  return { path: file, uri: store.uri + file, size: object.size, etag: object.etag, ...index };
}

const blockOf = ({ units }: Shard, unit: number): Block => ({
  shard: 0,
  unit,
  startRow: units[unit].startRow,
  endRow: units[unit].startRow + units[unit].rows,
  decodedBytes: 1,
});

/** Rows [from, end) of a block, in slices. */
async function readBlock(store: Store, shard: Shard, block: Block, sliceRows: number, from = block.startRow): Promise<Row[]> {
  const rows: Row[] = [];
  const reader = decoder.openBlock(store, shard.path, shard, block);
  for (let row = from; row < block.endRow; row += sliceRows) {
    const end = Math.min(block.endRow, row + sliceRows);
    const { slice, ids: keys } = await rowsAndIds(reader, row, end);
    const decoded = decodeSlice(slice);
    if (decoded.kind !== 'text') throw new Error(decoded.kind);
    for (let i = 0; i < decoded.count; i++) {
      rows.push({ key: keys[i], text: Buffer.from(decoded.bytes.subarray(decoded.bounds[i], decoded.bounds[i + 1])).toString('utf8') });
    }
  }
  return rows;
}

async function readShard(store: Store, shard: Shard, sliceRows: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const unit of shard.units.keys()) rows.push(...(await readBlock(store, shard, blockOf(shard, unit), sliceRows)));
  return rows;
}

function recording(store: Store): { readonly store: Store; readonly reads: ByteRange[] } {
  const reads: ByteRange[] = [];
  const read: Store['read'] = (file, range, options) => {
    reads.push(range);
    return store.read(file, range, options);
  };
  return { reads, store: { ...store, read } };
}

it('names that end as compressed tars do are tars, and others what they were', () => {
  const names = ['a.tar', 'a.tar.gz', 'a.tgz', 'a.tar.bgz', 'a.tar.zst', 'tar.jsonl.gz', 'a.tar.txt.gz', 'a.csv.zst', 'a.gz', 'tgz'];
  expect(names.map(formatOfPath)).toEqual([...new Array<string>(5).fill('webdataset'), 'jsonl', 'text', 'csv', undefined, undefined]);
  const endings = Object.values(FORMATS).flat();
  expect(new Set(endings).size).toBe(endings.length);
});

describe.skipIf(PYTHON === undefined)('compressed tars, as webdataset reads them', { timeout: 120_000 }, () => {
  const names = ['written.tar.gz', 'whole.tgz', 'bgzip.tar.gz', 'frame.tar.zst', 'frames.tar.zst'];
  let dir: string;
  let store: Store;
  let expected: Row[];

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-tar-'));
    const rows = execFileSync(PYTHON!, [SCRIPT, 'compressed', dir], { encoding: 'utf8', maxBuffer: 2 ** 28 });
    expected = (JSON.parse(rows) as [string, string][]).map(([key, text]) => ({ key, text }));
    const files = await Promise.all(names.map(async (name) => [name, new Uint8Array(await readFile(path.join(dir, name)))] as const));
    store = memoryStore('memory://tars/', Object.fromEntries(files));
  }, 120_000);
  afterAll(() => rm(dir, { recursive: true }));

  it.each(names)('%s: has the same samples, in slices of any size', async (name) => {
    const shard = await openShard(store, name);
    expect(shard.rows).toBe(expected.length);
    for (const sliceRows of [97, 10_000]) expect(await readShard(store, shard, sliceRows), `by ${sliceRows}`).toEqual(expected);
  });

  it.each(names)('%s: begins anywhere in a unit, and goes on exactly', async (name) => {
    const shard = await openShard(store, name);
    for (const unit of shard.units.keys()) {
      const block = blockOf(shard, unit);
      for (const from of [block.startRow + 1, Math.floor((block.startRow + block.endRow) / 2), block.endRow - 1]) {
        expect(await readBlock(store, shard, block, 53, from), `from row ${from}`).toEqual(expected.slice(from, block.endRow));
      }
    }
  });

  it('one stream is one unit that is read from its start', async () => {
    for (const name of ['written.tar.gz', 'whole.tgz', 'frame.tar.zst']) {
      expect((await openShard(store, name)).units, name).toMatchObject([{ isWhole: true, rows: expected.length }]);
    }
  });

  it('parts that stand for themselves make units that are read alone', async () => {
    for (const name of ['bgzip.tar.gz', 'frames.tar.zst']) {
      const { store: recorder, reads } = recording(store);
      const shard = await openShard(recorder, name);
      expect(shard.units.length, name).toBeGreaterThanOrEqual(3);
      const middle = blockOf(shard, 1);
      reads.length = 0;
      expect(await readBlock(recorder, shard, middle, 500)).toEqual(expected.slice(middle.startRow, middle.endRow));
      const bytes = reads.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0);
      expect(bytes).toBeLessThanOrEqual(shard.units[1].storedBytes);
      expect(bytes).toBeLessThan(0.6 * shard.size);
      expect(Math.min(...reads.map(({ startByte }) => startByte))).toBeGreaterThan(0);
    }
  });

  it('estimates what a block reads', async () => {
    for (const name of names) {
      const { store: recorder, reads } = recording(store);
      const shard = await openShard(recorder, name);
      reads.length = 0;
      let estimated = 0;
      const block = blockOf(shard, shard.units.length - 1);
      const estimate = decoder.estimateBlock(shard, block);
      for (let row = block.startRow; row < block.endRow; row += 300) estimated += estimate(row, Math.min(block.endRow, row + 300)).bytes;
      await readBlock(recorder, shard, block, 300);
      expect(estimated, name).toBe(shard.units[block.unit].storedBytes);
      expect(
        reads.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0),
        name,
      ).toBe(estimated);
    }
  });

  it('are damaged where they are cut short: whoever indexes them hears of it', async () => {
    for (const name of names) {
      const { size } = await store.head(name);
      for (const share of [0.001, 0.3, 0.9999]) {
        const part = await store.read(
          name,
          { startByte: 0, endByte: Math.floor(size * share) },
          { ifMatch: (await store.head(name)).etag },
        );
        const cut = memoryStore('memory://cut/', { [name]: part.slice() });
        await expect(openShard(cut, name), `${name} × ${share}`).rejects.toMatchObject({ code: 'SHARD_INVALID' });
      }
    }
  });

  it('are damaged where they have changed since, and say where to read anew', async () => {
    for (const name of ['whole.tgz', 'bgzip.tar.gz']) {
      const shard = await openShard(store, name);
      const bytes = (await store.read(name, { startByte: 0, endByte: shard.size }, { ifMatch: shard.etag })).slice();
      const block = blockOf(shard, shard.units.length - 1);
      // of the last unit, all the way down to the check of its last byte
      const { storedBytes } = shard.units[block.unit];
      for (const at of [shard.size - Math.floor(storedBytes / 2), shard.size - (name === 'whole.tgz' ? 8 : 28 + 8)]) {
        const damaged = bytes.slice();
        damaged[at] ^= 0x11;
        const read: Store['read'] = (_path, { startByte, endByte }) => Promise.resolve(damaged.slice(startByte, endByte));
        const reader = decoder.openBlock({ ...store, read }, name, shard, block);
        await expect(sliceOf(reader, block.startRow, block.endRow, signal), `${name} at ${at}`).rejects.toMatchObject({
          code: 'SHARD_INVALID',
        });
        const { ranges } = reader;
        expect(ranges.some(({ startByte, endByte }) => startByte <= at && at < endByte)).toBe(true);
        const fresh = decoder.reopenBlock(store, name, shard, block, ranges);
        const slice = decodeSlice(await sliceOf(fresh, block.startRow, block.endRow, signal));
        expect(slice).toHaveProperty('count', block.endRow - block.startRow);
      }
    }
  });
});

describe('odd compressed tars', () => {
  const samples = Array.from({ length: 40 }, (_, i) => ({ name: `${i}.txt`, body: `text ${i} `.repeat(30 + 7 * i) }));
  const tar = tarOf(samples);
  const index = (bytes: Uint8Array): Promise<Shard> => openShard(memoryStore('memory://odd/', { 'a.tar.gz': bytes.slice() }), 'a.tar.gz');

  it('whose archive is cut short within a header or a body name the byte of their content', async () => {
    const lastBody = tar.length - 1024 - 512;
    for (const end of [lastBody, tar.length - 1024 - 12_000, 700]) {
      await expect(index(gzipSync(tar.subarray(0, end))), `${end}`).rejects.toMatchObject({
        code: 'SHARD_INVALID',
        message: expect.stringMatching(/at byte \d+ of its content it .*cut short/),
      });
    }
    await expect(index(gzipSync(new Uint8Array(0)))).rejects.toMatchObject({
      code: 'SHARD_INVALID',
      message: expect.stringContaining('empty'),
    });
    await expect(index(new Uint8Array(0))).rejects.toMatchObject({ code: 'SHARD_INVALID' });
    await expect(index(tar)).rejects.toMatchObject({ code: 'SHARD_INVALID' });
  });

  it('long bodies that nobody wants, and that are not all there, are cut short', async () => {
    const big = tarOf([...samples, { name: 'z.bin', body: 'x'.repeat(3_000_000) }]);
    expect((await index(gzipSync(big))).rows).toBe(41);
    await expect(index(gzipSync(big.subarray(0, big.length - 1024 - 512)))).rejects.toMatchObject({
      code: 'SHARD_INVALID',
      message: expect.stringContaining('cut short'),
    });
  });

  it('what follows the end of the archive is not left out in silence, and padding is none', async () => {
    await expect(index(gzipSync(Buffer.concat([tar, tar])))).rejects.toMatchObject({ code: 'SHARD_INVALID' });
    await expect(index(Buffer.concat([gzipSync(tar), Buffer.from('more')]))).rejects.toMatchObject({ code: 'SHARD_INVALID' });
    for (const fine of [Buffer.concat([gzipSync(tar), Buffer.alloc(700)]), gzipSync(Buffer.concat([tar, Buffer.alloc(4_000_000)]))]) {
      const shard = await index(fine);
      const store = memoryStore('memory://odd/', { 'a.tar.gz': new Uint8Array(fine) });
      expect((await readShard(store, shard, 7)).map(({ text }) => text)).toEqual(samples.map(({ body }) => body));
    }
  });

  it('changed anywhere, they give their rows or are said to be damaged', async () => {
    const good = gzipSync(tar);
    const texts = samples.map(({ body }) => body);
    let damaged = 0;
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const bytes = new Uint8Array(good);
        bytes[at] ^= change;
        const store = memoryStore('memory://odd/', { 'a.tar.gz': bytes });
        try {
          expect((await readShard(store, await openShard(store, 'a.tar.gz'), 9)).map(({ text }) => text)).toEqual(texts);
        } catch (error) {
          if (!(error instanceof HeadraceError)) throw error;
          expect(['SHARD_INVALID', 'SHARD_UNSUPPORTED']).toContain(error.code);
          damaged++;
        }
      }),
      { numRuns: 200 },
    );
    expect(damaged).toBeGreaterThan(100);
  });
});
