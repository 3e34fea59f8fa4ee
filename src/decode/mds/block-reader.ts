/** Fetches the samples of a block's slices: first where each is, then their bytes, each once. The main thread's half of MDS. */
import type { Block, Shard, Unit } from '../../core/shard.js';
import { createTurns } from '../../core/turns.js';
import type { ByteRange, Store } from '../../store/store.js';
import { estimateStretch } from '../estimate-stretch.js';
import { AscendingReader, readPinned, type PinnedObject } from '../ascending-reader.js';
import { codecOfPath } from '../compressed/codec.js';
import { openContent, type ContentReader } from '../compressed/content.js';
import { CONTENT_LIMITS } from '../compressed/limits.js';
import { hasBeside } from '../beside.js';
import type { BlockReader, Decoder, FetchedRows, ReadEstimate, Scan, ShardIndex, Wanted } from '../decoder.js';
import { withFreshReads } from '../fresh-reads.js';
import { describeMds } from './describe.js';
import { ItemReader, type ItemSource } from '../items/item-reader.js';
import type { EncodedMdsSlice } from './encoded-slice.js';
import { PLACES_BYTE, readMdsIndex } from './index-shard.js';
import { mdsShardLayout, mdsUnitLayout, type MdsShardLayout, type MdsUnitLayout } from './layout.js';
import { mdsInvalid } from './mds-error.js';

/** `scan` runs in a worker. */
export function createMdsDecoder(scan: Scan): Decoder {
  const open = (store: Store, path: string, shard: Shard, block: Block): BlockReader => new SampleReader(store, path, shard, block);
  const inTurn = createTurns(CONTENT_LIMITS.passesMax);
  return {
    index: (store, object, request, signal, filter) => {
      const read = (): Promise<ShardIndex> => readMdsIndex(store, object, request, filter, scan, signal);
      return codecOfPath(object.path) === 'plain' ? read() : inTurn(read);
    },
    openBlock: open,
    reopenBlock: (store, path, shard, block, ranges) => open(withFreshReads(store, ranges), path, shard, block),
    estimateBlock: (shard, block) => {
      const unit = shard.units[block.unit];
      return unit.isWhole === true ? estimateStream(unit) : estimateStretch(unit, block, mdsUnitLayout(unit.layout));
    },
    describe: (store, object, signal) => describeMds(store, object, scan, signal),
    fieldTypes: (shard) => (shard.rows === 0 ? undefined : mdsShardLayout(shard.layout).fields?.map(({ type }) => type)),
    // they lie in the samples that are read anyway
    storedIdBytes: () => 0,
    storedFilterBytes: () => 0,
  };
}

/** As if all samples were compressed alike. */
function estimateStream({ startRow, rows, storedBytes }: Unit): (startRow: number, endRow: number) => ReadEstimate {
  let read = 0;
  return (_startRow, endRow) => {
    const end = Math.floor((storedBytes * (endRow - startRow)) / rows);
    const bytes = Math.max(0, end - read);
    read += bytes;
    return { bytes, requests: Math.ceil(bytes / CONTENT_LIMITS.readBytes) };
  };
}

class SampleReader implements BlockReader {
  readonly #shard: Shard;
  readonly #unit: Unit;
  readonly #layout: MdsUnitLayout;
  readonly #wanted: MdsShardLayout;
  readonly #items: ItemReader;

  constructor(store: Store, path: string, shard: Shard, block: Block) {
    this.#shard = shard;
    this.#unit = shard.units[block.unit];
    this.#layout = mdsUnitLayout(this.#unit.layout);
    this.#wanted = mdsShardLayout(shard.layout);
    const { uri, size, etag } = shard;
    const pinned: PinnedObject = { store, path, etag };
    const content =
      this.#unit.isWhole === true ? openContent(store, { path, uri, size, etag }, { startByte: 0, endByte: size }) : undefined;
    this.#items = new ItemReader({
      source: content === undefined ? new AscendingReader(pinned) : this.#streamOf(content),
      readTable: (signal) => (startByte, endByte) =>
        content === undefined ? readPinned(pinned, { startByte, endByte }, signal) : content.read(startByte, endByte, signal),
      isTableStored: content === undefined,
      tableByte: PLACES_BYTE,
      range: this.#layout,
      block,
      changed: (byte) => mdsInvalid({ uri, byte }, 'its samples are not where they were when the manifest was made'),
    });
  }

  get ranges(): readonly ByteRange[] {
    return this.#items.ranges;
  }

  async read(startRow: number, endRow: number, wanted: Wanted, signal: AbortSignal): Promise<FetchedRows> {
    const items = await this.#items.read(startRow, endRow, signal);
    const { ranges } = this;
    const slice: EncodedMdsSlice = {
      format: 'mds',
      uri: this.#shard.uri,
      startRow,
      rows: endRow - startRow,
      ...items,
      ranges,
      wanted: this.#wanted,
    };
    return { slice: wanted.rows ? slice : undefined, beside: hasBeside(wanted) ? { format: 'mds', slice, wanted, ranges } : undefined };
  }

  /** Of a compressed shard a byte beyond its end is asked for: only then is it known that all of it is whole. */
  #streamOf(content: ContentReader): ItemSource {
    return {
      get ranges() {
        return content.ranges;
      },
      read: async (startByte, endByte, _lastByte, signal) => {
        const bytes = await content.read(startByte, endByte === this.#layout.endByte ? endByte + 1 : endByte, signal);
        if (bytes.length === endByte - startByte) return bytes;
        const problem = bytes.length < endByte - startByte ? 'it ends within its samples' : 'something follows its last sample';
        throw mdsInvalid({ uri: this.#shard.uri, byte: startByte + bytes.length }, problem);
      },
    };
  }
}
