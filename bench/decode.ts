/**
 * Rows of a format decoded in one thread, beside what reads the format in Python: from bytes in memory to rows, without tokenizing.
 *
 *   npm run bench -- decode [--megabytes 200] [--repeats 3] [--cases jsonl,…]
 *
 * A case writes its file once, says how headrace decodes it, and how Python does. Python: $HEADRACE_PYTHON, or python3.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { decodeAll, indexOf, type BenchFile } from './decode-rows.js';

interface Case extends BenchFile {
  make(bytes: number): Uint8Array;
  /** Readers by name: Python that has FILE, and leaves the number of rows in `rows`. */
  readonly peers: Readonly<Record<string, string>>;
}

const CASES: Readonly<Record<string, Case>> = {
  jsonl: {
    format: 'jsonl',
    file: 'x.jsonl',
    request: { column: 'text', kind: 'text' },
    make: (bytes) => {
      const text =
        'It is a truth universally acknowledged, that a "single man" in possession of a good fortune\nmust be in want of a wife. ';
      const line = (i: number): string =>
        `${JSON.stringify({ id: `d${i}`, meta: { lang: 'en', score: 0.25 }, text: text.repeat(1 + (i % 40)) })}\n`;
      const lines: string[] = [];
      for (let length = 0, i = 0; length < bytes; i++) length += lines[lines.push(line(i)) - 1].length;
      return Buffer.from(lines.join(''));
    },
    peers: {
      'json.loads': 'import json\nrows = sum(1 for line in open(FILE, "rb") if json.loads(line)["text"] is not None)',
      'datasets, streaming':
        'from datasets import load_dataset\nrows = sum(1 for row in load_dataset("json", data_files=FILE, split="train", streaming=True) if row["text"])',
    },
  },
};

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '200' },
    repeats: { type: 'string', default: '3' },
    cases: { type: 'string', default: Object.keys(CASES).join(',') },
  },
});

const directory = mkdtempSync(path.join(tmpdir(), 'headrace-decode-'));
try {
  console.log(`${cpus()[0].model}, Node ${process.version}`);
  for (const name of values.cases.split(',')) await runCase(name, CASES[name]);
} finally {
  rmSync(directory, { recursive: true, force: true });
}

async function runCase(name: string, own: Case): Promise<void> {
  const bytes = own.make(Number(values.megabytes) * 1e6);
  const file = path.join(directory, own.file);
  writeFileSync(file, bytes);
  const index = await best(bytes.length, () => indexOf(own, bytes));
  report(name, 'headrace, index', index);
  const shard = await indexOf(own, bytes);
  report(name, 'headrace, rows', await best(bytes.length, () => decodeAll(own, bytes, shard)));
  for (const [peer, code] of Object.entries(own.peers)) {
    const timed = `import time\nFILE = ${JSON.stringify(file)}\nstart = time.perf_counter()\n${code}\nprint(time.perf_counter() - start)`;
    try {
      const python = process.env.HEADRACE_PYTHON ?? 'python3';
      const seconds = Number(execFileSync(python, ['-c', timed], { stdio: ['ignore', 'pipe', 'ignore'] }));
      report(name, peer, bytes.length / seconds);
    } catch {
      console.log(`${name.padEnd(8)} ${peer.padEnd(22)} not installed`);
    }
  }
}

/** Bytes a second, of the quickest run. */
async function best(bytes: number, work: () => Promise<unknown>): Promise<number> {
  let speed = 0;
  for (let i = 0; i < Number(values.repeats); i++) {
    const started = performance.now();
    await work();
    speed = Math.max(speed, (bytes / (performance.now() - started)) * 1000);
  }
  return speed;
}

function report(name: string, reader: string, bytesPerSecond: number): void {
  console.log(`${name.padEnd(8)} ${reader.padEnd(22)} ${(bytesPerSecond / 1e6).toFixed(0)} MB/s`);
}
