/** Fetches the samples of a block's slices: first where each is, then their bytes, each once. The main thread's half of MDS. */
import type { Block, Shard, Unit } from '../../core/shard.js';
import { createTurns } from '../../core/turns.js';
import type { ByteRange, Store } from '../../store/store.js';
import { estimateStretch } from '../array/estimate.js';
import { AscendingReader, readPinned, type PinnedObject } from '../ascending-reader.js';
import { codecOfPath } from '../compressed/codec.js';
import { openContent, type ContentReader } from '../compressed/content.js';
import { CONTENT_LIMITS } from '../compressed/limits.js';
import { hasBeside } from '../beside.js';
import type { BlockReader, Decoder, FetchedRows, ReadEstimate, Scan, ShardIndex, Wanted } from '../decoder.js';
import { withFreshReads } from '../fresh-reads.js';
import { describeMds } from './describe.js';
import type { EncodedMdsSlice } from './encoded-slice.js';
import { PLACE_BYTES, PLACES_BYTE, readMdsIndex } from './index-shard.js';
import { mdsShardLayout, mdsUnitLayout, type MdsShardLayout, type MdsUnitLayout } from './layout.js';
import { MDS_LIMITS } from './limits.js';
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
    storedFilterBytes: () => 1,
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
  readonly #block: Block;
  readonly #unit: Unit;
  readonly #layout: MdsUnitLayout;
  readonly #wanted: MdsShardLayout;
  readonly #source: SampleSource;
  #places: Promise<readonly number[]> | undefined;

  constructor(store: Store, path: string, shard: Shard, block: Block) {
    this.#shard = shard;
    this.#block = block;
    this.#unit = shard.units[block.unit];
    this.#layout = mdsUnitLayout(this.#unit.layout);
    this.#wanted = mdsShardLayout(shard.layout);
    const { uri, size, etag } = shard;
    this.#source =
      this.#unit.isWhole === true
        ? streamOf(openContent(store, { path, uri, size, etag }, { startByte: 0, endByte: size }))
        : placedSource({ store, path, etag });
  }

  get ranges(): readonly ByteRange[] {
    return this.#source.ranges();
  }

  async read(startRow: number, endRow: number, wanted: Wanted, signal: AbortSignal): Promise<FetchedRows> {
    const slice = await this.#read(startRow, endRow, signal);
    return {
      slice: wanted.rows ? slice : undefined,
      beside: hasBeside(wanted) ? { format: 'mds', slice, wanted, ranges: slice.ranges } : undefined,
    };
  }

  async #read(startRow: number, endRow: number, signal: AbortSignal): Promise<EncodedMdsSlice> {
    const { uri } = this.#shard;
    const places = await this.#placesOf(signal);
    const own = places.slice(startRow - this.#block.startRow, endRow - this.#block.startRow + 1);
    const [startByte] = own;
    const endByte = own[own.length - 1];
    const lastByte = places[places.length - 1];
    // a byte beyond the end of a stream: only then is it known that all of it is whole
    const isEnd = this.#unit.isWhole === true && endByte === this.#layout.endByte;
    const bytes = await this.#source.read(startByte, isEnd ? endByte + 1 : endByte, lastByte, signal);
    const problem = bytes.length < endByte - startByte ? 'it ends within its samples' : 'something follows its last sample';
    if (bytes.length !== endByte - startByte) throw mdsInvalid({ uri, byte: startByte + bytes.length }, problem);
    return {
      format: 'mds',
      uri,
      startRow,
      startByte,
      rows: endRow - startRow,
      bytes,
      bounds: Int32Array.from(own, (byte) => byte - startByte),
      ranges: this.ranges,
      wanted: this.#wanted,
    };
  }

  /** Where each sample of the block starts, and the end of the last. Read once. */
  async #placesOf(signal: AbortSignal): Promise<readonly number[]> {
    this.#places ??= this.#readPlaces(signal);
    const reading = this.#places;
    reading.catch(() => (this.#places = undefined)); // the next one tries again
    return reading;
  }

  async #readPlaces(signal: AbortSignal): Promise<readonly number[]> {
    const { startRow, endRow } = this.#block;
    const { uri } = this.#shard;
    const range = { startByte: PLACES_BYTE + PLACE_BYTES * startRow, endByte: PLACES_BYTE + PLACE_BYTES * (endRow + 1) };
    const bytes = await this.#source.readPlaces(range, signal);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const places = Array.from({ length: Math.floor(bytes.length / PLACE_BYTES) }, (_, i) => view.getUint32(PLACE_BYTES * i, true));
    const { startByte, endByte } = this.#layout;
    const [first, last] = [places.at(0) ?? 0, places.at(-1) ?? 0];
    const isSame =
      places.length === endRow - startRow + 1 &&
      (startRow === this.#unit.startRow ? first === startByte : first >= startByte) &&
      (endRow === this.#unit.startRow + this.#unit.rows ? last === endByte : last <= endByte) &&
      places.every((place, i) => i === 0 || (place >= places[i - 1] && place - places[i - 1] <= MDS_LIMITS.sampleBytesMax));
    if (!isSame) throw mdsInvalid({ uri, byte: range.startByte }, 'its samples are not where they were when the manifest was made');
    return places;
  }
}

/** Reads forward, in the content of a shard. */
interface SampleSource {
  readPlaces(range: ByteRange, signal: AbortSignal): Promise<Uint8Array>;
  /** Those up to `lastByte` will be asked for as well. Fewer bytes where the content ends. */
  read(startByte: number, endByte: number, lastByte: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
  /** Of the object: what was read, as far as it is still held or was answered last. */
  ranges(): readonly ByteRange[];
}

function placedSource(pinned: PinnedObject): SampleSource {
  const reader = new AscendingReader(pinned);
  let places: readonly ByteRange[] = [];
  return {
    readPlaces: (range, signal) => {
      places = [range];
      return readPinned(pinned, range, signal);
    },
    read: (startByte, endByte, lastByte, signal) => reader.read(startByte, endByte, lastByte, signal),
    ranges: () => [...places, ...reader.ranges],
  };
}

function streamOf(content: ContentReader): SampleSource {
  return {
    readPlaces: ({ startByte, endByte }, signal) => content.read(startByte, endByte, signal),
    read: (startByte, endByte, _lastByte, signal) => content.read(startByte, endByte, signal),
    ranges: () => content.ranges,
  };
}
