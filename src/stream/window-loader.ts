/** Fetches the bytes of a window, or the tokens that were made of them, under the byte budget; keeps the readers of a lane's open blocks, which hold what the next window will need. */
import type { Block, Slice } from '../core/shard.js';
import type { BlockReader, Decoder, EncodedSlice } from '../decode/decoder.js';
import type { PlacedShard } from '../manifest/manifest.js';
import type { SourcePlan, WindowPlace } from '../plan/source-plan.js';
import { needsIds, type RowSelection } from '../select/selection.js';
import type { ByteBudget, WindowsAhead } from './byte-budget.js';
import type { WindowPayload, WindowSlice } from './messages.js';
import type { PipelineStats } from './stats.js';
import type { TokenLookup } from './token-cache.js';

export interface WindowLoaderOptions {
  readonly plan: SourcePlan;
  readonly shards: readonly PlacedShard[];
  readonly sourceIndex: number;
  readonly kind: 'text' | 'tokens';
  readonly decoder: Decoder;
  readonly budget: ByteBudget;
  readonly stats: PipelineStats;
  /** Of text whose tokens are kept. */
  readonly tokens: TokenLookup | undefined;
  /** `undefined`: all rows are taken. */
  readonly selection: RowSelection | undefined;
}

/** One a lane and source: its windows are loaded in order, one at a time. */
export class WindowLoader {
  readonly #options: WindowLoaderOptions;
  readonly #readers = new Map<Block, BlockReader>();
  #readersGroup = -1;
  #previous: Promise<unknown> = Promise.resolve();

  constructor(options: WindowLoaderOptions) {
    this.#options = options;
  }

  /** Errors: those of `Store.read`, `SHARD_INVALID`. */
  load(place: WindowPlace, windowsAhead: WindowsAhead, signal: AbortSignal): Promise<WindowPayload> {
    // in turn: two windows of one block share its reader
    const loading = this.#previous.then(() => this.#load(place, windowsAhead, signal));
    this.#previous = loading.catch(() => undefined); // its caller hears of it
    return loading;
  }

  async #load(place: WindowPlace, windowsAhead: WindowsAhead, signal: AbortSignal): Promise<WindowPayload> {
    const { plan, budget, stats, sourceIndex, kind, selection } = this.#options;
    if (place.group !== this.#readersGroup) {
      this.#readers.clear();
      this.#readersGroup = place.group;
    }
    const window = plan.window(place);
    const bytes = window.slices.reduce((sum, slice) => sum + this.#bytesOf(slice), 0);
    return budget.use(bytes, windowsAhead, signal, async () => {
      const started = performance.now();
      const slices = await Promise.all(window.slices.map((slice) => this.#loadSlice(slice, signal)));
      stats.storeMs += performance.now() - started;
      stats.windows++;
      return { sourceIndex, kind, slices, orderKey: window.orderKey, selection };
    });
  }

  async #loadSlice({ block, startRow, endRow }: Slice, signal: AbortSignal): Promise<WindowSlice> {
    const { shards, stats, tokens: lookUp } = this.#options;
    const { shard } = shards[block.shard];
    const tokens = lookUp && (await lookUp(shard, startRow, endRow, signal));
    const [encoded, ids] = await Promise.all([
      tokens?.kind === 'kept' ? omitted(shard.uri, endRow - startRow) : this.#readerOf(block).slice(startRow, endRow, signal),
      this.#readsIds ? this.#readerOf(block).ids(startRow, endRow, signal) : undefined,
    ]);
    if (tokens?.kind === 'kept') stats.slicesKept++;
    if (tokens?.kind === 'wanted') stats.slicesWanted++;
    return { shard: block.shard, path: shard.path, startRow, tokens, encoded, ids };
  }

  get #readsIds(): boolean {
    const { selection } = this.#options;
    return selection !== undefined && needsIds(selection);
  }

  /** What the budget is charged for a slice before it is read: kept tokens take about as many bytes as their text at most. */
  #bytesOf({ block, startRow, endRow }: Slice): number {
    const { shards, tokens, decoder } = this.#options;
    const unit = shards[block.shard].shard.units[block.unit];
    const { storedBytes, decodedBytes, rows } = unit;
    const bytes = tokens === undefined ? storedBytes : Math.max(storedBytes, decodedBytes);
    const idBytes = this.#readsIds ? decoder.storedIdBytes(unit) : 0;
    return Math.ceil(((bytes + idBytes) * (endRow - startRow)) / rows);
  }

  #readerOf(block: Block): BlockReader {
    const { decoder, shards } = this.#options;
    let reader = this.#readers.get(block);
    if (reader === undefined) {
      const { store, path, shard } = shards[block.shard];
      reader = decoder.openBlock(store, path, shard, block);
      this.#readers.set(block, reader);
    }
    return reader;
  }
}

function omitted(uri: string, rows: number): EncodedSlice {
  return { format: 'omitted', uri, rows };
}
