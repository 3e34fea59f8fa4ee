import { execFileSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { openPipeline } from 'headrace';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeShards } from '../../examples/corpus/parquet.js';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { describeField } from '../../src/core/fields.js';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import { scanHere } from '../../src/decode/scan.js';
import { inspect, type Inspection } from '../../src/inspecting.js';
import { adviceOf } from '../../src/inspection-advice.js';
import { memoryStore } from '../../src/store/memory.js';
import { runCommand } from '../support/commands.js';
import { MINIO_BINARY, startMinio } from '../support/minio.js';
import { runCli } from '../support/sidecar.js';
import { tarOf } from '../support/tar.js';
import { makeWorkspace, type Workspace } from '../support/workspace.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const documents = sampleDocuments(200);

const parquet = (columns: Record<string, readonly unknown[]>, options: object = {}): Uint8Array =>
  new Uint8Array(
    parquetWriteBuffer({
      columnData: Object.entries(columns).map(([name, data]) => ({ name, data: [...data], type: 'STRING' as const })),
      ...options,
    }),
  );

describe('headrace inspect', () => {
  let workspace: Workspace;
  let files: Map<string, Uint8Array>;

  const inspected = async (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Inspection> => {
    const { code, out, err } = await runCommand(['inspect', ...args, '--json'], env);
    // the AWS SDK has something to say about Node 20
    expect(err).not.toContain('error');
    expect(code).toBe(0);
    return JSON.parse(out) as Inspection;
  };
  const failure = async (...args: string[]): Promise<string> => {
    const { code, out, err } = await runCommand(['inspect', ...args]);
    expect([code, out]).toEqual([1, '']);
    return err;
  };

  beforeAll(async () => {
    workspace = await makeWorkspace();
    files = await writeShards(workspace.path('data'), documents, 4, 10);
  });
  afterAll(() => workspace.remove());

  it('says what is there, and shows the first rows of what a source could use', async () => {
    const found = await inspected([workspace.path('data')]);
    const sizes = [...files.values()].map(({ length }) => length).sort((a, b) => a - b);
    expect(found).toMatchObject({ format: 'parquet', shards: 4, looked: 4, rows: 200, units: { count: 20, rows: { min: 10, max: 10 } } });
    expect(found.shardBytes).toEqual({ total: sizes.reduce((a, b) => a + b), min: sizes[0], median: sizes[1], max: sizes[3] });
    expect(found.columns.map(({ name, type, use }) => [name, type, use])).toEqual(
      ['id', 'text', 'ballast'].map((name) => [name, 'string', 'text']),
    );
    const own = documents.filter((_, i) => i % 4 === 0).slice(0, 3);
    expect(found.firstRows.columns.find(({ name }) => name === 'text')?.rows).toEqual(own.map(({ text }) => text));
    expect(found.advice.map(({ code }) => code)).toEqual(['small-row-groups']);
  });

  it('fits the terminal, and escapes what could drive it', async () => {
    await mkdir(workspace.path('odd'));
    const texts = ['plain', '\u001b[2Jgone\u0007\n\u202ereversed', 'x'.repeat(5000)];
    await writeFile(workspace.path('odd', 'a.parquet'), parquet({ text: texts, '\u001b[31mred': texts }));
    const { code, out, err } = await runCli(['inspect', workspace.path('odd'), '--width', '72']);
    expect([code, err]).toEqual([0, '']);
    expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f\u202e]/);
    expect(out).toContain('\\u{1b}[2Jgone');
    expect(out).toMatch(/2: x+… \(5000 characters\)/);
    for (const line of out.split('\n').filter((own) => !own.startsWith('warning'))) expect(Array.from(line).length).toBeLessThanOrEqual(72);
  });

  it('asks for the footers of a few shards, and for the first rows of one', async () => {
    const decoder = createParquetDecoder(scanHere);
    const bytes = files.get('part-000.parquet')!;
    const store = memoryStore('memory://x/', { a: bytes });
    let reads = 0;
    const counting = { ...store, read: ((...args) => (reads++, store.read(...args))) as typeof store.read };
    await decoder.describe!(counting, await store.head('a'));
    expect(reads).toBe(1);
    await mkdir(workspace.path('many'));
    for (let i = 0; i < 40; i++) await writeFile(workspace.path('many', `p-${String(i).padStart(3, '0')}.parquet`), bytes);
    expect(await inspected([workspace.path('many')])).toMatchObject({ shards: 40, looked: 16 });
    expect(await inspected([workspace.path('many'), '--all'])).toMatchObject({ shards: 40, looked: 40, rows: 40 * 50 });
  });

  it('names the shards whose columns differ', async () => {
    await mkdir(workspace.path('mixed'));
    await writeFile(workspace.path('mixed', 'a.parquet'), parquet({ text: ['a'], lang: ['en'] }));
    await writeFile(workspace.path('mixed', 'b.parquet'), parquet({ text: ['a'] }));
    const found = await inspected([workspace.path('mixed')]);
    expect(found.differences).toEqual([{ column: 'lang', shard: 'b.parquet', reference: 'a.parquet', problem: 'missing' }]);
    expect(found.advice.map(({ code }) => code)).toContain('mixed-schemas');
  });

  it('shows all fields of JSON lines, over all shards, and names those that cannot be one column', async () => {
    await mkdir(workspace.path('lines'));
    const rows = (own: readonly unknown[]): string => own.map((row) => `${JSON.stringify(row)}\n`).join('');
    await writeFile(
      workspace.path('lines', 'a.jsonl'),
      rows([
        { text: 'a', meta: { lang: 'en' }, id: 1 },
        { text: null, id: 2 },
      ]),
    );
    await writeFile(workspace.path('lines', 'b.jsonl'), rows([{ text: 'b', id: 'x', ids: [1] }, 7]));
    const found = await inspected([workspace.path('lines')]);
    expect(found.columns.map(({ name, type, seen }) => [name, type, seen?.rows, seen?.missing, seen?.nulls])).toEqual([
      ['text', 'string', 3, 0, 1],
      ['meta.lang', 'string', 3, 2, 0],
      ['id', 'integer or string', 3, 0, 0],
      ['ids', 'list<integer>', 3, 2, 0],
    ]);
    expect(found.differences).toEqual([{ column: 'id', shard: 'b.jsonl', reference: 'a.jsonl', problem: 'string instead of integer' }]);
    expect(found.advice.map(({ code }) => code)).toEqual(['mixed-schemas', 'bad-rows']);
    expect(found.firstRows).toEqual({
      shard: 'a.jsonl',
      columns: [
        { name: 'text', rows: ['a', null] },
        { name: 'meta.lang', rows: ['en', null] },
      ],
    });
    const { out } = await runCommand(['inspect', workspace.path('lines')]);
    expect(out).toContain('columns as in the first rows of each shard: 3 rows');
    expect(out).toMatch(/text +string .* · 33 % null/);
    expect(out).toMatch(/b\.jsonl \(line 2\) is not a JSON object/);
  });

  it('shows the members of tars, how many samples have them, and what the texts among them are', async () => {
    const samples = Array.from({ length: 8 }, (_, i) => [
      { name: `${i}.jpg`, body: 'i'.repeat(1000 + i) },
      ...(i % 4 === 0 ? [] : [{ name: `${i}.Txt`, body: `caption ${i}` }]),
      { name: `${i}.cls`, body: `${i}` },
      { name: `${i}.emb.npy`, body: 'not looked at' },
      { name: `${i}.json`, body: JSON.stringify({ w: String(i) }) },
    ]);
    await mkdir(workspace.path('tars'));
    await writeFile(workspace.path('tars', '0.tar'), tarOf(samples.flat()));
    await writeFile(workspace.path('tars', '1.tar.gz'), gzipSync(tarOf(samples.slice(0, 4).flat())));
    const found = await inspected([workspace.path('tars/'), '--rows', '2']);
    expect(found).toMatchObject({ format: 'webdataset', shards: 2, looked: 2, rows: 12, units: { count: 2 }, differences: [] });
    expect(
      found.columns.map(({ name, type, use, codecs, storedBytes, seen }) => [name, type, use, codecs, storedBytes, seen?.missing]),
    ).toEqual([
      ['jpg', 'bytes', undefined, ['gzip'], 12_000 + 28 + 6, 0],
      ['cls', 'int64', undefined, ['gzip'], 12, 0],
      ['emb.npy', 'array', undefined, ['gzip'], 12 * 13, 0],
      ['json', 'text', 'text', ['gzip'], 12 * 9, 0],
      ['txt', 'text', 'text', ['gzip'], 9 * 9, 3],
    ]);
    expect(found.firstRows.columns).toEqual([
      { name: 'json', rows: ['{"w":"0"}', '{"w":"1"}'] },
      { name: 'txt', rows: [null, 'caption 1'] },
    ]);
    const asked = await inspected([workspace.path('tars', '0.tar'), '--rows', '2', '--text', 'json.w;txt']);
    expect(asked.firstRows.columns).toEqual([{ name: 'json.w;txt', rows: ['0', '1'] }]);
    expect(await failure(workspace.path('tars/'), '--text', 'caption')).toContain('COLUMN_MISSING');
  });

  it('offers of tars, JSON lines and separated values the fields that a source can name, which are served as they are offered', async () => {
    const npy = (descr: string, shape: string, bytes: number): string =>
      `\x93NUMPY\x01\x00v\x00{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`.padEnd(127) + '\n' + '\0'.repeat(bytes);
    const row = (i: number): object => ({
      text: `t${i}`,
      n: i === 3 ? 2 ** 62 : -i,
      q: i / 2,
      huge: 1e300,
      ok: i % 2 === 0,
      emb: [0.5, 1, i],
      flags: [true, false],
      several: Array.from({ length: i }, () => 1),
      mixed: i % 2 === 0 ? 'a' : 1,
      maybe: i % 2 === 0 ? null : 'x',
      meta: { lang: 'en', ...(i === 0 && { rank: 1 }) },
    });
    const rows = Array.from({ length: 8 }, (_, i) => row(i));
    const samples = rows.flatMap((own, i) => [
      { name: `${i}.jpg`, body: 'i' },
      ...(i === 5 ? [] : [{ name: `${i}.txt`, body: 'caption' }]),
      { name: `${i}.cls`, body: `${i}` },
      { name: `${i}.emb.npy`, latin1: npy('<f2', '(2, 3)', 12) },
      { name: `${i}.ids.npy`, latin1: npy('<u2', '(4,)', 8) },
      { name: `${i}.one.npy`, latin1: npy('<i8', '()', 8) },
      { name: `${i}.several.npy`, latin1: npy('<f4', `(${i},)`, 4 * i) },
      { name: `${i}.json`, body: JSON.stringify(own) },
    ]);
    await mkdir(workspace.path('offers'));
    const files = {
      'a.tar': tarOf(samples),
      'a.tar.gz': gzipSync(tarOf(samples)),
      'a.jsonl': rows.map((own) => `${JSON.stringify(own)}\n`).join(''),
      'a.csv': 'text,n\nt0,0\n"t,1",1\n',
    };
    const ofJson = [
      'n int64 {"type":"int64"}',
      'q float64 {"type":"float64"}',
      'huge float64 {"type":"float64"}',
      'ok uint8 {"type":"uint8"}',
      'emb float32 × 3 {"type":"float32","size":3}',
      'flags uint8 × 2 {"type":"uint8","size":2}',
      'maybe text {"missing":null}',
      'meta.lang text',
      'meta.rank int64 {"type":"int64","missing":null}',
    ];
    const ofTar = [
      'jpg bytes',
      'txt text {"missing":null}',
      'cls int64',
      'emb.npy float32 × 6 {"size":6}',
      'ids.npy int32 × 4 {"size":4,"type":"int32"}',
      'one.npy int64 {"type":"int64"}',
      'json text',
      'json.text text',
      ...ofJson.map((own) => `json.${own}`),
      '__key__ text',
    ];
    const offered = { 'a.tar': ofTar, 'a.tar.gz': ofTar, 'a.jsonl': ['text text', ...ofJson], 'a.csv': ['text text', 'n text'] };
    for (const name of ['a.tar', 'a.tar.gz', 'a.jsonl', 'a.csv'] as const) {
      await writeFile(workspace.path('offers', name), files[name]);
      const { fields } = await inspected([workspace.path('offers', name)]);
      const shown = fields.map(({ name: field, type, said }) => `${field} ${type}${said === undefined ? '' : ` ${JSON.stringify(said)}`}`);
      expect(shown, name).toEqual(offered[name]);
      const named = fields.map(({ name: column, said = {} }, i) => {
        const { size, ...others } = said;
        return [`f${i}`, { column, ...others, ...(size !== undefined && { size: Number(size) }) }] as const;
      });
      const pipeline = await openPipeline({
        sources: { own: { uri: workspace.path('offers', name), fields: Object.fromEntries(named) } },
        sequence: 'none',
        batch: { size: name === 'a.csv' ? 2 : 8, lanes: 1 },
        epochs: 1,
      });
      try {
        const batches = [];
        for await (const batch of pipeline.batches({ rank: 0, worldSize: 1 })) batches.push(batch);
        expect(batches).toHaveLength(1);
        const served = batches[0].fields ?? {};
        expect(fields.map((_, i) => served[`f${i}`]).map((field) => describeField(field))).toEqual(fields.map(({ type }) => type));
      } finally {
        await pipeline.close();
      }
    }
    const { out } = await runCommand(['inspect', workspace.path('offers', 'a.jsonl'), '--width', '400']);
    expect(out).toContain(
      '\n  can be fields: text (text), meta.lang (text)\n  can be fields where declared: n {type: int64}, q {type: float64}, ',
    );
  });

  it('offers lists of which no metadata says how long they are, if that is said', async () => {
    const uri = fileURLToPath(new URL('../decode/litdata/fixtures/samples/', import.meta.url));
    const { fields } = await inspect({ uri, format: 'litdata', rows: 0, all: false });
    const offered = new Map(fields.map(({ name, type, said }) => [name, [type, said]]));
    expect(offered.get('embedding')).toEqual(['float32 × N', { size: 'N' }]);
    expect(offered.get('image')).toEqual(['bytes', undefined]);
  });

  it('shows the ids of files that hold nothing else', async () => {
    const header = Buffer.from(
      "\x93NUMPY\x01\x00v\x00{'descr': '<u2', 'fortran_order': False, 'shape': (3, 4), }".padEnd(127) + '\n',
      'latin1',
    );
    const ids = Uint16Array.from({ length: 12 }, (_, i) => 1000 + i);
    await writeFile(workspace.path('ids.npy'), Buffer.concat([header, Buffer.from(ids.buffer)]));
    const found = await inspected([workspace.path('ids.npy'), '--rows', '2']);
    expect(found).toMatchObject({ format: 'npy', rows: 3, columns: [{ name: 'tokens', type: 'tokens', use: 'tokens' }] });
    expect(found.firstRows.columns).toEqual([
      {
        name: 'tokens',
        rows: [
          [1000, 1001, 1002, 1003],
          [1004, 1005, 1006, 1007],
        ],
      },
    ]);
  });

  it('takes one object, a glob, and a format that no name says', async () => {
    expect(await inspected([workspace.path('data', 'part-001.parquet')])).toMatchObject({ shards: 1, rows: 50 });
    expect(await inspected([workspace.path('data', 'part-00[12].parquet')])).toMatchObject({ shards: 2, rows: 100 });
    await writeFile(workspace.path('unnamed'), await readFile(workspace.path('data', 'part-001.parquet')));
    expect(await inspected([workspace.path('unnamed'), '--format', 'parquet', '--rows', '0'])).toMatchObject({
      rows: 50,
      firstRows: { columns: [] },
    });
  });

  it('ends with an error and status 1 where there is nothing, or nothing that it knows', async () => {
    await mkdir(workspace.path('empty'));
    expect(await failure(workspace.path('empty/'))).toMatch(/^error NO_SHARDS: no shard matches .*\n.*nothing below this prefix/);
    expect(await failure(workspace.path('not-there.parquet'))).toMatch(/^error (NO_SHARDS|STORE_NOT_FOUND): /);
    expect(await failure(workspace.path('unnamed'))).toMatch(
      /^error FORMAT_UNKNOWN: .*by its first bytes it is a Parquet file\n.*--format/,
    );
    await writeFile(workspace.path('zipped.parquet'), gzipSync(files.get('part-000.parquet')!));
    expect(await failure(workspace.path('zipped.parquet'))).toMatch(/^error SHARD_INVALID: .*it is a gzip file/);
    expect(await failure('ftp://example.org/x')).toMatch(/^error CONFIG_INVALID: /);
    expect(await failure(workspace.path('data'), '--text', 'txet')).toMatch(/^error COLUMN_MISSING: .*\n.*Did you mean text/);
    expect((await runCommand(['inspect'])).code).toBe(1);
    expect((await runCommand(['inspect', 'x', '--rows', 'many'])).code).toBe(1);
  });

  it.skipIf(PYTHON === undefined)('shows types, codecs, encodings and statistics as pyarrow wrote them', async () => {
    await mkdir(workspace.path('typed'));
    const script = [
      'import sys, pyarrow as pa, pyarrow.parquet as pq',
      'n = 5000',
      't = pa.table({"n": pa.array(range(n), pa.uint16()), "text": [None] + ["some words and more " + str(i) for i in range(1, n)], "ids": pa.array([[1, 2]] * n, pa.list_(pa.int32())), "meta": [{"lang": "en", "score": 0.5}] * n, "tags": pa.array([[("a", 1)]] * n, pa.map_(pa.string(), pa.int64()))})',
      'pq.write_table(t, sys.argv[1] + "/a.parquet", compression={"text": "gzip", "n": "none", "ids.list.element": "zstd"}, use_dictionary=["n"])',
      'pq.write_table(t, sys.argv[1] + "/b.parquet", compression="gzip", write_statistics=False)',
    ].join('\n');
    execFileSync(PYTHON!, ['-c', script, workspace.path('typed')]);
    const { columns, firstRows, advice, writers } = await inspected([workspace.path('typed', 'a.parquet')]);
    expect(columns.map(({ name, type, use }) => [name, type, use])).toEqual([
      ['n', 'uint16', undefined],
      ['text', 'string', 'text'],
      ['ids', 'list<int32>', 'tokens'],
      ['meta.lang', 'string', 'text'],
      ['meta.score', 'double', undefined],
      ['tags', expect.stringMatching(/^map/), undefined],
    ]);
    expect(columns[0]).toMatchObject({ codecs: ['UNCOMPRESSED'], min: 0, max: 4999, nulls: 0 });
    expect(columns[1]).toMatchObject({ codecs: ['GZIP'], nulls: 1, min: 'some words and more 1' });
    expect(columns[2]).toMatchObject({ codecs: ['ZSTD'] });
    expect(firstRows.columns.map(({ name, rows }) => [name, rows[0]])).toEqual([
      ['text', null],
      ['ids', [1, 2]],
      ['meta.lang', 'en'],
    ]);
    expect(writers[0]).toMatch(/^parquet-cpp-arrow/);
    expect(advice.map(({ code }) => code)).toEqual(['gzip']);
    const both = await inspected([workspace.path('typed')]);
    expect(both.advice.map(({ code }) => code)).toEqual(['no-statistics', 'gzip']);
    expect(both.columns[0].min).toBeUndefined();
  });

  it.skipIf(PYTHON === undefined)('shows the columns of Arrow files, streams and Feather, and what each could be served as', async () => {
    await mkdir(workspace.path('arrow'));
    const script = [
      'import os, sys, pyarrow as pa, pyarrow.ipc as ipc, pyarrow.feather as feather',
      'os.chdir(sys.argv[1])',
      'n = 50',
      't = pa.table({"title": [None] + ["a title that comes again"] * (n - 1), "ids": pa.array([[1, 2]] * n, pa.list_(pa.int32())), "score": pa.array(range(n), pa.float32()), "meta": [{"lang": "en"}] * n, "day": pa.array([1] * n, pa.date32()), "kind": pa.array(["a", "b"] * 25).dictionary_encode()})',
      'with ipc.new_file("file.arrow", t.schema) as w: w.write_table(t, max_chunksize=20)',
      'with ipc.new_stream("stream.arrows", t.schema) as w: w.write_table(t, max_chunksize=20)',
      'feather.write_feather(t, "compressed.feather", compression="zstd", chunksize=20)',
      'with ipc.new_file("none.arrow", t.schema): pass',
    ].join('\n');
    execFileSync(PYTHON!, ['-c', script, workspace.path('arrow')]);
    const columns = [
      ['title', 'utf8', 'text', 1],
      ['ids', 'list of int32', 'tokens', 0],
      ['score', 'float32', undefined, 0],
      ['meta.lang', 'utf8', 'text', 0],
      ['day', 'date', undefined, 0],
      ['kind', 'a dictionary of utf8', 'text', 0],
    ];
    const served = ['title text', 'ids int32 × 2', 'score float32', 'meta.lang text', 'kind text'];
    for (const name of ['file.arrow', 'stream.arrows', 'compressed.feather']) {
      const found = await inspected([workspace.path('arrow', name)]);
      expect(found, name).toMatchObject({
        format: 'arrow',
        rows: 50,
        units: { count: 3, rows: { min: 10, median: 20, max: 20 } },
        advice: [],
      });
      expect(found.columns.map(({ name, type, use, nulls }) => [name, type, use, nulls])).toEqual(columns);
      expect(found.fields.map(({ name, type }) => `${name} ${type}`)).toEqual(served);
      expect(found.firstRows.columns.map(({ name, rows }) => [name, rows[0]])).toEqual([
        ['title', null],
        ['ids', [1, 2]],
        ['meta.lang', 'en'],
        ['kind', 'a'],
      ]);
      const [{ codecs, storedBytes, decodedBytes }] = found.columns;
      const isCompressed = name === 'compressed.feather';
      expect(codecs).toEqual(isCompressed ? ['zstd'] : []);
      expect(decodedBytes > storedBytes).toBe(isCompressed);
    }
    const none = await inspected([workspace.path('arrow', 'none.arrow')]);
    expect(none.columns.map(({ name }) => name)).toEqual(columns.map(([name]) => name));
    expect(none).toMatchObject({ rows: 0, units: { count: 0 }, fields: [], firstRows: { columns: [] } });
    const { out } = await runCommand(['inspect', workspace.path('arrow', 'file.arrow')]);
    expect(out).toContain(
      '\n  can be text: title, meta.lang, kind\n  can be tokens: ids\n  can be fields: title (text), ids (int32 × 2), ',
    );
    await writeFile(workspace.path('cut.arrow'), (await readFile(workspace.path('arrow', 'file.arrow'))).subarray(0, 900));
    expect(await failure(workspace.path('cut.arrow'))).toMatch(/^error SHARD_INVALID: .*cut off/);
  });

  it('says that a chunk of litData is one, and not a file of ids', async () => {
    await writeFile(workspace.path('chunk-0-1.bin'), new Uint8Array(64));
    expect(await failure(workspace.path('chunk-0-1.bin'))).toMatch(/^error CONFIG_INVALID: .*\n.*--format litdata/);
    await writeFile(workspace.path('ids.bin'), new Uint8Array(64));
    expect(await failure(workspace.path('ids.bin'))).toMatch(/^error CONFIG_INVALID: .*\n.*array.dtype/);
  });

  it.skipIf(MINIO_BINARY === undefined)('reads a bucket, with the storage of a configuration', { timeout: 120_000 }, async () => {
    const minio = await startMinio();
    try {
      for (const [name, bytes] of files) await minio.put(`prose/${name}`, bytes);
      const config = await workspace.config('s3.yaml', {
        sources: { prose: { uri: `s3://${minio.bucket}/prose/` } },
        tokenizer: { file: 'none.json' },
        storage: { s3: { endpoint: minio.endpoint, forcePathStyle: true } },
      });
      const uri = `s3://${minio.bucket}/prose/`;
      expect(await inspected([uri, '--config', config], minio.env)).toMatchObject({ uri, shards: 4, rows: 200 });
      const denied = await runCommand(['inspect', uri, '--config', config], { ...minio.env, AWS_SECRET_ACCESS_KEY: 'wrong' });
      expect([denied.code, denied.err]).toEqual([1, expect.stringMatching(/^error STORE_DENIED: /m)]);
      const missing = await runCommand(['inspect', `s3://${minio.bucket}/nothing/`, '--config', config], minio.env);
      expect([missing.code, missing.err]).toEqual([1, expect.stringMatching(/^error NO_SHARDS: /m)]);
    } finally {
      await minio.stop();
    }
  });

  it('advises on what no test can write in a second', () => {
    const spread = (value: number) => ({ total: value, min: value, median: value, max: value });
    const facts = {
      uri: 'x',
      format: 'parquet' as const,
      shards: 100_000,
      shardBytes: { ...spread(2 ** 20), total: 100_000 * 2 ** 20 },
      looked: 16,
      rows: 1,
      fields: [],
      units: { count: 16, rows: spread(1), storedBytes: spread(2 ** 30), decodedBytes: spread(2 ** 31) },
      columns: [
        {
          name: 'text',
          type: 'string',
          use: 'text' as const,
          codecs: ['UNCOMPRESSED'],
          encodings: [],
          storedBytes: 2 ** 30,
          decodedBytes: 2 ** 30,
        },
      ],
      differences: [],
      writers: [],
      notes: [],
    };
    const unit = { rows: 1, storedBytes: 2 ** 30, decodedBytes: 2 ** 31 };
    const codes = (units: object[]) =>
      adviceOf(facts, [{ rows: 1, columns: [], units: units as [typeof unit], hasStatistics: true }]).map(({ code }) => code);
    expect(codes([unit])).toEqual(['small-shards', 'large-row-groups', 'one-row-group', 'not-compressed']);
    expect(codes([{ ...unit, isWhole: true }])).toEqual(['small-shards', 'large-row-groups', 'not-compressed', 'not-indexed']);
  });
});
