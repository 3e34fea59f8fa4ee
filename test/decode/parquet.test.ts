import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Block, Shard } from '../../src/core/shard.js';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import { parquetUnitLayout } from '../../src/decode/parquet/layout.js';
import { scanHere } from '../../src/decode/scan.js';
import type { EncodedParquetSlice } from '../../src/decode/parquet/encoded-slice.js';
import { decodeParquetSlice } from '../../src/decode/parquet/decode-slice.js';
import type { Decoder, Rows, SliceRows } from '../../src/decode/decoder.js';
import { fileStore } from '../../src/store/file.js';
import { withCoalescing } from '../../src/store/with-coalescing.js';
import { memoryStore } from '../../src/store/memory.js';
import type { ByteRange, Store } from '../../src/store/store.js';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { parquetOf } from '../../examples/corpus/parquet.js';
import { expectEqual } from '../support/equal.js';
import { sliceOf } from '../support/slices.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('../support/reference.py', import.meta.url));
const signal = new AbortController().signal;
/** New for each test: a decoder remembers the pages that it has seen. */
let decoder: Decoder;
beforeEach(() => {
  decoder = createParquetDecoder(scanHere);
});

type Value = string | number[] | null;

/** Remembers which bytes were asked for. */
function recording(store: Store): { readonly store: Store; readonly reads: ByteRange[] } {
  const reads: ByteRange[] = [];
  return {
    reads,
    store: {
      ...store,
      read: (file, range, options) => {
        reads.push(range);
        return store.read(file, range, options);
      },
    },
  };
}

async function openShard(store: Store, file: string, column: string, kind: 'text' | 'tokens'): Promise<Shard> {
  const object = await store.head(file);
  return {
    path: file,
    uri: store.uri + file,
    size: object.size,
    etag: object.etag,
    ...(await decoder.index(store, object, { column, kind })),
  };
}

/** Reads a unit in slices of `sliceRows` rows. */
async function readUnit(store: Store, shard: Shard, unit: number, sliceRows: number): Promise<Value[]> {
  const { startRow, rows } = shard.units[unit];
  const block: Block = { shard: 0, unit, startRow, endRow: startRow + rows, decodedBytes: 1 };
  const reader = decoder.openBlock(store, shard.path, shard, block);
  const values: Value[] = [];
  for (let row = startRow; row < block.endRow; row += sliceRows) {
    values.push(
      ...valuesOf(decodeParquetSlice((await sliceOf(reader, row, Math.min(block.endRow, row + sliceRows), signal)) as EncodedParquetSlice)),
    );
  }
  return values;
}

async function readShard(store: Store, shard: Shard, sliceRows: number): Promise<Value[]> {
  const values: Value[] = [];
  for (const unit of shard.units.keys()) values.push(...(await readUnit(store, shard, unit, sliceRows)));
  return values;
}

function valuesOf(decoded: SliceRows): Value[] {
  const rows = decoded as Rows;
  return Array.from({ length: rows.count }, (_, i) => {
    if (rows.valid?.[i] === 0) return null;
    const [start, end] = [rows.bounds[i], rows.bounds[i + 1]];
    if (rows.kind === 'text') return Buffer.from(rows.bytes.subarray(start, end)).toString('utf8');
    return Array.from(rows.ids.subarray(start, end), Number);
  });
}

describe('Parquet written by hyparquet-writer', () => {
  const documents = sampleDocuments(200);
  const store = memoryStore('memory://test/', { 'a.parquet': parquetOf(documents, 60) });

  it('gives the rows that were written, in slices of any size', async () => {
    const shard = await openShard(store, 'a.parquet', 'text', 'text');
    expect([shard.rows, shard.units.length]).toEqual([200, 4]);
    for (const sliceRows of [1, 7, 60, 200]) {
      expectEqual(
        await readShard(store, shard, sliceRows),
        documents.map((document) => document.text),
      );
    }
  });

  it('asks for the footer and for the projected column, and for nothing else', async () => {
    const { store: recorder, reads } = recording(store);
    const shard = await openShard(recorder, 'a.parquet', 'text', 'text');
    expect(reads.splice(0)).toEqual([{ startByte: shard.size - 64 * 1024, endByte: shard.size }]);
    await readShard(recorder, shard, 60);
    const stored = shard.units.reduce((bytes, unit) => bytes + unit.storedBytes, 0);
    expect(reads.reduce((bytes, { startByte, endByte }) => bytes + endByte - startByte, 0)).toBe(stored);
    expect(stored).toBeLessThan(shard.size - 1000);
  });

  it('fetches each byte once without a page index, of pages and slices of any size', async () => {
    // one page is larger than a request that looks for pages
    const lengths = Array.from({ length: 80 }, (_, row) => (row === 20 ? 9_000_000 : 50_000 + ((row * 7919) % 300_000)));
    const texts = lengths.map((length, row) => `${row} `.repeat(length).slice(0, length));
    for (const rowsInPage of [1, 6, 25]) {
      const columnData = [{ name: 'text', data: texts, type: 'STRING' as const, encoding: 'PLAIN' as const, offsetIndex: false }];
      const pageSize = rowsInPage * 200_000;
      const file = new Uint8Array(parquetWriteBuffer({ columnData, codec: 'UNCOMPRESSED', pageSize, rowGroupSize: 50 }));
      const { store: recorder, reads } = recording(memoryStore('memory://pages/', { 'a.parquet': file }));
      const shard = await openShard(recorder, 'a.parquet', 'text', 'text');
      for (const sliceRows of [3, 10, 40, 50]) {
        reads.length = 0;
        decoder = createParquetDecoder(scanHere);
        expectEqual(await readShard(recorder, shard, sliceRows), texts);
        const sorted = [...reads].sort((a, b) => a.startByte - b.startByte);
        const twice = sorted.filter(({ startByte }, i) => i > 0 && startByte < sorted[i - 1].endByte);
        expect(twice, `pages of ${rowsInPage} rows, slices of ${sliceRows}`).toEqual([]);
      }
    }
  });

  it.each([
    { offsetIndex: false, requests: 1 },
    { offsetIndex: true, requests: 2 },
  ])('leaves no small rest of a row group to a request of its own ($requests for each)', async ({ offsetIndex, requests }) => {
    const texts = Array.from({ length: 120 }, (_, row) => `${row} `.repeat(30_000).slice(0, 30_000));
    const columnData = [{ name: 'text', data: texts, type: 'STRING' as const, encoding: 'PLAIN' as const, offsetIndex }];
    // of 1.2 MB each
    const file = new Uint8Array(parquetWriteBuffer({ columnData, codec: 'UNCOMPRESSED', pageSize: 100_000, rowGroupSize: 40 }));
    const { store: recorder, reads } = recording(memoryStore('memory://rests/', { 'a.parquet': file }));
    const shard = await openShard(recorder, 'a.parquet', 'text', 'text');
    for (const sliceRows of [3, 17, 40]) {
      reads.length = 0;
      decoder = createParquetDecoder(scanHere);
      expectEqual(await readShard(recorder, shard, sliceRows), texts);
      expect(reads).toHaveLength(3 * requests);
    }
  });

  it.each([
    ['no column of that name, with the nearest', 'txet', 'text', 'COLUMN_MISSING', /Did you mean text/],
    ['a column of another type', 'id', 'tokens', 'COLUMN_TYPE', /list</],
  ] as const)('names %s', async (_name, column, kind, code, hint) => {
    await expect(openShard(store, 'a.parquet', column, kind)).rejects.toMatchObject({ code, hint: expect.stringMatching(hint) });
  });

  it('names what is no Parquet file, or not a whole one', async () => {
    const good = parquetOf(documents, 60);
    const wrongLength = good.slice();
    new DataView(wrongLength.buffer).setUint32(good.length - 8, 0x7fffffff, true);
    const damaged = good.slice();
    damaged.fill(0xff, good.length - 400, good.length - 8);
    const bad = memoryStore('memory://bad/', {
      text: Buffer.from('this is no Parquet file, but long enough to be one'),
      tiny: Buffer.from('PAR1'),
      truncated: good.subarray(0, good.length - 100),
      wrongLength,
      damaged,
      encrypted: Buffer.concat([good.subarray(0, good.length - 4), Buffer.from('PARE')]),
    });
    for (const name of ['text', 'tiny', 'truncated', 'wrongLength', 'damaged']) {
      await expect(openShard(bad, name, 'text', 'text'), name).rejects.toMatchObject({
        code: 'SHARD_INVALID',
        message: expect.stringContaining(name),
      });
    }
    await expect(openShard(bad, 'encrypted', 'text', 'text')).rejects.toMatchObject({ code: 'SHARD_UNSUPPORTED' });
  });

  it('names a shard whose pages are damaged, and never delivers them', async () => {
    const bytes = parquetOf(documents, 60).slice();
    const clean = await openShard(memoryStore('memory://x/', { a: bytes }), 'a', 'text', 'text');
    const { startByte, endByte } = clean.units[0].layout as { startByte: number; endByte: number };
    bytes.fill(0xff, startByte, Math.min(endByte, startByte + 40));
    const store = memoryStore('memory://x/', { a: bytes });
    const shard = await openShard(store, 'a', 'text', 'text');
    await expect(readUnit(store, shard, 0, 60)).rejects.toMatchObject({ code: 'SHARD_INVALID' });
  });
});

describe.skipIf(PYTHON === undefined)('Parquet written by pyarrow', () => {
  let dir: string;
  let expected: { texts: Value[]; lists: Value[]; fixed: Value[]; layouts: string[] };
  const store = fileStore();

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-parquet-'));
    expected = JSON.parse(execFileSync(PYTHON!, [SCRIPT, 'columns', dir], { encoding: 'utf8', maxBuffer: 2 ** 28 })) as typeof expected;
  });
  afterAll(() => rm(dir, { recursive: true }));

  it('covers every codec and layout', () => expect(expected.layouts).toHaveLength(12));

  it.each(['string', 'large_string'])('gives the rows of a %s column, nulls and empty ones included', async (column) => {
    for (const layout of expected.layouts) {
      const shard = await openShard(store, path.join(dir, `${layout}.parquet`), column, 'text');
      expectEqual(await readShard(store, shard, 333), expected.texts, layout);
    }
  });

  it.each(['int32', 'uint16', 'uint32', 'int64'])('gives the rows of a list<%s> column', async (column) => {
    for (const layout of expected.layouts) {
      const shard = await openShard(store, path.join(dir, `${layout}.parquet`), column, 'tokens');
      expectEqual(await readShard(store, shard, 333), expected.lists, layout);
    }
  });

  it('gives the rows of a column of lists of one size', async () => {
    const shard = await openShard(store, path.join(dir, 'zstd.parquet'), 'fixed', 'tokens');
    expectEqual(await readShard(store, shard, 500), expected.fixed);
  });

  it('a list that holds a null is no row of tokens', async () => {
    const shard = await openShard(store, path.join(dir, 'snappy.parquet'), 'holes', 'tokens');
    expectEqual(
      await readShard(store, shard, 500),
      expected.fixed.map((row, i) => (i % 10 === 3 ? null : row)),
    );
  });

  it('a slice late in a row group fetches its own pages, once they are known', async () => {
    const { store: recorder, reads } = recording(store);
    const shard = await openShard(recorder, path.join(dir, 'index.parquet'), 'int32', 'tokens');
    reads.length = 0;
    const block: Block = { shard: 0, unit: 2, startRow: 2900, endRow: 3000, decodedBytes: 1 };
    const rows = valuesOf(
      decodeParquetSlice((await sliceOf(decoder.openBlock(recorder, shard.path, shard, block), 2900, 3000, signal)) as EncodedParquetSlice),
    );
    expect(rows).toEqual(expected.lists.slice(2900, 3000));
    const bytes = reads.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0);
    expect(bytes).toBeLessThan(0.6 * shard.units[2].storedBytes);
  });

  it("asks for a block's dictionary and its first pages at once, so that they can share a request", async () => {
    const requests = recording(store);
    const shard = await openShard(store, path.join(dir, 'index.parquet'), 'int32', 'tokens');
    const block: Block = { shard: 0, unit: 0, startRow: 0, endRow: 100, decodedBytes: 1 };
    const coalesced = withCoalescing(requests.store, { gapBytesMax: 0, joinedBytesMax: 2 ** 20 });
    await sliceOf(decoder.openBlock(coalesced, shard.path, shard, block), 0, 100, signal);
    expect(requests.reads).toHaveLength(2); // the offset index, and this one
    const { startByte } = parquetUnitLayout(shard.units[0].layout);
    expect(requests.reads[1].startByte).toBe(startByte);
  });

  it.each([
    ['double', 'text'],
    ['int32', 'text'],
    ['floats', 'tokens'],
    ['string', 'tokens'],
    ['double', 'tokens'],
  ] as const)('refuses the column %s as %s', async (column, kind) => {
    await expect(openShard(store, path.join(dir, 'none.parquet'), column, kind)).rejects.toMatchObject({ code: 'COLUMN_TYPE' });
  });
});
