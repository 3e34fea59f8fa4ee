/** A slice of a Parquet column on its way to a worker: the dictionary and the data pages that hold its rows, as they are in the file. */
import type { ColumnType } from '../../core/filter/operand.js';
import type { ByteRange } from '../../store/store.js';
import type { ParquetChunkLayout, ParquetFieldType, ParquetIdType, ParquetLeafType, ParquetShardLayout } from './layout.js';

/** Of any column. */
export interface EncodedChunk {
  readonly format: 'parquet';
  /** For messages. */
  readonly uri: string;
  /** The dictionary page with its header; empty where there is none. Owns its buffer. */
  readonly dictionary: Uint8Array<ArrayBuffer>;
  /** Where it is in the object, for messages. */
  readonly dictionaryByte: number;
  /** Consecutive data pages with their headers. Owns its buffer. */
  readonly pages: Uint8Array<ArrayBuffer>;
  readonly pagesByte: number;
  /** What the object was read in to have them: to be read anew, where they are damaged. */
  readonly ranges: readonly ByteRange[];
  /** Rows in the pages. */
  readonly pageRows: number;
  /** The slice is rows [skipRows, skipRows + rows) of the pages. */
  readonly skipRows: number;
  readonly rows: number;
  readonly unit: Pick<ParquetChunkLayout, 'codec' | 'encodings' | 'type' | 'path'>;
  /** Of the row group, without the columns that are not read, as the footer says: no page of it has more. */
  readonly decodedBytes: number;
  readonly schema: ParquetShardLayout['schema'];
}

export interface EncodedParquetSlice extends EncodedChunk {
  readonly kind: 'text' | 'tokens';
}

export interface EncodedParquetIds extends EncodedChunk {
  readonly kind: ParquetIdType;
}

export interface EncodedParquetField extends EncodedChunk {
  readonly name: string;
  readonly type: ParquetFieldType;
}

/** A column that a filter reads. */
export interface EncodedParquetFilterColumn extends EncodedChunk {
  readonly column: string;
  readonly type: ColumnType;
}

/** Columns beside the rows of a slice. */
export interface EncodedParquetBeside {
  readonly format: 'parquet';
  readonly ids: EncodedParquetIds | undefined;
  readonly fields: readonly EncodedParquetField[] | undefined;
  readonly filter: readonly EncodedParquetFilterColumn[] | undefined;
  /** Those of all columns. */
  readonly ranges: readonly ByteRange[];
}

/** Of rows with several columns: the column chunks of their leaves, each with pages of its own, which hold more or fewer rows around those of the slice. */
export interface EncodedParquetRecords {
  readonly format: 'parquet';
  readonly kind: 'records';
  /** For messages. */
  readonly uri: string;
  readonly rows: number;
  /** Those of all leaves. */
  readonly ranges: readonly ByteRange[];
  readonly leaves: readonly EncodedParquetLeaf[];
}

export interface EncodedParquetLeaf extends EncodedChunk {
  readonly type: ParquetLeafType;
}

/** All column chunks on their way. */
export function parquetChunks({ ids, fields = [], filter = [] }: EncodedParquetBeside): EncodedChunk[] {
  return [...(ids === undefined ? [] : [ids]), ...fields, ...filter];
}
