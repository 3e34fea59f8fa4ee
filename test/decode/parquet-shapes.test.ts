import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import { scanHere } from '../../src/decode/scan.js';
import { fileStore } from '../../src/store/file.js';
import { expectEqual } from '../support/equal.js';
import { indexShard, readShard, type Value } from '../support/read-shard.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('../support/parquet_shapes.py', import.meta.url));
const SLICE_ROWS = 77;

interface Expected {
  readonly layouts: readonly string[];
  readonly texts: readonly Value[];
  readonly nested: readonly Value[];
  readonly lists: readonly Value[];
  readonly nestedLists: readonly Value[];
  readonly fixedLists: readonly Value[];
  readonly fixedBinary: readonly Value[];
  readonly deltaEncodings: readonly string[];
}

describe.skipIf(PYTHON === undefined)('shapes of columns, written by pyarrow', { timeout: 180_000 }, () => {
  let dir: string;
  let expected: Expected;
  const store = fileStore();

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-shapes-'));
    expected = JSON.parse(execFileSync(PYTHON!, [SCRIPT, 'shapes', dir], { encoding: 'utf8', maxBuffer: 2 ** 28 })) as Expected;
  });
  afterAll(() => rm(dir, { recursive: true }));

  const read = async (layout: string, column: string, kind: 'text' | 'tokens'): Promise<Value[]> => {
    const decoder = createParquetDecoder(scanHere);
    const shard = await indexShard(decoder, store, path.join(dir, `${layout}.parquet`), { column, kind });
    return readShard(decoder, store, shard, SLICE_ROWS);
  };

  it('the files have the encodings that they are there for', () => {
    expect(expected.deltaEncodings).toEqual(expect.arrayContaining(['DELTA_BYTE_ARRAY', 'DELTA_BINARY_PACKED']));
    expect(expected.layouts).toHaveLength(14);
  });

  it.each(['text', 'binary', 'large_binary', 'category', 'string_view'])('text: %s', async (column) => {
    for (const layout of expected.layouts) expectEqual(await read(layout, column, 'text'), expected.texts, layout);
  });

  it('a field of a struct by its path: null at any level is a null row', async () => {
    for (const layout of expected.layouts) {
      expectEqual(await read(layout, 'wrapped.doc.body', 'text'), expected.nested, layout);
      // a column of that very name is found before the path
      expectEqual(
        await read(layout, 'meta.doc.body', 'text'),
        expected.texts.map((_, i) => `dotted ${i}`),
        layout,
      );
      expectEqual(
        await read(layout, 'meta.lang', 'text'),
        expected.texts.map((_, i) => (i % 17 === 1 ? null : 'en')),
        layout,
      );
      expectEqual(
        await read(layout, 'a.b.c.d', 'text'),
        expected.texts.map((_, i) => `inner ${i}`),
        layout,
      );
    }
  });

  it('a list in a struct in a struct, through the kernel and through Arrow', async () => {
    for (const layout of expected.layouts) expectEqual(await read(layout, 'ids.doc.body', 'tokens'), expected.nestedLists, layout);
  });

  it.each(['list_uint8', 'list_int8', 'list_int16', 'list_uint16', 'list_int32', 'list_uint32', 'list_int64', 'large_list'])(
    'token ids: %s',
    async (column) => {
      for (const layout of expected.layouts) expectEqual(await read(layout, column, 'tokens'), expected.lists, layout);
    },
  );

  it('lists of one size, and lists whose elements are never null', async () => {
    for (const layout of expected.layouts) {
      expectEqual(await read(layout, 'fixed_list', 'tokens'), expected.fixedLists, layout);
      expectEqual(
        await read(layout, 'strict_list', 'tokens'),
        expected.lists.map((row) => row ?? []),
        layout,
      );
    }
  });

  it('bytes of one length, plain, split into streams, and as differences', async () => {
    for (const layout of [...expected.layouts]) expectEqual(await read(layout, 'fixed_binary', 'text'), expected.fixedBinary, layout);
    for (const layout of ['flba_split', 'flba_delta']) expectEqual(await read(layout, 'fixed', 'text'), expected.fixedBinary, layout);
  });
});
