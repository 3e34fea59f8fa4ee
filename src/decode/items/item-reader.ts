/** Reads the items of a block's slices: of the table the block's part, once, then the bytes of each slice. */
import type { ByteRange } from '../../store/store.js';
import { integersOf } from '../integers.js';
import type { ReadItemBytes } from './read-item-table.js';
import { ITEM_OFFSET_BYTES } from './item-table.js';

/** Where the bytes of items come from: `AscendingReader`, or the content of a compressed object. */
export interface ItemSource {
  /** What the object was read in, as far as its bytes are held or were answered last. */
  readonly ranges: readonly ByteRange[];
  /** Bytes [startByte, endByte) in a buffer of their own; those up to `lastByte` will be asked for as well. */
  read(startByte: number, endByte: number, lastByte: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
}

export interface ItemReaderParts {
  readonly source: ItemSource;
  readonly readTable: (signal: AbortSignal) => ReadItemBytes;
  /** The table lies in the object as it is; else in the content that `source` reads, whose ranges have it. */
  readonly isTableStored: boolean;
  /** Where the offset of the shard's first item is. */
  readonly tableByte: number;
  /** The unit's, as its layout says. */
  readonly range: ByteRange;
  readonly block: { readonly startRow: number; readonly endRow: number };
  /** Makes the error of a table that is not what it was. */
  readonly changed: (byte: number) => Error;
}

export interface ItemBytes {
  /** Where the first one starts. */
  readonly startByte: number;
  /** Owns its buffer. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** [rows + 1] positions in `bytes`. Owns its buffer. */
  readonly bounds: Int32Array<ArrayBuffer>;
}

/** Of the items of a slice together: what positions of 32 bits can count. */
const SLICE_BYTES_MAX = 2 ** 31 - 1;

export class ItemReader {
  readonly #parts: ItemReaderParts;
  #offsets: Promise<Uint32Array> | undefined;
  #tableRange: ByteRange;

  constructor(parts: ItemReaderParts) {
    this.#parts = parts;
    const { tableByte, block } = parts;
    this.#tableRange = {
      startByte: tableByte + ITEM_OFFSET_BYTES * block.startRow,
      endByte: tableByte + ITEM_OFFSET_BYTES * (block.endRow + 1),
    };
  }

  /** The table's part among them. */
  get ranges(): readonly ByteRange[] {
    const { source, isTableStored } = this.#parts;
    return isTableStored ? [this.#tableRange, ...source.ranges] : source.ranges;
  }

  /** Items [startRow, endRow), after those of the calls before. Errors: `changed`, and those of reading. */
  async read(startRow: number, endRow: number, signal: AbortSignal): Promise<ItemBytes> {
    const { source, block, changed } = this.#parts;
    this.#offsets ??= this.#readOffsets(signal);
    const reading = this.#offsets;
    reading.catch(() => (this.#offsets = undefined)); // the next one tries again
    const offsets = await reading;
    const first = startRow - block.startRow;
    const rows = endRow - startRow;
    const start = offsets[first];
    const end = offsets[first + rows];
    if (end - start > SLICE_BYTES_MAX) throw changed(start);
    const bounds = Int32Array.from({ length: rows + 1 }, (_, i) => offsets[first + i] - start);
    const bytes = await source.read(start, end, offsets[offsets.length - 1], signal);
    return { startByte: start, bytes, bounds };
  }

  async #readOffsets(signal: AbortSignal): Promise<Uint32Array> {
    const { readTable, range, changed } = this.#parts;
    const { startByte, endByte } = this.#tableRange;
    const bytes = await readTable(signal)(startByte, endByte);
    const offsets = integersOf(bytes, { bytes: ITEM_OFFSET_BYTES, signed: false }) as Uint32Array;
    let before = range.startByte;
    for (const [i, offset] of offsets.entries()) {
      if (offset < before || offset > range.endByte) throw changed(startByte + ITEM_OFFSET_BYTES * i);
      before = offset;
    }
    return offsets;
  }
}
