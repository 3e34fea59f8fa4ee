/**
 * Fetches what a block's slices need of the buffers of their column, each byte once. Of buffers that are not compressed these are parts: the offsets say
 * which bytes of text a slice has. Compressed ones, and views, are fetched whole, and a worker decodes them for each slice.
 */
import { LRUCache } from 'lru-cache';
import { LIMITS } from '../../config/limits.js';
import { HeadraceError } from '../../core/errors.js';
import type { Block, Shard, Unit } from '../../core/shard.js';
import type { ByteRange, Store } from '../../store/store.js';
import { estimateStretch } from '../array/estimate.js';
import { AscendingReader, readPinned, type PinnedObject } from '../ascending-reader.js';
import { allOrNone } from '../all-or-none.js';
import { withFreshReads } from '../fresh-reads.js';
import type { BlockReader, PlainDecoder } from '../decoder.js';
import { bitmapBytes, itemBytes, mainBytes } from './column.js';
import type { BufferBytes, EncodedArrow, EncodedBits, EncodedDictionary } from './encoded-slice.js';
import {
  arrowShardLayout,
  arrowUnitLayout,
  storedBytesOf,
  type ArrowBufferPlace,
  type ArrowColumnLayout,
  type ArrowColumnType,
  type ArrowDictionaryLayout,
} from './layout.js';
import { readArrowIndex } from './read-index.js';

type ReadDictionary = (signal: AbortSignal) => Promise<readonly EncodedDictionary[]>;

export function createArrowDecoder(): PlainDecoder {
  // a dictionary serves all blocks of its shard
  const dictionaries = new LRUCache<string, readonly EncodedDictionary[]>({ maxSize: LIMITS.arrowDictionaryBytes });
  const open = (store: Store, path: string, shard: Shard, block: Block, anew: boolean): BlockReader => {
    const unit = shard.units[block.unit];
    const { name, type, id, dictionaries: parts } = arrowShardLayout(shard.layout);
    const { column, id: idColumn } = arrowUnitLayout(unit.layout);
    const object: PinnedObject = { store, path, etag: shard.etag };
    const readerOf = (own: { readonly name: string; readonly type: ArrowColumnType }, layout: ArrowColumnLayout): ColumnReader => {
      const [first, end] = layout.dictionary;
      const key = `${shard.uri}@${shard.etag}#${own.name}:${first}:${end}`;
      const readDictionary: ReadDictionary = async (signal) => {
        const known = anew ? undefined : dictionaries.get(key);
        if (known !== undefined) return known;
        const read = await readDictionaries(object, parts.slice(first, end), signal);
        const size = read.reduce((sum, { offsets, values }) => sum + offsets.length + values.length, 1);
        if (size <= LIMITS.arrowDictionaryBytes) dictionaries.set(key, read, { size });
        return read;
      };
      const dictionaryRanges = parts
        .slice(first, end)
        .flatMap(({ offsets, values, valid }) => [offsets, values, ...(valid ? [valid] : [])].map(rangeOf));
      return new ColumnReader({ object, uri: shard.uri, unit, block, ...own, layout, readDictionary, dictionaryRanges });
    };
    const reader = readerOf({ name, type }, column);
    let ids: ColumnReader | undefined;
    return {
      get ranges() {
        return [...reader.ranges, ...(ids?.ranges ?? [])];
      },
      read: async (startRow, endRow, wanted, signal) => {
        if (wanted.ids && id !== undefined && idColumn !== undefined) ids ??= readerOf(id, idColumn);
        const reads = [
          wanted.rows ? reader.read(startRow, endRow, signal) : undefined,
          wanted.ids ? ids?.read(startRow, endRow, signal) : undefined,
        ] as const;
        const [rows, ownIds] = await allOrNone(reads);
        const kind = type.kind === 'list' || type.kind === 'fixed' ? 'tokens' : 'text';
        return {
          slice: rows && { ...rows, kind },
          beside: ownIds && { format: 'arrow', ids: ownIds, ranges: ownIds.ranges },
        };
      },
    };
  };
  return {
    index: readArrowIndex,
    openBlock: (store, path, shard, block) => open(store, path, shard, block, false),
    reopenBlock: (store, path, shard, block, ranges) => open(withFreshReads(store, ranges), path, shard, block, true),
    estimateBlock: (shard, block, withIds = false) => {
      const unit = shard.units[block.unit];
      const { column, id } = arrowUnitLayout(unit.layout);
      const estimates = [column, ...(withIds && id !== undefined ? [id] : [])].map((layout) =>
        estimateStretch(unit, block, { startByte: 0, endByte: storedBytesOf(layout) }),
      );
      return (startRow, endRow) =>
        estimates
          .map((estimate) => estimate(startRow, endRow))
          .reduce((sum, { bytes, requests }) => ({ bytes: sum.bytes + bytes, requests: sum.requests + requests }));
    },
    storedIdBytes: (unit) => {
      const { id } = arrowUnitLayout(unit.layout);
      return id === undefined ? 0 : storedBytesOf(id);
    },
  };
}

async function readDictionaries(
  object: PinnedObject,
  parts: readonly ArrowDictionaryLayout[],
  signal: AbortSignal,
): Promise<EncodedDictionary[]> {
  return Promise.all(
    parts.map(async ({ rows, codec, valid, offsets, values }): Promise<EncodedDictionary> => {
      const [offsetBytes, valueBytes, bitmap] = await readBuffers(object, [offsets, values, ...(valid ? [valid] : [])], signal);
      return { rows, codec, offsets: offsetBytes, values: valueBytes, valid: valid && bitmap };
    }),
  );
}

function rangeOf([startByte, bytes]: ArrowBufferPlace): ByteRange {
  return { startByte, endByte: startByte + bytes };
}

/** Each in an array of its own. Buffers of one column mostly follow each other: then in one request. */
async function readBuffers(object: PinnedObject, places: readonly ArrowBufferPlace[], signal: AbortSignal): Promise<BufferBytes[]> {
  const stored = places.filter(([, bytes]) => bytes > 0);
  const startByte = Math.min(...stored.map(([start]) => start));
  const endByte = Math.max(...stored.map(([start, bytes]) => start + bytes));
  const bytes = stored.reduce((sum, [, own]) => sum + own, 0);
  if (stored.length > 1 && endByte - startByte <= bytes + LIMITS.arrowGapBytesMax) {
    const all = await readPinned(object, { startByte, endByte }, signal);
    return places.map(([start, length]) => (length === 0 ? new Uint8Array(0) : all.slice(start - startByte, start - startByte + length)));
  }
  return Promise.all(places.map(async (place) => (await readPinned(object, rangeOf(place), signal)) as BufferBytes));
}

interface ReaderParts {
  readonly object: PinnedObject;
  readonly uri: string;
  readonly unit: Unit;
  readonly block: Block;
  readonly name: string;
  readonly type: ArrowColumnType;
  readonly layout: ArrowColumnLayout;
  readonly readDictionary: ReadDictionary;
  readonly dictionaryRanges: readonly ByteRange[];
}

/** What a block needs of its bitmaps, and of what there is one of for each row. */
interface BlockFront {
  readonly valid: readonly BufferBytes[];
  readonly main: BufferBytes;
}

/** All buffers of a record batch, as they are. */
interface WholeBuffers extends BlockFront {
  readonly values: BufferBytes;
  readonly itemsValid: BufferBytes | undefined;
  readonly data: readonly BufferBytes[];
}

/** Of one column. */
class ColumnReader {
  readonly #parts: ReaderParts;
  readonly #values: AscendingReader;
  #front: Promise<BlockFront> | undefined;
  #whole: Promise<WholeBuffers> | undefined;
  #ranges: readonly ByteRange[] = [];

  constructor(parts: ReaderParts) {
    this.#parts = parts;
    this.#values = new AscendingReader(parts.object);
  }

  get ranges(): readonly ByteRange[] {
    return [...this.#ranges, ...this.#values.ranges, ...this.#parts.dictionaryRanges];
  }

  /** Rows [startRow, endRow) of the shard, after those of the calls before. */
  async read(startRow: number, endRow: number, signal: AbortSignal): Promise<EncodedArrow> {
    const { layout, type, readDictionary } = this.#parts;
    const dictionary = type.kind === 'dictionary' ? (await readDictionary(signal)).map(copyOf) : [];
    const isWhole = layout.codec !== 'none' || type.kind === 'view';
    const slice = isWhole ? await this.#readWhole(startRow, endRow, signal) : await this.#readPart(startRow, endRow, signal);
    return { ...slice, dictionary, ranges: this.ranges };
  }

  async #readWhole(startRow: number, endRow: number, signal: AbortSignal): Promise<Omit<EncodedArrow, 'dictionary' | 'ranges'>> {
    const { unit, block, uri, name, type, layout, object } = this.#parts;
    const places = [...layout.valid, layout.main, layout.values, ...(layout.itemsValid ? [layout.itemsValid] : []), ...layout.data];
    this.#ranges = places.map(rangeOf);
    this.#whole ??= readBuffers(object, places, signal).then((buffers): WholeBuffers => {
      const rest = buffers.slice(layout.valid.length);
      const dataStart = layout.itemsValid === undefined ? 2 : 3;
      return {
        valid: buffers.slice(0, layout.valid.length),
        main: rest[0],
        values: rest[1],
        itemsValid: layout.itemsValid === undefined ? undefined : rest[2],
        data: rest.slice(dataStart),
      };
    });
    const reading = this.#whole;
    reading.catch(() => (this.#whole = undefined)); // the next one tries again
    const own = await reading;
    const isLast = endRow === block.endRow;
    if (isLast) this.#whole = undefined;
    const given = (bytes: BufferBytes): BufferBytes => (isLast ? bytes : bytes.slice());
    return {
      format: 'arrow',
      uri,
      column: name,
      type,
      codec: layout.codec,
      rows: endRow - startRow,
      skipRows: startRow - unit.startRow,
      valid: own.valid.map((bytes) => ({ bytes: given(bytes), firstBit: 0 })),
      main: given(own.main),
      values: given(own.values),
      valuesStart: 0,
      itemsValid: own.itemsValid && { bytes: given(own.itemsValid), firstBit: 0 },
      data: own.data.map(given),
    };
  }

  async #readPart(startRow: number, endRow: number, signal: AbortSignal): Promise<Omit<EncodedArrow, 'dictionary' | 'ranges'>> {
    const { unit, block, uri, name, type, layout, object } = this.#parts;
    this.#front ??= this.#readFront(signal);
    const reading = this.#front;
    reading.catch(() => (this.#front = undefined)); // the next one tries again
    const { valid, main } = await reading;
    const blockStart = block.startRow - unit.startRow;
    const first = startRow - unit.startRow;
    const end = endRow - unit.startRow;
    const [valuesByte, valueBytes] = layout.values;
    const width = itemBytes(type);
    // rows of a column without values start and end at 0
    const startOf = type.kind === 'fixed' ? (row: number) => row * type.size : offsetReader(main, type, blockStart);
    const start = startOf(first);
    const last = startOf(end);
    const blockEnd = startOf(block.endRow - unit.startRow);
    if (!(start >= 0 && start <= last && last <= blockEnd && blockEnd * width <= valueBytes)) {
      throw new HeadraceError('SHARD_INVALID', `rows ${startRow} to ${endRow} of ${uri} lie outside their record batch`, {
        detail: { uri, column: name, row: startRow },
        hint: 'Write the file again, or take it out of the source; `badBlocks: skip` leaves damaged rows out.',
      });
    }
    const byteOf = (item: number): number => valuesByte + width * item;
    const items = layout.itemsValid;
    const [values, itemsValid] = await Promise.all([
      this.#values.read(byteOf(start), byteOf(last), byteOf(blockEnd), signal),
      items && readPinned(object, bitRange(items, start, last), signal),
    ]);
    const isAll = startRow === block.startRow && endRow === block.endRow;
    return {
      format: 'arrow',
      uri,
      column: name,
      type,
      codec: 'none',
      rows: endRow - startRow,
      skipRows: 0,
      valid: valid.map((bytes): EncodedBits => {
        const byte = (blockStart - (blockStart % 8)) / 8;
        return { bytes: bytes.slice(Math.floor(first / 8) - byte, bitmapBytes(end) - byte), firstBit: first % 8 };
      }),
      main: isAll
        ? main.slice()
        : main.slice(mainByte(type, first - blockStart), mainByte(type, first - blockStart) + mainBytes(type, end - first)),
      values,
      valuesStart: start,
      itemsValid: itemsValid && { bytes: itemsValid as BufferBytes, firstBit: start % 8 },
      data: [],
    };
  }

  async #readFront(signal: AbortSignal): Promise<BlockFront> {
    const { unit, block, type, layout, object } = this.#parts;
    const first = block.startRow - unit.startRow;
    const end = block.endRow - unit.startRow;
    const [mainStart] = layout.main;
    const places: ArrowBufferPlace[] = [
      ...layout.valid.map((place): ArrowBufferPlace => {
        const { startByte, endByte } = bitRange(place, first, end);
        return [startByte, endByte - startByte];
      }),
      [mainStart + mainByte(type, first), mainBytes(type, end - first)],
    ];
    this.#ranges = places.map(rangeOf);
    const buffers = await readBuffers(object, places, signal);
    return { valid: buffers.slice(0, -1), main: buffers[buffers.length - 1] };
  }
}

/** Where a row's part of what there is one of for each row starts. */
function mainByte(type: ArrowColumnType, row: number): number {
  return type.kind === 'text' || type.kind === 'list' ? row * type.offsetBytes : mainBytes(type, row);
}

function bitRange([startByte]: ArrowBufferPlace, first: number, end: number): ByteRange {
  return { startByte: startByte + Math.floor(first / 8), endByte: startByte + bitmapBytes(end) };
}

/** The offset of a row, counted in the record batch; 0 for columns without offsets. */
function offsetReader(main: BufferBytes, type: ArrowColumnType, firstRow: number): (row: number) => number {
  if ((type.kind !== 'text' && type.kind !== 'list') || main.length === 0) return () => 0;
  const view = new DataView(main.buffer, main.byteOffset, main.length);
  const { offsetBytes } = type;
  return (row) => {
    const at = offsetBytes * (row - firstRow);
    return offsetBytes === 4 ? view.getInt32(at, true) : Number(view.getBigInt64(at, true));
  };
}

function copyOf({ rows, codec, valid, offsets, values }: EncodedDictionary): EncodedDictionary {
  return { rows, codec, valid: valid?.slice(), offsets: offsets.slice(), values: values.slice() };
}
