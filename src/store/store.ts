/** Where bytes come from: the one interface that files, object stores, memory and every decorator share. */

import type { ByteRange } from '../core/byte-range.js';
import type { Need } from '../core/need.js';

export type { ByteRange };

/** One object of a store, as a listing or a HEAD request shows it. */
export interface ObjectInfo {
  /** The object's path inside its store: no leading slash for object stores, absolute for files. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** The version that reads are pinned to. */
  readonly etag: string;
}

export interface ReadOptions {
  /** Fail with `SHARD_CHANGED` unless the object still has this ETag. */
  readonly ifMatch?: string;
  readonly signal?: AbortSignal;
  /**
   * An array as long as the range that a store may fill and return instead of a new one: whoever gives it copies what comes in another.
   * Decorators give it, with `ifMatch` always, so that a range which is read in pieces is written once.
   */
  readonly into?: Uint8Array;
  /** When the run's plan needs the bytes: caches make room by it. */
  readonly need?: Need;
  /** The reader has other reads under way, and can wait until a cache has written what was fetched: it gets the bytes without a copy then. */
  readonly patient?: true;
  /** A cache that does not have them does not keep them. */
  readonly fleeting?: true;
  /** Not from a cache; and what a cache has of these ranges, which the bytes were read in before, is forgotten: it was damaged when it was kept. */
  readonly fresh?: { readonly forget: readonly ByteRange[] };
}

export interface ListObjectsOptions {
  readonly signal?: AbortSignal;
  /** Told of links below the prefix that lead nowhere, which are no objects; of a listing that is begun again, once more. */
  readonly onDangling?: (path: string) => void;
}

export interface Store {
  /** What messages call this store, as a URI prefix: `s3://bucket/`, `file:///`. `uri + path` names an object. */
  readonly uri: string;
  /**
   * Lists every object whose path starts with `prefix`, in ascending order of the path's UTF-8 bytes.
   * Errors: `STORE_DENIED`, `STORE_NOT_FOUND` (no such bucket or directory), `STORE_UNREACHABLE`, `ABORTED`.
   */
  list(prefix: string, options?: ListObjectsOptions): AsyncIterable<ObjectInfo>;
  /** Errors: `STORE_NOT_FOUND`, `STORE_DENIED`, `STORE_UNREACHABLE`, `ABORTED`. */
  head(path: string, options?: { readonly signal?: AbortSignal }): Promise<ObjectInfo>;
  /**
   * Reads exactly `range` (never fewer bytes). The caller owns the array; without `into` it is the only view of its buffer, so it can be
   * transferred.
   * Errors: those of `head`, `SHARD_CHANGED`, `STORE_READ_FAILED` (range outside the object, short body, server error).
   */
  read(path: string, range: ByteRange, options?: ReadOptions): Promise<Uint8Array>;
  /** Frees sockets and handles. Requests in flight end at once: with `ABORTED`, or with bytes that were at hand. */
  close(): Promise<void>;
}
