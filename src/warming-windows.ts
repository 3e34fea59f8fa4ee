/**
 * Reads the windows that are to be warmed, in the order of need, and tokenizes those of which tokens are kept. Nobody takes them: what is read stays in the
 * cache of byte ranges, and what is tokenized in the token cache.
 *
 *   window ─▶ kept? ─▶ claim ─▶ bytes ─▶ worker ─▶ tokens of whole slices ─▶ cache
 *                        └▶ another process tokenizes it: left for the end
 */
import type { RangeCache } from './cache/range-cache.js';
import type { Config } from './config/config.js';
import { throwIfAborted, untilAborted } from './core/abort.js';
import { HeadraceError } from './core/errors.js';
import { createTurns } from './core/turns.js';
import type { SkippedRows } from './core/skip.js';
import type { ReadEstimate } from './decode/decoder.js';
import type { Decoders } from './decode/open-decoders.js';
import { groupClocks, type PlannedSource } from './planning.js';
import { decodedBytesOf, type NeededWindow } from './plan/need-order.js';
import { ByteBudget } from './stream/byte-budget.js';
import type { WindowPayload } from './stream/messages.js';
import { createSkipReporter } from './stream/skip-reporter.js';
import { createPipelineStats, type PipelineStats } from './stream/stats.js';
import type { TokenLookup } from './stream/token-cache.js';
import { idCountOf } from './stream/token-entry.js';
import { WindowLoader, type NeedOfGroup } from './stream/window-loader.js';
import { rejectedRows } from './stream/window-rows.js';
import { workersOf, type WorkerPool } from './stream/worker-pool.js';

export interface EstimatedWindow extends NeededWindow {
  /** By slice. */
  readonly reads: readonly ReadEstimate[];
}

/** Of the need. */
export interface WarmingProgress {
  readonly windows: number;
  readonly bytes: number;
  /** Slices that were tokenized … */
  readonly slices: number;
  /** … about so much text … */
  readonly textBytes: number;
  /** … and what came of it, without what is appended to documents. */
  readonly tokens: number;
  /** Slices that are damaged or missing, under `badBlocks: skip`. */
  readonly slicesLeftOut: number;
}

export const NOTHING_WARMED: WarmingProgress = { windows: 0, bytes: 0, slices: 0, textBytes: 0, tokens: 0, slicesLeftOut: 0 };

export interface WindowWarmingOptions {
  readonly config: Config;
  readonly decoders: Decoders;
  /** By source; `undefined`: no tokens are kept of it. */
  readonly lookups: readonly (TokenLookup | undefined)[];
  readonly cache: RangeCache;
  readonly keeper: TokenKeeper;
  /** Its workers pack nothing. */
  readonly pool: WorkerPool;
  readonly signal: AbortSignal;
  readonly warn: (message: string, detail: Readonly<Record<string, string | number>>) => void;
}

/** Takes what workers tokenize to the cache. */
export class TokenKeeper {
  readonly #cache: RangeCache;
  readonly #writing = new Set<Promise<void>>();
  /** Of all slices. */
  tokens = 0;

  constructor(cache: RangeCache) {
    this.#cache = cache;
  }

  keep(key: string, entry: Uint8Array<ArrayBuffer>): void {
    this.tokens += idCountOf(entry);
    const writing = this.#cache.putInTurn(key, entry).finally(() => this.#writing.delete(writing));
    this.#writing.add(writing);
  }

  /** Resolves when all that came until now is written, or left. */
  async written(): Promise<void> {
    await Promise.all(this.#writing);
  }
}

/** What became of a window. */
interface Warmed {
  readonly bytes: number;
  readonly slices: number;
  readonly textBytes: number;
  /** Another process has the claim of its tokens. */
  readonly isLeft: boolean;
}

const LEFT: Warmed = { bytes: 0, slices: 0, textBytes: 0, isLeft: true };
/** What is warmed is warmed once: nobody else makes its tokens. */
const NO_LOOKUPS = (): void => undefined;
const WHOLE_WINDOW = { document: 0, token: 0 };

/** Tells after each window. As many are under way as the stream has at least: one a lane and source, and with tokens one more a worker. Errors: those of reading and of the rows; `ABORTED`. */
export async function* warmWindows(
  windows: Iterable<EstimatedWindow>,
  sources: readonly PlannedSource[],
  options: WindowWarmingOptions,
): AsyncGenerator<WarmingProgress, void, undefined> {
  const { config, lookups, keeper, signal } = options;
  const ending = new AbortController();
  const onAbort = (): void => ending.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  const stats = createPipelineStats();
  const warm = windowWarmer(sources, options, stats, ending.signal);
  const widthMax = config.batch.lanes * sources.length + (lookups.some((lookup) => lookup !== undefined) ? workersOf(config) : 0);

  const left: EstimatedWindow[] = [];
  const running = new Set<Promise<void>>();
  let progress = NOTHING_WARMED;
  const add = ({ bytes, slices, textBytes }: Warmed): void => {
    progress = {
      windows: progress.windows + 1,
      bytes: progress.bytes + bytes,
      slices: progress.slices + slices,
      textBytes: progress.textBytes + textBytes,
      tokens: keeper.tokens,
      slicesLeftOut: stats.slicesSkipped,
    };
  };
  const begin = (window: EstimatedWindow, waits: boolean): void => {
    const work = warm(window, waits).then((warmed) => {
      running.delete(work); // one that fails stays: whoever waits for the next one hears of it
      if (warmed.isLeft) left.push(window);
      else add(warmed);
    });
    work.catch(() => undefined);
    running.add(work);
  };
  const warmAll = async function* (all: Iterable<EstimatedWindow>, waits: boolean): AsyncGenerator<WarmingProgress, void, undefined> {
    for (const window of all) {
      throwIfAborted(signal);
      begin(window, waits);
      while (running.size >= widthMax) {
        await Promise.race(running);
        yield progress;
      }
    }
    while (running.size > 0) {
      await Promise.race(running);
      yield progress;
    }
  };
  try {
    yield* warmAll(windows, false);
    yield* warmAll(left.splice(0), true);
  } finally {
    signal.removeEventListener('abort', onAbort);
    ending.abort(new HeadraceError('ABORTED', 'warming has ended'));
    await Promise.allSettled(running);
  }
}

/** `waits`: for another process that tokenizes the window. */
type WarmWindow = (window: EstimatedWindow, waits: boolean) => Promise<Warmed>;

function windowWarmer(
  sources: readonly PlannedSource[],
  { config, decoders, lookups, cache, keeper, pool, warn }: WindowWarmingOptions,
  stats: PipelineStats,
  signal: AbortSignal,
): WarmWindow {
  const { badBlocks } = config;
  const budget = new ByteBudget(config.limits.fetchBytesMax);
  const onSkip = createSkipReporter({ stats, warn, onSkip: undefined });
  const clocks = groupClocks(sources);
  const walks = sources.map((source, sourceIndex) => {
    const decoder = decoders.of(source.manifest.format);
    // the next reading is that of the run: where not all of it fits, what it needs first stays
    const needOf: NeedOfGroup = (group) => ({ at: 0, next: clocks[sourceIndex](group) });
    const tokens = lookups[sourceIndex];
    const keepsAgainOnly = config.localCache?.ranges === 'again';
    return Array.from({ length: config.batch.lanes }, () => ({
      loader: new WindowLoader({ source, sourceIndex, decoder, budget, stats, tokens, needOf, keepsAgainOnly, badBlocks }),
      // windows of a lane are begun in order, so that those of one block share its reader
      inTurn: createTurns(1),
    }));
  });

  const tellSkipped = (source: number, rows: SkippedRows): void => {
    const { plan, manifest } = sources[source];
    onSkip(plan.name, manifest.shards.at(rows.shard).shard.uri, rows);
  };

  const claimOf = (needed: EstimatedWindow, waits: boolean): ReturnType<RangeCache['claim']> | undefined => {
    const lookup = lookups[needed.source];
    if (lookup === undefined) return undefined;
    const [{ block, startRow, endRow }] = needed.window.slices;
    const { shard } = sources[needed.source].manifest.shards.at(block.shard);
    return cache.claim(lookup.keyOf(shard, startRow, endRow), waits ? signal : undefined);
  };

  const tokenize = async ({ source, lane, place }: EstimatedWindow, payload: WindowPayload): Promise<void> => {
    const { plan } = sources[source];
    let loaded: WindowPayload | undefined = payload;
    const { loader } = walks[source][lane];
    const handle = pool.openWindow(
      async (damaged, onLookup, aborted) => {
        const next = loaded ?? (await loader.load(place, () => 0, damaged, onLookup, aborted));
        loaded = undefined; // a worker has it
        return { ...next, orderKey: undefined }; // as rows lie, slices are complete one after the other
      },
      WHOLE_WINDOW,
      `source ${plan.name}, group ${place.group}, window ${place.window}`,
      loader,
    );
    try {
      const { work } = await untilAborted(handle.next(1), signal);
      for (const rows of work.skipped) tellSkipped(source, rows);
      await keeper.written(); // before the claim is given up
    } finally {
      handle.close();
    }
  };

  return async (needed, waits) => {
    const { source, lane, place, window, reads } = needed;
    const { loader, inTurn } = walks[source][lane];
    const begun = await inTurn(async () => {
      const claiming = claimOf(needed, waits);
      const claim = await claiming;
      if (claiming !== undefined && claim === undefined) return undefined;
      return { claim, loading: loader.load(place, () => 0, [], NO_LOOKUPS, signal) };
    });
    if (begun === undefined) return LEFT;
    try {
      const payload = await begun.loading;
      let [bytes, slices, textBytes] = [0, 0, 0];
      for (const [i, { tokens }] of payload.slices.entries()) {
        if (tokens?.kind !== 'kept') bytes += reads[i].bytes;
        if (tokens?.kind !== 'wanted') continue;
        slices++;
        textBytes += Math.round(decodedBytesOf(window.slices[i]));
      }
      if (slices > 0) await tokenize(needed, payload);
      else for (const slice of payload.slices) for (const rows of rejectedRows(slice)) tellSkipped(source, rows); // else the worker says it
      return { bytes, slices, textBytes, isLeft: false };
    } finally {
      await begun.claim?.release();
    }
  };
}
