/**
 * Fills the cache of byte ranges before a run: the windows of the plan, in the order in which the stream will need them, through the same readers, so that
 * they ask for the same ranges. Nothing is decoded.
 *
 *   config ─▶ stores ─▶ manifest ─▶ blocks ─▶ plan ─▶ windows by need ─▶ window's bytes ─▶ cache
 */
import { localDisk } from './cache/disk.js';
import { rangesDir } from './cache/layout.js';
import { createRangeCache } from './cache/range-cache.js';
import { cacheRoomBytes } from './cache/room.js';
import type { CacheCounters } from './cache/counters.js';
import type { Config, SourceConfig } from './config/config.js';
import { throwIfAborted } from './core/abort.js';
import { LIMITS } from './config/limits.js';
import { HeadraceError } from './core/errors.js';
import type { Decoder, ReadEstimate } from './decode/decoder.js';
import { openDecoders, type Decoders } from './decode/open-decoders.js';
import { buildManifests, readAllExclusions } from './manifests.js';
import { groupClocks, planSources, type PlannedSource } from './planning.js';
import { windowsByNeed, type NeededWindow } from './plan/need-order.js';
import { needsIds } from './select/selection.js';
import { createStoreSet, isLocalUri } from './store/open-store.js';
import type { StoreCounters } from './store/with-counters.js';
import { ByteBudget } from './stream/byte-budget.js';
import { createPipelineStats } from './stream/stats.js';
import { WindowLoader, type NeedOfGroup } from './stream/window-loader.js';
import { WorkerPool } from './stream/worker-pool.js';

export interface WarmingOptions {
  readonly epoch: number;
  /** From the start of the epoch, at most to its end; `undefined`: all of it. */
  readonly steps: number | undefined;
  readonly signal: AbortSignal;
  /** Told of what is worth a line in a log, and is no error. */
  readonly warn: (message: string, detail: Readonly<Record<string, string | number>>) => void;
}

/** What is asked for, as far as manifests say. */
export interface WarmingNeed {
  readonly shards: number;
  readonly windows: number;
  readonly bytes: number;
  readonly requests: number;
  /** Whether `bytes` is exact: where row groups are read in several blocks, their borders are read twice. */
  readonly exact: boolean;
}

/** Of the need. */
export interface WarmingProgress {
  readonly windows: number;
  readonly bytes: number;
}

export interface Warming {
  readonly need: WarmingNeed;
  /** Bytes by which the cache is too small for the need; 0 where it is not. */
  readonly missingRoomBytes: number;
  readonly storeCounters: StoreCounters;
  readonly cacheCounters: CacheCounters;
  /** Fills the cache, and tells after each window. A range that is in the cache is checked, and not fetched. Errors: those of reading, named; `ABORTED`. */
  run(): AsyncGenerator<WarmingProgress, void, undefined>;
  /** Waits for what is being written. */
  close(): Promise<void>;
}

/** Whether a run of this configuration reads anything that the cache would keep. */
export function hasRemoteSources(config: Config): boolean {
  return config.sources.some(isRemote);
}

/** Reads the manifests of the sources that are not local. Errors: `CONFIG_INVALID`, those of manifests. */
export async function openWarming(config: Config, options: WarmingOptions): Promise<Warming> {
  const { localCache } = config;
  if (localCache?.ranges !== true) {
    throw invalid('cache.ranges is false, or cache.size is 0: there is no cache to fill', 'cache', 'Set cache.ranges and cache.size.');
  }
  const epochs = Math.max(...config.sources.map((source) => source.epochs ?? Infinity));
  if (options.epoch >= epochs) {
    const message = `there is no epoch ${options.epoch}: epochs is ${epochs}, and the first is 0`;
    throw invalid(message, 'epochs', 'Any one epoch brings all the data.');
  }
  const dir = rangesDir(config.cacheDir);
  const cache = createRangeCache({ dir, ...localCache, warn: options.warn });
  const stores = createStoreSet(config.storage, [], cache);
  // it counts the rows of list pages, and never sees a window
  const settings = {
    tokenizer: undefined,
    length: config.sequence.length,
    packing: config.sequence.packing,
    badRows: config.badRows,
    badBlocks: config.badBlocks,
    padId: 0,
    idsEnd: 0,
    chatTokenizers: undefined,
    chats: [],
    transforms: [],
    optionalFields: [],
    seed: config.seed,
  };
  const pool = new WorkerPool(1, () => undefined);
  const close = async (): Promise<void> => {
    await Promise.all([pool.close(), stores.close()]);
    await cache.close();
  };
  try {
    await pool.configure(settings);
    const decoders = openDecoders(pool.scan);
    const remote: Config = { ...config, sources: config.sources.filter(isRemote) };
    const manifests = await buildManifests(remote, stores, decoders, options);
    const exclusions = await readAllExclusions(remote, manifests, stores, options.signal);
    const sources = planSources(remote, { manifests, exclusions }, 'train');
    const windows = (): Generator<EstimatedWindow, void> => estimated(windowsOf(config, sources, options), sources, decoders);
    const need = needOf(windows(), sources);
    const roomBytes = await cacheRoomBytes(localDisk, dir, localCache.bytesMax);
    return {
      need,
      missingRoomBytes: Math.max(0, need.bytes + need.requests * ENTRY_BYTES_ASSUMED - roomBytes),
      storeCounters: stores.counters,
      cacheCounters: cache.counters,
      run: () => loadAll(windows(), sources, { config, decoders, signal: options.signal, warn: options.warn }),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What an entry of the cache has beside its data: 24 bytes, and its key with the address of the server, URI, path and ETag. */
const ENTRY_BYTES_ASSUMED = 512;
/** So small that such a source comes last. */
const WEIGHT_MIN = 1e-9;

function windowsOf(config: Config, sources: readonly PlannedSource[], { epoch, steps }: WarmingOptions): Generator<NeededWindow, void> {
  const { lanes, size } = config.batch;
  // a source without a weight now may get one later
  const shareOf = (source: SourceConfig): number => Math.max(source.weight, WEIGHT_MIN);
  const weights = config.sources.reduce((sum, source) => sum + shareOf(source), 0);
  // a lane keeps the sequences of one step ready, and asks a worker for those of another
  const laneTokens =
    steps === undefined ? undefined : ((steps + 2) * size * sequenceTokens(config, sources)) / lanes + readyFieldTokens(config);
  return windowsByNeed(
    sources.map(({ plan, config: source }) => ({ plan, share: shareOf(source) / weights })),
    { lanes, epoch, laneTokens },
  );
}

/** Of a sample: as many as would stand for twice the bytes of the rows of its source, on average, where they are largest. */
function sequenceTokens({ sequence }: Config, sources: readonly PlannedSource[]): number {
  if (sequence.packing.kind !== 'samples') return sequence.length;
  const bytes = sources.map(
    ({ manifest: { table, rows } }) => Array.from(table.columns.unitDecodedBytes).reduce((sum, unit) => sum + unit, 0) / rows,
  );
  return (2 * Math.max(0, ...bytes)) / LIMITS.tokenBytesAssumed;
}

/** What a lane has ready beyond its steps, where it is larger than what it has of tokens. */
function readyFieldTokens({ sequence }: Config): number {
  return sequence.packing.kind === 'samples' ? (LIMITS.laneReadyFieldBytes + LIMITS.chunkFieldBytes) / LIMITS.tokenBytesAssumed : 0;
}

interface EstimatedWindow extends NeededWindow, ReadEstimate {}

function* estimated(
  windows: Iterable<NeededWindow>,
  sources: readonly PlannedSource[],
  decoders: Decoders,
): Generator<EstimatedWindow, void> {
  // of the blocks of the group that each lane and source is at, by shard and first row
  const groups = new Map<string, { readonly group: number; readonly estimates: Map<string, ReturnType<Decoder['estimateBlock']>> }>();
  for (const needed of windows) {
    const walk = `${needed.source}:${needed.lane}`;
    const { group } = needed.place;
    let open = groups.get(walk);
    if (open?.group !== group) groups.set(walk, (open = { group, estimates: new Map() }));
    let [bytes, requests] = [0, 0];
    for (const { block, startRow, endRow } of needed.window.slices) {
      const { manifest, selection } = sources[needed.source];
      const { shard } = manifest.shards.at(block.shard);
      if (isLocalUri(shard.uri)) continue;
      const withIds = selection !== undefined && needsIds(selection);
      const key = `${block.shard}:${block.startRow}`;
      let estimate = open.estimates.get(key);
      if (estimate === undefined) open.estimates.set(key, (estimate = decoders.of(manifest.format).estimateBlock(shard, block, withIds)));
      const read = estimate(startRow, endRow);
      bytes += read.bytes;
      requests += read.requests;
    }
    yield { ...needed, bytes, requests };
  }
}

function needOf(windows: Iterable<EstimatedWindow>, sources: readonly PlannedSource[]): WarmingNeed {
  const shards = new Set<string>();
  let [count, bytes, requests] = [0, 0, 0];
  let exact = true;
  for (const needed of windows) {
    count++;
    bytes += needed.bytes;
    requests += needed.requests;
    for (const { block } of needed.window.slices) {
      const { shard } = sources[needed.source].manifest.shards.at(block.shard);
      if (!isLocalUri(shard.uri)) shards.add(shard.uri);
      exact &&= block.endRow - block.startRow === shard.units[block.unit].rows;
    }
  }
  return { shards: shards.size, windows: count, bytes, requests, exact };
}

interface LoadOptions {
  readonly config: Config;
  readonly decoders: Decoders;
  readonly signal: AbortSignal;
  readonly warn: WarmingOptions['warn'];
}

interface Loaded {
  readonly bytes: number;
  readonly loading: Promise<Loaded>;
}

/** Begins in the order of need. As many windows are under way as the stream has at least: one a lane and source. */
async function* loadAll(
  windows: Iterable<EstimatedWindow>,
  sources: readonly PlannedSource[],
  { config, decoders, signal, warn }: LoadOptions,
): AsyncGenerator<WarmingProgress, void, undefined> {
  const { lanes } = config.batch;
  const { badBlocks } = config;
  const budget = new ByteBudget(config.limits.fetchBytesMax);
  const stats = createPipelineStats();
  const clocks = groupClocks(sources);
  const loaders = sources.map((source, sourceIndex) => {
    const decoder = decoders.of(source.manifest.format);
    // the next reading is that of the run: where not all of it fits, what it needs first stays
    const needOf: NeedOfGroup = (group) => ({ at: 0, next: clocks[sourceIndex](group) });
    return Array.from(
      { length: lanes },
      () => new WindowLoader({ source, sourceIndex, decoder, budget, stats, tokens: undefined, needOf, badBlocks }),
    );
  });
  const ending = new AbortController();
  const onAbort = (): void => ending.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  const running = new Set<Promise<Loaded>>();
  const begin = ({ source, lane, place, bytes }: EstimatedWindow): void => {
    const load = loaders[source][lane].load(place, () => 0, [], ending.signal);
    const loading: Promise<Loaded> = load.then(({ slices }) => {
      for (const { encoded } of slices) if (encoded.format === 'rejected') warn(`left out: ${encoded.problem}`, { uri: encoded.uri });
      return { bytes, loading };
    });
    loading.catch(() => undefined); // heard by whoever waits for the next one
    running.add(loading);
  };
  let progress: WarmingProgress = { windows: 0, bytes: 0 };
  const next = async (): Promise<WarmingProgress> => {
    const { bytes, loading } = await Promise.race(running);
    running.delete(loading);
    progress = { windows: progress.windows + 1, bytes: progress.bytes + bytes };
    return progress;
  };
  try {
    for (const window of windows) {
      throwIfAborted(signal);
      begin(window);
      if (running.size >= lanes * sources.length) yield await next();
    }
    while (running.size > 0) yield await next();
  } finally {
    signal.removeEventListener('abort', onAbort);
    ending.abort(new HeadraceError('ABORTED', 'warming has ended'));
    await Promise.allSettled(running);
  }
}

function isRemote({ uris }: SourceConfig): boolean {
  return !uris.every(isLocalUri);
}

function invalid(message: string, field: string, hint: string): HeadraceError {
  return new HeadraceError('CONFIG_INVALID', message, { detail: { field }, hint });
}
