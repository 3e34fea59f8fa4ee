/** The two halves of a format: what to fetch (main thread, I/O only), and what the bytes mean (worker thread, no I/O). */
import type { JsonValue } from '../core/canonical-json.js';
import type { FieldRequest, FieldType, SourceKind } from '../core/fields.js';
import type { Filter } from '../core/filter/filter.js';
import type { ColumnType, ColumnValue } from '../core/filter/operand.js';
import type { TokenArray } from '../core/sequence.js';
import type { Block, Shard, Unit } from '../core/shard.js';
import type { ByteRange, ObjectInfo, Store } from '../store/store.js';
import type { EncodedLineBeside, EncodedLineSlice } from './lines/encoded-slice.js';
import type { RowScan, RowScanRequest } from './lines/scan-rows.js';
import type { EncodedArraySlice } from './array/encoded-slice.js';
import type { MegatronDocuments, MegatronRequest } from './array/megatron-documents.js';
import type { EncodedArrowBeside, EncodedArrowRecords, EncodedArrowSlice } from './arrow/encoded-slice.js';
import type { IntegerType } from './integers.js';
import type { OfferedField } from './offered-field.js';
import type { EncodedMdsBeside, EncodedMdsSlice } from './mds/encoded-slice.js';
import type { ItemTable, ItemTableRequest } from './items/item-table.js';
import type { EncodedLitdataBeside, EncodedLitdataSlice } from './litdata/encoded-slice.js';
import type { EncodedParquetBeside, EncodedParquetRecords, EncodedParquetSlice } from './parquet/encoded-slice.js';
import type { EncodedTarBeside, EncodedTarSlice } from './webdataset/encoded-slice.js';
import type { TarScan, TarScanRequest } from './webdataset/scan-headers.js';

/** Which column is wanted, and as what. */
export interface ColumnRequest {
  readonly column: string;
  /** `none`: only fields are wanted, and `column` says nothing. */
  readonly kind: SourceKind;
  /** Of records: the columns that each has. */
  readonly columns?: readonly string[] | undefined;
  /** A column of text or integers that names the documents: the index says where it is, and nothing of it is read. */
  readonly id?: string | undefined;
  /** What else is served of each row, in order of name. */
  readonly fields?: readonly FieldRequest[] | undefined;
  /** What else the format is told of how to read its objects. */
  readonly options?: Readonly<Record<string, JsonValue>> | undefined;
}

/** Of formats that hold text and token ids, and nothing else that is read. */
export type PlainRequest = ColumnRequest & { readonly kind: 'text' | 'tokens' };

/** The decoder of such a format. */
export interface PlainDecoder extends Omit<Decoder, 'index'> {
  index(store: Store, object: ObjectInfo, request: PlainRequest, signal?: AbortSignal): Promise<ShardIndex>;
}

/** What a format's metadata says of one object. */
export interface ShardIndex extends Pick<Shard, 'contentId' | 'rows' | 'units' | 'layout'> {
  /** Units that are not among `units`, since the filter takes none of their rows. */
  readonly ruledOut?: RuledOutUnits | undefined;
}

/** Units that a filter rules out, by what says so. */
export interface RuledOutUnits {
  readonly byStatistics: number;
  readonly byBloom: number;
}

/** Fetched, not yet decoded: crosses to a worker thread by transfer. One variant a format. */
export type FetchedSlice =
  | EncodedParquetSlice
  | EncodedParquetRecords
  | EncodedArrowSlice
  | EncodedArrowRecords
  | EncodedArraySlice
  | EncodedLineSlice
  | EncodedTarSlice
  | EncodedMdsSlice
  | EncodedLitdataSlice;

/** What is wanted beside the rows of a slice, on its way like the rows themselves: at most one variant a format. */
export type FetchedBeside =
  EncodedParquetBeside | EncodedArrowBeside | EncodedLineBeside | EncodedTarBeside | EncodedMdsBeside | EncodedLitdataBeside;

/** The worker's half of a format goes by this name. */
export type SliceFormat = FetchedSlice['format'];

/** What is read of some rows. */
export interface Wanted {
  /** The rows themselves. */
  readonly rows: boolean;
  /** Beside them, as far as the index was asked for it: what names the documents. */
  readonly ids: boolean;
  /** What samples carry. */
  readonly fields: boolean;
  /** The columns that a filter decides by. */
  readonly filter: boolean;
}

export interface FetchedRows {
  /** `undefined` where the rows themselves are not wanted. */
  readonly slice: FetchedSlice | undefined;
  /** `undefined` where nothing is wanted beside them. Where all columns lie in the same bytes, it has the same slice. */
  readonly beside: FetchedBeside | undefined;
}

/** The same decoded; `undefined`: not wanted. */
export interface BesideColumns {
  readonly ids?: DocumentIds | undefined;
  /** In the order of the index's request. */
  readonly fields?: readonly FieldRows[] | undefined;
  readonly filter?: readonly FilterColumn[] | undefined;
}

/** The worker's half of a format. Errors: `SHARD_INVALID`. */
export interface WorkerHalf<Slice extends FetchedSlice = FetchedSlice, Beside extends FetchedBeside = FetchedBeside> {
  rows(slice: Slice): Rows | RecordRows;
  beside(beside: Beside): BesideColumns;
}

/**
 * A field of the rows of a slice, decoded: of each row the bytes that are served (`valueOfRow`). Arrays are views that the caller may read until the slice's
 * memory is given back.
 */
export interface FieldRows {
  readonly name: string;
  /** By row, where values are large and lie apart: there is nothing in `bytes` then. */
  readonly values?: readonly Uint8Array[] | undefined;
  readonly bytes: Uint8Array;
  /** [rows + 1] byte positions into `bytes`; `undefined`: each row has `rowBytes`. */
  readonly bounds: Int32Array | undefined;
  readonly rowBytes: number;
  /** [rows], 0 where a row's value cannot be served; `undefined`: all can. */
  readonly valid: Uint8Array | undefined;
  /** [rows], 1 of those rows that have no value at all; `undefined`: none of them. */
  readonly nulls?: Uint8Array | undefined;
  /** Of those rows, for messages: `is null`. */
  readonly problem: string;
  /** By such a row, what is wrong with it: the rest of a sentence about the row, where there is more to say. */
  readonly problems?: ReadonlyMap<number, string> | undefined;
}

/** A column of a slice that a filter reads, decoded. */
export interface FilterColumn {
  readonly column: string;
  readonly type: ColumnType;
  /** Of a row of the slice. */
  valueAt(row: number): ColumnValue;
  /** Whether the row is a bad one: it is taken whatever the filter says, so that who reads it says what is wrong. Absent: none is. */
  isBad?(row: number): boolean;
}

/** By row: integers in decimal, null where there is none. */
export type DocumentIds = readonly (string | null)[];

/** Rows of text that were not fetched, since nobody will ask for them: their tokens are at hand. */
export interface OmittedSlice {
  readonly format: 'omitted';
  /** For messages. */
  readonly uri: string;
  readonly rows: number;
}

/** Rows that are left out, since their bytes are not to be had: they keep their places. */
export interface RejectedSlice {
  readonly format: 'rejected';
  /** For messages. */
  readonly uri: string;
  readonly rows: number;
  readonly reason: 'missing' | 'damaged';
  /** One line for people. */
  readonly problem: string;
}

export type EncodedSlice = FetchedSlice | OmittedSlice | RejectedSlice;

/** Rows of a slice, decoded. Arrays are views that the caller may read until it drops them. */
export type Rows =
  | {
      readonly kind: 'text';
      readonly count: number;
      /** [count + 1] byte positions into `bytes`. */
      readonly bounds: Int32Array;
      /** UTF-8 as it is in the file, unchecked. */
      readonly bytes: Uint8Array;
      /** [count], 0 where the row is null; `undefined` where none is. */
      readonly valid: Uint8Array | undefined;
      /** By row that is null: what is wrong with it, where there is more to say. */
      readonly problems?: ReadonlyMap<number, string> | undefined;
      /** Gives their memory back: nothing of them may be read afterwards. */
      readonly release?: (() => void) | undefined;
    }
  | {
      readonly kind: 'tokens';
      readonly count: number;
      /** [count + 1] positions into `ids`. */
      readonly bounds: Int32Array;
      /** int64 columns keep their width; negative numbers stand for ids over 2^31 and are out of range. */
      readonly ids: TokenArray | BigInt64Array;
      readonly valid: Uint8Array | undefined;
      /** As of text. */
      readonly problems?: ReadonlyMap<number, string> | undefined;
      /** All ids are at least 0 and below this; `undefined`: nobody looked, or one is negative. */
      readonly idsBelow: number | undefined;
      /** Gives the arrays back, for other rows: nobody may read them any more. */
      readonly release?: () => void;
    };

/** Rows of a slice as objects. */
export interface RecordRows {
  readonly kind: 'records';
  readonly count: number;
  /** Made anew with each call. Errors: `SHARD_INVALID`. */
  readonly at: (row: number) => DecodedRecord;
}

/** A row as an object of named columns; what is missing is null. */
export type Row = Readonly<Record<string, JsonValue>>;

export type DecodedRecord =
  | {
      readonly row: Row;
      /** What was no valid UTF-8 is U+FFFD in it. */
      readonly isValidUtf8: boolean;
    }
  /** A bad row: the rest of a sentence about it. */
  | { readonly problem: string };

/** Rows, or as many that are left out. */
export type SliceRows = Rows | RecordRows | { readonly kind: 'rejected'; readonly count: number };

/** Bulk work that metadata needs. A request has the bytes that it is about, which are transferred. */
export interface Scans {
  /** Counts the rows that start in each page of a nested column. */
  readonly 'parquet-pages': { readonly request: PageRowRequest; readonly result: PageRows };
  /** Finds where rows begin in content whose rows are lines. */
  readonly 'row-starts': { readonly request: RowScanRequest; readonly result: RowScan };
  /** Finds the members of a part of a tar. */
  readonly 'tar-headers': { readonly request: TarScanRequest; readonly result: TarScan };
  /** Finds where documents end in a stream of token ids. */
  readonly 'document-ends': { readonly request: DocumentEndsRequest; readonly result: DocumentEnds };
  /** Cuts the documents of a Megatron index into units. */
  readonly 'megatron-documents': { readonly request: MegatronRequest; readonly result: MegatronDocuments };
  /** Cuts counted items into units. */
  readonly 'item-table': { readonly request: ItemTableRequest; readonly result: ItemTable };
}

export type ScanKind = keyof Scans;

/** Done in a worker thread. */
export type Scan = <K extends ScanKind>(kind: K, request: Scans[K]['request'], signal: AbortSignal) => Promise<Scans[K]['result']>;

export interface PageRowRequest {
  readonly codec: string;
  /** Repeated fields above the column's values, itself included: at least 1, which it is where nothing is said. */
  readonly repetitions?: number;
  /** Whole pages, header included, one after the other. Transferred. */
  readonly bytes: Uint8Array;
}

export interface PageRows {
  /** Rows that start in each page. */
  readonly rows: Int32Array;
  /** 1 where a page begins in the middle of a row. */
  readonly continued: Uint8Array;
  /** What is wrong with the page after these. */
  readonly problem: string | undefined;
}

export interface DocumentEndsRequest {
  /** Whole ids. Transferred. */
  readonly bytes: Uint8Array;
  readonly type: IntegerType;
  /** The last id of each document. */
  readonly endId: number;
  /** Whether the digest of the bytes is wanted as well. */
  readonly digest: boolean;
}

export interface DocumentEnds {
  /** Positions after the last ids, in ids. */
  readonly ends: Int32Array;
  /** SHA-256 (hex), or empty. */
  readonly digest: string;
}

/** Reads the slices of one block, in ascending order; holds the bytes that the next slice will need. */
export interface BlockReader {
  /** What the object was read in, as far as its bytes are still held or were in the last slice. */
  readonly ranges: readonly ByteRange[];
  /**
   * Rows [startRow, endRow) of the shard, and what is wanted beside them: where the format has it in columns of its own, nobody else reads a byte of these.
   * The caller owns the buffers. Errors: those of `Store.read`, `SHARD_INVALID`.
   */
  read(startRow: number, endRow: number, wanted: Wanted, signal: AbortSignal): Promise<FetchedRows>;
}

/** What reading a slice after those before it will fetch, as far as metadata says. */
export interface ReadEstimate {
  readonly bytes: number;
  readonly requests: number;
}

/** A column of one object, or what stands for one. */
export interface ColumnDescription {
  /** As a source would name it. */
  readonly name: string;
  /** In the format's own words. */
  readonly type: string;
  /** What a source may use it as. */
  readonly use?: 'text' | 'tokens' | undefined;
  readonly codecs: readonly string[];
  readonly encodings: readonly string[];
  readonly storedBytes: number;
  readonly decodedBytes: number;
  /** As far as statistics say it of all rows. */
  readonly nulls?: number | undefined;
  readonly min?: string | number | boolean | undefined;
  readonly max?: string | number | boolean | undefined;
  /** Where no metadata says what is in it: what was found. */
  readonly seen?: SeenValues | undefined;
}

/** A column of rows that were looked at. */
export interface SeenValues {
  readonly rows: number;
  /** Rows without it. */
  readonly missing: number;
  readonly nulls: number;
  /** Text or lists without anything in them. */
  readonly empty: number;
  /** Of what is not null, in order of name. */
  readonly types: readonly string[];
}

/** The rows that say which columns there are. */
export interface LookedRows {
  readonly rows: number;
  /** Rows that cannot be read, which say nothing of columns, and a sentence about the first. */
  readonly bad: number;
  readonly problem: string | undefined;
  /** Rows may have columns that none of these has. */
  readonly isOpen: boolean;
  /** These have more columns than are described. */
  readonly isCut: boolean;
}

/** What an object says of itself, for people. */
export interface ShardDescription {
  readonly rows: number;
  readonly columns: readonly ColumnDescription[];
  /** All columns together. */
  readonly units: readonly Pick<Unit, 'rows' | 'storedBytes' | 'decodedBytes' | 'isWhole'>[];
  /** Whether a filter could leave units out unread. */
  readonly hasStatistics: boolean;
  readonly writer?: string | undefined;
  /** Absent: metadata says which columns there are. */
  readonly looked?: LookedRows | undefined;
  /** Where no metadata says types: what could be a field, by the rows that were looked at. Absent: the index says it of each column. */
  readonly fields?: readonly OfferedField[] | undefined;
  /** As `Decoder.index` answers, without another pass over the object. Absent: ask that. */
  readonly indexOf?: ((request: ColumnRequest) => ShardIndex) | undefined;
}

/** The main thread's half of a format. */
export interface Decoder {
  /**
   * Reads an object's own metadata: no row. `filter`, where the format has filters: by its own columns; units of which it takes no row are left out.
   * Errors: those of `Store.read`, `SHARD_INVALID`, `SHARD_UNSUPPORTED`, `COLUMN_MISSING`, `COLUMN_TYPE`.
   */
  index(store: Store, object: ObjectInfo, request: ColumnRequest, signal?: AbortSignal, filter?: Filter): Promise<ShardIndex>;
  openBlock(store: Store, path: string, shard: Shard, block: Block): BlockReader;
  /** The same, with nothing that was known of the block: a part of what was read of it, in `ranges`, is damaged, maybe on its way. */
  reopenBlock(store: Store, path: string, shard: Shard, block: Block, ranges: readonly ByteRange[]): BlockReader;
  /**
   * The same without reading: answers for the slices of the block, which are asked for in ascending order. The bytes of a block that is a whole unit are
   * exact in sum; those of a part leave out what is read again at its borders, and to find it. `withIds`: the ids of the rows are read as well. Columns that
   * decide about the rows always are.
   */
  estimateBlock(shard: Shard, block: Block, withIds?: boolean): (startRow: number, endRow: number) => ReadEstimate;
  /** For `headrace inspect`, of all columns. Left out: what the index says of the one that was asked for. Errors: as of `index`. */
  describe?(store: Store, object: ObjectInfo, signal?: AbortSignal): Promise<ShardDescription>;
  /** The types of the fields that the index was asked for, in their order; `undefined`: a shard without rows, which has none. Left out: this format serves none. */
  fieldTypes?: (shard: Shard) => readonly FieldType[] | undefined;
  /** Stored bytes of the ids of a unit's rows; 0 where the index was not asked for them, or where they lie in what is read anyway. */
  storedIdBytes(unit: Unit): number;
  /**
   * Stored bytes of the columns that decide which rows of the unit a filter takes; 0 where they lie in what is read anyway, `undefined` where it takes all
   * rows. Absent: the format has no filters.
   */
  storedFilterBytes?(unit: Unit): number | undefined;
}
