/** Bounds of reading MDS shards, each with its reason. */

export const MDS_LIMITS = {
  /** The first bytes of a shard: the places of 16,000 samples, more than most shards have, in one request. The same of its samples, and of its end, tell it from others. */
  headBytes: 64 * 2 ** 10,
  /** Places of samples that are looked at together (a million): as large as a message to a worker should be. No unit spans two such parts. */
  placesBytes: 4 * 2 ** 20,
  /** Of a compressed shard they are held while it is read: 16 million samples. */
  heldPlacesBytesMax: 64 * 2 ** 20,
  /** The description of the columns: a thousand columns take 100 KiB. */
  configBytesMax: 2 ** 20,
  /** A unit of a shard that is not compressed: what is fetched for a block is a few MiB. */
  unitBytes: 4 * 2 ** 20,
  /** One sample, of all columns: it is fetched at once. Shards have 64 MiB where nothing else is said. */
  sampleBytesMax: 256 * 2 ** 20,
} as const;
