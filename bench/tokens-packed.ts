/**
 * Tokens from the token cache into the packer, in one thread, with nothing else around them: an entry is read from the page cache with its checksums, its
 * documents are visited in the window's order, and packed by concatenation. In turns with the same without reading, and with making the chunk that a worker sends.
 * `npm run bench -- tokens-packed [--repeats 7] [--windows 8] [--document 500]`; `--document`: tokens of a document in the mean.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { collectSeldom } from '../sidecar/collector.js';
import { createRangeCache } from '../src/cache/range-cache.js';
import { createPacker } from '../src/pack/create-packer.js';
import { SequenceWriter } from '../src/pack/sequence-writer.js';
import { CachedDocuments } from '../src/stream/cached-documents.js';
import type { WindowPayload } from '../src/stream/messages.js';
import { createTokenEntryWriter } from '../src/stream/token-entry.js';
import { spread } from './processes.js';

const SLICES = 8;
/** Of a window of 16 MiB of English text, a slice's part. */
const SLICE_TOKENS = 2 ** 19;
const LENGTH = 2048;
const SEQUENCES_MAX = 64;
const APPEND_ID = 50256;
/** So that the figures are those of a run, and not of the first calls. */
const WARM_ROUNDS = 2;

const { values: options } = parseArgs({
  options: {
    repeats: { type: 'string', default: '7' },
    windows: { type: 'string', default: '8' },
    document: { type: 'string', default: '500' },
  },
  allowPositionals: true,
});

interface Sample {
  readonly tokensPerSecond: number;
  readonly tokensPerCpuSecond: number;
}

/** Rows of all lengths from 1 to twice the mean, the same in every slice. */
function entryOf(rows: number, mean: number): Uint8Array<ArrayBuffer> {
  const writer = createTokenEntryWriter(rows, 2);
  for (let row = 0; row < rows; row++) {
    const length = 1 + ((row * 7919) % (2 * mean));
    writer.add(
      row,
      Int32Array.from({ length }, (_, i) => (i * 31 + row) % APPEND_ID),
    );
  }
  const entry = writer.take();
  if (entry === undefined) throw new Error('the entry has not all its rows');
  return entry;
}

function windowOf(entries: readonly Uint8Array[], rows: number): WindowPayload {
  const slices = entries.map((entry, shard) => ({
    encoded: { format: 'omitted', uri: `memory://shard-${shard}`, rows } as const,
    shard,
    path: `shard-${shard}`,
    beside: undefined,
    startRow: 0,
    blockStartRow: 0,
    again: false,
    tokens: { kind: 'kept', entry } as const,
  }));
  return { sourceIndex: 0, kind: 'text', slices, epoch: 0, orderKey: Uint32Array.of(1, 2, 3, 4), selection: undefined };
}

/** Answers how many tokens were packed. */
function packWindow(payload: WindowPayload, makesChunks: boolean): number {
  const unused = (): never => {
    throw new Error('a row of an entry was decoded');
  };
  const documents = new CachedDocuments(payload, {
    encoder: undefined,
    appendId: APPEND_ID,
    idsEnd: 2 ** 31,
    rowTokens: undefined,
    badRows: 'fail',
    invalidUtf8: 'error',
    decode: unused,
    decodeBeside: unused,
    idBytes: 2,
    onEntry: unused,
  });
  const packer = createPacker({ kind: 'concat' });
  let position = { document: 0, token: 0 };
  let tokens = 0;
  while (position.document < documents.count) {
    const writer = new SequenceWriter({ length: LENGTH, padId: 0, sequencesMax: SEQUENCES_MAX, provenance: documents.rows });
    position = packer.pack(documents, position, writer);
    if (makesChunks) tokens += writer.toChunk().ids.length;
    else tokens += SEQUENCES_MAX * LENGTH;
  }
  documents.close();
  return tokens;
}

async function main(): Promise<void> {
  collectSeldom();
  const windows = Number(options.windows);
  const mean = Number(options.document);
  const rows = Math.round(SLICE_TOKENS / mean);
  const dir = await mkdtemp(path.join(tmpdir(), 'headrace-bench-'));
  try {
    const bytesMax = 2 ** 34;
    const entry = entryOf(rows, mean);
    const keys = Array.from({ length: windows }, (_, window) => Array.from({ length: SLICES }, (_, slice) => `${window} ${slice}`));
    for (const window of keys) {
      const filler = createRangeCache({ dir, bytesMax, fsync: 'never' });
      for (const key of window) filler.put(key, entry.slice());
      await filler.close(); // which waits for what is being written
    }
    const cache = createRangeCache({ dir, bytesMax, fsync: 'never' });
    const fetchEntry = async (key: string): Promise<Uint8Array> => {
      const found = await cache.get(key);
      if (found === undefined) throw new Error(`the entry ${key} was not kept`);
      return found;
    };
    const measure = async (reads: boolean, makesChunks: boolean): Promise<Sample> => {
      const held = keys[0].map(() => entry);
      const cpu = process.cpuUsage();
      const started = performance.now();
      let tokens = 0;
      for (const window of keys)
        tokens += packWindow(windowOf(reads ? await Promise.all(window.map(fetchEntry)) : held, rows), makesChunks);
      const seconds = (performance.now() - started) / 1e3;
      const { user, system } = process.cpuUsage(cpu);
      return { tokensPerSecond: tokens / seconds, tokensPerCpuSecond: tokens / ((user + system) / 1e6) };
    };
    const contestants = [
      { name: 'from the cache into the packer', measure: () => measure(true, false), samples: [] as Sample[] },
      { name: 'from memory into the packer', measure: () => measure(false, false), samples: [] as Sample[] },
      { name: 'from the cache to chunks, with digests', measure: () => measure(true, true), samples: [] as Sample[] },
    ];
    for (let repeat = -WARM_ROUNDS; repeat < Number(options.repeats); repeat++) {
      for (const { measure: run, samples } of repeat % 2 === 0 ? contestants : contestants.toReversed()) {
        const sample = await run();
        if (repeat >= 0) samples.push(sample);
      }
    }
    await cache.close();
    console.log(`machine: ${cpus()[0].model}, ${availableParallelism()} cores; Node ${process.version}`);
    console.log(`command: npm run bench -- tokens-packed --repeats ${options.repeats} --windows ${windows} --document ${mean}\n`);
    console.log('| GPT-2 ids of two bytes | M tokens/s | M tokens a CPU-s |\n| --- | --- | --- |');
    for (const { name, samples } of contestants) {
      const rates = samples.map(({ tokensPerSecond }) => tokensPerSecond / 1e6);
      const perCpu = samples.map(({ tokensPerCpuSecond }) => tokensPerCpuSecond / 1e6);
      console.log(`| ${name} | ${spread(rates, 0)} | ${spread(perCpu, 0)} |`);
    }
  } finally {
    await rm(dir, { recursive: true });
  }
}

await main();
