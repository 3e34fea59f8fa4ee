/** Fetches the samples of a block's slices: their bytes where they lie, or from the start of what they are compressed in. */
import type { Block, Shard } from '../../core/shard.js';
import type { ByteRange, Store } from '../../store/store.js';
import type { EncodedArraySlice } from '../array/encoded-slice.js';
import { estimateStretch } from '../estimate-stretch.js';
import { AscendingReader, readPinned, type PinnedObject } from '../ascending-reader.js';
import { openContent, type ContentReader } from '../compressed/content.js';
import { CONTENT_LIMITS } from '../compressed/limits.js';
import { hasBeside } from '../beside.js';
import type { BlockReader, FetchedRows, ReadEstimate, Wanted } from '../decoder.js';
import type { IntegerType } from '../integers.js';
import { ItemReader, type ItemBytes, type ItemSource } from '../items/item-reader.js';
import type { EncodedLitdataSlice } from './encoded-slice.js';
import { litdataUnitLayout, type LitdataShardLayout, type LitdataUnitLayout } from './layout.js';
import { litdataInvalid } from './litdata-error.js';

export type ItemShardLayout = Exclude<LitdataShardLayout, { readonly kind: 'arrow' }>;

export class ChunkReader implements BlockReader {
  readonly #shard: Shard;
  readonly #layout: ItemShardLayout;
  readonly #items: ItemReader;

  constructor(store: Store, path: string, shard: Shard, block: Block, layout: ItemShardLayout) {
    const { uri, size, etag } = shard;
    const unit = litdataUnitLayout(shard.units[block.unit].layout);
    const { stored, tableByte } = layout;
    const object: PinnedObject = { store, path, etag };
    const isContent = stored === 'chunk' || stored === 'frames';
    const content = isContent ? openContent(store, { path, uri, size, etag, codec: 'zstd' }, unit) : undefined;
    const whole = content && new UnitContent(content, unit, stored === 'chunk' ? 0 : unit.firstByte, stored === 'frames', uri);
    const source = whole ?? new AscendingReader(object);
    this.#shard = shard;
    this.#layout = layout;
    this.#items = new ItemReader({
      source,
      readTable: (signal) => async (startByte, endByte) =>
        stored === 'chunk' ? source.read(startByte, endByte, endByte, signal) : readPinned(object, { startByte, endByte }, signal),
      isTableStored: stored !== 'chunk',
      tableByte,
      range: { startByte: unit.firstByte, endByte: unit.lastByte },
      block,
      changed: (byte) => litdataInvalid(uri, 'its samples are not where they were when the manifest was made', byte),
    });
  }

  get ranges(): readonly ByteRange[] {
    return this.#items.ranges;
  }

  async read(startRow: number, endRow: number, wanted: Wanted, signal: AbortSignal): Promise<FetchedRows> {
    const items = await this.#items.read(startRow, endRow, signal);
    const layout = this.#layout;
    if (layout.kind === 'tokens')
      return { slice: wanted.rows ? this.#documents(startRow, items, layout.item) : undefined, beside: undefined };
    const { ranges } = this;
    const slice: EncodedLitdataSlice = {
      format: 'litdata',
      uri: this.#shard.uri,
      rows: endRow - startRow,
      startRow,
      ...items,
      isCompressed: layout.stored === 'samples',
      wanted: layout,
      ranges,
    };
    return {
      slice: wanted.rows ? slice : undefined,
      beside: hasBeside(wanted) ? { format: 'litdata', slice, wanted, ranges } : undefined,
    };
  }

  /** Items that are token ids are what files of token ids have. */
  #documents(startRow: number, { startByte, bytes, bounds }: ItemBytes, item: IntegerType): EncodedArraySlice {
    const { uri } = this.#shard;
    const broken = bounds.findIndex((bound) => bound % item.bytes !== 0);
    if (broken >= 0) {
      const row = startRow + broken - 1;
      throw litdataInvalid(uri, `document ${row} ends within an id of ${item.bytes} bytes`, startByte + bounds[broken], row);
    }
    const rows = bounds.length - 1;
    return { format: 'array', uri, rows, type: item, bytes, bounds: bounds.map((bound) => bound / item.bytes), ranges: this.ranges };
  }
}

/** What a unit is compressed in, by the bytes that its table counts. */
class UnitContent implements ItemSource {
  readonly #content: ContentReader;
  readonly #unit: LitdataUnitLayout;
  readonly #contentByte: number;
  readonly #isExact: boolean;
  readonly #uri: string;

  /** `contentByte`: where the content starts. `isExact`: and it ends with the unit's last sample. */
  constructor(content: ContentReader, unit: LitdataUnitLayout, contentByte: number, isExact: boolean, uri: string) {
    this.#content = content;
    this.#unit = unit;
    this.#contentByte = contentByte;
    this.#isExact = isExact;
    this.#uri = uri;
  }

  get ranges(): readonly ByteRange[] {
    return this.#content.ranges;
  }

  async read(startByte: number, endByte: number, _lastByte: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    // a byte beyond: only then is it known that what ends there is whole
    const more = endByte === this.#unit.lastByte ? 1 : 0;
    const bytes = await this.#content.read(startByte - this.#contentByte, endByte - this.#contentByte + more, signal);
    const length = endByte - startByte;
    if (bytes.length < length)
      throw litdataInvalid(this.#uri, 'its content ends, where the index says that samples are', startByte + bytes.length);
    if (bytes.length > length && this.#isExact)
      throw litdataInvalid(this.#uri, 'its content goes on, where the index says that it ends', endByte);
    return bytes.length > length ? bytes.slice(0, length) : bytes;
  }
}

export function estimateChunk({ stored }: ItemShardLayout, shard: Shard, block: Block): (startRow: number, endRow: number) => ReadEstimate {
  const unit = shard.units[block.unit];
  if (stored === 'plain' || stored === 'samples') return estimateStretch(unit, block, litdataUnitLayout(unit.layout));
  // as if all samples were compressed alike; what is before the block is read for its first slice
  let read = 0;
  return (_startRow, endRow) => {
    const bytes = Math.max(0, Math.floor((unit.storedBytes * (endRow - unit.startRow)) / unit.rows) - read);
    read += bytes;
    return { bytes, requests: Math.ceil(bytes / CONTENT_LIMITS.readBytes) };
  };
}
