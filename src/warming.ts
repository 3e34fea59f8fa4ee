/**
 * Fills the cache before a run: the windows of the plan, in the order in which the stream will need them, through the same readers, so that they ask for
 * the same ranges. Nothing is decoded, unless tokens are asked for; see `warmWindows`.
 *
 *   config ─▶ stores ─▶ manifest ─▶ blocks ─▶ plan ─▶ windows by need ─▶ window's bytes ─▶ cache
 *                                                                              └▶ worker: tokens ─▶ cache      with `tokens`
 */
import { localDisk } from './cache/disk.js';
import { openCompiledForms } from './cache/compiled-forms.js';
import { rangesDir } from './cache/layout.js';
import { createRangeCache, type RangeCache } from './cache/range-cache.js';
import { cacheRoomBytes } from './cache/room.js';
import type { CacheCounters } from './cache/counters.js';
import type { Config, SourceConfig } from './config/config.js';
import { LIMITS } from './config/limits.js';
import { HeadraceError } from './core/errors.js';
import type { Slice } from './core/shard.js';
import type { Decoder, ReadEstimate } from './decode/decoder.js';
import { openDecoders, type Decoders } from './decode/open-decoders.js';
import { buildManifests, openAllShards, readAllExclusions } from './manifests.js';
import { knownPlanOf, planSources, type PlannedSource } from './planning.js';
import { decodedBytesOf, windowsByNeed, type NeededWindow } from './plan/need-order.js';
import { needsIds } from './select/selection.js';
import { createStoreSet, isLocalUri, type StoreSet } from './store/open-store.js';
import type { StoreCounters } from './store/with-counters.js';
import type { WorkerSettings } from './stream/messages.js';
import { idBytesOf } from './stream/token-entry.js';
import type { TokenLookup } from './stream/token-cache.js';
import { WorkerPool, workersOf } from './stream/worker-pool.js';
import { keepsTokens, readTokenizer, tokenLookup, workerTokenizer, type LoadedTokenizer } from './tokenizers.js';
import { TokenKeeper, warmWindows, type EstimatedWindow, type WarmingProgress } from './warming-windows.js';

export interface WarmingOptions {
  readonly epoch: number;
  /** From the start of the epoch, at most to its end; `undefined`: all of it. */
  readonly steps: number | undefined;
  /** Whether text is tokenized, and its tokens kept. */
  readonly tokens: boolean;
  readonly signal: AbortSignal;
  /** Told of what is worth a line in a log, and is no error. */
  readonly warn: (message: string, detail: Readonly<Record<string, string | number>>) => void;
}

/** What is asked for, as far as manifests say: without slices whose tokens are kept. */
export interface WarmingNeed {
  readonly shards: number;
  readonly windows: number;
  readonly bytes: number;
  readonly requests: number;
  /** Whether `bytes` is exact: where row groups are read in several blocks, their borders are read twice. */
  readonly exact: boolean;
  /** `undefined`: no tokens are asked for. */
  readonly tokens: TokenNeed | undefined;
}

/** A slice is a block's rows in one window. */
export interface TokenNeed {
  /** To be tokenized. */
  readonly slices: number;
  /** Of these, about; what is compressed as a whole says it too high or too low. */
  readonly textBytes: number;
  /** Whose tokens are there already. */
  readonly slicesKept: number;
}

export interface Warming {
  readonly need: WarmingNeed;
  /** Sources of which no tokens are kept, though they were asked for. */
  readonly tokenless: readonly string[];
  /** Bytes by which the cache is too small for the need; 0 where it is not. Tokens are not counted. */
  readonly missingRoomBytes: number;
  /** … with what tokens take, about; where they do not fit, those that are needed last are not kept. */
  readonly missingTokenRoomBytes: number;
  readonly storeCounters: StoreCounters;
  readonly cacheCounters: CacheCounters;
  /** Fills the cache, and tells after each window. A range that is in the cache is checked, and not fetched. Errors: those of reading, named; `ABORTED`. */
  run(): AsyncGenerator<WarmingProgress, void, undefined>;
  /** Slices whose tokens are not kept, of those that were asked for. */
  slicesMissing(): Promise<number>;
  /** Waits for what is being written. */
  close(): Promise<void>;
}

/** Whether there is anything that the cache would keep, or would if it were switched on: `openWarming` then says so. */
export function hasSourcesToWarm(config: Config, tokens: boolean): boolean {
  if (tokens && config.localCache?.tokens !== true) return true;
  return config.sources.some((source) => isRemote(source) || (tokens && keepsTokens(config, source)));
}

/** Reads the manifests of the sources that are warmed, and the tokenizer with `tokens`. Errors: `CONFIG_INVALID`, those of manifests and tokenizers. */
export async function openWarming(config: Config, options: WarmingOptions): Promise<Warming> {
  const { tokens: withTokens, signal, warn } = options;
  const localCache = checkedCache(config, options);
  const warmed: Config = { ...config, sources: config.sources.filter((source) => isWarmed(config, source, withTokens)) };
  const dir = rangesDir(config.cacheDir);
  const cache = createRangeCache({ dir, ...localCache, warn });
  const stores = createStoreSet(config.storage, [], localCache.ranges === 'none' ? undefined : cache);
  const keeper = new TokenKeeper(cache);
  const pool = new WorkerPool(withTokens ? workersOf(config) : 1, (key, entry) => keeper.keep(key, entry));
  const close = async (): Promise<void> => {
    await Promise.all([pool.close(), stores.close()]);
    await cache.close();
  };
  try {
    const tokenizer = withTokens ? await openTokenizer(warmed, stores, options) : undefined;
    await pool.configure(settingsOf(config, tokenizer));
    const decoders = openDecoders(pool.scan);
    const manifests = await openAllShards(await buildManifests(warmed, stores, decoders, options), signal);
    const exclusions = await readAllExclusions(warmed, manifests, stores, options);
    const sources = planSources(warmed, { manifests, exclusions }, 'train');
    const lookups = sources.map((source) => tokenLookup({ config, cache, tokenizer }, source.config, source.selection));
    const windows = (): Generator<EstimatedWindow, void> => estimated(windowsOf(warmed, sources, options), sources, decoders);
    const { need, bytesKept } = await needOf(windows(), sources, { lookups, cache, keepsRanges: localCache.ranges !== 'none' });
    const roomBytes = await cacheRoomBytes(localDisk, dir, localCache.bytesMax);
    const tokenBytes = ((need.tokens?.textBytes ?? 0) * idBytesOf(tokenizer?.vocabSize ?? 0)) / TEXT_BYTES_A_TOKEN;
    return {
      need,
      tokenless: withTokens ? config.sources.filter((source) => !keepsTokens(config, source)).map(({ name }) => name) : [],
      missingRoomBytes: Math.max(0, bytesKept - roomBytes),
      missingTokenRoomBytes: Math.max(0, Math.round(bytesKept + tokenBytes - roomBytes)),
      storeCounters: stores.counters,
      cacheCounters: cache.counters,
      run: () => warmWindows(windows(), sources, { config: warmed, decoders, lookups, cache, keeper, pool, signal, warn }),
      slicesMissing: async () => {
        const { slices = 0 } = (await needOf(windows(), sources, { lookups, cache, keepsRanges: false })).need.tokens ?? {};
        return slices;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What an entry of the cache has beside its data: 24 bytes, and its key with the address of the server, URI, path and ETag. */
const ENTRY_BYTES_ASSUMED = 512;
/** Of English and code, with the vocabularies of today's models: 3 to 5. */
const TEXT_BYTES_A_TOKEN = 4;
/** So small that such a source comes last. */
const WEIGHT_MIN = 1e-9;

/** Errors: `CONFIG_INVALID`. */
function checkedCache({ localCache, sources }: Config, { tokens, epoch }: WarmingOptions): NonNullable<Config['localCache']> {
  if (tokens && localCache?.tokens !== true) {
    const message = 'cache.tokens is false, or cache.size is 0: a run of this configuration would not read the tokens';
    throw invalid(message, 'cache.tokens', 'Set `cache: {tokens: true}` for this and for the run, or warm without --tokens.');
  }
  if (localCache === undefined || (!tokens && localCache.ranges === 'none')) {
    throw invalid('cache.ranges is false, or cache.size is 0: there is no cache to fill', 'cache', 'Set cache.ranges and cache.size.');
  }
  const epochs = Math.max(...sources.map((source) => source.epochs ?? Infinity));
  if (epoch >= epochs) {
    const message = `there is no epoch ${epoch}: epochs is ${epochs}, and the first is 0`;
    throw invalid(message, 'epochs', 'Any one epoch brings all the data.');
  }
  return localCache;
}

async function openTokenizer(config: Config, stores: StoreSet, { signal, warn }: WarmingOptions): Promise<LoadedTokenizer | undefined> {
  if (config.tokenizer === undefined) return undefined;
  const forms = openCompiledForms(config.cacheDir, warn);
  try {
    return await readTokenizer(config.tokenizer, stores, { forms }, signal);
  } finally {
    await forms.close();
  }
}

/** Workers count the rows of list pages; with a tokenizer they see windows of text, and of nothing else. */
function settingsOf(config: Config, tokenizer: LoadedTokenizer | undefined): WorkerSettings {
  return {
    tokenizer: tokenizer && workerTokenizer(tokenizer),
    length: config.sequence.length,
    packing: config.sequence.packing,
    tokensOnly: true,
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
}

function windowsOf(config: Config, sources: readonly PlannedSource[], { epoch, steps }: WarmingOptions): Generator<NeededWindow, void> {
  const { lanes, size } = config.batch;
  // a source without a weight now may get one later
  const shareOf = (source: SourceConfig): number => Math.max(source.weight, WEIGHT_MIN);
  const weights = config.sources.reduce((sum, source) => sum + shareOf(source), 0);
  // a lane keeps the sequences of one step ready, and asks a worker for those of another
  const laneTokens =
    steps === undefined ? undefined : ((steps + 2) * size * sequenceTokens(config, sources)) / lanes + readyFieldTokens(config);
  return windowsByNeed(
    sources.map((source) => ({ plan: knownPlanOf(source), share: shareOf(source.config) / weights })),
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

const NOTHING_READ: ReadEstimate = { bytes: 0, requests: 0 };

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
    const { manifest, selection } = sources[needed.source];
    let open = groups.get(walk);
    if (open?.group !== group) groups.set(walk, (open = { group, estimates: new Map() }));
    const { estimates } = open;
    const estimateOf = ({ block, startRow, endRow }: Slice): ReadEstimate => {
      const { shard } = manifest.shards.at(block.shard);
      if (isLocalUri(shard.uri)) return NOTHING_READ;
      const withIds = selection !== undefined && needsIds(selection);
      const key = `${block.shard}:${block.startRow}`;
      let estimate = estimates.get(key);
      if (estimate === undefined) estimates.set(key, (estimate = decoders.of(manifest.format).estimateBlock(shard, block, withIds)));
      return estimate(startRow, endRow);
    };
    yield { ...needed, reads: needed.window.slices.map(estimateOf) };
  }
}

interface NeedParts {
  /** By source. */
  readonly lookups: readonly (TokenLookup | undefined)[];
  readonly cache: RangeCache;
  readonly keepsRanges: boolean;
}

/** `bytesKept`: what the need takes in the cache, without tokens, and the text that these are read in place of. */
async function needOf(
  windows: Iterable<EstimatedWindow>,
  sources: readonly PlannedSource[],
  { lookups, cache, keepsRanges }: NeedParts,
): Promise<{ readonly need: WarmingNeed; readonly bytesKept: number }> {
  const shards = new Set<string>();
  const tokens = { slices: 0, textBytes: 0, slicesKept: 0 };
  let [count, bytes, requests, bytesKept] = [0, 0, 0, 0];
  let exact = true;
  for (const { source, window, reads } of windows) {
    const { manifest } = sources[source];
    const lookup = lookups[source];
    const isKept = async ({ block, startRow, endRow }: Slice): Promise<boolean> =>
      lookup !== undefined && (await cache.has(lookup.keyOf(manifest.shards.at(block.shard).shard, startRow, endRow)));
    const kept = await Promise.all(window.slices.map(isKept));
    count++;
    for (const [i, slice] of window.slices.entries()) {
      const { shard } = manifest.shards.at(slice.block.shard);
      if (kept[i]) {
        tokens.slicesKept++;
        exact = false; // what decides about its rows is read still, and what it shares with others of its block
        continue;
      }
      if (lookup !== undefined) {
        tokens.slices++;
        tokens.textBytes += Math.round(decodedBytesOf(slice));
      } else if (keepsRanges) bytesKept += reads[i].bytes + reads[i].requests * ENTRY_BYTES_ASSUMED;
      bytes += reads[i].bytes;
      requests += reads[i].requests;
      if (!isLocalUri(shard.uri)) shards.add(shard.uri);
      exact &&= slice.block.endRow - slice.block.startRow === shard.units[slice.block.unit].rows;
    }
  }
  const need = { shards: shards.size, windows: count, bytes, requests, exact };
  return { need: { ...need, tokens: lookups.some((lookup) => lookup !== undefined) ? tokens : undefined }, bytesKept };
}

/** Local files are not copied; their tokens are kept like others. */
function isWarmed(config: Config, source: SourceConfig, tokens: boolean): boolean {
  return (tokens && keepsTokens(config, source)) || ((config.localCache?.ranges ?? 'none') !== 'none' && isRemote(source));
}

function isRemote({ uris }: SourceConfig): boolean {
  return !uris.every(isLocalUri);
}

function invalid(message: string, field: string, hint: string): HeadraceError {
  return new HeadraceError('CONFIG_INVALID', message, { detail: { field }, hint });
}
