/** Large pages that are stored as they are decoded: a slice has a page of its own rows. */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import type { EncodedParquetSlice } from '../../src/decode/parquet/encoded-slice.js';
import { openLargePage, pageOfRows, type LargePage } from '../../src/decode/parquet/large-page.js';
import { parquetUnitLayout } from '../../src/decode/parquet/layout.js';
import { decodeTexts } from '../../src/decode/parquet/text-pages.js';
import { scanHere } from '../../src/decode/scan.js';
import { memoryStore } from '../../src/store/memory.js';
import type { ByteRange, Store } from '../../src/store/store.js';
import { indexShard, valuesOf } from '../support/read-shard.js';
import { decodeSlice, sliceOf } from '../support/slices.js';

const PYTHON = process.env.HEADRACE_PYTHON;
/** What it knows of pages it keeps by URI and version: each file has a URI of its own. */
const decoder = createParquetDecoder(scanHere);
let files = 0;

/** What is fetched of it is written down. */
function recorded(bytes: Uint8Array): { readonly store: Store; readonly reads: ByteRange[] } {
  const store = memoryStore(`memory://large/${files++}/`, { a: bytes });
  const reads: ByteRange[] = [];
  return {
    reads,
    store: {
      ...store,
      read: (...[file, range, options]: Parameters<Store['read']>) => {
        reads.push(range);
        return store.read(file, range, options);
      },
    },
  };
}

const bytesOf = (ranges: readonly ByteRange[]): number => ranges.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0);

/** Short ones, some beyond the first piece, one that is leapt over, and none. */
const TEXTS: readonly (string | null)[] = Array.from({ length: 60 }, (_, i) =>
  i % 7 === 3
    ? null
    : i === 40
      ? 'long '.repeat(2_400_000)
      : i % 5 === 0
        ? `${i} text é`.repeat(10_000 + i)
        : i % 2 === 0
          ? `text ${i}`
          : '',
);

describe.skipIf(PYTHON === undefined)('a page is cut to rows', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-large-'));
    const script = `
import json, sys, pyarrow as pa, pyarrow.parquet as pq
texts = json.load(sys.stdin)
for version in ("1.0", "2.0"):
    for crc in (False, True):
        for nullable in (True, False):
            column = pa.field("text", pa.string(), nullable=nullable)
            table = pa.table([pa.array(texts if nullable else [text or "" for text in texts], pa.string())], schema=pa.schema([column]))
            pq.write_table(table, f"{sys.argv[1]}/{version}-{crc}-{nullable}", compression="none", use_dictionary=False, data_page_size=2**30,
                data_page_version=version, write_page_checksum=crc, write_statistics=False)
large = pa.table({"text": [f"{i} " * 25_000 for i in range(750)]})
pq.write_table(large, f"{sys.argv[1]}/large", compression="none", use_dictionary=False, data_page_size=2**30)`;
    execFileSync(PYTHON!, ['-c', script, dir], { input: JSON.stringify(TEXTS) });
  });
  afterAll(() => rm(dir, { recursive: true }));

  const open = async (
    bytes: Uint8Array,
  ): Promise<{ readonly large: LargePage | undefined; readonly slice: EncodedParquetSlice; readonly fetchedBytes: number }> => {
    const { store, reads } = recorded(bytes);
    const shard = await indexShard(decoder, store, 'a', { column: 'text', kind: 'text' });
    const block = { shard: 0, unit: 0, startRow: 0, endRow: TEXTS.length, decodedBytes: 1 };
    const slice = (await sliceOf(decoder.openBlock(store, 'a', shard, block), 0, TEXTS.length)) as EncodedParquetSlice;
    const { startByte, endByte } = parquetUnitLayout(shard.units[0].layout);
    reads.length = 0;
    const levelMax = slice.schema.at(-1)?.repetition_type === 'OPTIONAL' ? 1 : 0;
    const large = await openLargePage(startByte, endByte, levelMax, (from, to) => store.read('a', { startByte: from, endByte: to }));
    return { large, slice, fetchedBytes: bytesOf(reads) };
  };

  it.each(
    ['1.0', '2.0'].flatMap((version) => ['False', 'True'].flatMap((crc) => ['False', 'True'].map((nulls) => `${version}-${crc}-${nulls}`))),
  )('of any version, with a checksum or none, with nulls or none: %s', async (file) => {
    const bytes = new Uint8Array(await readFile(path.join(dir, file)));
    const { large, slice, fetchedBytes } = await open(bytes);
    // the long value is leapt over, unless there is a checksum of it
    if (file.includes('True-')) expect(fetchedBytes).toBeGreaterThan(0.99 * bytes.length);
    else expect(fetchedBytes).toBeLessThan(bytes.length - 2_000_000);
    const texts = file.endsWith('True') ? TEXTS : TEXTS.map((text) => text ?? '');
    for (const [from, to] of [
      [0, 60],
      [0, 1],
      [3, 4],
      [2, 5],
      [39, 42],
      [41, 60],
      [59, 60],
      [10, 10],
    ]) {
      const { head, startByte, endByte } = pageOfRows(large!, from, to);
      const pages = new Uint8Array(Buffer.concat([head, bytes.subarray(startByte, endByte)]));
      const own = { ...slice, pages, pageRows: to - from, skipRows: 0, rows: to - from };
      expect(valuesOf(decodeTexts(own)!), `${from} to ${to}`).toEqual(texts.slice(from, to));
    }
  });

  it('but not where it is damaged: who decodes it whole says of what kind', async () => {
    const bytes = new Uint8Array(await readFile(path.join(dir, '1.0-True-True')));
    const { large } = await open(bytes);
    expect(large).toBeDefined();
    const changed = Uint8Array.from(bytes);
    changed[large!.bounds[40] + 5_000_000] ^= 1; // in the long value
    const { store } = recorded(changed);
    const { startByte } = large!;
    const endByte = parquetUnitLayout((await indexShard(decoder, store, 'a', { column: 'text', kind: 'text' })).units[0].layout).endByte;
    const read = (from: number, to: number): Promise<Uint8Array> => store.read('a', { startByte: from, endByte: to });
    expect(await openLargePage(startByte, endByte, 1, read)).toBeUndefined();
    expect(await openLargePage(startByte, endByte - 1, 1, read)).toBeUndefined();
    expect(await openLargePage(startByte, endByte, 0, read)).toBeUndefined();
  });

  it('slices of a page of more than 64 MiB fetch their own rows, and hold nothing of the others', async () => {
    const texts = Array.from({ length: 750 }, (_, i) => `${i} `.repeat(25_000));
    const bytes = new Uint8Array(await readFile(path.join(dir, 'large')));
    expect(bytes.length).toBeGreaterThan(66 * 2 ** 20);
    const { store, reads } = recorded(bytes);
    const shard = await indexShard(decoder, store, 'a', { column: 'text', kind: 'text' });
    for (const [blockStart, blockEnd] of [
      [350, 750],
      [0, 350],
    ]) {
      const reader = decoder.openBlock(store, 'a', shard, { shard: 0, unit: 0, startRow: blockStart, endRow: blockEnd, decodedBytes: 1 });
      for (let row = blockStart; row < blockEnd; row += 25) {
        const slice = await sliceOf(reader, row, row + 25);
        expect(slice.format === 'parquet' && slice.kind === 'text' && slice.pages.length).toBeLessThan(3_000_000);
        expect(bytesOf(reader.ranges)).toBeLessThan(3_000_000);
        expect(valuesOf(decodeSlice(slice))).toEqual(texts.slice(row, row + 25));
      }
    }
    // once to see where the rows lie, once for the rows, and what was looked at before that
    expect(bytesOf(reads)).toBeLessThan(2.2 * bytes.length);
  });
});
