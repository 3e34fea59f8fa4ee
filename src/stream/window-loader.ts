/** Fetches the bytes of a window under the byte budget, and keeps the readers of a lane's open blocks, which hold what the next window will need. */
import type { Block } from '../core/shard.js';
import type { BlockReader, Decoder } from '../decode/decoder.js';
import type { PlacedShard } from '../manifest/manifest.js';
import type { SourcePlan, WindowPlace } from '../plan/source-plan.js';
import type { ByteBudget, WindowsAhead } from './byte-budget.js';
import type { WindowPayload, WindowSlice } from './messages.js';
import type { PipelineStats } from './stats.js';

export interface WindowLoaderOptions {
  readonly plan: SourcePlan;
  readonly shards: readonly PlacedShard[];
  readonly sourceIndex: number;
  readonly kind: 'text' | 'tokens';
  readonly decoder: Decoder;
  readonly budget: ByteBudget;
  readonly stats: PipelineStats;
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
    const { plan, budget, stats, shards, sourceIndex, kind } = this.#options;
    if (place.group !== this.#readersGroup) {
      this.#readers.clear();
      this.#readersGroup = place.group;
    }
    const window = plan.window(place);
    const bytes = window.slices.reduce((sum, { block, startRow, endRow }) => {
      const unit = shards[block.shard].shard.units[block.unit];
      return sum + Math.ceil((unit.storedBytes * (endRow - startRow)) / unit.rows);
    }, 0);
    return budget.use(bytes, windowsAhead, signal, async () => {
      const started = performance.now();
      const slices = await Promise.all(
        window.slices.map(async ({ block, startRow, endRow }): Promise<WindowSlice> => {
          const encoded = await this.#readerOf(block).slice(startRow, endRow, signal);
          return { encoded, shard: block.shard, startRow };
        }),
      );
      stats.storeMs += performance.now() - started;
      stats.windows++;
      return { sourceIndex, kind, slices, orderKey: window.orderKey };
    });
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
