/** The bounds of the local cache, each with its reason. Its size is in the configuration. */

export const CACHE_LIMITS = {
  /** One entry: as much as the largest page that is read (`pageBytesMax`); readers ask for 1 to 8 MiB. */
  entryBytesMax: 2 ** 30,
  /** All compiled forms of tokenizers: 50 of the largest, and none that was used lately has to go; beside 50 GiB of byte ranges it is little. */
  tokenizersBytesMax: 2 ** 30,
  /** The share of the disk that stays free for others, as Mountpoint for S3 leaves it; below it, file systems fragment and slow down too. */
  freeShareMin: 0.05,
  /** A disk with so much more free than that is not asked again for each entry … */
  roomyBytes: 4 * 2 ** 30,
  /** … but as often as this: in the meantime nothing writes so much. */
  roomyMs: 500,
  /** A checksum goes over so much at a time, then lets the event loop run: under 1 ms at 5 GB/s, so that no heartbeat or batch waits for it. */
  checksumStepBytes: 4 * 2 ** 20,
  /** Bytes that wait for the disk while their readers go on: a tenth of a second of a disk of 640 MB/s. */
  pendingWriteBytesMax: 64 * 2 ** 20,
  /** A reader waits for room among them so long: a disk that writes 64 MiB in no less time would only slow the store down. */
  writeWaitMs: 5_000,
  /** A disk that has not given an entry after so long has stalled: the store gives it sooner. */
  readTimeoutMs: 5_000,
  /** How long nothing is written after a failure: a full or failing disk is asked twice a minute, not at each read. */
  pauseMs: 30_000,
  /** A claim whose owner gave no sign for so long is taken over: four heartbeats, so that a busy owner keeps it. */
  leaseMs: 10_000,
  heartbeatMs: 2_500,
  /** A process that waits for another's fetch looks after this (the first byte of an object store takes 20 ms or more) … */
  pollMs: 20,
  /** … doubling up to this: it then waits at most a few per cent of a slow fetch in vain. */
  pollMsMax: 250,
  /** … and fetches itself after this: half of what the retries of a request may take, so that two processes do not both wait for a store in trouble. */
  waitForOtherMsMax: 60_000,
  /**
   * What of `size` one process writes before it looks at the directory again, to learn of other processes' entries: they exceed it by this much each, at most.
   * At a start it writes no more than this before its first look is over.
   */
  unseenShareMax: 1 / 64,
  /** Spans of a run's plan that are told apart when room is made: a hundredth of a per cent of a cache that holds a tenth of an epoch … */
  spansPerEpoch: 1024,
  /** … and how many of them a planned reading may be late, as lanes are that run apart, before it is taken for one that does not come. */
  overdueSpans: 32,
  /** Ranges that are known to be held: 256 GB of a pass over tars, in 10 MB of memory. */
  heldRangesMax: 2 ** 17,
  /** Of which one is put together: as many files are opened as soon as an object store answers. */
  partsMax: 32,
  /** … with so much of it missing, in so many requests: ends of what was read before. More is better read in one request. */
  gapShareMax: 1 / 8,
  gapsMax: 8,
  /** Times that this is tried: what is gone the second time may be gone as a whole. */
  coverAttemptsMax: 2,
  /** Needs of entries that are asked for and not there, until they are put: more than the slices of all windows that are under way. */
  awaitedNeedsMax: 10_000,
  /** Files that are deleted at once: Node has four threads for files, and readers want them too. */
  deletionsMax: 8,
  /** Closing waits so long for writes that are under way: what is left is a temporary file, which the next start sweeps. */
  closeWaitMs: 5_000,
} as const;
