import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { openPipeline, type ConfigInput } from 'headrace';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parquetOf, writeShards } from '../../examples/corpus/parquet.js';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { runCommand } from '../support/commands.js';
import { expectEqual } from '../support/equal.js';
import { startHttpProxy, type HttpProxy } from '../support/http-proxy.js';
import { MINIO_BINARY, startMinio, type Minio } from '../support/minio.js';
import { runCli } from '../support/sidecar.js';
import { takeAndClose } from '../support/streams.js';
import { makeWorkspace, smallConfig, type Workspace } from '../support/workspace.js';

const SHARDS = 6;

const linesOf = (out: string): Record<string, unknown>[] =>
  out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('headrace index', () => {
  let workspace: Workspace;
  let files: Map<string, Uint8Array>;

  const config = (changes: Partial<ConfigInput> = {}, source: Partial<ConfigInput['sources'][string]> = {}): ConfigInput =>
    smallConfig(workspace, {
      sources: { prose: { uri: workspace.path('data/'), ...source } },
      batch: { size: 8, lanes: 2 },
      cache: { dir: workspace.path('cache'), ranges: false },
      ...changes,
    });

  beforeAll(async () => {
    workspace = await makeWorkspace();
    files = await writeShards(workspace.path('data'), sampleDocuments(200), SHARDS, 10);
  });
  afterAll(() => workspace.remove());

  it('writes a file that names every shard, where --out or the configuration says', async () => {
    const listed = await openPipeline(config());
    await listed.close();
    const out = await runCommand(['index', await workspace.config('plain.yaml', config()), '--out', workspace.path('out'), '--json']);
    expect(out.err).toBe('');
    expect(out.code).toBe(0);
    const written = linesOf(out.out).at(-1);
    expect(written).toMatchObject({ source: 'prose', file: workspace.path('out', 'prose.index'), shards: SHARDS, rows: 200 });
    expect(written?.fingerprint).toBe(listed.info.plan['sources.prose.manifest']);

    const named = await workspace.config('named.yaml', config({}, { index: 'here/prose.index' }));
    const again = await runCli(['index', named]);
    expect([again.code, again.err]).toEqual([0, '']);
    expect(again.out).toMatch(/^prose: 6 shards · \d+ row groups · 200 rows · 0 footers read · .*here\/prose\.index \(/);
    expect(await readFile(workspace.path('here', 'prose.index'))).toEqual(await readFile(workspace.path('out', 'prose.index')));

    const nowhere = await runCommand(['index', await workspace.config('nowhere.yaml', config())]);
    expect([nowhere.code, nowhere.err]).toEqual([
      1,
      expect.stringMatching(/^error CONFIG_INVALID: there is no place for the index of source prose/),
    ]);
    const remote = await runCommand(['index', await workspace.config('remote.yaml', config({}, { index: 's3://bucket/prose.index' }))]);
    expect([remote.code, remote.err]).toEqual([1, expect.stringContaining('cannot be written to s3://bucket/prose.index')]);
  });

  it('is refused by name where it is damaged, or of something else', async () => {
    const file = workspace.path('refused', 'prose.index');
    await runCommand(['index', await workspace.config('refused.yaml', config()), '--out', path.dirname(file)]);
    const good = await readFile(file);
    await expect(openPipeline(config({}, { index: `${file}.none` }))).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
    await expect(openPipeline(config({}, { index: file, text: 'id' }))).rejects.toMatchObject({ code: 'INDEX_INVALID' });
    await expect(openPipeline(config({}, { index: file, uri: workspace.path('data/*.parquet') }))).rejects.toMatchObject({
      code: 'INDEX_INVALID',
      message: expect.stringContaining('other URIs') as string,
    });
    const bad = Buffer.from(good);
    bad[bad.length >> 1] ^= 4;
    await writeFile(file, bad);
    await expect(openPipeline(config({}, { index: file }))).rejects.toMatchObject({ code: 'INDEX_INVALID' });
    await writeFile(file, good.subarray(0, 1000));
    await expect(openPipeline(config({}, { index: file }))).rejects.toMatchObject({
      code: 'INDEX_INVALID',
      message: expect.stringContaining('not whole') as string,
    });
  });

  it('knows where the ids are, and is refused where it does not', async () => {
    const exclude = workspace.path('ids.txt');
    await writeFile(exclude, `${sampleDocuments(200)[7].id}\n`);
    const written = async (dir: string, source: Partial<ConfigInput['sources'][string]>): Promise<string> => {
      await runCommand(['index', await workspace.config(`${dir}.yaml`, config({}, source)), '--out', workspace.path(dir)]);
      return workspace.path(dir, 'prose.index');
    };
    const withIds = await written('with-ids', { id: 'id' });
    const without = await written('without-ids', {});
    const listed = await openPipeline(config({}, { id: 'id', exclude }));
    const expected = await takeAndClose(listed);
    expect(listed.stats.rowsExcluded).toBe(1);
    const named = await openPipeline(config({}, { id: 'id', exclude, index: withIds }));
    expectEqual(await takeAndClose(named), expected);
    await expect(openPipeline(config({}, { id: 'id', index: without }))).rejects.toMatchObject({ code: 'INDEX_INVALID' });
    await expect(openPipeline(config({}, { index: withIds }))).rejects.toMatchObject({ code: 'INDEX_INVALID' });
  });

  it('in the cache directory costs time where it is damaged, and never truth', async () => {
    const dir = workspace.path('own-cache');
    const reference = await takeAndClose(await openPipeline(config({ cache: { dir } })));
    const [name] = await readdir(path.join(dir, 'manifests'));
    const file = path.join(dir, 'manifests', name);
    const good = await readFile(file);
    for (const damaged of [good.subarray(0, 10), Buffer.from('{"version":1,"objects":{}}'.padEnd(200)), flipped(good, good.length >> 1)]) {
      await writeFile(file, damaged);
      const warnings: string[] = [];
      const pipeline = await openPipeline(config({ cache: { dir } }), { warn: (message) => warnings.push(message) });
      expect(pipeline.info.sources[0].shardsRead).toBe(SHARDS);
      expect(warnings).toEqual(['the saved manifest is not usable; reading the shards again']);
      expectEqual(await takeAndClose(pipeline), reference);
      expect(await readFile(file)).toEqual(good);
    }
  });

  it('reads the footers of changed and new shards only, wherever they come in the order', async () => {
    const data = workspace.path('moving');
    await mkdir(data);
    const [first, second] = [...files.values()];
    let fresh = 0;
    const open = async (): Promise<number> => {
      const pipeline = await openPipeline(config({ cache: { dir: workspace.path('moving-cache') } }, { uri: `${data}/` }));
      await pipeline.close();
      const whole = await openPipeline(config({ cache: { dir: workspace.path('moving-fresh', String(fresh++)) } }, { uri: `${data}/` }));
      await whole.close();
      expect(pipeline.info.plan).toEqual(whole.info.plan);
      return pipeline.info.sources[0].shardsRead;
    };
    await writeFile(path.join(data, 'b.parquet'), first);
    await writeFile(path.join(data, 'd.parquet'), second);
    expect(await open()).toBe(2);
    await writeFile(path.join(data, 'a.parquet'), first);
    await writeFile(path.join(data, 'c.parquet'), second);
    expect(await open()).toBe(2);
    await writeFile(path.join(data, 'b.parquet'), second);
    expect(await open()).toBe(1);
    expect(await open()).toBe(0);
  });

  describe.skipIf(MINIO_BINARY === undefined)('of objects in S3', () => {
    let minio: Minio;
    let proxy: HttpProxy;
    const remote = (changes: Partial<ConfigInput['sources'][string]> = {}): ConfigInput =>
      config(
        {
          storage: { s3: { endpoint: proxy.endpoint, forcePathStyle: true } },
          cache: { dir: workspace.path('s3-cache'), ranges: false },
        },
        { uri: `s3://${minio.bucket}/prose/`, ...changes },
      );
    beforeAll(async () => {
      minio = await startMinio();
      for (const [name, bytes] of files) await minio.put(`prose/${name}`, bytes);
      Object.assign(process.env, minio.env);
    });
    afterAll(async () => {
      for (const name of Object.keys(minio.env)) Reflect.deleteProperty(process.env, name);
      await minio.stop();
    });
    beforeEach(async () => {
      proxy = await startHttpProxy(minio.endpoint);
    });
    afterEach(() => proxy.stop());

    it('saves the listing and the footers, delivers the same stream, and finds what has changed since', async () => {
      const reference = await takeAndClose(await openPipeline(remote()));
      const written = await runCommand(['index', await workspace.config('s3.yaml', remote()), '--out', workspace.path('s3')]);
      expect(written.code, written.err).toBe(0);
      await minio.put('index/prose.index', await readFile(workspace.path('s3', 'prose.index')));

      proxy.requests.length = 0;
      const index = `s3://${minio.bucket}/index/prose.index`;
      const fresh = { ...remote({ index }), cache: { dir: workspace.path('never-seen'), ranges: false } };
      const pipeline = await openPipeline(fresh);
      // HEAD and GET of the index
      expect(proxy.requests.map(({ url }) => url.includes('prose.index'))).toEqual([true, true]);
      expect(pipeline.info.sources[0]).toMatchObject({ shardsRead: 0, shardCount: SHARDS });
      expect(pipeline.info.sources[0].shards[0]).toBe(`s3://${minio.bucket}/prose/${[...files.keys()][0]}`);
      expectEqual(await takeAndClose(pipeline), reference);
      expect(proxy.requests.filter(({ url }) => url.includes('list-type=2'))).toEqual([]);

      // a new object is not seen, and a changed one is an error of whoever reads it
      const [name] = files.keys();
      await minio.put('prose/zzz.parquet', files.get(name)!);
      expectEqual(await takeAndClose(await openPipeline(fresh)), reference);
      await minio.put(`prose/${name}`, parquetOf(sampleDocuments(20), 5));
      await expect(takeAndClose(await openPipeline(fresh))).rejects.toMatchObject({ code: 'SHARD_CHANGED' });
    });
  });
});

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at] ^= 1;
  return copy;
}
