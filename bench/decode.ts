/**
 * Rows of a format decoded in one thread, beside what reads the format in Python (of Parquet, beside parquet-wasm) on the same file, with the goal that each
 * case has: from bytes in memory to rows, without tokenizing.
 *
 *   npm run bench -- decode [--megabytes 200] [--repeats 3] [--cases tar,jsonl,arrow,tokens,parquet,parquet-prose]
 *
 * Goals of a rate are a worker's, which decodes what was fetched; ratios to others count the main thread's part as well, which here copies from memory, but
 * where the other is given all bytes at once and gives no row away: that is a worker's part.
 * A case writes its file once, and says how headrace decodes it, and how others do. They take turns, and the quickest run of each counts: a machine that
 * others use as well says more by ratios within one run than by rates. Python: $HEADRACE_PYTHON, or python3.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type * as ParquetWasm from 'parquet-wasm';
import { decodeAll, indexOf, type BenchFile } from './decode-rows.js';

/** Seconds that one pass over the file took; undefined where the reader is not installed. */
type Peer = (file: string, bytes: Uint8Array) => number | undefined | Promise<number>;

interface Case extends BenchFile {
  /** Python that writes FILE, of about MEGABYTES. */
  readonly make: string;
  readonly unit: 'MB/s' | 'M ids/s';
  readonly bytesOfUnit: number;
  readonly peers: Readonly<Record<string, Peer>>;
  /** Where the index is made already. */
  readonly goals: readonly Goal[];
}

/** `part`: of headrace, what is compared; left out: all of it, fetching from memory included. */
type Goal = { readonly rate: number } | { readonly peer: string; readonly times: number; readonly part?: 'worker' };

const PYTHON = process.env.HEADRACE_PYTHON ?? 'python3';
const BENCH = fileURLToPath(new URL('../../bench/', import.meta.url));
const { ParquetFile, readParquet } = createRequire(import.meta.url)('parquet-wasm') as typeof ParquetWasm;

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '200' },
    repeats: { type: 'string', default: '3' },
    cases: { type: 'string' },
  },
});

/** Of text, in documents of 100 to 5,000 bytes, with some that JSON escapes. */
const TEXTS = `
import random, json
random.seed(1)
words = ["".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=random.randint(2, 9))) for _ in range(5000)] + ['"so"', "é", "\\n"]
pool = [" ".join(random.choices(words, k=random.randint(15, 800))) for _ in range(2000)]
def texts():
    length = i = 0
    while length < MEGABYTES * 1e6:
        yield pool[i % 2000]
        length += len(pool[i % 2000])
        i += 1
`;
/** Words at random have next to nothing for Snappy to find: of prose it leaves six tenths. */
const PROSE = `
import glob, random
random.seed(1)
prose = "\\n".join(open(file, errors="replace").read() for file in sorted(glob.glob(${JSON.stringify(path.join(BENCH, '..', 'node_modules', '@stdlib', 'datasets-*', 'data', '*.txt'))})))
def texts():
    made = 0
    while made < MEGABYTES * 1e6:
        length = random.randint(100, 5000)
        start = random.randrange(len(prose) - length)
        yield prose[start : start + length]
        made += length
`;
const PARQUET = (codec: string, texts = TEXTS): Case => ({
  format: 'parquet',
  file: `${codec}.parquet`,
  request: { column: 'text', kind: 'text' },
  make: `${texts}
import pyarrow as pa, pyarrow.parquet as pq
random.shuffle(rows := list(texts()))
pq.write_table(pa.table({"text": rows}), FILE, compression="${codec}", row_group_size=5000, use_dictionary=False)`,
  unit: 'MB/s',
  bytesOfUnit: 1e6,
  peers: {
    // the whole file in one call: what it decodes stays where it is, and all of it at once
    'parquet-wasm, in one call': (_file, bytes) => timed(() => readParquet(bytes).free()),
    // as headrace reads: a row group at a time, whose bytes a store gives
    'parquet-wasm, by row groups': byRowGroups,
    pyarrow: python('import pyarrow.parquet as pq', 'pq.read_table(FILE, use_threads=False)'),
  },
  goals: [
    { peer: 'parquet-wasm, in one call', times: 0.8, part: 'worker' },
    { peer: 'parquet-wasm, by row groups', times: 0.8 },
  ],
});

const CASES: Readonly<Record<string, Case>> = {
  tar: {
    format: 'webdataset',
    file: 'text.tar',
    request: { column: 'txt', kind: 'text' },
    make: `import runpy, sys\nsys.argv = ["tar.py", "write", FILE, str(MEGABYTES)]\nrunpy.run_path(${JSON.stringify(path.join(BENCH, 'tar.py'))}, run_name="__main__")`,
    unit: 'MB/s',
    bytesOfUnit: 1e6,
    peers: {
      webdataset: python(
        'import webdataset as wds',
        'for sample in wds.WebDataset(FILE, shardshuffle=False, empty_check=False): sample["txt"]',
      ),
    },
    goals: [{ rate: 1000 }, { peer: 'webdataset', times: 3 }],
  },
  jsonl: {
    format: 'jsonl',
    file: 'x.jsonl',
    request: { column: 'text', kind: 'text' },
    make: `${TEXTS}
with open(FILE, "w") as out:
    for i, text in enumerate(texts()):
        out.write(json.dumps({"id": f"d{i}", "meta": {"lang": "en", "score": 0.25}, "text": text}) + "\\n")`,
    unit: 'MB/s',
    bytesOfUnit: 1e6,
    peers: {
      'json.loads': python('import json', 'for line in open(FILE, "rb"): json.loads(line)["text"]'),
      'datasets, streaming': python(
        'from datasets import load_dataset',
        'for row in load_dataset("json", data_files=FILE, split="train", streaming=True): row["text"]',
      ),
    },
    goals: [{ peer: 'datasets, streaming', times: 3 }],
  },
  arrow: {
    format: 'arrow',
    file: 'text.arrow',
    request: { column: 'text', kind: 'text' },
    make: `${TEXTS}
import pyarrow as pa
table = pa.table({"text": list(texts())})
with pa.ipc.new_file(FILE, table.schema) as writer: writer.write_table(table, max_chunksize=1000)`,
    unit: 'MB/s',
    bytesOfUnit: 1e6,
    peers: {
      // its values are not looked at, nor are they copied from the file's bytes
      'pyarrow, to batches': python(
        'import pyarrow as pa\ndata = open(FILE, "rb").read()',
        'file = pa.ipc.open_file(data)\nfor i in range(file.num_record_batches): file.get_batch(i)',
      ),
      'pyarrow, to texts': python(
        'import pyarrow as pa\ndata = open(FILE, "rb").read()',
        'file = pa.ipc.open_file(data)\nfor i in range(file.num_record_batches): file.get_batch(i).column(0).to_pylist()',
      ),
    },
    goals: [{ rate: 1000 }],
  },
  tokens: {
    format: 'tokens',
    file: 'ids.bin',
    request: { column: '', kind: 'tokens', options: { dtype: 'uint16', rowTokens: 2048, wholeRows: false } },
    make: 'import numpy as np\nnp.random.default_rng(1).integers(0, 50_000, MEGABYTES * 500_000).astype("<u2").tofile(FILE)',
    unit: 'M ids/s',
    bytesOfUnit: 2e6,
    peers: {
      'NumPy, as int32': python('import numpy as np\ndata = open(FILE, "rb").read()', 'np.frombuffer(data, dtype="<u2").astype("<i4")'),
    },
    goals: [{ rate: 300 }],
  },
  parquet: PARQUET('snappy'),
  'parquet-prose': PARQUET('snappy', PROSE),
  'parquet-zstd': PARQUET('zstd'),
};

const REPEATS = Number(values.repeats);
let missed = 0;
const directory = mkdtempSync(path.join(tmpdir(), 'headrace-decode-'));
try {
  console.log(
    `${cpus()[0].model}, Node ${process.version}; the quickest of ${REPEATS}\n\n| case | reader | rate | goal |\n| --- | --- | --- | --- |`,
  );
  for (const name of values.cases?.split(',') ?? Object.keys(CASES)) await runCase(name, CASES[name]);
  console.log(missed === 0 ? '\nall goals are met' : `\ngoals that are missed: ${missed}`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}

async function runCase(name: string, own: Case): Promise<void> {
  const file = path.join(directory, own.file);
  execFileSync(PYTHON, ['-c', `FILE = ${JSON.stringify(file)}\nMEGABYTES = ${Number(values.megabytes)}\n${own.make}`], {
    stdio: 'inherit',
  });
  const bytes = new Uint8Array(readFileSync(file));
  const rateOf = (seconds: number): number => bytes.length / own.bytesOfUnit / seconds;
  const report = (reader: string, seconds: number | undefined, goal = ''): void =>
    console.log(
      `| ${name} | ${reader} | ${seconds === undefined ? 'not installed' : `${rateOf(seconds).toFixed(0)} ${own.unit}`} | ${goal} |`,
    );

  let indexing = Infinity;
  let decoding = Infinity;
  let working = Infinity;
  const others = new Map<string, number | undefined>();
  for (let i = 0; i < REPEATS; i++) {
    let started = performance.now();
    const shard = await indexOf(own, bytes);
    indexing = Math.min(indexing, secondsSince(started));
    started = performance.now();
    working = Math.min(working, (await decodeAll(own, bytes, shard)) / 1000);
    decoding = Math.min(decoding, secondsSince(started));
    for (const [peer, pass] of Object.entries(own.peers)) {
      const seconds = await pass(file, bytes);
      others.set(peer, seconds === undefined ? undefined : Math.min(seconds, others.get(peer) ?? Infinity));
    }
  }
  const goals = own.goals.map((goal) => {
    const [what, reached] =
      'rate' in goal ? [`${goal.rate} ${own.unit}`, rateOf(working) / goal.rate] : [`${goal.times} × ${goal.peer}`, ofPeer(goal)];
    if (reached === undefined) return `≥ ${what}: not known`;
    if (reached < 1) missed++;
    return `${'peer' in goal && goal.part !== undefined ? `a ${goal.part} ` : ''}≥ ${what}: ${reached < 1 ? '**missed**' : 'met'}${'peer' in goal ? ` (${(reached * goal.times).toFixed(2)} ×)` : ''}`;
  });
  report('headrace, index', indexing);
  report('headrace, a worker', working);
  report('headrace, rows', decoding, goals.join('; '));
  for (const [peer, seconds] of others) report(peer, seconds);

  function ofPeer({ peer, times, part }: Extract<Goal, { readonly peer: string }>): number | undefined {
    const seconds = others.get(peer);
    return seconds === undefined ? undefined : seconds / (part === 'worker' ? working : decoding) / times;
  }
}

async function byRowGroups(_file: string, bytes: Uint8Array): Promise<number> {
  const started = performance.now();
  const slice = (start: number, end: number): Blob =>
    ({ arrayBuffer: () => Promise.resolve(bytes.slice(start, end).buffer) }) as unknown as Blob;
  const file = await ParquetFile.fromFile({ size: bytes.length, slice } as unknown as Blob);
  const groups = file.metadata().numRowGroups();
  for (let group = 0; group < groups; group++) (await file.read({ rowGroups: [group] })).free();
  file.free();
  return secondsSince(started);
}

/** `code` passes over FILE once; what `setup` does is not counted. */
function python(setup: string, code: string): Peer {
  return (file) => {
    const timing = `import time\nFILE = ${JSON.stringify(file)}\n${setup}\nstart = time.perf_counter()\n${code}\nprint(time.perf_counter() - start)`;
    try {
      return Number(execFileSync(PYTHON, ['-c', timing], { stdio: ['ignore', 'pipe', 'ignore'] }));
    } catch {
      return undefined;
    }
  };
}

function timed(work: () => void): number {
  const started = performance.now();
  work();
  return secondsSince(started);
}

function secondsSince(started: number): number {
  return (performance.now() - started) / 1000;
}
