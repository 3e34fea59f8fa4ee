/** What a cache has done; read by whoever shows it. */

export interface CacheCounters {
  /** Reads that were answered from it. Reads that joined another of the same range, which was under way, are counted once with it. */
  hits: number;
  /** Reads that it could not answer. */
  misses: number;
  /** Bytes of the hits. */
  bytesFromCache: number;
  bytesWritten: number;
  /** Entries that were deleted to make room. */
  evictions: number;
  /** Entries that were damaged, deleted, and fetched again. */
  corrupt: number;
  /** Entries that somebody else deleted. */
  lost: number;
  /** Ranges and tokens that were not kept, since the disk is full or fails, and reads that did not wait for it. */
  bypassed: number;
  /** Reads that waited for another process to fetch the same. */
  waitsForOther: number;
}

export function createCacheCounters(): CacheCounters {
  return {
    hits: 0,
    misses: 0,
    bytesFromCache: 0,
    bytesWritten: 0,
    evictions: 0,
    corrupt: 0,
    lost: 0,
    bypassed: 0,
    waitsForOther: 0,
  };
}
