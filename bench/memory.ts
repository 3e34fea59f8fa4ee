/**
 * Memory of the sidecar at the defaults while it streams more than 2 GB: text in row groups of 128 MB without a page index, mixed with a token column.
 * `npm run bench -- memory [--gigabytes 2.2]`. The text is tokenized by whole words, so that the bytes, not the tokenizer, are what takes the time.
 */
import { spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { stringify } from 'yaml';
import { connect, type ConfigInput } from '../src/index.js';
import { residentMiB } from './processes.js';
import { freePort } from '../test/support/minio.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const { values: options } = parseArgs({ options: { gigabytes: { type: 'string', default: '2.2' } }, allowPositionals: true });

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

async function main(): Promise<void> {
  const python = process.env.HEADRACE_PYTHON;
  if (python === undefined) throw new Error('the benchmark needs python3, with which its data is made');
  const dir = await mkdtemp(path.join(tmpdir(), 'headrace-memory-'));
  try {
    const generate = (...args: string[]): unknown => execFileSync(python, [path.join(ROOT, 'bench', 'generate.py'), ...args]);
    generate('spark', path.join(dir, 'spark'), '512');
    generate('tokens', path.join(dir, 'tokens'), '120');
    const tokenizer = path.join(dir, 'tokenizer.json');
    await writeFile(tokenizer, JSON.stringify(WORD_TOKENIZER));
    await run(dir, {
      sources: { text: { uri: './spark/' }, tokens: { uri: './tokens/', tokens: 'input_ids', weight: 3 } },
      tokenizer: { file: tokenizer, eos: '</s>' },
      cache: { dir: './cache' },
      serve: { metrics: `127.0.0.1:${await freePort()}` },
    });
  } finally {
    await rm(dir, { recursive: true });
  }
}

async function run(dir: string, config: ConfigInput): Promise<void> {
  const configFile = path.join(dir, 'memory.yaml');
  await writeFile(configFile, stringify(config));
  const address = `ipc://${path.join(dir, 'memory.sock')}`;
  const child = spawn(
    process.execPath,
    [path.join(ROOT, 'dist', 'command', 'headrace.js'), 'serve', configFile, '--address', address, '--log-level', 'error'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  console.log(line);
  console.log('\n| GB read | M tokens delivered | resident MiB |\n| --- | --- | --- |');
  const goal = Number(options.gigabytes) * 1e9;
  let tokens = 0;
  let nextReport = 0;
  let peak = 0;
  for await (const batch of connect({ address })) {
    tokens += batch.tokens;
    if (batch.step % 20 !== 0) continue;
    const resident = await residentMiB(child.pid!);
    peak = Math.max(peak, resident);
    const metrics = await (await fetch(`http://${config.serve?.metrics ?? ''}/metrics`)).text();
    const bytes = Number(/^headrace_store_read_bytes_total (\d+)$/m.exec(metrics)?.[1]);
    if (bytes >= nextReport) {
      console.log(`| ${(bytes / 1e9).toFixed(2)} | ${(tokens / 1e6).toFixed(0)} | ${resident.toFixed(0)} |`);
      nextReport = bytes + goal / 12;
    }
    if (bytes >= goal) break;
  }
  console.log(`\npeak: ${peak.toFixed(0)} MiB`);
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
}

await main();
process.exit();
