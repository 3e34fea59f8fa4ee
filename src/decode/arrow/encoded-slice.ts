/** A slice of an Arrow column on its way to a worker: the parts of its buffers that hold its rows, as they are in the file. */
import type { ColumnType } from '../../core/filter/operand.js';
import type { ByteRange } from '../../store/store.js';
import type { RecordLeaf } from '../layout-types.js';
import type { ArrowColumnType, ArrowServed } from './layout.js';

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
  /** Offsets, indices into a dictionary, views, or numbers: what there is one of for each row. Empty for structs and lists of a fixed size. */
  readonly main: BufferBytes;
  /** Of row 0 in `main`, where that is bits. */
  readonly mainBit: number;
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

export interface EncodedArrowField extends EncodedArrow {
  /** Its name in the configuration. */
  readonly name: string;
  readonly served: ArrowServed;
}

/** A column that a filter reads. */
export interface EncodedArrowFilterColumn extends EncodedArrow {
  readonly compared: ColumnType;
}

/** Columns beside the rows of a slice. */
export interface EncodedArrowBeside {
  readonly format: 'arrow';
  readonly ids: EncodedArrow | undefined;
  readonly fields: readonly EncodedArrowField[] | undefined;
  readonly filter: readonly EncodedArrowFilterColumn[] | undefined;
  /** Those of all columns. */
  readonly ranges: readonly ByteRange[];
}

/** An array of records, and those inside it: of the values [first, first + array.rows) of the array. */
export interface EncodedArrowRecord {
  readonly name: string;
  readonly first: number;
  readonly array: EncodedArrow;
  /** Where there is nothing inside it. */
  readonly leaf: RecordLeaf | undefined;
  readonly children: readonly EncodedArrowRecord[];
}

/** Of rows with several columns. */
export interface EncodedArrowRecords {
  readonly format: 'arrow';
  readonly kind: 'records';
  /** For messages. */
  readonly uri: string;
  readonly rows: number;
  /** Those of all arrays. */
  readonly ranges: readonly ByteRange[];
  readonly columns: readonly EncodedArrowRecord[];
}

/** All columns on their way. */
export function arrowColumns({ ids, fields = [], filter = [] }: EncodedArrowBeside): EncodedArrow[] {
  return [...(ids === undefined ? [] : [ids]), ...fields, ...filter];
}

/** What is to be transferred. */
export function arrowRecordBuffers({ array, children }: EncodedArrowRecord): ArrayBuffer[] {
  return [...arrowBuffers(array), ...children.flatMap(arrowRecordBuffers)];
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
