/** The two halves of a format: what to fetch (main thread, I/O only), and what the bytes mean (worker thread, no I/O). */
import type { JsonValue } from '../core/canonical-json.js';
import type { Block, Shard, Unit } from '../core/shard.js';
import type { ByteRange, ObjectInfo, Store } from '../store/store.js';
import type { EncodedParquetIds, EncodedParquetRecords, EncodedParquetSlice } from './parquet/encoded-slice.js';

/** Which column is wanted, and as what. */
export interface ColumnRequest {
  readonly column: string;
  readonly kind: 'text' | 'tokens' | 'records';
  /** Of records: the columns that each has. */
  readonly columns?: readonly string[] | undefined;
  /** A column of text or integers that names the documents: the index says where it is, and nothing of it is read. */
  readonly id?: string | undefined;
  /** What else the format is told of how to read its objects. */
  readonly options?: Readonly<Record<string, JsonValue>> | undefined;
}

/** What a format's metadata says of one object. */
export type ShardIndex = Pick<Shard, 'contentId' | 'rows' | 'units' | 'layout'>;

/** Fetched, not yet decoded: crosses to a worker thread by transfer. One variant a format. */
export type FetchedSlice = EncodedParquetSlice | EncodedParquetRecords;

/** The ids of a slice's rows, on their way like the rows themselves. */
export type FetchedIds = EncodedParquetIds;

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
    }
  | {
      readonly kind: 'tokens';
      readonly count: number;
      /** [count + 1] positions into `ids`. */
      readonly bounds: Int32Array;
      /** int64 columns keep their width; negative numbers stand for ids over 2^31 and are out of range. */
      readonly ids: Int32Array | BigInt64Array;
      readonly valid: Uint8Array | undefined;
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

export interface DecodedRecord {
  readonly row: Row;
  /** What was no valid UTF-8 is U+FFFD in it. */
  readonly isValidUtf8: boolean;
}

/** Rows, or as many that are left out. */
export type SliceRows = Rows | RecordRows | { readonly kind: 'rejected'; readonly count: number };

/** Bulk work that metadata needs. A request has the bytes that it is about, which are transferred. */
export interface Scans {
  /** Counts the rows that start in each page of a nested column. */
  readonly 'parquet-pages': { readonly request: PageRowRequest; readonly result: PageRows };
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

/** Reads the slices of one block, in ascending order; holds the bytes that the next slice will need. */
export interface BlockReader {
  /** What the object was read in, as far as its bytes are still held or were in the last slice. */
  readonly ranges: readonly ByteRange[];
  /** Rows [startRow, endRow) of the shard. Errors: those of `Store.read`, `SHARD_INVALID`. */
  slice(startRow: number, endRow: number, signal: AbortSignal): Promise<FetchedSlice>;
  /** The ids of the same rows, where the index was asked for them: nobody else reads a byte of them. Errors: as of `slice`. */
  ids(startRow: number, endRow: number, signal: AbortSignal): Promise<FetchedIds>;
}

/** What reading a slice after those before it will fetch, as far as metadata says. */
export interface ReadEstimate {
  readonly bytes: number;
  readonly requests: number;
}

/** The main thread's half of a format. */
export interface Decoder {
  /** Reads an object's own metadata: no row. Errors: those of `Store.read`, `SHARD_INVALID`, `SHARD_UNSUPPORTED`, `COLUMN_MISSING`, `COLUMN_TYPE`. */
  index(store: Store, object: ObjectInfo, request: ColumnRequest, signal?: AbortSignal): Promise<ShardIndex>;
  openBlock(store: Store, path: string, shard: Shard, block: Block): BlockReader;
  /** The same, with nothing that was known of the block: a part of what was read of it, in `ranges`, is damaged, maybe on its way. */
  reopenBlock(store: Store, path: string, shard: Shard, block: Block, ranges: readonly ByteRange[]): BlockReader;
  /**
   * The same without reading: answers for the slices of the block, which are asked for in ascending order. The bytes of a block that is a whole unit are
   * exact in sum; those of a part leave out what is read again at its borders, and to find it. `withIds`: the ids of the rows are read as well.
   */
  estimateBlock(shard: Shard, block: Block, withIds?: boolean): (startRow: number, endRow: number) => ReadEstimate;
  /** Stored bytes of the ids of a unit's rows; 0 where the index was not asked for them. */
  storedIdBytes(unit: Unit): number;
}
