/**
 * Memory of the sidecar at the defaults, over streams of many GB and over things that are large. `npm run bench -- memory [SCENARIO …] [--gigabytes 2.2]`:
 *
 *   row-groups   text in Parquet row groups of 128 MB without a page index, mixed with a token column, from disk
 *   tar          a tar of 20 GB over HTTP (`--tar 20`), which is passed over once and then streamed: images and texts of 31 KB
 *   whole-tar    the same to its end, in one epoch, every sample counted: some minutes, and only where it is named
 *   documents    of 1 GB each, among small ones: in JSON lines, plain and gzip, in a text file, in a tar, and in Parquet; bad rows are left out
 *
 * The text is tokenized by whole words, so that the bytes, not the tokenizer, are what takes the time. What comes over HTTP is computed when it is asked for.
 */
import { spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { stringify } from 'yaml';
import { connect, type ConfigInput } from '../src/index.js';
import {
  bytesObject,
  joined,
  repeated,
  startComputedOrigin,
  TAR_END,
  tarMember,
  tarSamples,
  type ComputedObject,
} from './computed-object.js';
import { peakMiB, residentMiB } from './processes.js';
import { freePort } from '../test/support/server-process.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const { values: options, positionals } = parseArgs({
  options: { gigabytes: { type: 'string', default: '2.2' }, tar: { type: 'string', default: '20' } },
  allowPositionals: true,
});

/** Every word is one token, and unknown; that is enough here. The vocabulary is as large as the ids of the token column. */
const WORD_TOKENIZER = {
  version: '1.0',
  added_tokens: [{ id: 1, content: '</s>', special: true, single_word: false, lstrip: false, rstrip: false, normalized: false }],
  normalizer: null,
  pre_tokenizer: { type: 'WhitespaceSplit' },
  post_processor: null,
  decoder: null,
  model: {
    type: 'WordPiece',
    unk_token: '[UNK]',
    continuing_subword_prefix: '##',
    max_input_chars_per_word: 1,
    vocab: Object.fromEntries(['[UNK]', '</s>', ...Array.from({ length: 50_300 }, (_, i) => `w${i}`)].map((word, id) => [word, id])),
  },
};

type Sources = ConfigInput['sources'];

interface Scenario {
  /** Of local files, or of what is computed. */
  readonly objects: ReadonlyMap<string, ComputedObject>;
  readonly sources: (dir: string, url: (name: string) => string) => Sources;
  /** Bytes to be read; left out: an epoch, to its end. */
  readonly bytesWanted?: number;
  /** About as many are read to the end, for the lines of the table. */
  readonly bytesExpected?: number;
  /** That an epoch must deliver. */
  readonly samples?: number;
  /** Rows are served as they are, and no text is tokenized. */
  readonly isSamples?: boolean;
}

const GIGABYTE = 1e9;
const WANTED = Number(options.gigabytes) * GIGABYTE;
const WORDS = 'about the length of a word or so ';
const TEXT = WORDS.repeat(210);

const SCENARIOS: Readonly<Record<string, () => Scenario>> = {
  'row-groups': () => ({
    objects: new Map(),
    sources: (dir) => {
      generate('spark', path.join(dir, 'spark'), '512');
      generate('tokens', path.join(dir, 'tokens'), '120');
      return { text: { uri: './spark/' }, tokens: { uri: './tokens/', tokens: 'input_ids', weight: 3 } };
    },
    bytesWanted: WANTED,
  }),
  tar: () => {
    const { tar, ...scenario } = largeTar();
    return { ...scenario, bytesWanted: tar.size + WANTED };
  },
  'whole-tar': () => {
    const { tar, samples, ...scenario } = largeTar();
    return { ...scenario, samples, bytesExpected: 2 * tar.size };
  },
  'document-jsonl': () => lines('corpus.jsonl', (object) => object),
  'document-gzip': () => lines('corpus.jsonl.gz', (object) => bytesObject(gzipSync(allOf(object), { level: 1 }))),
  'document-text': () => ({
    objects: new Map([
      ['0.txt', bytesObject(Buffer.from(TEXT.repeat(2000)))],
      ['1.txt', longText()],
      ['2.txt', bytesObject(Buffer.from(TEXT.repeat(2000)))],
    ]),
    sources: (_dir, url) => ({ texts: { uri: [0, 1, 2].map((i) => url(`${i}.txt`)) } }),
  }),
  'document-tar': () => ({
    objects: new Map([
      [
        'corpus.tar',
        joined(tarSamples(5000, 0, TEXT, 24_000), tarMember('long.txt', longText()), tarSamples(5000, 5000, TEXT, 24_000), TAR_END),
      ],
    ]),
    sources: (_dir, url) => ({ tar: { uri: url('corpus.tar'), text: 'txt' } }),
  }),
  'document-parquet': () => parquet('zstd'),
  'document-snappy': () => parquet('snappy'),
  // as stored as it is decoded
  'document-plain': () => parquet('none'),
};

/** Too long for a look at all of them. */
const ON_DEMAND: readonly string[] = ['whole-tar'];

function largeTar(): Scenario & { readonly tar: ComputedObject; readonly samples: number } {
  const samples = Math.ceil((Number(options.tar) * GIGABYTE) / tarSamples(1, 0, TEXT, 24_000).size);
  const tar = joined(tarSamples(samples, 0, TEXT, 24_000), TAR_END);
  return {
    tar,
    samples,
    objects: new Map([['corpus.tar', tar]]),
    sources: (_dir, url) => ({ tar: { uri: url('corpus.tar'), fields: { image: 'jpg', caption: 'txt' } } }),
    isSamples: true,
  };
}

function parquet(codec: string): Scenario {
  return {
    objects: new Map(),
    sources: (dir) => {
      generate('document', path.join(dir, 'document'), '1000', codec);
      return { text: { uri: './document/' } };
    },
  };
}

function longText(): ComputedObject {
  return repeated(Buffer.from(WORDS), Math.ceil(GIGABYTE / WORDS.length));
}

/** 70 MB of small rows on either side of a large one. */
function lines(name: string, stored: (object: ComputedObject) => ComputedObject): Scenario {
  const small = repeated(Buffer.from(`${JSON.stringify({ text: TEXT })}\n`), 10_000);
  const object = joined(small, bytesObject(Buffer.from('{"text":"')), longText(), bytesObject(Buffer.from('"}\n')), small);
  return { objects: new Map([[name, stored(object)]]), sources: (_dir, url) => ({ lines: { uri: url(name), text: 'text' } }) };
}

function allOf(object: ComputedObject): Uint8Array {
  const bytes = new Uint8Array(object.size);
  object.fill(bytes, 0);
  return bytes;
}

function generate(...args: readonly string[]): void {
  const python = process.env.HEADRACE_PYTHON;
  if (python === undefined) throw new Error('this scenario needs python3, with which its data is made');
  execFileSync(python, [path.join(ROOT, 'bench', 'generate.py'), ...args]);
}

async function main(): Promise<void> {
  const all = Object.keys(SCENARIOS);
  const wanted =
    positionals.length === 0
      ? all.filter((name) => !ON_DEMAND.includes(name))
      : all.filter((name) => positionals.some((one) => name === one || name.startsWith(`${one.replace(/s$/, '')}-`)));
  if (wanted.length === 0) throw new Error(`no scenario is called ${positionals.join(' or ')}: there are ${all.join(', ')}`);
  for (const name of wanted) {
    const dir = await mkdtemp(path.join(tmpdir(), 'headrace-memory-'));
    try {
      await run(name, SCENARIOS[name](), dir);
    } finally {
      await rm(dir, { recursive: true });
    }
  }
}

async function run(name: string, scenario: Scenario, dir: string): Promise<void> {
  console.log(`\n${name}\n\n| GB read | step | seconds | resident MiB |\n| --- | --- | --- | --- |`);
  const watch = new Watch((scenario.bytesWanted ?? scenario.bytesExpected ?? 1.2 * GIGABYTE) / 12);
  const origin = await startComputedOrigin(scenario.objects, (sent) => watch.read(sent));
  const tokenizer = path.join(dir, 'tokenizer.json');
  await writeFile(tokenizer, JSON.stringify(WORD_TOKENIZER));
  const metrics = `127.0.0.1:${await freePort()}`;
  const config: ConfigInput = {
    sources: scenario.sources(dir, (object) => origin.url(object)),
    ...(scenario.isSamples === true ? { sequence: 'none' as const } : { tokenizer: { file: tokenizer, eos: '</s>' } }),
    cache: { dir: './cache', ranges: false },
    badRows: 'skip',
    ...(scenario.bytesWanted === undefined && { epochs: 1, last: 'pad' as const }),
    serve: { metrics },
  };
  const configFile = path.join(dir, 'memory.yaml');
  await writeFile(configFile, stringify(config));
  const address = `ipc://${path.join(dir, 'memory.sock')}`;
  const child = spawn(
    process.execPath,
    [path.join(ROOT, 'dist', 'command', 'headrace.js'), 'serve', configFile, '--address', address, '--log-level', 'warn'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  watch.pid = child.pid!;
  // who is told to end takes the sidecar along
  process.once('SIGTERM', () => {
    child.kill('SIGKILL');
    process.exit(143);
  });
  const exited = once(child, 'exit');
  const [line] = (await Promise.race([once(createInterface({ input: child.stdout }), 'line'), exited])) as [unknown];
  if (typeof line !== 'string') throw new Error(`${name}: the sidecar ended before it was ready`);
  await watch.report(`ready: ${(origin.sent / GIGABYTE).toFixed(2)}`);
  const counter = async (of: string): Promise<number> => {
    const text = await (await fetch(`http://${metrics}/metrics`)).text();
    return Number(new RegExp(`^${of} (\\d+)$`, 'm').exec(text)?.[1]);
  };
  const bytesWanted = scenario.bytesWanted ?? Infinity;
  let samples = 0;
  const started = performance.now();
  const sentBefore = origin.sent;
  for await (const batch of connect({ address })) {
    watch.step = batch.step;
    if (scenario.samples !== undefined) samples += batch.lossMask.reduce((sum, one) => sum + one, 0);
    if (batch.step % 20 !== 0) continue;
    if (scenario.objects.size === 0) watch.read(await counter('headrace_store_read_bytes_total'));
    if (watch.bytes >= bytesWanted) break;
  }
  await watch.report(`end: ${(watch.bytes / GIGABYTE).toFixed(2)}`);
  const seconds = (performance.now() - started) / 1000;
  if (scenario.samples !== undefined) {
    const rate = (origin.sent - sentBefore) / seconds / 1e6;
    console.log(`\n${samples} of ${scenario.samples} samples in ${seconds.toFixed(0)} s, ${rate.toFixed(0)} MB/s of the archive`);
    if (samples !== scenario.samples) process.exitCode = 1;
  }
  console.log(`\npeak: ${(await peakMiB(child.pid!)).toFixed(0)} MiB; rows left out: ${await counter('headrace_rows_skipped_total')}`);
  child.kill('SIGTERM');
  await exited;
  origin.close();
}

/** Prints a line for each so many bytes that are read. */
class Watch {
  bytes = 0;
  step = 0;
  pid: number | undefined;
  readonly #step: number;
  readonly #started = performance.now();
  #next: number;

  constructor(step: number) {
    this.#step = step;
    this.#next = step;
  }

  read(bytes: number): void {
    this.bytes = bytes;
    if (bytes < this.#next) return;
    this.#next = bytes + this.#step;
    void this.report((bytes / GIGABYTE).toFixed(2));
  }

  async report(label: string): Promise<void> {
    if (this.pid === undefined) return;
    const resident = await residentMiB(this.pid);
    const seconds = (performance.now() - this.#started) / 1000;
    console.log(`| ${label} | ${this.step} | ${seconds.toFixed(0)} | ${resident.toFixed(0)} |`);
  }
}

await main();
process.exit(process.exitCode);
