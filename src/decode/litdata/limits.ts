/** Bounds of reading litData's data sets, each with its reason. */

export const LITDATA_LIMITS = {
  /** An `index.json`: about 100 bytes a chunk, so that this is half a million chunks of 64 MB, 32 TB. */
  indexBytesMax: 64 * 2 ** 20,
  /** Directories whose index is kept in memory while a manifest is made: parts of one data set follow each other. */
  setsKept: 8,
  /** Values of a sample: a list of numbers that was given as such would be as many leaves. */
  leavesMax: 4096,
  /** The first bytes of a chunk: the whole table of one with 16,000 samples, in one request. */
  headBytes: 64 * 2 ** 10,
  /** The table of a chunk that is compressed as a whole, which is decompressed in one piece: 4 million samples. */
  contentTableBytesMax: 16 * 2 ** 20,
  /** Groups of samples that are compressed together, in one chunk: the writer puts 256 samples in each. */
  framesMax: 2 ** 20,
  /** A compressed unit that decodes to more than this is never cut: each block would decompress what is before it. */
  cutContentBytesMax: 8 * 2 ** 20,
  /** What samples that are compressed one by one are taken to decode to, for each stored byte: they do not say it. */
  sampleRatio: 3,
} as const;
