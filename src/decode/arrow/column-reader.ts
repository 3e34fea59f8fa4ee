/**
 * Fetches what the slices of a block need of the buffers of one array, each byte once. Of buffers that are not compressed these are parts: the offsets say
 * which bytes of text a slice has. Compressed ones, and views, are fetched whole, and a worker decodes them for each slice.
 */
import { LIMITS } from '../../config/limits.js';
import { HeadraceError } from '../../core/errors.js';
import type { ByteRange } from '../../store/store.js';
import { AscendingReader, readPinned, type PinnedObject } from '../ascending-reader.js';
import { bitmapBytes, byteOfItem, bytesOfItems, itemOf, mainRange } from './column.js';
import type { BufferBytes, EncodedArrow, EncodedBits, EncodedDictionary } from './encoded-slice.js';
import type { ArrowBufferPlace, ArrowColumnLayout, ArrowColumnType, ArrowDictionaryLayout } from './layout.js';

export type ReadDictionary = (signal: AbortSignal) => Promise<readonly EncodedDictionary[]>;

export async function readDictionaries(
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

export function rangeOf([startByte, bytes]: ArrowBufferPlace): ByteRange {
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

/** An array of a record batch, and the part of it that a block has. */
export interface ColumnReaderParts {
  readonly object: PinnedObject;
  readonly uri: string;
  /** Values [first, end) of the array: its block has no others. */
  readonly first: number;
  readonly end: number;
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

/** Of one column, or of one array of records. */
export class ColumnReader {
  readonly #parts: ColumnReaderParts;
  readonly #values: AscendingReader;
  #front: Promise<BlockFront> | undefined;
  #whole: Promise<WholeBuffers> | undefined;
  #ranges: readonly ByteRange[] = [];

  constructor(parts: ColumnReaderParts) {
    this.#parts = parts;
    this.#values = new AscendingReader(parts.object);
  }

  get ranges(): readonly ByteRange[] {
    return [...this.#ranges, ...this.#values.ranges, ...this.#parts.dictionaryRanges];
  }

  /** Whether its buffers are fetched as they are, and say nothing here. */
  get isWhole(): boolean {
    const { layout, type } = this.#parts;
    return layout.codec !== 'none' || type.kind === 'view';
  }

  /** Values [first, end) of the array, after those of the calls before. `isLast`: nothing more of it will be asked for. */
  async read(first: number, end: number, isLast: boolean, signal: AbortSignal): Promise<EncodedArrow> {
    const { type, readDictionary } = this.#parts;
    if (!(first >= this.#parts.first && first <= end && end <= this.#parts.end)) throw this.#outside(first, end);
    const dictionary = type.kind === 'dictionary' ? (await readDictionary(signal)).map(copyOf) : [];
    const slice = this.isWhole ? await this.#readWhole(first, end, isLast, signal) : await this.#readPart(first, end, signal);
    return { ...slice, dictionary, ranges: this.ranges };
  }

  /** Where the items of a value start, and where those before it end. Of arrays that are not whole. */
  async itemsStart(value: number, signal: AbortSignal): Promise<number> {
    const { type, first } = this.#parts;
    if (type.kind === 'groups') return value * type.size;
    return offsetReader((await this.#readFront(signal)).main, type, first)(value);
  }

  async #readWhole(first: number, end: number, isLast: boolean, signal: AbortSignal): Promise<Omit<EncodedArrow, 'dictionary' | 'ranges'>> {
    const { uri, name, type, layout, object } = this.#parts;
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
    if (isLast) this.#whole = undefined;
    const given = (bytes: BufferBytes): BufferBytes => (isLast ? bytes : bytes.slice());
    return {
      format: 'arrow',
      uri,
      column: name,
      type,
      codec: layout.codec,
      rows: end - first,
      skipRows: first,
      valid: own.valid.map((bytes) => ({ bytes: given(bytes), firstBit: 0 })),
      main: given(own.main),
      mainBit: 0,
      values: given(own.values),
      valuesStart: 0,
      itemsValid: own.itemsValid && { bytes: given(own.itemsValid), firstBit: 0 },
      data: own.data.map(given),
    };
  }

  async #readPart(first: number, end: number, signal: AbortSignal): Promise<Omit<EncodedArrow, 'dictionary' | 'ranges'>> {
    const { uri, name, type, layout, object } = this.#parts;
    const { valid, main } = await this.#readFront(signal);
    const [valuesByte, valueBytes] = layout.values;
    const item = itemOf(type);
    // rows of a column without values start and end at 0
    const startOf = type.kind === 'fixed' ? (row: number) => row * type.size : offsetReader(main, type, this.#parts.first);
    const start = startOf(first);
    const last = startOf(end);
    const blockEnd = startOf(this.#parts.end);
    const isInside = type.kind === 'lists' ? blockEnd <= layout.items : bytesOfItems(item, blockEnd) <= valueBytes;
    if (!(start >= 0 && start <= last && last <= blockEnd && isInside)) throw this.#outside(first, end);
    const items = layout.itemsValid;
    const [values, itemsValid] = await Promise.all([
      // the items of lists of others are theirs
      type.kind === 'lists'
        ? new Uint8Array(0)
        : this.#values.read(
            valuesByte + byteOfItem(item, start),
            valuesByte + bytesOfItems(item, last),
            valuesByte + bytesOfItems(item, blockEnd),
            signal,
          ),
      items && readPinned(object, bitRange(items, start, last), signal),
    ]);
    const [blockByte] = mainRange(type, this.#parts.first, this.#parts.end);
    const [firstByte, endByte] = mainRange(type, first, end);
    return {
      format: 'arrow',
      uri,
      column: name,
      type,
      codec: 'none',
      rows: end - first,
      skipRows: 0,
      valid: valid.map((bytes): EncodedBits => {
        const byte = Math.floor(this.#parts.first / 8);
        return { bytes: bytes.slice(Math.floor(first / 8) - byte, bitmapBytes(end) - byte), firstBit: first % 8 };
      }),
      main: main.slice(firstByte - blockByte, endByte - blockByte),
      mainBit: type.kind === 'number' && 'boolean' in type.item ? first % 8 : 0,
      values,
      valuesStart: start,
      itemsValid: itemsValid && { bytes: itemsValid as BufferBytes, firstBit: start % 8 },
      data: [],
    };
  }

  #outside(first: number, end: number): HeadraceError {
    const { uri, name } = this.#parts;
    return new HeadraceError('SHARD_INVALID', `values ${first} to ${end} of column ${name} of ${uri} lie outside their record batch`, {
      detail: { uri, column: name, value: first },
      hint: 'Write the file again, or take it out of the source; `badBlocks: skip` leaves damaged rows out.',
    });
  }

  #readFront(signal: AbortSignal): Promise<BlockFront> {
    this.#front ??= this.#fetchFront(signal);
    const reading = this.#front;
    reading.catch(() => (this.#front = undefined)); // the next one tries again
    return reading;
  }

  async #fetchFront(signal: AbortSignal): Promise<BlockFront> {
    const { first, end, type, layout, object } = this.#parts;
    const [mainStart] = layout.main;
    const [mainFirst, mainEnd] = mainRange(type, first, end);
    const places: ArrowBufferPlace[] = [
      ...layout.valid.map((place): ArrowBufferPlace => {
        const { startByte, endByte } = bitRange(place, first, end);
        return [startByte, endByte - startByte];
      }),
      [mainStart + mainFirst, mainEnd - mainFirst],
    ];
    this.#ranges = places.map(rangeOf);
    const buffers = await readBuffers(object, places, signal);
    return { valid: buffers.slice(0, -1), main: buffers[buffers.length - 1] };
  }
}

function bitRange([startByte]: ArrowBufferPlace, first: number, end: number): ByteRange {
  return { startByte: startByte + Math.floor(first / 8), endByte: startByte + bitmapBytes(end) };
}

/** The offset of a row, counted in the record batch; 0 for columns without offsets. */
function offsetReader(main: BufferBytes, type: ArrowColumnType, firstRow: number): (row: number) => number {
  if ((type.kind !== 'text' && type.kind !== 'list' && type.kind !== 'lists') || main.length === 0) return () => 0;
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
