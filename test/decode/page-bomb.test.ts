import { describe, expect, it } from 'vitest';
import type { Block, Shard } from '../../src/core/shard.js';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import { countPageRows } from '../../src/decode/parquet/count-page-rows.js';
import { scanHere } from '../../src/decode/scan.js';
import { decodeParquetSlice } from '../../src/decode/parquet/decode-slice.js';
import type { EncodedParquetSlice } from '../../src/decode/parquet/encoded-slice.js';
import { memoryStore } from '../../src/store/memory.js';
import type { ByteRange, Store } from '../../src/store/store.js';
import { parquetOf } from '../../examples/corpus/parquet.js';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { sliceOf } from '../support/slices.js';

/** Thrift's compact protocol: numbers zigzag, seven bits a byte. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = 2 * value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return [...bytes, rest];
}

/** A page with a header of our own. Source: Apache Parquet format, parquet.thrift, PageHeader and its fields. */
function page(kind: 'data' | 'dictionary', decodedBytes: number, values: number, body: readonly number[]): Uint8Array<ArrayBuffer> {
  const sizes = [0x15, ...varint(kind === 'data' ? 0 : 2), 0x15, ...varint(decodedBytes), 0x15, ...varint(body.length)];
  const own = kind === 'data' ? [0x2c, 0x15, ...varint(values), 0x15, 0, 0x15, 6, 0x15, 6, 0] : [0x4c, 0x15, ...varint(values), 0x15, 0, 0];
  return Uint8Array.from([...sizes, ...own, 0, ...body]);
}

const BODY = [1, 0, 0, 0, 0x61, 0, 0, 0];
const MEBIBYTE = 2 ** 20;

const textSlice = (change: Partial<EncodedParquetSlice>, codec = 'SNAPPY'): EncodedParquetSlice => ({
  format: 'parquet',
  kind: 'text',
  uri: 's3://bucket/bomb.parquet',
  dictionary: new Uint8Array(0),
  dictionaryByte: 4,
  pages: page('data', 100, 1, BODY),
  pagesByte: 4,
  ranges: [],
  pageRows: 1,
  skipRows: 0,
  rows: 1,
  decodedBytes: 2 ** 40,
  unit: { codec, encodings: ['PLAIN'], type: 'BYTE_ARRAY', path: ['text'] },
  schema: [
    { name: 'schema', num_children: 1 },
    { name: 'text', type: 'BYTE_ARRAY', repetition_type: 'REQUIRED' },
  ],
  ...change,
});

/** FAULTS 35. */
describe('pages that claim more than they can hold are refused by name, and nothing is allocated for them', () => {
  const tokens: Partial<EncodedParquetSlice> = {
    kind: 'tokens',
    schema: [
      { name: 'schema', num_children: 1 },
      { name: 'ids', repetition_type: 'OPTIONAL', num_children: 1, converted_type: 'LIST' },
      { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
      { name: 'element', type: 'INT32', repetition_type: 'OPTIONAL' },
    ],
  };
  const tokenUnit = { codec: 'SNAPPY', encodings: ['PLAIN'], type: 'INT32', path: ['ids', 'list', 'element'] };
  const bombs: [string, EncodedParquetSlice, RegExp][] = [
    ['Snappy: 1 GiB of 8 bytes', textSlice({ pages: page('data', 2 ** 30, 1, BODY) }), /a page of 8 bytes claims 1073741824 decoded/],
    ['Snappy: 1 MiB of 8 bytes', textSlice({ pages: page('data', MEBIBYTE, 1, BODY) }), /claims 1048576 decoded/],
    ['GZIP: 1 MiB of 8 bytes', textSlice({ pages: page('data', MEBIBYTE, 1, BODY) }, 'GZIP'), /claims 1048576 decoded/],
    ['LZ4: 1 MiB of 8 bytes', textSlice({ pages: page('data', MEBIBYTE, 1, BODY) }, 'LZ4_RAW'), /claims 1048576 decoded/],
    ['Zstandard: 1 GiB of 8 bytes', textSlice({ pages: page('data', 2 ** 30, 1, BODY) }, 'ZSTD'), /claims 1073741824 decoded/],
    ['no codec: 9 bytes of 8', textSlice({ pages: page('data', 9, 1, BODY) }, 'UNCOMPRESSED'), /claims 9 decoded/],
    ['more than any page has', textSlice({ pages: page('data', 2 ** 30 + 1, 1, BODY) }, 'BROTLI'), /claims 1073741825 decoded/],
    ['a dictionary', textSlice({ dictionary: page('dictionary', 2 ** 30, 1, BODY) }), /claims 1073741824 decoded/],
    ['2 Gi values', textSlice({ pages: page('data', 100, 2 ** 31 - 1, BODY), pageRows: 2 ** 31 - 1 }), /claim 2147483647 values/],
    ['more rows than values', textSlice({ pageRows: 2 ** 31 - 1 }), /hold 1 values where the metadata says 2147483647 rows/],
    ['a page of lists', textSlice({ ...tokens, unit: tokenUnit, pages: page('data', 2 ** 30, 1, BODY) }), /claims 1073741824 decoded/],
    ['2 Gi lists', textSlice({ ...tokens, unit: tokenUnit, pages: page('data', 100, 2 ** 31 - 1, BODY) }), /claim \d+ bytes of ids/],
  ];

  it.each(bombs)('%s', (_name, slice, problem) => {
    const before = process.memoryUsage().rss;
    const outcome = (): unknown => decodeParquetSlice(slice);
    expect(outcome).toThrow(problem);
    expect(outcome).toThrow(/bomb\.parquet/);
    // half of what the largest claims would take; libraries that are loaded take less
    expect(process.memoryUsage().rss - before).toBeLessThan(512 * MEBIBYTE);
  });

  it('a page of lists whose rows are counted first, by the name of its shard', async () => {
    const counted = countPageRows({ codec: 'GZIP', bytes: page('data', 2 ** 30, 1, BODY) });
    expect(counted).toMatchObject({ rows: new Int32Array(0), problem: expect.stringMatching(/claims 1073741824 decoded/) });
    const bomb = page('data', 2 ** 30, 1, BODY);
    const store = memoryStore('memory://bombs/', { 'b.parquet': bomb });
    const { etag } = await store.head('b.parquet');
    const layout = {
      startByte: 0,
      endByte: bomb.length,
      dataStartByte: 0,
      codec: 'GZIP',
      encodings: ['PLAIN'],
      type: 'INT32',
      path: ['ids'],
    };
    const shard: Shard = {
      path: 'b.parquet',
      uri: 'memory://bombs/b.parquet',
      size: bomb.length,
      etag,
      contentId: '',
      rows: 1,
      units: [{ startRow: 0, rows: 1, decodedBytes: 4, storedBytes: bomb.length, layout }],
      layout: { schema: [], nested: true },
    };
    const block: Block = { shard: 0, unit: 0, startRow: 0, endRow: 1, decodedBytes: 4 };
    const decoder = createParquetDecoder(scanHere);
    const slice = sliceOf(decoder.openBlock(store, 'b.parquet', shard, block), 0, 1, new AbortController().signal);
    await expect(slice).rejects.toMatchObject({
      code: 'SHARD_INVALID',
      message: expect.stringMatching(/b\.parquet.*1073741824 decoded/),
      detail: { uri: 'memory://bombs/b.parquet' },
    });
  });
});

/** FAULTS 33. */
describe('a footer that claims too much', () => {
  const good = parquetOf(sampleDocuments(20), 10);
  const recorded = (bytes: Uint8Array): { readonly store: Store; readonly reads: ByteRange[] } => {
    const reads: ByteRange[] = [];
    const store: Store = {
      ...memoryStore('memory://bad/'),
      // an object of any size, whose end is these bytes
      read: (_path, { startByte, endByte }) => {
        reads.push({ startByte, endByte });
        const tail = new Uint8Array(endByte - startByte);
        tail.set(bytes.subarray(Math.max(0, bytes.length - tail.length)), Math.max(0, tail.length - bytes.length));
        return Promise.resolve(tail);
      },
    };
    return { store, reads };
  };
  const withLength = (footerBytes: number): Uint8Array => {
    const bytes = good.slice();
    new DataView(bytes.buffer).setUint32(bytes.length - 8, footerBytes, true);
    return bytes;
  };

  it.each([
    ['of an object that could hold it', 300 * MEBIBYTE, 2 ** 40],
    ['as long as its object', 2 ** 20, 2 ** 20],
  ])('%s is read no further than its end', async (_name, footerBytes, size) => {
    const { store, reads } = recorded(withLength(footerBytes));
    const index = createParquetDecoder(() => Promise.reject(new Error('no page is read'))).index;
    await expect(index(store, { path: 'a', size, etag: 'e' }, { column: 'text', kind: 'text' })).rejects.toMatchObject({
      code: 'SHARD_INVALID',
      message: expect.stringContaining(`memory://bad/a is not a readable Parquet file: its footer claims ${footerBytes + 8} bytes`),
    });
    expect(reads).toEqual([{ startByte: size - 64 * 1024, endByte: size }]);
  });

  it.each([
    ['2 Gi row groups', [0x15, 2, 0x19, 0xfc, ...[0xff, 0xff, 0xff, 0xff, 0x07]]],
    ['a schema of 2 Gi elements', [0x15, 2, 0x19, 0xfc, ...[0xff, 0xff, 0xff, 0xff, 0x0f]]],
    ['a text of 2 Gi bytes', [0x15, 2, 0x29, 0x1c, 0x48, ...[0xff, 0xff, 0xff, 0xff, 0x07]]],
  ])('%s: is refused by name', async (_name, footer) => {
    const trailer = [footer.length, 0, 0, 0, ...Buffer.from('PAR1')];
    const file = Uint8Array.from([...Buffer.from('PAR1'), ...Array<number>(100).fill(0), ...footer, ...trailer]);
    const store = memoryStore('memory://bad/', { a: file });
    const index = createParquetDecoder(() => Promise.reject(new Error('no page is read'))).index;
    await expect(index(store, await store.head('a'), { column: 'text', kind: 'text' })).rejects.toMatchObject({
      code: 'SHARD_INVALID',
      message: expect.stringContaining('memory://bad/a'),
    });
  });
});
