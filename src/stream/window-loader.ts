/** Fetches the bytes of a window, or the tokens that were made of them, under the byte budget; keeps the readers of a lane's open blocks, which hold what the next window will need. */
import type { Block, Slice, Unit } from '../core/shard.js';
import { asGoneShard, GONE_IN_RUN, isGone } from '../core/gone-shard.js';
import { HeadraceError } from '../core/errors.js';
import type { SourceKind } from '../core/fields.js';
import type { Need } from '../core/need.js';
import { hasBeside } from '../decode/beside.js';
import type { BlockReader, Decoder, EncodedSlice, Wanted } from '../decode/decoder.js';
import type { PlacedShard, PlacedShards } from '../manifest/manifest.js';
import type { GroupPlan, SourcePlan, WindowPlace } from '../plan/source-plan.js';
import { needsIds, type RowSelection } from '../select/selection.js';
import type { ByteBudget, WindowsAhead } from './byte-budget.js';
import type { ByteRange, Store } from '../store/store.js';
import { withNeed } from '../store/with-need.js';
import type { MadeField } from '../transform/transform.js';
import { isDamage } from './damage.js';
import type { DamagedSlice, SliceTokens, WindowPayload, WindowSlice } from './messages.js';
import type { PipelineStats } from './stats.js';
import type { TokenLookup } from './token-cache.js';

/** What a loader needs to know of its source. */
export interface WindowSource {
  readonly plan: SourcePlan;
  readonly manifest: { readonly shards: PlacedShards };
  readonly kind: SourceKind;
  /** Whether its rows have fields. */
  readonly hasFields?: boolean;
  /** `undefined`: all rows are taken. */
  readonly selection: RowSelection | undefined;
}

export interface WindowLoaderOptions {
  readonly source: WindowSource;
  readonly sourceIndex: number;
  readonly decoder: Decoder;
  readonly budget: ByteBudget;
  readonly stats: PipelineStats;
  /** Of samples without tokens: those that the source's transform sees and makes. */
  readonly madeFields?: readonly MadeField[] | undefined;
  /** Of text whose tokens are kept. */
  readonly tokens: TokenLookup | undefined;
  /** What is read of a group, and read again with another; `undefined`: nobody plans with it. */
  readonly needOf?: NeedOfGroup | undefined;
  /** Whether a cache leaves what is not read again. */
  readonly keepsAgainOnly?: boolean;
  /** `skip`: what is damaged or gone is left out, and its rows keep their places. */
  readonly badBlocks: 'fail' | 'skip';
}

export type NeedOfGroup = (group: number, nextGroup: number) => Need;

/** One a lane and source: its windows are loaded in order, one at a time. */
export class WindowLoader {
  readonly #options: WindowLoaderOptions;
  /** By shard and first row. */
  readonly #readers = new Map<string, BlockReader>();
  /** By shard and first row, of the blocks of the same group: the group that each is read again with. */
  readonly #nextGroups = new Map<string, number>();
  #readersGroup = -1;
  #group: GroupPlan | undefined;
  #previous: Promise<unknown> = Promise.resolve();

  constructor(options: WindowLoaderOptions) {
    this.#options = options;
  }

  /**
   * `damaged`: what was read wrongly is read anew. `onLookup` is told of the key of tokens before they are looked for. Errors: those of `Store.read`,
   * `SHARD_INVALID`.
   */
  load(
    place: WindowPlace,
    windowsAhead: WindowsAhead,
    damaged: readonly DamagedSlice[],
    onLookup: (key: string) => void,
    signal: AbortSignal,
  ): Promise<WindowPayload> {
    // in turn: two windows of one block share its reader
    const loading = this.#previous.then(() => this.#load(place, windowsAhead, damaged, onLookup, signal));
    this.#previous = loading.catch(() => undefined); // its caller hears of it
    return loading;
  }

  async #load(
    place: WindowPlace,
    windowsAhead: WindowsAhead,
    damaged: readonly DamagedSlice[],
    onLookup: (key: string) => void,
    signal: AbortSignal,
  ): Promise<WindowPayload> {
    const { source, sourceIndex, budget, stats, madeFields: fields } = this.#options;
    const { plan, kind, selection } = source;
    const group = await this.#openGroup(place.group, signal);
    if (group.shards !== undefined && place.window >= group.windowCount) throw otherContent(plan.name, place, group.windowCount);
    const window = group.window(place.window);
    this.#dropReaders(window.slices);
    const bytes = window.slices.reduce((sum, slice) => sum + this.#bytesOf(slice), 0);
    return budget.use(bytes, windowsAhead, signal, async () => {
      const started = performance.now();
      const rangesOf = (index: number): readonly ByteRange[] | undefined => damaged.find(({ slice }) => slice === index)?.ranges;
      const slices = await Promise.all(window.slices.map((slice, index) => this.#loadSlice(slice, rangesOf(index), onLookup, signal)));
      stats.storeMs += performance.now() - started;
      stats.windows++;
      const epoch = Math.floor(place.group / plan.groupsPerEpoch);
      return { sourceIndex, kind, slices, epoch, orderKey: window.orderKey, selection, ...(fields && { fields }) };
    });
  }

  /** Errors: those of opening the group's shards. */
  async #openGroup(group: number, signal: AbortSignal): Promise<GroupPlan> {
    if (group === this.#readersGroup && this.#group !== undefined) return this.#group;
    const { source, needOf } = this.#options;
    const opened = await source.plan.open(group, signal);
    this.#readers.clear();
    this.#nextGroups.clear();
    this.#readersGroup = group;
    this.#group = opened;
    if (needOf !== undefined) for (const { block, group: next } of opened.nextGroups()) this.#nextGroups.set(keyOf(block), next);
    return opened;
  }

  /** A block that a window has no slice of has none in later ones: what its reader holds is of no use any more. */
  #dropReaders(slices: readonly Slice[]): void {
    const wanted = new Set(slices.map(({ block }) => keyOf(block)));
    for (const key of this.#readers.keys()) if (!wanted.has(key)) this.#readers.delete(key);
  }

  async #loadSlice(
    slice: Slice,
    damaged: readonly ByteRange[] | undefined,
    onLookup: (key: string) => void,
    signal: AbortSignal,
  ): Promise<WindowSlice> {
    const { block, startRow, endRow } = slice;
    const { stats, tokens: lookup } = this.#options;
    const { shard } = this.#placed(block);
    let tokens: SliceTokens | undefined;
    if (lookup !== undefined) {
      const key = lookup.keyOf(shard, startRow, endRow);
      onLookup(key);
      tokens = await lookup.find(key, endRow - startRow, signal, this.#needOf(block));
    }
    const isKept = tokens?.kind === 'kept';
    if (isKept) stats.slicesKept++;
    if (tokens?.kind === 'wanted') stats.slicesWanted++;
    const place = { shard: block.shard, path: shard.path, startRow, blockStartRow: block.startRow };
    try {
      return { ...place, tokens, ...(await this.#readSlice(slice, isKept, damaged, signal)) };
    } catch (error) {
      const reason = reasonToSkip(error);
      if (this.#options.badBlocks === 'fail' || reason === undefined) throw asGoneShard(error, this.#shards.known, GONE_IN_RUN);
      const problem = (error as HeadraceError).message;
      const encoded: EncodedSlice = { format: 'rejected', uri: shard.uri, rows: endRow - startRow, reason, problem };
      return { ...place, tokens: undefined, encoded, beside: undefined, again: false };
    }
  }

  /** What is damaged is read anew, once; what shows in its pages only, a worker finds. `isKept`: its tokens are at hand. */
  async #readSlice(
    { block, startRow, endRow }: Slice,
    isKept: boolean,
    damaged: readonly ByteRange[] | undefined,
    signal: AbortSignal,
  ): Promise<Pick<WindowSlice, 'encoded' | 'beside' | 'again'>> {
    const { decoder } = this.#options;
    const { store, path, shard } = this.#placed(block);
    const { kind, hasFields = false } = this.#options.source;
    const omitted: EncodedSlice = { format: 'omitted', uri: shard.uri, rows: endRow - startRow };
    const wanted: Wanted = {
      rows: !isKept && kind !== 'none',
      ids: this.#readsIds,
      fields: hasFields,
      filter: this.#filterBytesOf(shard.units[block.unit]) !== undefined,
    };
    if (!wanted.rows && !hasBeside(wanted)) return { encoded: omitted, beside: undefined, again: false };

    const read = async (reader: BlockReader): Promise<Pick<WindowSlice, 'encoded' | 'beside'>> => {
      const { slice: encoded = omitted, beside } = await reader.read(startRow, endRow, wanted, signal);
      return { encoded, beside };
    };
    let ranges = damaged;
    if (ranges === undefined) {
      const reader = this.#readerOf(block);
      try {
        return { ...(await read(reader)), again: false };
      } catch (error) {
        if (!isDamage(error)) throw error;
        ranges = reader.ranges;
      }
    }
    const reader = decoder.reopenBlock(this.#planned(store, block), path, shard, block, ranges);
    const parts = await read(reader);
    this.#readers.set(keyOf(block), reader); // what the other one holds, and knows of the pages, may be damaged as well
    return { ...parts, again: true };
  }

  get #shards(): PlacedShards {
    return this.#options.source.manifest.shards;
  }

  #placed({ shard: index }: Block): PlacedShard {
    const placed = this.#shards.at(index);
    const opened = this.#group?.shards?.get(index);
    return opened === undefined ? placed : { ...placed, shard: opened };
  }

  /** What is read of rows whose tokens are kept. */
  get #readsBeside(): boolean {
    const { selection, hasFields = false } = this.#options.source;
    return this.#readsIds || hasFields || selection?.where !== undefined;
  }

  get #readsIds(): boolean {
    const { selection } = this.#options.source;
    return selection !== undefined && needsIds(selection);
  }

  /** What the budget is charged for a slice before it is read: kept tokens take about as many bytes as their text at most. */
  #bytesOf({ block, startRow, endRow }: Slice): number {
    const { tokens, decoder } = this.#options;
    const unit = this.#placed(block).shard.units[block.unit];
    const { storedBytes, decodedBytes, rows } = unit;
    const bytes = tokens === undefined ? storedBytes : Math.max(storedBytes, decodedBytes);
    const idBytes = this.#readsIds ? decoder.storedIdBytes(unit) : 0;
    const filterBytes = this.#filterBytesOf(unit) ?? 0;
    return Math.ceil(((bytes + idBytes + filterBytes) * (endRow - startRow)) / rows);
  }

  /** Of the columns that decide about the unit's rows; `undefined` where there is nothing to decide. */
  #filterBytesOf(unit: Unit): number | undefined {
    return this.#options.source.selection?.where === undefined ? undefined : this.#options.decoder.storedFilterBytes?.(unit);
  }

  #needOf(block: Block): Need | undefined {
    return this.#options.needOf?.(this.#readersGroup, this.#nextGroups.get(keyOf(block)) ?? Infinity);
  }

  /** Text whose tokens are kept is not read again. */
  #planned(store: Store, block: Block): Store {
    const need = this.#needOf(block);
    if (need === undefined) return store;
    const { tokens, keepsAgainOnly = false } = this.#options;
    const isReadAgain = need.next < Infinity && (tokens === undefined || this.#readsBeside);
    return withNeed(store, tokens === undefined ? need : { ...need, next: Infinity }, keepsAgainOnly && !isReadAgain);
  }

  #readerOf(block: Block): BlockReader {
    const { decoder } = this.#options;
    const key = keyOf(block);
    let reader = this.#readers.get(key);
    if (reader === undefined) {
      const { store, path, shard } = this.#placed(block);
      reader = decoder.openBlock(this.#planned(store, block), path, shard, block);
      this.#readers.set(key, reader);
    }
    return reader;
  }
}

/** A listing with paths and sizes does not show every change. */
function otherContent(source: string, { group, window }: WindowPlace, windowCount: number): HeadraceError {
  return new HeadraceError(
    'CURSOR_MISMATCH',
    `the cursor stands in window ${window} of group ${group} of source ${source}, and its shards have ${windowCount}`,
    {
      detail: { field: `sources.${source}.manifest`, group, window, windowCount },
      hint: 'Shards were written anew since the cursor was made, with the sizes that they had: bring them back as they were, or start without a cursor.',
    },
  );
}

/** Blocks are made when they are asked for: the same one may come as another object. */
function keyOf(block: Block): string {
  return `${block.shard}:${block.startRow}`;
}

/**
 * Why rows may be left out: their object is gone, or it is damaged. Not what may pass, nor what a person must see to: another version, no access.
 */
function reasonToSkip(error: unknown): 'missing' | 'damaged' | undefined {
  if (isDamage(error)) return 'damaged';
  return isGone(error) ? 'missing' : undefined;
}
