import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import { checkThrift } from '../../src/decode/parquet/check-thrift.js';
import { scanHere } from '../../src/decode/scan.js';
import { fileStore } from '../../src/store/file.js';
import { memoryStore } from '../../src/store/memory.js';
import { indexShard, readShard, type Value } from '../support/read-shard.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('../support/parquet_shapes.py', import.meta.url));
const PYTHON_READ = 'import json, sys, pyarrow.parquet as pq; print(json.dumps(pq.read_table(sys.argv[1]).column("text").to_pylist()))';

const readBytes = async (bytes: Uint8Array, column = 'text'): Promise<Value[]> => {
  const decoder = createParquetDecoder(scanHere);
  const store = memoryStore('memory://odd/', { 'odd.parquet': bytes });
  return readShard(decoder, store, await indexShard(decoder, store, 'odd.parquet', { column, kind: 'text' }), 10);
};

/** Those that docs/formats.md lists. */
describe('odd files, made here', () => {
  const good = new Uint8Array(parquetWriteBuffer({ columnData: [{ name: 'text', data: ['a', 'b', 'c'], type: 'STRING' }] }));
  const page = '<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in to go on</body></html>';
  const tar = Buffer.alloc(1024);
  tar.write('sample.txt');
  tar.write('ustar', 257);

  it.each([
    ['a gzip file', gzipSync(good), 'it is a gzip file'],
    ['a Zstandard file', Buffer.from('28b52ffd000000000000000000', 'hex'), 'it is a Zstandard file'],
    ['the page of a login', Buffer.from(page), 'it is an HTML page'],
    ['an error of a store', Buffer.from(`<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>`), 'it is an XML document'],
    ['lines of JSON', Buffer.from('{"text": "a"}\n{"text": "b"}\n'), 'it is JSON'],
    ['a ZIP archive', Buffer.from('PK\u0003\u0004 and so on and so on'), 'it is a ZIP archive'],
    ['a tar archive', tar, 'it is a tar archive'],
    ['an ORC file', Buffer.from('ORC and so on and so on'), 'it is an ORC file'],
    [
      'a pointer of Git LFS',
      Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n'),
      'it is a pointer of Git LFS',
    ],
    ['an empty object', Buffer.alloc(0), 'it is empty'],
    ['a file that was cut off', good.subarray(0, good.length - 20), 'it was cut off, or something was added'],
    ['a footer with garbage after it', Buffer.concat([good, Buffer.from('\n')]), 'it was cut off, or something was added'],
    ['noise', Buffer.alloc(500, 7), 'it does not end with PAR1'],
  ])('%s is called what it is', async (_name, bytes, problem) => {
    await expect(readBytes(bytes)).rejects.toMatchObject({ code: 'SHARD_INVALID', message: expect.stringContaining(problem) });
  });

  it('LZO is refused, with the codecs that are read', async () => {
    const bytes = new Uint8Array(
      parquetWriteBuffer({
        columnData: [{ name: 'text', data: ['a'.repeat(1000)], type: 'STRING' }],
        codec: 'LZO',
        compressors: { LZO: (input) => input.subarray(0, 10) },
      }),
    );
    await expect(readBytes(bytes)).rejects.toMatchObject({ code: 'SHARD_UNSUPPORTED', hint: expect.stringContaining('ZSTD') });
  });

  it.skipIf(PYTHON === undefined)('LZ4 as Hadoop frames it, which pyarrow reads as well', async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'headrace-lz4-'));
    try {
      const { parquetWriteFile } = await import('hyparquet-writer');
      const data = Array.from({ length: 500 }, (_, i) => `row ${i} ${'x'.repeat(i % 40)}`);
      const file = path.join(dir, 'a.parquet');
      parquetWriteFile({
        filename: file,
        columnData: [{ name: 'text', data, type: 'STRING' }],
        codec: 'LZ4',
        compressors: { LZ4: hadoopLz4 },
      });
      expect(JSON.parse(execFileSync(PYTHON!, ['-c', PYTHON_READ, file], { encoding: 'utf8' }))).toEqual(data);
      expect(await readBytes(await readFile(file))).toEqual(data);
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it('metadata that nests lists of millions is refused before it is built', () => {
    // each level claims a list of 16 Mi lists: 128 MiB of pointers, were it made
    const level = [0xf9, 0x80, 0x80, 0x80, 0x08];
    const bomb = Uint8Array.from([0x19, ...Array.from({ length: 40 }, () => level).flat(), ...Array<number>(1000).fill(0)]);
    const before = process.memoryUsage().rss;
    expect(() => checkThrift(bomb)).toThrow(/claims a list of 16777216 elements in \d+ bytes/);
    expect(() => checkThrift(Uint8Array.from(Array<number>(100).fill(0x1c)))).toThrow(/nests more than/);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
  });
});

/** An LZ4 block of literals alone, after its two lengths. Sources: LZ4 block format; Hadoop's BlockCompressorStream. */
function hadoopLz4(input: Uint8Array): Uint8Array {
  const extra = Math.max(0, input.length - 15);
  const token = input.length < 15 ? [input.length << 4] : [0xf0, ...Array<number>(Math.floor(extra / 255)).fill(255), extra % 255];
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(input.length, 0);
  frame.writeUInt32BE(token.length + input.length, 4);
  return Buffer.concat([frame, Buffer.from(token), input]);
}

describe.skipIf(PYTHON === undefined)('odd files, written by pyarrow', { timeout: 120_000 }, () => {
  let dir: string;
  let texts: readonly string[];
  const store = fileStore();

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-odd-'));
    ({ texts } = JSON.parse(execFileSync(PYTHON!, [SCRIPT, 'oddities', dir], { encoding: 'utf8' })) as { texts: string[] });
  });
  afterAll(() => rm(dir, { recursive: true }));

  const read = async (name: string, column: string, kind: 'text' | 'tokens' = 'text'): Promise<Value[]> => {
    const decoder = createParquetDecoder(scanHere);
    return readShard(decoder, store, await indexShard(decoder, store, path.join(dir, name), { column, kind }), 7);
  };

  it.each([
    ['a file without rows', 'no_rows.parquet', 0, 0],
    ['a file without row groups', 'no_groups.parquet', 0, 0],
    ['a file of one row', 'one_row.parquet', 0, 1],
    ['row groups without rows between others', 'empty_groups.parquet', 0, 100],
    ['a row group a row', 'many_groups.parquet', 0, 100],
    ['no statistics', 'statistics_off.parquet', 0, 100],
  ])('%s', async (_name, file, start, end) => {
    expect(await read(file, 'text')).toEqual(texts.slice(start, end));
  });

  it('thousands of columns, with a footer larger than the first guess', async () => {
    expect(await read('wide.parquet', 'text')).toEqual(['wide']);
  });

  it('an encrypted footer, and an encrypted column, are refused; a column beside it is read', async () => {
    await expect(read('encrypted_footer.parquet', 'text')).rejects.toMatchObject({
      code: 'SHARD_UNSUPPORTED',
      message: expect.stringContaining('encrypted footer'),
      hint: expect.stringContaining('without encryption'),
    });
    await expect(read('encrypted_column.parquet', 'text')).rejects.toMatchObject({
      code: 'SHARD_UNSUPPORTED',
      message: expect.stringContaining('column text of'),
      hint: expect.stringContaining('without encryption'),
    });
    expect(await read('encrypted_column.parquet', 'plain')).toEqual(texts.map((_, i) => `plain ${i}`));
  });

  it('_metadata, whose row groups are in other files, is refused when it is named', async () => {
    await expect(read('_metadata', 'text')).rejects.toMatchObject({
      code: 'SHARD_UNSUPPORTED',
      hint: expect.stringContaining('not at a _metadata file'),
    });
    expect(await read('_common_metadata', 'text')).toEqual([]);
  });

  it('two columns of one name are refused, where other readers take either', async () => {
    await expect(read('twice.parquet', 'text')).rejects.toMatchObject({
      code: 'SHARD_UNSUPPORTED',
      message: expect.stringContaining('2 columns of the name text'),
    });
  });

  it('an Arrow file with the ending of Parquet is called one', async () => {
    await expect(read('arrow.parquet', 'text')).rejects.toMatchObject({
      code: 'SHARD_INVALID',
      message: expect.stringContaining('it is an Arrow file'),
    });
  });

  it.each([
    ['date_list', 'tokens', /list of group, date/],
    ['list_list', 'tokens', /list of/],
    ['text_list', 'tokens', /list of group, string/],
    ['text_list', 'text', /list of/],
    ['map', 'tokens', /map of/],
    ['struct_list', 'tokens', /list of/],
    ['id_list', 'tokens', /list of group, group, int32/],
    ['struct', 'text', /group of/],
    ['decimal', 'text', /decimal/],
    ['uuid', 'text', /uuid/],
    ['half', 'text', /float16/],
  ] as const)('%s is refused as %s, by what it is', async (column, kind, type) => {
    await expect(read('types.parquet', column, kind)).rejects.toMatchObject({ code: 'COLUMN_TYPE', message: expect.stringMatching(type) });
  });

  it('a field of a struct is suggested by its path', async () => {
    expect(await read('types.parquet', 'struct.text', 'text')).toEqual(['a']);
    await expect(read('types.parquet', 'struct.txt', 'text')).rejects.toMatchObject({
      code: 'COLUMN_MISSING',
      hint: expect.stringContaining('struct.text'),
    });
  });
});
