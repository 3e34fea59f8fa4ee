/**
 * The plan of a very large source: `npm run bench -- plan [--shards 1000000] [--units 8]` writes an index of made-up shards, then asks fresh processes
 * for the first window, and for one at 90 % of an epoch: how long it takes from the file to the window's blocks with their layouts, and what is resident.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { LIMITS } from '../src/config/limits.js';
import { deriveKey } from '../src/core/keyed-random.js';
import { createPermutation } from '../src/core/permutation.js';
import type { Unit } from '../src/core/shard.js';
import { parquetUnitLayout, type ParquetUnitLayout } from '../src/decode/parquet/layout.js';
import { cutBlocks } from '../src/manifest/blocks.js';
import { buildManifest, type SourceRequest } from '../src/manifest/manifest.js';
import { requestDigest, saveIndex } from '../src/manifest/saved-index.js';
import { ShardTableBuilder, type ShardTable } from '../src/manifest/shard-table.js';
import { createSourcePlan } from '../src/plan/source-plan.js';
import { createStoreSet } from '../src/store/open-store.js';
import { randomFrom, type Random } from './random.js';

const { values: options } = parseArgs({
  options: {
    shards: { type: 'string', default: '1000000' },
    units: { type: 'string', default: '8' },
    /** Set in the processes that are measured. */
    index: { type: 'string' },
    share: { type: 'string', default: '0' },
  },
  allowPositionals: true,
});

const LANES = 8;
const FOOTERS = 5000;
const PERMUTED_POSITIONS = 5_000_000;
/** The best counts: the first ones are compiled on the way. */
const PERMUTATION_TURNS = 5;
const source = (index: string | undefined): SourceRequest => ({
  name: 'web',
  uris: ['s3://corpus/web/'],
  index,
  column: 'text',
  kind: 'text',
});

interface Measured {
  readonly blocks: number;
  readonly loadMs: number;
  readonly windowMs: number;
  /** In the same time, of all threads: on a busy machine, the seconds say more of the others. */
  readonly processorMs: number;
  readonly residentMax: number;
  readonly residentNow: number;
}

async function main(): Promise<void> {
  const dir = await mkdtemp(path.join(tmpdir(), 'headrace-bench-'));
  try {
    const file = path.join(dir, 'web.index');
    await writeIndex(file, Number(options.shards), Number(options.units));
    const { size } = await stat(file);
    console.log(`machine: ${cpus()[0].model}, ${availableParallelism()} cores; Node ${process.version}`);
    console.log(`command: npm run bench -- plan --shards ${options.shards} --units ${options.units}`);
    console.log(`index: ${(size / 1e6).toFixed(0)} MB, ${(size / Number(options.shards)).toFixed(0)} bytes a shard\n`);
    console.log(
      '| position | blocks | index loaded, s | window known, s | of processor time, s | resident, MiB | at most, MiB |\n| --- | --- | --- | --- | --- | --- | --- |',
    );
    for (const share of [0, 0, 0, 0.9, 0.9, 0.9]) {
      const { blocks, loadMs, windowMs, processorMs, residentNow, residentMax } = await inFreshProcess(file, share);
      const cells = [
        `${share * 100} %`,
        blocks,
        ...[loadMs, windowMs, processorMs].map((ms) => (ms / 1000).toFixed(2)),
        ...[residentNow, residentMax].map(mebibytes),
      ];
      console.log(`| ${cells.join(' | ')} |`);
    }
    console.log(`\npermutation: ${permutationSpeed(Number(options.shards) * Number(options.units)).toFixed(1)} M positions/s`);
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** Row groups of 8 MB that decode to 20, with a page index, of files as a cluster writes them. What footers say repeats after some thousand shards. */
async function writeIndex(file: string, shards: number, units: number): Promise<void> {
  const random = randomFrom(1);
  const footers = footerTable(Math.min(shards, FOOTERS), units, random);
  const builder = new ShardTableBuilder();
  for (let i = 0; i < shards; i++) {
    const name = `crawl=${1000 + Math.floor(i / 10_000)}/part-${String(i).padStart(7, '0')}-${hex(8, random)}.parquet`;
    const known = i % footers.length;
    const place = { ...footers.placeOf(known), place: `web/${name}`, path: name, etag: `"${hex(32, random)}"` };
    builder.addKnown(place, footers, known);
  }
  const { uris, column, kind } = source(undefined);
  const request = requestDigest([...uris, column, kind]);
  await saveIndex(file, { request, table: builder.finish(), fingerprint: hex(64, random) });
}

function footerTable(shards: number, units: number, random: Random): ShardTable {
  const between = (min: number, max: number): number => min + Math.floor(random() * (max - min));
  const builder = new ShardTableBuilder();
  for (let i = 0; i < shards; i++) {
    const shardUnits: Unit[] = [];
    let [startRow, byte] = [0, 4];
    const indexByte = between(60e6, 70e6) * units;
    for (let u = 0; u < units; u++) {
      const storedBytes = between(7e6, 9e6);
      const startByte = byte + between(1e4, 1e6);
      const layout: ParquetUnitLayout = {
        startByte,
        endByte: startByte + storedBytes,
        codec: 'ZSTD',
        encodings: ['PLAIN', 'RLE', 'RLE_DICTIONARY'],
        type: 'BYTE_ARRAY',
        path: ['text'],
        dataStartByte: startByte + between(100, 1e5),
        offsetIndex: { startByte: indexByte + 300 * u, endByte: indexByte + 300 * u + between(80, 120) },
      };
      const rows = between(4000, 6000);
      shardUnits.push({ startRow, rows, decodedBytes: between(18e6, 22e6), storedBytes, layout: { ...layout } });
      startRow += rows;
      byte = layout.endByte;
    }
    const schema = [
      { name: 'schema', num_children: 1 },
      { name: 'text', type: 'BYTE_ARRAY' },
    ];
    builder.add(
      { root: 0, place: '', path: '', size: indexByte + 3000, etag: '' },
      { contentId: hex(64, random), rows: startRow, units: shardUnits, layout: { schema, nested: false } },
    );
  }
  return builder.finish();
}

function hex(digits: number, random: Random): string {
  const word = (): string =>
    Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, '0');
  return Array.from({ length: digits / 8 }, word).join('');
}

async function inFreshProcess(file: string, share: number): Promise<Measured> {
  const args = [fileURLToPath(import.meta.url), '--index', file, '--share', String(share)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as Measured;
}

/** From the file to the blocks of one window of each lane, with the layouts that fetching them starts with. */
async function measure(file: string, share: number): Promise<Measured> {
  const started = performance.now();
  const startedUsage = process.cpuUsage();
  const stores = createStoreSet({ s3: { forcePathStyle: true, anonymous: true, requestPayer: false } });
  const manifest = await buildManifest(source(file), {
    cacheDir: '',
    openStore: (uri) => stores.open(uri),
    index: () => Promise.reject(new Error('an index reads no footer')),
    warn: (message) => console.error(message),
  });
  const loadMs = performance.now() - started;
  const windowBytes = LIMITS.windowBytesDefault;
  const blocks = cutBlocks(manifest.table, { lanes: LANES, windowBytes });
  const plan = createSourcePlan(blocks, {
    name: 'web',
    seed: 1,
    lanes: LANES,
    shuffleBlocks: LIMITS.shuffleBlocksDefault,
    windowBytes,
    epochs: undefined,
  });
  const firstGroup = Math.floor(share * plan.groupsPerEpoch);
  for (let lane = 0; lane < LANES; lane++) {
    for (const { block } of plan.window({ group: firstGroup + lane, window: 0 }).slices) {
      const { shard } = manifest.shards.at(block.shard);
      parquetUnitLayout(shard.units[block.unit].layout);
    }
  }
  const windowMs = performance.now() - started;
  await stores.close();
  const { user, system } = process.cpuUsage(startedUsage);
  const processorMs = (user + system) / 1000;
  return {
    blocks: blocks.length,
    loadMs,
    windowMs,
    processorMs,
    residentNow: process.memoryUsage.rss(),
    residentMax: residentMaxBytes(),
  };
}

/** Of this process; what getrusage says includes its parent's, from before it became another program. */
function residentMaxBytes(): number {
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kibibytes) * 1024;
}

function permutationSpeed(size: number): number {
  const permutation = createPermutation(deriveKey('blocks', 1, 'web', 0), size);
  const count = Math.min(size, PERMUTED_POSITIONS);
  let [sum, msMin] = [0, Infinity];
  for (let turn = 0; turn < PERMUTATION_TURNS; turn++) {
    const started = performance.now();
    for (let i = 0; i < count; i++) sum += permutation.at(i);
    msMin = Math.min(msMin, performance.now() - started);
  }
  if (!(sum >= 0)) throw new Error('unreachable: the sum keeps the loop from being left out');
  return count / msMin / 1000;
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}

if (options.index === undefined) await main();
else console.log(JSON.stringify(await measure(options.index, Number(options.share))));
