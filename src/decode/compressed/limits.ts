/** Bounds of reading compressed objects, each with its reason. */

export const CONTENT_LIMITS = {
  /** Stored bytes of one request of a stream: few requests, and with what they decompress to some MiB a stream. */
  readBytes: 2 * 2 ** 20,
  /** Content that a decompressor hands over at a time. */
  pieceBytes: 256 * 2 ** 10,
  /** Frames are put together to parts of at least this much content, where they say how much they have: bgzip's have 64 KiB, and one read needs several. */
  partContentBytesMin: 256 * 2 ** 10,
  /** The same in stored bytes, for frames that do not say it. */
  partStoredBytesMin: 128 * 2 ** 10,
  /**
   * Content for each stored byte. Deflate cannot go beyond 1,032, so that only zstd could, and what text needs more is made to fill a machine:
   * it is refused while it streams, at a few MiB.
   */
  ratioMax: 1_100,
  /** What any object may decompress to, whatever its size: the shortest ones have all of their ratio from a single run of one byte. */
  ratioFreeBytes: 2 ** 20,
  /** A compressed unit begins at most this far behind the start of a part, which is decompressed for nothing. */
  skipBytesMax: 2 ** 20,
  /** Shards that are passed over at once: with 12 MiB each, 100 MiB; and more than keep two workers and a connection busy. */
  passesMax: 8,
  /** A zstd window, which a decompressor holds: what `zstd --long=27` makes, and the limit of the reference decoder by default. */
  zstdWindowBytesMax: 128 * 2 ** 20,
} as const;
