/**
 * The product in one file: how the stages make a stream of batches out of a configuration.
 *
 *   config ─▶ stores ─▶ manifest ─▶ blocks ─▶ plan                                        once, at the start
 *                   └─▶ lists of excluded documents ─▶ selection of rows, of each split
 *   plan ─▶ window's bytes ─▶ worker: rows, tokens, sequences ─▶ lanes ─▶ steps ─▶ batches of a rank
 *        └▶ slices' tokens, kept ─▶ worker ─▶ tokens of whole slices, to be kept                 with `cache.tokens`
 *
 * Memory, at most: lanes × sources × (`readyTokensOf` ids + one window decoded in a worker + one window ahead, as stored) + `fetchBytes` +
 * `retainedBytesMax` of steps for every assembler. docs/operations.md evaluates it.
 */
import { openCompiledForms } from './cache/compiled-forms.js';
import type { CacheCounters } from './cache/counters.js';
import { rangesDir } from './cache/layout.js';
import { createRangeCache, type RangeCache } from './cache/range-cache.js';
import { loadConfig, parseConfig, type Config, type ConfigInput } from './config/config.js';
import { fingerprint } from './core/canonical-json.js';
import { HeadraceError } from './core/errors.js';
import { countedLength } from './core/packing.js';
import { readChats, type LoadedChats } from './chats.js';
import { madeFieldsOf, readTransforms, type LoadedTransform } from './transforms.js';
import { sideBySide } from './core/side-by-side.js';
import type { SkipRecord } from './core/skip.js';
import { openDecoders, type Decoders } from './decode/open-decoders.js';
import { openLedger, type Ledger, type LedgerCounters } from './ledger/write-ledger.js';
import {
  checkCursorPlan,
  checkExpectedPlan,
  lanesOfCursor,
  mergeCursors,
  splitRows,
  type Cursor,
  type LaneState,
  type PlanRecord,
} from './plan/cursor.js';
import type { PlacedShard, RuledOut, SourceManifest } from './manifest/manifest.js';
import { buildManifests, fieldsOfSamples, readAllExclusions } from './manifests.js';
import type { MixtureChange } from './plan/mixture-changes.js';
import { checkRank, type Rank } from './plan/slots.js';
import {
  groupClocks,
  knownPlanOf,
  firstStates,
  lanesCanEnd,
  mayBeWeightless,
  planSplit,
  weighed,
  type PlannedSource,
  type PlannedSplit,
  type PlanParts,
  type TokenizerFacts,
} from './planning.js';
import { openMixtureLog, type MixtureRequest, type SharedMixtureLog } from './run/mixture-log.js';
import { createMixtureReader } from './run/mixture-reader.js';
import type { Split } from './select/selection.js';
import { createStoreSet, type StoreSet } from './store/open-store.js';
import { shownUri } from './store/schemes.js';
import type { StoreCounters } from './store/with-counters.js';
import type { MadeStep, StepRecorder } from './stream/assembler.js';
import { ByteBudget } from './stream/byte-budget.js';
import { readDocumentIds } from './stream/document-ids.js';
import { Lane, type SequenceSource } from './stream/lane.js';
import type { Lengths, TakenSequence } from './stream/lengths.js';
import { MeasuredLane } from './stream/measured-lane.js';
import { MicroBatches, microBatchesOf, type MicroBatch } from './stream/micro-batches.js';
import { MixtureTimeline, type MixtureLog } from './stream/mixture-timeline.js';
import { StreamHub, type Batch, type RankStream } from './stream/rank-stream.js';
import type { WorkerSettings } from './stream/messages.js';
import { readLengths, type RunLengths } from './stream/saved-lengths.js';
import { createSkipReporter, type SkipReporter } from './stream/skip-reporter.js';
import { readyTokensOf } from './plan/need-order.js';
import { SourceLane, type SourcePosition } from './stream/source-lane.js';
import type { Stalls } from './stream/stalls.js';
import { addWork, createPipelineStats, type PipelineStats } from './stream/stats.js';
import { WindowLoader, type NeedOfGroup } from './stream/window-loader.js';
import { WorkerPool, workersAtFirstOf, workersOf } from './stream/worker-pool.js';
import type { TokenizerRequest } from './tokenize/load-tokenizer.js';
import { appendIdOf, readTokenizer, tokenLookup, workerTokenizer, type LoadedTokenizer } from './tokenizers.js';

export interface PipelineOptions {
  /** Ends opening, and the pipeline. */
  readonly signal?: AbortSignal;
  /** Told of what is worth a line in a log, and is no error. */
  readonly warn?: (message: string, detail: Readonly<Record<string, string | number>>) => void;
  /** Told of rows that are left out under `badRows: skip` and `badBlocks: skip`. */
  readonly onSkip?: (record: SkipRecord) => void;
  /** Told of each step that is made, before any rank gets it. */
  readonly onStep?: (made: MadeStep, split: Split) => void;
  /** Told of each sequence that a lane takes, in the lane's order, before the step is made that it is for. */
  readonly onTaken?: (taken: TakenSequence, split: Split) => void;
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
  /** Of memory that small batches share, for whoever sends several at once: none of them may be transferred. Left out: each batch has its own. */
  readonly slabBytes?: number;
}

/** What a pipeline is about to deliver. */
export interface PipelineInfo {
  /** Of training. */
  readonly plan: PlanRecord;
  /** Of validation; `undefined` where the configuration holds nothing out. */
  readonly validationPlan: PlanRecord | undefined;
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
  /** `undefined`: its shards are opened as they are read, and nobody has counted their rows. */
  readonly rows: number | undefined;
  readonly blocks: number;
  readonly groupsPerEpoch: number;
  readonly shardsRead: number;
  /** What `where` leaves out before a row is read; `undefined` without one. */
  readonly ruledOut: RuledOut | undefined;
}

export interface ShardInfo {
  /** Below the source's root. */
  readonly path: string;
  /** For people: without a password, or a signature. */
  readonly uri: string;
  readonly size: number;
  /** `undefined`: of a source whose shards are opened as they are read. */
  readonly rows: number | undefined;
  /** SHA-256 (hex) of what the object says of its own content; empty of such a source. */
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

/** Ids of a token column are below this without a tokenizer to say less. */
const IDS_END = 2 ** 31;

/** Opens a configuration: the path of a YAML file, an object like it, or a `Config`. Errors: see docs/errors.md. */
export async function openPipeline(input: string | ConfigInput | Config, options: PipelineOptions = {}): Promise<Pipeline> {
  const config = await resolveInput(input);
  const { localCache } = config;
  const cache = localCache && createRangeCache({ dir: rangesDir(config.cacheDir), ...localCache, warn: options.warn });
  const stores = createStoreSet(config.storage, options.stores, localCache?.ranges === 'none' ? undefined : cache);
  const forms = config.tokenizer && openCompiledForms(config.cacheDir, options.warn);
  const workers = workersOf(config);
  const pool = new WorkerPool(workers, (key, entry) => cache?.put(key, entry), workersAtFirstOf(config));
  const decoders = openDecoders(pool.scan, (format) => pool.expect(format));
  let onBegun = (): void => undefined;
  const tokenizerBegun = new Promise<void>((resolve) => {
    onBegun = resolve;
  });
  try {
    // each takes a while, and none needs the other
    const [made, manifests] = await sideBySide(
      [
        async (signal) => {
          const reading = readMaking(config, { stores, forms, compile: pool.compile, onBegun }, { ...options, signal });
          const making = await reading.finally(onBegun);
          await Promise.all([pool.configure(making.settings), forms?.close()]); // a tokenizer's form may still be being written
          return making;
        },
        async (signal) => {
          // to import what a store needs takes this thread 100 ms, in which another one can compile the tokenizer
          await tokenizerBegun;
          return buildManifests(config, stores, decoders, { ...options, signal });
        },
      ],
      options.signal,
    );
    const fields = await fieldsOfSamples(config, manifests, decoders, options.signal);
    const exclusions = await readAllExclusions(config, manifests, stores, options);
    return await createPipeline({
      config,
      cache,
      stores,
      pool,
      decoders,
      facts: made.facts,
      fields,
      manifests,
      exclusions,
      workers,
      tokenizer: made.tokenizer,
      chats: made.chats,
      transforms: made.transforms,
      options,
    });
  } catch (error) {
    await Promise.all([pool.close(), stores.close(), forms?.close()]);
    await cache?.close();
    throw error;
  }
}

interface Making extends Pick<PipelineParts, 'facts' | 'tokenizer' | 'chats' | 'transforms'> {
  readonly settings: WorkerSettings;
}

/** What makes tokens of rows. Errors: those of stores, `TOKENIZER_INVALID`, `TRANSFORM_INVALID`, `CONFIG_INVALID`. */
async function readMaking(
  config: Config,
  { stores, ...tools }: { readonly stores: StoreSet } & Pick<TokenizerRequest, 'forms' | 'compile' | 'onBegun'>,
  { signal, warn }: Pick<PipelineOptions, 'signal' | 'warn'>,
): Promise<Making> {
  const tokenizer = config.tokenizer && (await readTokenizer(config.tokenizer, stores, tools, signal));
  tools.onBegun?.();
  const chats = tokenizer && (await readChats(config, { own: tokenizer.prepared, stores, forms: tools.forms }, signal));
  const transforms = await readTransforms(config, stores, signal);
  const facts = factsOf(config, tokenizer);
  if (tokenizer?.prepared.path === 'hugging-face') {
    warn?.(`the tokenizer takes the slow path: ${tokenizer.prepared.reason}`, { file: tokenizer.file });
  }
  const settings: WorkerSettings = {
    tokenizer: tokenizer && workerTokenizer(tokenizer),
    length: config.sequence.length,
    packing: config.sequence.packing,
    badRows: config.badRows,
    badBlocks: config.badBlocks,
    padId: facts.padId,
    idsEnd: facts.vocabSize === 0 ? IDS_END : facts.vocabSize,
    chatTokenizers: chats?.tokenizers,
    chats: config.sources.map(({ name }) => chats?.bySource.get(name)),
    transforms: config.sources.map(({ name }) => transforms.get(name)?.settings),
    optionalFields: config.sources.map(({ fields = [] }) => fields.filter(({ isOptional }) => isOptional).map(({ name }) => name)),
    seed: config.seed,
  };
  return { facts, tokenizer, chats: chats?.bySource, transforms, settings };
}

/** The path of a YAML file, an object like it, or what was made of one. Errors: `CONFIG_NOT_FOUND`, `CONFIG_INVALID`. */
export async function resolveInput(input: string | ConfigInput | Config): Promise<Config> {
  return typeof input === 'string' ? await loadConfig(input) : isConfig(input) ? input : parseConfig(input);
}

interface PipelineParts extends PlanParts {
  readonly cache: RangeCache | undefined;
  readonly stores: StoreSet;
  readonly pool: WorkerPool;
  readonly decoders: Decoders;
  readonly workers: number;
  readonly tokenizer: LoadedTokenizer | undefined;
  readonly chats: LoadedChats['bySource'] | undefined;
  readonly transforms: ReadonlyMap<string, LoadedTransform>;
  readonly options: PipelineOptions;
}

async function createPipeline(parts: PipelineParts): Promise<Pipeline> {
  const { config, cache, stores, pool, facts, workers } = parts;
  const stats = createPipelineStats();
  const ofTraining = planSplit(parts, 'train');
  const ofValidation = config.validation && planSplit(parts, 'validation');
  const { sources, plan } = ofTraining;
  const clocks = cache && groupClocks(sources);
  const lengths = await lengthsOf(config, { train: plan, validation: ofValidation?.plan }, stores, parts.options.signal);
  const { ledger, shared, log } = await openRun(config, plan, parts.options);
  const budget = new ByteBudget(config.limits.fetchBytesMax);
  const { lanes, size: batchSize } = config.batch;
  const { warn, onSkip: tellSkip, onStep, onTaken } = parts.options;

  const serve = (split: Split, planned: PlannedSplit, recorded?: SplitRecords): SplitService => {
    const known = lengths?.[split];
    const { config: own, sources, plan } = planned;
    const onSkip = createSkipReporter({
      stats,
      warn,
      onSkip: (record) => {
        recorded?.ledger?.skip(record);
        tellSkip?.(record);
      },
    });
    const hub = new StreamHub({
      batchSize,
      lanes,
      length: config.sequence.length,
      padId: facts.padId,
      samples: parts.fields && { fields: parts.fields, hasIds: own.sources.some(({ servesTokens }) => servesTokens) },
      finite: lanesCanEnd(own),
      measured: known !== undefined,
      last: own.last,
      plan,
      work: stats,
      openLane: (lane, state, stepsWanted, stalls) =>
        openLane({ lane, state, stepsWanted }, sources, parts, {
          // validation reads on another clock, whenever a trainer asks for it
          clocks: planned === ofTraining ? clocks : undefined,
          budget,
          stats,
          stalls,
          onSkip,
          lengths: known,
          onTaken: onTaken && ((taken) => onTaken(taken, split)),
        }),
      openMixture: (taken, step) => new MixtureTimeline({ ...weighed(own), taken, log: recorded?.log }, step),
      openRecorder: stepRecorder(recorded?.ledger, onStep && ((made) => onStep(made, split))),
      onNoStep: (filledSlots) => warn?.(whyNoStep(filledSlots, batchSize), { split }),
    });
    return { ...planned, hub };
  };
  // what is recorded, and what changes while running, is training
  const training = serve('train', ofTraining, { ledger, log });
  const validation = ofValidation && serve('validation', ofValidation);

  const openStream = (request: StreamRequest = {}): RankStream => {
    const rank: Rank = { rank: request.rank ?? 0, worldSize: request.worldSize ?? 1 };
    checkRank(rank, batchSize);
    const { sources, plan, hub } = serviceOf(request.split ?? 'train', training, validation);
    if (request.expect !== undefined) checkExpectedPlan(request.expect, plan);
    const given = request.cursor === undefined ? [] : splitRows([request.cursor].flat(), rank.worldSize, undefined).cursors;
    const [first] = given;
    if (given.length === 0) return hub.open(rank, 0, firstStates(hub.lanesOf(rank), sources), [], request);
    for (const cursor of given) checkCursorPlan(cursor, plan);
    const cursor = given.length === 1 ? first : mergeCursors(given);
    const states = lanesOfCursor(
      cursor,
      hub.lanesOf(rank),
      sources.map((source) => source.plan.name),
    );
    return hub.open(rank, cursor.step, states, cursor.mixture, request);
  };

  return {
    info: {
      plan,
      validationPlan: ofValidation?.plan,
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
        : readDocumentIds(
            parts.decoders.of(parts.manifests[source].format),
            await openedShard(parts.manifests[source], shard, parts.options.signal),
            rows,
            parts.options.signal,
          ),
    changeMixture: (request) => {
      if (shared !== undefined) return shared.propose(request);
      throw new HeadraceError('MIXTURE_REFUSED', 'the weights cannot be changed: this run has no run.dir', {
        hint: 'Set run.dir to a directory that all machines of the run share: there they agree on the step. Or schedule the change in `mixture`.',
      });
    },
    close: async () => {
      training.hub.close();
      validation?.hub.close();
      for (const { scanned } of parts.manifests) if (scanned?.kind === 'as-read') scanned.opener.close();
      await Promise.all([pool.close(), stores.close(), shared?.close(), ledger?.close()]);
      await cache?.close();
    },
  };
}

/** A trainer only sees a loop that is over at once. */
function whyNoStep(filledSlots: number, batchSize: number): string {
  if (filledSlots === 0)
    return 'the run ends before its first step: every row is empty, excluded, not taken by `where`, held out, or left out by `badRows: skip` or `badBlocks: skip`';
  return `the run ends before its first step, of which ${filledSlots} of ${batchSize} slots could be filled: set \`last: pad\`, or a smaller \`batch.size\``;
}

/** What a run writes, and what it agrees on with other machines. */
interface RunRecords {
  readonly ledger: Ledger | undefined;
  /** Where this process makes steps. */
  readonly shared: SharedMixtureLog | undefined;
  /** Of changes while running. */
  readonly log: MixtureLog | undefined;
}

type SplitRecords = Pick<RunRecords, 'ledger' | 'log'>;

/** Errors: `INDEX_INVALID`, those of stores. */
async function lengthsOf(
  config: Config,
  plans: Parameters<typeof readLengths>[2],
  stores: StoreSet,
  signal?: AbortSignal,
): Promise<RunLengths | undefined> {
  if (config.lengths === undefined) return undefined;
  const { store, path } = stores.open(config.lengths);
  const shape = { sources: config.sources.length, lanes: config.batch.lanes, length: config.sequence.length };
  return readLengths(store, path, plans, shape, signal);
}

async function openRun(config: Config, plan: PlanRecord, { warn, observe }: PipelineOptions): Promise<RunRecords> {
  const { runDir: dir, ledgerDir } = config;
  if (observe !== undefined) {
    const log = dir === undefined || observe === 'cursor' ? undefined : createMixtureReader({ dir, plan, warn });
    return { ledger: undefined, shared: undefined, log };
  }
  const shared =
    dir === undefined ? undefined : await openMixtureLog({ ...weighed(config), mayBeWeightless: mayBeWeightless(config), dir, plan });
  try {
    const sources = config.sources.map(({ name }) => name);
    const ledger =
      ledgerDir === undefined ? undefined : await openLedger({ dir: ledgerDir, plan, sources, lanes: config.batch.lanes, warn });
    return { ledger, shared, log: shared };
  } catch (error) {
    await shared?.close();
    throw error;
  }
}

/** One an assembler: its steps are in order. */
function stepRecorder(ledger: Ledger | undefined, onStep: ((made: MadeStep) => void) | undefined): (() => StepRecorder) | undefined {
  if (ledger === undefined && onStep === undefined) return undefined;
  return () => {
    const stream = ledger?.openStream();
    return async (made) => {
      onStep?.(made);
      await stream?.record(made);
    };
  };
}

function sourceInfo({ plan: { name, groupsPerEpoch }, manifest, blocks, config: { where } }: PlannedSource): SourceInfo {
  let uris: readonly string[] | undefined;
  return {
    name,
    get shards() {
      return (uris ??= Array.from({ length: manifest.shards.length }, (_, index) => manifest.shards.at(index).shard.uri));
    },
    shardCount: manifest.shards.length,
    shard: (index) => {
      const { path, uri, size, rows, contentId } = manifest.shards.at(index).shard;
      return { path, uri: shownUri(uri), size, rows: manifest.scanned === undefined ? rows : undefined, contentId };
    },
    rows: manifest.scanned === undefined ? manifest.rows : undefined,
    blocks,
    groupsPerEpoch,
    shardsRead: manifest.shardsRead,
    ruledOut: where && manifest.ruledOut,
  };
}

function openedShard({ shards, scanned }: SourceManifest, shard: number, signal?: AbortSignal): PlacedShard | Promise<PlacedShard> {
  return scanned?.kind === 'as-read' ? scanned.opener.open(shard, undefined, signal) : shards.at(shard);
}

/** What serves the streams of one split. */
interface SplitService extends PlannedSplit {
  readonly hub: StreamHub;
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

interface LaneRequest {
  readonly lane: number;
  readonly state: LaneState;
  readonly stepsWanted: number;
}

interface LaneSurroundings {
  readonly budget: ByteBudget;
  readonly stats: PipelineStats;
  readonly stalls: Stalls;
  readonly onSkip: SkipReporter;
  readonly lengths: Lengths | undefined;
  readonly onTaken: ((taken: TakenSequence) => void) | undefined;
  /** By source; `undefined` where nothing is kept by need. */
  readonly clocks: ReturnType<typeof groupClocks> | undefined;
}

function openLane(
  { lane, state, stepsWanted }: LaneRequest,
  sources: readonly PlannedSource[],
  parts: PipelineParts,
  { budget, stats, stalls, onSkip, lengths, onTaken, clocks }: LaneSurroundings,
): Lane {
  const { config, pool, decoders } = parts;
  const { badBlocks } = config;
  const counted = config.sequence.packing.kind === 'samples' ? 'samples' : 'tokens';
  return new Lane(
    sources.map((planned, sourceIndex) => {
      const { plan, manifest, config: source, selection } = planned;
      const decoder = decoders.of(manifest.format);
      const tokens = tokenLookup(parts, source, selection);
      const clock = clocks?.[sourceIndex];
      const needOf: NeedOfGroup | undefined = clock && ((group, nextGroup) => ({ at: clock(group), next: clock(nextGroup) }));
      const madeFields = madeFieldsOf(source, parts.fields);
      const keepsAgainOnly = config.localCache?.ranges === 'again';
      const loader = new WindowLoader({
        source: planned,
        sourceIndex,
        decoder,
        budget,
        stats,
        madeFields,
        tokens,
        needOf,
        keepsAgainOnly,
        badBlocks,
      });
      const open = (at: SourcePosition): SequenceSource =>
        new SourceLane(
          {
            plan,
            length: config.sequence.length,
            samples: counted === 'samples',
            stepSequences: config.batch.size / config.batch.lanes,
            readyTokens: readyTokensOf(config.batch.lanes * sources.length),
            sequencesWanted: (stepsWanted * config.batch.size) / config.batch.lanes,
            openWindow: (place, from, windowsAhead) =>
              pool.openWindow(
                (damaged, onLookup, signal) => loader.load(place, windowsAhead, damaged, onLookup, signal),
                from,
                `source ${plan.name}, group ${place.group}, window ${place.window}`,
                loader,
              ),
            onWork: (work) => {
              addWork(stats, work);
              for (const rows of work.skipped) onSkip(plan.name, manifest.shards.at(rows.shard).shard.uri, rows);
            },
            stalls,
            onTaken:
              onTaken &&
              ((taken) => onTaken({ source: sourceIndex, lane, taken, isLast: taken === undefined || plan.isPastEnd(taken.end) })),
          },
          at,
        );
      const [group, window, document, token] = state[plan.name];
      const start = { group, window, document, token };
      const sourceLane =
        lengths === undefined
          ? open(start)
          : new MeasuredLane({ lengths, plan: knownPlanOf(planned), source: sourceIndex, lane, open }, start);
      // each lane delivers its part of the source's tokens
      const tokensMax = source.maxTokens === undefined ? Infinity : Math.ceil(source.maxTokens / config.batch.lanes);
      return { plan, lane: sourceLane, tokensMax, whenUsedUp: source.whenUsedUp };
    }),
    state,
    countedLength(config.sequence.packing, config.sequence.length),
    stepsWanted,
    counted,
  );
}

function factsOf({ sequence }: Config, tokenizer: LoadedTokenizer | undefined): TokenizerFacts {
  const { vocabSize = 0, eosId } = tokenizer ?? {};
  return { vocabSize, eosId, appendId: tokenizer && appendIdOf(tokenizer), padId: sequence.padId ?? eosId ?? 0 };
}

function isConfig(input: ConfigInput | Config): input is Config {
  return Array.isArray(input.sources);
}
