import { randomUUID } from 'node:crypto';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { openPipeline, type ConfigInput, type Pipeline } from 'headrace';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeShards } from '../../examples/corpus/parquet.js';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { stepHashes } from '../support/global-hash.js';
import { MINIO_BINARY, startMinio, type Minio } from '../support/minio.js';
import { tarOf } from '../support/tar.js';
import { takeAndClose } from '../support/streams.js';
import { makeWorkspace, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

const SHARDS = 4;

describe.skipIf(MINIO_BINARY === undefined)('a pipeline with a cache before S3', () => {
  let workspace: Workspace;
  let minio: Minio;
  let reference: string[];

  const config = (cache: ConfigInput['cache'], epochs = 2): ConfigInput => ({
    seed: 3,
    sources: { prose: { uri: `s3://${minio.bucket}/prose/` } },
    tokenizer: { file: TOKENIZER_FILE },
    sequence: { length: 128 },
    shuffle: { blocks: 2, windowBytes: '64KiB' },
    batch: { size: 8, lanes: 2 },
    epochs,
    last: 'pad',
    storage: { s3: { endpoint: minio.endpoint, forcePathStyle: true } },
    cache,
    limits: { workers: 1 },
  });
  const tokenizerBytes = async (): Promise<number> => {
    const files = [TOKENIZER_FILE, path.join(path.dirname(TOKENIZER_FILE), 'tokenizer_config.json')];
    return (await Promise.all(files.map((file) => stat(file)))).reduce((sum, { size }) => sum + size, 0);
  };
  const collect = async (pipeline: Pipeline): Promise<string[]> => stepHashes([await takeAndClose(pipeline)]);

  beforeAll(async () => {
    workspace = await makeWorkspace();
    const files = await writeShards(workspace.path('data'), sampleDocuments(200), SHARDS, 15);
    minio = await startMinio();
    for (const [name, bytes] of files) await minio.put(`prose/${name}`, bytes);
    Object.assign(process.env, minio.env);
    reference = await collect(await openPipeline(config({ dir: workspace.path('none'), ranges: false })));
  });
  afterAll(async () => {
    for (const name of Object.keys(minio.env)) Reflect.deleteProperty(process.env, name);
    await minio.stop();
    await workspace.remove();
  });

  it('delivers the same stream, and fetches nothing in a second epoch or a second start', async () => {
    const dir = workspace.path('shared');
    const once = await openPipeline(config({ dir, ranges: true }, 1));
    await collect(once);
    expect(once.storeCounters.bytes).toBeGreaterThan(await tokenizerBytes());

    const both = await openPipeline(config({ dir: workspace.path('both') }));
    expect(await collect(both)).toEqual(reference);
    // what passes the cache, and not the store's bytes: near ranges that happen to be asked for in one turn are read with what lies between them
    const { misses, bytesWritten } = once.cacheCounters!;
    expect(misses).toBeGreaterThan(SHARDS);
    expect(both.cacheCounters).toMatchObject({ misses, bytesWritten });

    const again = await openPipeline(config({ dir }));
    expect(await collect(again)).toEqual(reference);
    // of S3, only the listing remains: nothing else says that the shards are still the same. The tokenizer is a local file, and its neighbour
    expect(again.storeCounters).toMatchObject({ bytes: await tokenizerBytes(), requests: 1 + 4, errors: 0 });
    expect(again.cacheCounters).toMatchObject({ misses: 0, corrupt: 0, bypassed: 0 });
  });

  it('keeps by itself what the run reads again, and asks for nothing twice that it does not keep', async () => {
    const kept = async (cache: object, epochs: number): Promise<{ readonly misses: number; readonly bytesWritten: number }> => {
      const pipeline = await openPipeline(config({ dir: workspace.path('kept', randomUUID()), ...cache }, epochs));
      await collect(pipeline);
      return pipeline.cacheCounters!;
    };
    const all = await kept({ ranges: true }, 1);
    expect(await kept({}, 2)).toMatchObject({ misses: all.misses, bytesWritten: all.bytesWritten });
    const once = await kept({}, 1);
    expect(once.misses).toBe(all.misses);
    // what says where things are is read again by the next start
    expect(once.bytesWritten).toBeGreaterThan(0);
    expect(once.bytesWritten).toBeLessThan(0.5 * all.bytesWritten);
    // text is not read again where its tokens are
    const tokens = await kept({ tokens: true }, 2);
    const both = await kept({ tokens: true, ranges: true }, 2);
    expect(tokens.bytesWritten).toBeLessThan(both.bytesWritten - 0.5 * all.bytesWritten);
  });

  it('asks for each byte of tars without an index once, writes it once, and for nothing in a second start; a pass fills a cache once', async () => {
    let bytes = 0;
    for (let shard = 0; shard < 3; shard++) {
      const members = Array.from({ length: 400 }, (_, i) => {
        const name = String(1000 * shard + i).padStart(6, '0');
        return [
          { name: `${name}.jpg`, latin1: String.fromCharCode(shard, i % 256).repeat(5000 + ((i * 7919) % 9000)) },
          { name: `${name}.txt`, body: `the ${i}th of shard ${shard}` },
        ];
      });
      const tar = tarOf(members.flat());
      bytes += tar.length;
      await minio.put(`images/${shard}.tar`, tar);
    }
    const images = (dir: string | undefined): ConfigInput => ({
      seed: 3,
      sources: { images: { uri: `s3://${minio.bucket}/images/`, fields: { image: 'jpg', caption: 'txt' } } },
      sequence: 'none',
      shuffle: { blocks: 2, windowBytes: '1MiB' },
      batch: { size: 8, lanes: 2 },
      epochs: 1,
      last: 'pad',
      storage: { s3: { endpoint: minio.endpoint, forcePathStyle: true } },
      cache: dir === undefined ? { dir: workspace.path('none'), ranges: false } : { dir },
      limits: { workers: 1 },
    });
    const expected = await collect(await openPipeline(images(undefined)));
    const dir = workspace.path('images');
    const first = await openPipeline(images(dir));
    expect(await collect(first)).toEqual(expected);
    // headers that a read of the pass ends in come twice, and each entry has a header
    expect(first.storeCounters.bytes).toBeGreaterThan(0.99 * bytes);
    expect(first.storeCounters.bytes).toBeLessThan(1.005 * bytes);
    expect(first.cacheCounters!.bytesWritten).toBeLessThan(1.01 * bytes);
    expect(first.cacheCounters!.bytesFromCache).toBeGreaterThan(0.9 * bytes);
    const again = await openPipeline(images(dir));
    expect(await collect(again)).toEqual(expected);
    expect(again.storeCounters).toMatchObject({ bytes: 0, requests: 1 });
    expect(again.cacheCounters).toMatchObject({ misses: 0, bytesWritten: 0 });

    // of a pass over more than the cache holds, what comes later would only push out what came first
    const small = await openPipeline({ ...images(undefined), cache: { dir: workspace.path('small'), size: Math.floor(bytes / 4) } });
    expect(small.storeCounters.bytes).toBeGreaterThan(0.99 * bytes);
    expect(small.cacheCounters!.bytesWritten).toBeLessThan(0.26 * bytes);
    expect(small.cacheCounters!.evictions).toBe(0);
    expect(await collect(small)).toEqual(expected);
  });

  it('needs neither manifests nor ranges to be there, or to be whole', async () => {
    const dir = workspace.path('damaged');
    await collect(await openPipeline(config({ dir })));
    const found = await readdir(path.join(dir, 'ranges', 'entries'), { recursive: true, withFileTypes: true });
    const entries = found.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
    expect(entries.length).toBeGreaterThan(SHARDS);
    for (const file of entries) {
      const bytes = await readFile(file);
      bytes[Math.floor(bytes.length / 2)] ^= 1;
      await writeFile(file, bytes);
    }
    const pipeline = await openPipeline(config({ dir }));
    expect(await collect(pipeline)).toEqual(reference);
    expect(pipeline.cacheCounters?.corrupt).toBeGreaterThan(0);
  });

  it('delivers the same stream from a cache that is too small, and from one whose directory cannot be', async () => {
    const small = await openPipeline(config({ dir: workspace.path('small'), size: '100kB' }));
    expect(await collect(small)).toEqual(reference);
    await writeFile(workspace.path('file'), '');
    const troubled: unknown[] = [];
    const nowhere = await openPipeline(config({ dir: workspace.path('file') }), {
      warn: (message, detail) => message.startsWith('the cache cannot be written') && troubled.push(detail.dir),
    });
    expect(await collect(nowhere)).toEqual(reference);
    expect(nowhere.cacheCounters?.hits).toBe(0);
    expect(nowhere.cacheCounters?.bypassed).toBeGreaterThan(0);
    // each said once: that of byte ranges, and that of tokenizers
    expect(troubled.toSorted()).toEqual([workspace.path('file/ranges'), workspace.path('file/tokenizers')]);
  });
});
