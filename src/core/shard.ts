/** What a manifest is made of, and what decoders and plans read of it: shards, their units, and the blocks that are cut from units. */
import type { JsonValue } from './canonical-json.js';

/** A part of a shard that its format lets one fetch alone: a Parquet row group, an Arrow record batch, a whole unindexed file. */
export interface Unit {
  /** First row, counted in the shard. */
  readonly startRow: number;
  readonly rows: number;
  /** Bytes of the projected column, decoded, as the format's metadata says. */
  readonly decodedBytes: number;
  /** Bytes of the projected column in the object. */
  readonly storedBytes: number;
  /** It is read from its start, whichever rows are wanted: never cut into several blocks. */
  readonly isWhole?: boolean;
  /** What the format's decoder needs to fetch it; plain JSON, opaque to everyone else. */
  readonly layout: JsonValue;
}

/** One object of a source, pinned. */
export interface Shard {
  /** Path below the source's root: what names it in messages, and what canonical order sorts by. */
  readonly path: string;
  /** Where the object is. */
  readonly uri: string;
  readonly size: number;
  /** The version that every read is conditional on. */
  readonly etag: string;
  /** SHA-256 (hex) of the object's own description of its content (a Parquet footer): the same wherever the object is copied to. */
  readonly contentId: string;
  readonly rows: number;
  readonly units: readonly Unit[];
  /** What the decoder needs to know of the whole shard; plain JSON, opaque to everyone else. */
  readonly layout: JsonValue;
}

/** The unit of fetching: rows [startRow, endRow) of a shard, all in one unit. */
export interface Block {
  /** Index into the source's shards. */
  readonly shard: number;
  /** Index into the shard's units. */
  readonly unit: number;
  readonly startRow: number;
  readonly endRow: number;
  readonly decodedBytes: number;
}

/** Rows [startRow, endRow) of a block: its part in a window. */
export interface Slice {
  readonly block: Block;
  readonly startRow: number;
  readonly endRow: number;
}

/** The blocks of a source, in canonical order: made when they are asked for. Two are the same block if shard and first row are. */
export interface BlockTable {
  readonly length: number;
  at(index: number): Block;
}
