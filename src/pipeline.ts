/**
 * The product in one file: how the stages make a stream of batches out of a configuration.
 *
 *   config ─▶ stores ─▶ manifest ─▶ blocks ─▶ plan                                        once, at the start
 *                   └─▶ lists of excluded documents ─▶ selection of rows, of each split
 *   plan ─▶ window's bytes ─▶ worker: rows, tokens, sequences ─▶ lanes ─▶ steps ─▶ batches of a rank
 *        └▶ slices' tokens, kept ─▶ worker ─▶ tokens of whole slices, to be kept                 with `cache.tokens`
 *
 * Memory, at most: lanes × sources × (`laneReadyTokens` of ids + one window decoded in a worker + one window ahead, as stored) + `fetchBytes` +
 * `retainedBytesMax` of steps for every assembler. docs/operations.md evaluates it.
 */
import { availableParallelism } from 'node:os';
import { openCompiledForms } from './cache/compiled-forms.js';
import type { CacheCounters } from './cache/counters.js';
import { rangesDir } from './cache/layout.js';
import { createRangeCache, type RangeCache } from './cache/range-cache.js';
import { loadConfig, parseConfig, type Config, type ConfigInput, type SourceConfig, type TokenizerConfig } from './config/config.js';
import { LIMITS } from './config/limits.js';
import { canonicalJson, fingerprint } from './core/canonical-json.js';
import { HeadraceError } from './core/errors.js';
import type { Packing } from './core/packing.js';
import type { BlockTable } from './core/shard.js';
import type { SkipRecord } from './core/skip.js';
import type { Decoder } from './decode/decoder.js';
import { createParquetDecoder } from './decode/parquet/block-reader.js';
import { openLedger, type Ledger, type LedgerCounters } from './ledger/write-ledger.js';
import { cutBlocks } from './manifest/blocks.js';
import { buildManifest, type ManifestProgress, type SourceManifest } from './manifest/manifest.js';
import {
  checkCursorPlan,
  checkExpectedPlan,
  lanesOfCursor,
  mergeCursors,
  splitRows,
  type Cursor,
  type LaneState,
  type LaneStates,
  type PlanRecord,
} from './plan/cursor.js';
import type { MixtureChange } from './plan/mixture-changes.js';
import { checkRank, type Rank } from './plan/slots.js';
import { createSourcePlan, type SourcePlan } from './plan/source-plan.js';
import { openMixtureLog, type MixtureRequest, type SharedMixtureLog } from './run/mixture-log.js';
import { createMixtureReader } from './run/mixture-reader.js';
import type { BuiltExclusions } from './select/excluded.js';
import { readExclusions } from './select/read-exclusions.js';
import { needsIds, type RowSelection, type Split } from './select/selection.js';
import { createStoreSet, type StoreSet } from './store/open-store.js';
import { readWhole } from './store/read-whole.js';
import { shownUri } from './store/schemes.js';
import type { StoreCounters } from './store/with-counters.js';
import type { MadeStep, StepRecorder } from './stream/assembler.js';
import { ByteBudget } from './stream/byte-budget.js';
import { readDocumentIds } from './stream/document-ids.js';
import { Lane } from './stream/lane.js';
import { MicroBatches, microBatchesOf, type MicroBatch } from './stream/micro-batches.js';
import { MixtureTimeline, type MixtureLog, type MixtureTimelineOptions } from './stream/mixture-timeline.js';
import { StreamHub, type Batch, type RankStream } from './stream/rank-stream.js';
import type { WorkerSettings } from './stream/messages.js';
import { createSkipReporter, type SkipReporter } from './stream/skip-reporter.js';
import { SourceLane } from './stream/source-lane.js';
import { addWork, createPipelineStats, type PipelineStats } from './stream/stats.js';
import { createTokenLookup, type TokenLookup } from './stream/token-cache.js';
import { idBytesOf } from './stream/token-entry.js';
import { WindowLoader } from './stream/window-loader.js';
import { WorkerPool } from './stream/worker-pool.js';
import { findEosId, readyTokenizer, type CompiledForms } from './tokenize/load-tokenizer.js';
import type { PreparedTokenizer } from './tokenize/prepared.js';

/** The order of a stream is part of the product: raise this when any change of the code moves it, and say so in CHANGELOG.md. */
const PLAN_VERSION = 2;

export interface PipelineOptions {
  /** Ends opening, and the pipeline. */
  readonly signal?: AbortSignal;
  /** Told of what is worth a line in a log, and is no error. */
  readonly warn?: (message: string, detail: Readonly<Record<string, string | number>>) => void;
  /** Told of rows that are left out under `badRows: skip` and `badBlocks: skip`. */
  readonly onSkip?: (record: SkipRecord) => void;
  /** Told of each step that is made, before any rank gets it. */
  readonly onStep?: (made: MadeStep) => void;
  /** More stores, by URI prefix, such as a `memoryStore` at `memory://corpus/`. */
  readonly stores?: Parameters<typeof createStoreSet>[1];
  /**
   * Looks on: writes no ledger, claims no step in `run.dir`, and cannot change the run's weights. Which were changed while running is read from `run.dir`
   * (`run`), or is what the cursor says (`cursor`).
   */
  readonly observe?: 'run' | 'cursor';
}

export interface StreamRequest extends Partial<Rank> {
  /** Which documents: those of training (the default), or those that `validation` holds out, once and in a fixed order. */
  readonly split?: Split;
  /** Where to go on: none to start at step 0, one, or those of all ranks of a checkpoint. */
  readonly cursor?: Cursor | readonly Cursor[];
  /** Plan entries that the caller relies on, such as `{'sequence.length': 2048}`. */
  readonly expect?: PlanRecord;
  /** The stream ends before this step, and nothing is fetched ahead for it. Left out: it goes on. */
  readonly stepsEnd?: number;
}

/** What a pipeline is about to deliver. */
export interface PipelineInfo {
  /** Of training. */
  readonly plan: PlanRecord;
  /** SHA-256 of the plan: equal plans have equal streams. */
  readonly planFingerprint: string;
  readonly seed: number;
  readonly batchSize: number;
  readonly length: number;
  readonly lanes: number;
  readonly workers: number;
  readonly tokenizer: TokenizerFacts;
  readonly sources: readonly SourceInfo[];
}

export interface SourceInfo {
  readonly name: string;
  /** Their URIs; made when they are asked for. */
  readonly shards: readonly string[];
  readonly shardCount: number;
  /** One of them, by its place in the segments of batches. */
  shard(index: number): ShardInfo;
  readonly rows: number;
  readonly blocks: number;
  readonly groupsPerEpoch: number;
  readonly shardsRead: number;
}

export interface ShardInfo {
  /** Below the source's root. */
  readonly path: string;
  /** For people: without a password, or a signature. */
  readonly uri: string;
  readonly size: number;
  readonly rows: number;
  /** SHA-256 (hex) of what the object says of its own content. */
  readonly contentId: string;
}

export interface Pipeline {
  readonly info: PipelineInfo;
  readonly stats: PipelineStats;
  /** What was asked of stores: a range that is in the cache is not. */
  readonly storeCounters: StoreCounters;
  /** Of this pipeline's use of the local cache; undefined where neither byte ranges nor tokens are kept. */
  readonly cacheCounters: CacheCounters | undefined;
  /** Of the ledger; undefined without one. */
  readonly ledgerCounters: LedgerCounters | undefined;
  /** Bytes that are fetched and not yet in a worker. */
  readonly heldBytes: () => number;
  /** Sequences that wait in lanes for their step. */
  readonly readySequences: () => number;
  /** Opens the stream of a rank. Errors: `WORLD_SIZE`, `CURSOR_MISMATCH`, `CONFIG_MISMATCH`, `CONFIG_INVALID` where no validation is configured. */
  openStream(request?: StreamRequest): RankStream;
  /** The batches of a rank, as an async iterable; the stream is freed when the loop ends. */
  batches(request?: StreamRequest): AsyncGenerator<Batch, void, undefined>;
  /** The same rows in the same order, `microBatch` of them at a time, which divides the rank's rows of a step. */
  microBatches(request: StreamRequest & { readonly microBatch: number }): AsyncGenerator<MicroBatch, void, undefined>;
  /**
   * Ids of documents of a shard, by row: what the column says that `sources.NAME.id` names. A document whose id is null has none, and so have all where no
   * column is configured. `source`, `shard`: as segments count them. Errors: those of reading, `SHARD_INVALID`.
   */
  documentIds(source: number, shard: number, rows: readonly number[]): Promise<ReadonlyMap<number, string>>;
  /**
   * Changes the weights of the whole run, on all machines that share `run.dir`, from a step on that none of them has made. Resolves when it holds.
   * Errors: `MIXTURE_REFUSED`, `RUN_DIRECTORY`; then nothing has changed.
   */
  changeMixture(request: MixtureRequest): Promise<MixtureChange>;
  close(): Promise<void>;
}

/** What the stream needs to know of a tokenizer. */
export interface TokenizerFacts {
  /** 0 without a tokenizer. */
  readonly vocabSize: number;
  readonly eosId: number | undefined;
  /** Appended to each document of text. */
  readonly appendId: number | undefined;
  readonly padId: number;
}

/** Ids of a token column are below this without a tokenizer to say less. */
const IDS_END = 2 ** 31;

export interface PlannedSource {
  readonly plan: SourcePlan;
  readonly manifest: SourceManifest;
  readonly blocks: BlockTable;
  readonly kind: 'text' | 'tokens';
  /** As it holds for the split. */
  readonly config: SourceConfig;
  /** `undefined`: all rows are taken. */
  readonly selection: RowSelection | undefined;
}

/** Opens a configuration: the path of a YAML file, an object like it, or a `Config`. Errors: see docs/errors.md. */
export async function openPipeline(input: string | ConfigInput | Config, options: PipelineOptions = {}): Promise<Pipeline> {
  const config = await resolveInput(input);
  const { localCache } = config;
  const cache = localCache && createRangeCache({ dir: rangesDir(config.cacheDir), ...localCache, warn: options.warn });
  const stores = createStoreSet(config.storage, options.stores, localCache?.ranges === true ? cache : undefined);
  const forms = config.tokenizer && openCompiledForms(config.cacheDir, options.warn);
  let pool: WorkerPool | undefined;
  try {
    const tokenizer = config.tokenizer && (await readTokenizer(config.tokenizer, stores, forms, options.signal));
    const workers = config.limits.workers ?? Math.max(1, availableParallelism() - 1);
    const facts = factsOf(config, tokenizer);
    if (tokenizer?.prepared.path === 'hugging-face') {
      options.warn?.(`the tokenizer takes the slow path: ${tokenizer.prepared.reason}`, { file: tokenizer.file });
    }
    const settings: WorkerSettings = {
      tokenizer: tokenizer && {
        prepared: tokenizer.prepared,
        file: tokenizer.file,
        appendId: facts.appendId,
        invalidUtf8: tokenizer.invalidUtf8,
        idBytes: idBytesOf(tokenizer.vocabSize),
      },
      length: config.sequence.length,
      packing: config.sequence.packing,
      badRows: config.badRows,
      badBlocks: config.badBlocks,
      padId: facts.padId,
      idsEnd: facts.vocabSize === 0 ? IDS_END : facts.vocabSize,
    };
    pool = new WorkerPool(workers, settings, (key, entry) => cache?.put(key, entry));
    const decoder = createParquetDecoder(pool.countRows);
    // each takes a while, and none needs another; a tokenizer's form may still be being written
    const [manifests] = await Promise.all([buildManifests(config, stores, decoder, options), pool.ready(), forms?.close()]);
    const exclusions = await readAllExclusions(config, manifests, stores, options.signal);
    return await createPipeline({ config, cache, stores, pool, decoder, facts, manifests, exclusions, workers, tokenizer, options });
  } catch (error) {
    await Promise.all([pool?.close(), stores.close(), forms?.close()]);
    await cache?.close();
    throw error;
  }
}

/** The path of a YAML file, an object like it, or what was made of one. Errors: `CONFIG_NOT_FOUND`, `CONFIG_INVALID`. */
export async function resolveInput(input: string | ConfigInput | Config): Promise<Config> {
  return typeof input === 'string' ? await loadConfig(input) : isConfig(input) ? input : parseConfig(input);
}

interface PipelineParts {
  readonly config: Config;
  readonly cache: RangeCache | undefined;
  readonly stores: StoreSet;
  readonly pool: WorkerPool;
  readonly decoder: Decoder;
  readonly facts: TokenizerFacts;
  readonly manifests: readonly SourceManifest[];
  /** By source. */
  readonly exclusions: readonly BuiltExclusions[];
  readonly workers: number;
  readonly tokenizer: LoadedTokenizer | undefined;
  readonly options: PipelineOptions;
}

async function createPipeline(parts: PipelineParts): Promise<Pipeline> {
  const { config, cache, stores, pool, facts, workers } = parts;
  const stats = createPipelineStats();
  const ofTraining = planSplit(parts, 'train');
  const ofValidation = config.validation && planSplit(parts, 'validation');
  const { sources, plan } = ofTraining;
  const ledger = await ledgerOf(config, plan, parts.options);
  const onSkip = createSkipReporter({
    stats,
    warn: parts.options.warn,
    onSkip: (record) => {
      ledger?.skip(record);
      parts.options.onSkip?.(record);
    },
  });
  const budget = new ByteBudget(config.limits.fetchBytesMax);
  const { lanes, size: batchSize } = config.batch;

  const serve = (planned: PlannedSplit, changes: MixtureLog | undefined, openRecorder: (() => StepRecorder) | undefined): SplitService => {
    const { config: own, sources, plan } = planned;
    const hub = new StreamHub({
      batchSize,
      lanes,
      length: config.sequence.length,
      padId: facts.padId,
      finite: lanesCanEnd(own),
      last: own.last,
      plan,
      openLane: (state, stepsWanted) => openLane(state, stepsWanted, sources, parts, budget, stats, onSkip),
      openMixture: (taken, step) => new MixtureTimeline({ ...weighed(own), taken, log: changes }, step),
      openRecorder,
    });
    return { ...planned, hub };
  };
  // what changes while running is training
  const { runDir } = config;
  const shared: SharedMixtureLog | undefined =
    runDir === undefined || parts.options.observe !== undefined
      ? undefined
      : await openMixtureLog({ ...weighed(config), dir: runDir, plan });
  const log: MixtureLog | undefined =
    runDir === undefined || parts.options.observe === 'cursor'
      ? undefined
      : (shared ?? createMixtureReader({ dir: runDir, plan, warn: parts.options.warn }));
  const training = serve(ofTraining, log, stepRecorder(ledger, parts.options.onStep));
  const validation = ofValidation && serve(ofValidation, undefined, undefined);

  const openStream = (request: StreamRequest = {}): RankStream => {
    const rank: Rank = { rank: request.rank ?? 0, worldSize: request.worldSize ?? 1 };
    checkRank(rank, batchSize);
    const { sources, plan, hub } = serviceOf(request.split ?? 'train', training, validation);
    if (request.expect !== undefined) checkExpectedPlan(request.expect, plan);
    const given = request.cursor === undefined ? [] : splitRows([request.cursor].flat(), rank.worldSize, undefined).cursors;
    const [first] = given;
    if (given.length === 0) return hub.open(rank, 0, firstStates(hub.lanesOf(rank), sources), [], request.stepsEnd);
    for (const cursor of given) checkCursorPlan(cursor, plan);
    const cursor = given.length === 1 ? first : mergeCursors(given);
    const states = lanesOfCursor(
      cursor,
      hub.lanesOf(rank),
      sources.map((source) => source.plan.name),
    );
    return hub.open(rank, cursor.step, states, cursor.mixture, request.stepsEnd);
  };

  return {
    info: {
      plan,
      planFingerprint: fingerprint(plan),
      seed: config.seed,
      batchSize,
      length: config.sequence.length,
      lanes,
      workers,
      tokenizer: facts,
      sources: sources.map(sourceInfo),
    },
    stats,
    storeCounters: stores.counters,
    cacheCounters: cache?.counters,
    ledgerCounters: ledger?.counters,
    heldBytes: () => budget.heldBytes,
    readySequences: () => training.hub.readySequences + (validation?.hub.readySequences ?? 0),
    openStream,
    batches: async function* (request) {
      const stream = openStream(request);
      try {
        for (let batch = await stream.next(); batch !== undefined; batch = await stream.next()) yield batch;
      } finally {
        stream.close();
      }
    },
    microBatches: async function* ({ microBatch, ...request }) {
      const { worldSize = 1, cursor = [] } = request;
      const steps = new MicroBatches({ microBatch, worldSize });
      const { cursors, rows } = splitRows([cursor].flat(), worldSize, microBatch);
      const stream = openStream({ ...request, cursor: cursors });
      try {
        yield* microBatchesOf(stream, rows, steps);
      } finally {
        stream.close();
      }
    },
    documentIds: async (source, shard, rows) =>
      config.sources[source].id === undefined
        ? new Map()
        : readDocumentIds(parts.decoder, parts.manifests[source].shards.at(shard), rows, parts.options.signal),
    changeMixture: (request) => {
      if (shared !== undefined) return shared.propose(request);
      throw new HeadraceError('MIXTURE_REFUSED', 'the weights cannot be changed: this run has no run.dir', {
        hint: 'Set run.dir to a directory that all machines of the run share: there they agree on the step. Or schedule the change in `mixture`.',
      });
    },
    close: async () => {
      training.hub.close();
      validation?.hub.close();
      await Promise.all([pool.close(), stores.close(), shared?.close(), ledger?.close()]);
      await cache?.close();
    },
  };
}

async function ledgerOf(config: Config, plan: PlanRecord, { warn, observe }: PipelineOptions): Promise<Ledger | undefined> {
  if (config.ledgerDir === undefined || observe !== undefined) return undefined;
  return openLedger({ dir: config.ledgerDir, plan, sources: config.sources.map(({ name }) => name), lanes: config.batch.lanes, warn });
}

/** One an assembler: its steps are in order. */
function stepRecorder(ledger: Ledger | undefined, onStep: PipelineOptions['onStep']): (() => StepRecorder) | undefined {
  if (ledger === undefined && onStep === undefined) return undefined;
  return () => {
    const stream = ledger?.openStream();
    return async (made) => {
      onStep?.(made);
      await stream?.record(made);
    };
  };
}

function sourceInfo({ plan: { name, groupsPerEpoch }, manifest, blocks }: PlannedSource): SourceInfo {
  let uris: readonly string[] | undefined;
  return {
    name,
    get shards() {
      return (uris ??= Array.from({ length: manifest.shards.length }, (_, index) => manifest.shards.at(index).shard.uri));
    },
    shardCount: manifest.shards.length,
    shard: (index) => {
      const { path, uri, size, rows, contentId } = manifest.shards.at(index).shard;
      return { path, uri: shownUri(uri), size, rows, contentId };
    },
    rows: manifest.rows,
    blocks: blocks.length,
    groupsPerEpoch,
    shardsRead: manifest.shardsRead,
  };
}

/** What the streams of one split are made of. */
interface PlannedSplit {
  /** As it holds for the split. */
  readonly config: Config;
  readonly sources: readonly PlannedSource[];
  readonly plan: PlanRecord;
}

/** What serves the streams of one split. */
interface SplitService extends PlannedSplit {
  readonly hub: StreamHub;
}

function planSplit(parts: PipelineParts, split: Split): PlannedSplit {
  const config = configOfSplit(parts.config, split);
  const sources = parts.manifests.map((manifest, index) =>
    planSource(config, manifest, index, { split, exclusions: parts.exclusions[index] }),
  );
  return { config, sources, plan: planRecord(config, parts, split) };
}

/** Validation is the same whatever training does: every document once, by the weights that the sources have in the configuration, to the last one. */
function configOfSplit(config: Config, split: Split): Config {
  if (split === 'train') return config;
  const sources = config.sources.map((source) => ({ ...source, epochs: 1, maxTokens: undefined, whenUsedUp: 'drop' as const }));
  return { ...config, sources, mixture: [], runDir: undefined, last: 'pad' };
}

/** Errors: `CONFIG_INVALID`. */
function serviceOf(split: Split, training: SplitService, validation: SplitService | undefined): SplitService {
  if (split === 'train') return training;
  if (validation !== undefined) return validation;
  throw new HeadraceError('CONFIG_INVALID', 'the validation split was asked for, and this configuration has none', {
    detail: { field: 'validation' },
    hint: 'Set validation.share, and start again: training then leaves these documents out.',
  });
}

/** Weights of a split's sources, and how they change by the configuration. */
function weighed({ sources, mixture }: Config): Pick<MixtureTimelineOptions, 'names' | 'weights' | 'scheduled'> {
  return { names: sources.map(({ name }) => name), weights: sources.map(({ weight }) => weight), scheduled: mixture };
}

/** What the lists of each source leave out. Errors: `EXCLUSION_INVALID`, those of stores. */
export async function readAllExclusions(
  config: Config,
  manifests: readonly SourceManifest[],
  stores: StoreSet,
  signal?: AbortSignal,
): Promise<BuiltExclusions[]> {
  const exclusions: BuiltExclusions[] = [];
  for (const [index, { name, exclude, id }] of config.sources.entries()) {
    const lists = exclude.map((uri) => ({ uri, ...stores.open(uri) }));
    const { shards } = manifests[index];
    const excludable = { length: shards.length, at: (shard: number) => shards.at(shard).shard };
    exclusions.push(await readExclusions({ name, lists, hasIds: id !== undefined, shards: excludable }, signal));
  }
  return exclusions;
}

export interface ManifestsOptions extends Pick<PipelineOptions, 'signal' | 'warn'> {
  readonly onProgress?: (progress: ManifestProgress) => void;
}

/** Of every source of the configuration, in its order. */
export async function buildManifests(
  config: Config,
  stores: StoreSet,
  decoder: Decoder,
  options: ManifestsOptions,
): Promise<SourceManifest[]> {
  const manifests: SourceManifest[] = [];
  for (const source of config.sources) {
    const manifest = await buildManifest(source, {
      cacheDir: config.cacheDir,
      extensions: ['.parquet'],
      openStore: (uri) => stores.open(uri),
      index: ({ store, object }, signal) => decoder.index(store, object, source, signal),
      warn: (message, detail) => options.warn?.(message, detail),
      onProgress: options.onProgress,
      ...(options.signal && { signal: options.signal }),
    });
    manifests.push(manifest);
  }
  return manifests;
}

/** Which documents of a source are taken. */
interface SourceChoice {
  readonly split: Split;
  readonly exclusions: BuiltExclusions;
}

/** `index`: of the manifest's source in the configuration. */
export function planSource(config: Config, manifest: SourceManifest, index: number, { split, exclusions }: SourceChoice): PlannedSource {
  const source = config.sources[index];
  const { lanes } = config.batch;
  const windowBytes = config.shuffle?.windowBytes ?? LIMITS.windowBytesDefault;
  const blocks = cutBlocks(manifest.table, { lanes, windowBytes });
  const plan = createSourcePlan(blocks, {
    name: source.name,
    seed: config.seed,
    lanes,
    shuffleBlocks: config.shuffle?.blocks,
    // the same windows, so that what is kept of their slices serves both splits
    unshuffled: split === 'validation',
    windowBytes,
    epochs: source.epochs,
  });
  return { plan, manifest, blocks, kind: source.kind, config: source, selection: selectionOf(config, source.name, split, exclusions) };
}

function selectionOf(
  { validation }: Config,
  source: string,
  split: Split,
  { ids, rows, count }: BuiltExclusions,
): RowSelection | undefined {
  if (validation === undefined && count === 0) return undefined;
  return { source, split, excluded: count === 0 ? undefined : { ids, rows }, heldOut: validation };
}

function openLane(
  state: LaneState,
  stepsWanted: number,
  sources: readonly PlannedSource[],
  parts: PipelineParts,
  budget: ByteBudget,
  stats: PipelineStats,
  onSkip: SkipReporter,
): Lane {
  const { config, pool, decoder } = parts;
  return new Lane(
    sources.map(({ plan, manifest, kind, config: source, selection }, sourceIndex) => {
      const loader = new WindowLoader({
        plan,
        shards: manifest.shards,
        sourceIndex,
        kind,
        decoder,
        budget,
        stats,
        tokens: tokenLookup(parts, sourceIndex, selection),
        badBlocks: config.badBlocks,
        selection,
      });
      const [group, window, document, token] = state[plan.name];
      const sourceLane = new SourceLane(
        {
          plan,
          length: config.sequence.length,
          stepSequences: config.batch.size / config.batch.lanes,
          sequencesWanted: (stepsWanted * config.batch.size) / config.batch.lanes,
          openWindow: (place, from, windowsAhead) =>
            pool.openWindow(
              (damaged, signal) => loader.load(place, windowsAhead, damaged, signal),
              from,
              `source ${plan.name}, group ${place.group}, window ${place.window}`,
            ),
          onWork: (work) => {
            addWork(stats, work);
            for (const rows of work.skipped) onSkip(plan.name, manifest.shards.at(rows.shard).shard.uri, rows);
          },
        },
        { group, window, document, token },
      );
      // each lane delivers its part of the source's tokens
      const tokensMax = source.maxTokens === undefined ? Infinity : Math.ceil(source.maxTokens / config.batch.lanes);
      return { plan, lane: sourceLane, tokensMax, whenUsedUp: source.whenUsedUp };
    }),
    state,
    config.sequence.length,
    stepsWanted,
  );
}

/** Of a source of text, where tokens are kept. Validation takes what training has kept, and tokenizes no more than its own documents. */
function tokenLookup(
  { config, cache, tokenizer }: PipelineParts,
  sourceIndex: number,
  selection: RowSelection | undefined,
): TokenLookup | undefined {
  const { kind, column } = config.sources[sourceIndex];
  if (cache === undefined || config.localCache?.tokens !== true || tokenizer === undefined || kind !== 'text') return undefined;
  const { fingerprint, invalidUtf8 } = tokenizer;
  return createTokenLookup({
    cache,
    column,
    tokenizer: fingerprint,
    invalidUtf8,
    badRows: config.badRows,
    wanted: selection?.split !== 'validation',
  });
}

export function firstStates(lanes: readonly number[], sources: readonly PlannedSource[]): LaneStates {
  return Object.fromEntries(
    lanes.map((lane): [string, LaneState] => [
      String(lane),
      Object.fromEntries(
        sources.map(({ plan }) => {
          const { group, window } = plan.firstPlace(lane);
          return [plan.name, [group, window, 0, 0, 0, 0]];
        }),
      ),
    ]),
  );
}

/** A tokenizer's file, read and made ready for the workers. */
interface LoadedTokenizer {
  readonly file: string;
  readonly fingerprint: string;
  readonly prepared: PreparedTokenizer;
  readonly vocabSize: number;
  readonly eosId: number | undefined;
  readonly append: 'eos' | 'none';
  readonly invalidUtf8: 'error' | 'replace';
}

async function readTokenizer(
  config: TokenizerConfig,
  stores: StoreSet,
  forms: CompiledForms | undefined,
  signal?: AbortSignal,
): Promise<LoadedTokenizer> {
  const options = signal && { signal };
  const { append, eos, invalidUtf8 } = config;
  const file = shownUri(config.file);
  const { store, path } = stores.open(config.file);
  const bytes = await readWhole(store, path, options);
  const neighbour = `${path.slice(0, path.lastIndexOf('/') + 1)}tokenizer_config.json`;
  const tokenizerConfig = await readWhole(store, neighbour, options).catch((error: unknown) => {
    if (error instanceof HeadraceError && (error.code === 'STORE_NOT_FOUND' || error.code === 'STORE_DENIED')) return undefined;
    throw error;
  });
  const ready = await readyTokenizer({ bytes, file, options: config, forms }, signal);
  const { fingerprint, prepared, vocabSize } = ready;
  const eosId = append === 'none' && eos === undefined ? undefined : findEosId(ready, { configured: eos, tokenizerConfig, file });
  return { file, fingerprint, prepared, vocabSize, eosId, append, invalidUtf8 };
}

function factsOf({ sequence }: Config, tokenizer: LoadedTokenizer | undefined): TokenizerFacts {
  const { vocabSize = 0, eosId, append } = tokenizer ?? {};
  return { vocabSize, eosId, appendId: append === 'eos' ? eosId : undefined, padId: sequence.padId ?? eosId ?? 0 };
}

/** Every entry that the stream depends on. Whatever is not here must not be able to move it. */
function planRecord(config: Config, parts: PipelineParts, split: Split): PlanRecord {
  const { manifests, facts, tokenizer } = parts;
  const sources = config.sources.flatMap((source, index) => [
    [`sources.${source.name}.column`, source.column],
    [`sources.${source.name}.kind`, source.kind],
    [`sources.${source.name}.weight`, source.weight],
    [`sources.${source.name}.epochs`, source.epochs ?? null],
    [`sources.${source.name}.maxTokens`, source.maxTokens ?? null],
    [`sources.${source.name}.whenUsedUp`, source.whenUsedUp],
    [`sources.${source.name}.manifest`, manifests[index].fingerprint],
    ...selectionEntries(config, index, split, parts.exclusions[index]),
  ]);
  const ofTraining = split === 'train';
  return {
    version: PLAN_VERSION,
    // the order of validation does not depend on it
    seed: ofTraining ? config.seed : null,
    ...(Object.fromEntries(sources) as PlanRecord),
    ...(config.validation && {
      split,
      'validation.share': config.validation.share,
      'validation.by': config.validation.by,
      'validation.seed': config.validation.seed,
    }),
    'tokenizer.file': tokenizer?.fingerprint ?? null,
    'tokenizer.append': facts.appendId ?? null,
    'tokenizer.invalidUtf8': tokenizer?.invalidUtf8 ?? null,
    'sequence.length': config.sequence.length,
    ...packingEntries(config.sequence.packing),
    'sequence.padId': facts.padId,
    'shuffle.blocks': config.shuffle?.blocks ?? null,
    'shuffle.windowBytes': config.shuffle?.windowBytes ?? null,
    'batch.size': config.batch.size,
    'batch.lanes': config.batch.lanes,
    mixture: config.mixture.length === 0 ? null : canonicalJson(config.mixture.map(({ at, weights, ramp }) => ({ at, weights, ramp }))),
    last: lanesCanEnd(config) ? config.last : null,
    badRows: config.badRows,
    // only where it says something: cursors of older runs go on
    ...(config.badBlocks === 'skip' && { badBlocks: config.badBlocks }),
  };
}

/** Whether a lane can be without a sequence: then the other lanes fill its slots, and every rank needs them all. */
export function lanesCanEnd({ sources, mixture, runDir }: Config): boolean {
  const ends = ({ epochs, maxTokens }: SourceConfig): boolean => epochs !== undefined || maxTokens !== undefined;
  const keeping = sources.filter(({ whenUsedUp }) => whenUsedUp !== 'repeat');
  const stops = sources.some((source) => source.whenUsedUp === 'stop' && ends(source));
  // what is left when a source has ended may have no weight
  const weightless =
    runDir !== undefined ||
    [...sources.map(({ weight }) => weight), ...mixture.flatMap(({ weights }) => Object.values(weights))].includes(0);
  return stops || (keeping.length > 0 && keeping.every(ends)) || (weightless && sources.some(ends));
}

/** A packing without choices has one entry, so that its streams and cursors know nothing of the choices of others. */
function packingEntries(packing: Packing): PlanRecord {
  return {
    'sequence.packing': packing.kind,
    ...(packing.kind === 'best-fit' && { 'sequence.packingTokens': packing.groupTokens }),
    ...(packing.kind === 'pad' && { 'sequence.long': packing.long }),
  };
}

/** What decides about single documents: by its content, so that where a list lies and how it is written moves nothing. */
function selectionEntries(config: Config, index: number, split: Split, exclusions: BuiltExclusions): [string, string][] {
  const { name, id } = config.sources[index];
  const selection = selectionOf(config, name, split, exclusions);
  const { fingerprint: excluded } = exclusions;
  return [
    ...(selection !== undefined && needsIds(selection) && id !== undefined ? [[`sources.${name}.id`, id] as [string, string]] : []),
    ...(excluded === undefined ? [] : [[`sources.${name}.exclude`, excluded] as [string, string]]),
  ];
}

function isConfig(input: ConfigInput | Config): input is Config {
  return Array.isArray(input.sources);
}
