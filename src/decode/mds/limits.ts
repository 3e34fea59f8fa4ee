/** Bounds of reading MDS shards, each with its reason. */

export const MDS_LIMITS = {
  /** The first bytes of a shard: the places of 16,000 samples, more than most shards have, in one request. The same of its samples, and of its end, tell it from others. */
  headBytes: 64 * 2 ** 10,
  /** Of a compressed shard they are held while it is read: 16 million samples. */
  heldPlacesBytesMax: 64 * 2 ** 20,
  /** The description of the columns: a thousand columns take 100 KiB. */
  configBytesMax: 2 ** 20,
} as const;
