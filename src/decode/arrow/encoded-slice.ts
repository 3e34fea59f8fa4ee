/** A slice of an Arrow column on its way to a worker: the parts of its buffers that hold its rows, as they are in the file. */
import type { ByteRange } from '../../store/store.js';
import type { ArrowColumnType } from './layout.js';

export type ArrowCodec = 'none' | 'lz4' | 'zstd';

/** A buffer, or a part of it. Owns its bytes. */
export type BufferBytes = Uint8Array<ArrayBuffer>;

/** A bitmap: 1 where there is a value. */
export interface EncodedBits {
  readonly bytes: BufferBytes;
  /** Of the first row, or item, that is meant. */
  readonly firstBit: number;
}

/** The values that the rows of a dictionary column point to, in parts that follow each other. */
export interface EncodedDictionary {
  readonly rows: number;
  readonly codec: ArrowCodec;
  readonly valid: BufferBytes | undefined;
  readonly offsets: BufferBytes;
  readonly values: BufferBytes;
}

export interface EncodedArrow {
  readonly format: 'arrow';
  /** For messages. */
  readonly uri: string;
  readonly column: string;
  readonly type: ArrowColumnType;
  readonly codec: ArrowCodec;
  readonly rows: number;
  /** The slice's first row, counted in `main`. */
  readonly skipRows: number;
  /** Of the column, and of the structs that it is in. */
  readonly valid: readonly EncodedBits[];
  /** Offsets, indices into a dictionary, views, or numbers: what there is one of for each row. Empty for lists of a fixed size. */
  readonly main: BufferBytes;
  /** Bytes of text, or items of lists. */
  readonly values: BufferBytes;
  /** What the offsets count up to where `values` starts, in bytes or items. */
  readonly valuesStart: number;
  /** Of the items, from the one at `valuesStart` on. */
  readonly itemsValid: EncodedBits | undefined;
  /** What views point into. */
  readonly data: readonly BufferBytes[];
  readonly dictionary: readonly EncodedDictionary[];
  /** What the object was read in to have them. */
  readonly ranges: readonly ByteRange[];
}

export interface EncodedArrowSlice extends EncodedArrow {
  readonly kind: 'text' | 'tokens';
}

/** Columns beside the rows of a slice. */
export interface EncodedArrowBeside {
  readonly format: 'arrow';
  readonly ids: EncodedArrow | undefined;
  readonly ranges: readonly ByteRange[];
}

/** What is to be transferred. */
export function arrowBuffers({ valid, main, values, itemsValid, data, dictionary }: EncodedArrow): ArrayBuffer[] {
  return [
    ...valid.map(({ bytes }) => bytes),
    main,
    values,
    ...(itemsValid === undefined ? [] : [itemsValid.bytes]),
    ...data,
    ...dictionary.flatMap((part) => [...(part.valid === undefined ? [] : [part.valid]), part.offsets, part.values]),
  ].map(({ buffer }) => buffer);
}
