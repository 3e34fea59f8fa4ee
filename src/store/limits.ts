/** The bounds of the byte layer, each with its reason. */

export const STORE_LIMITS = {
  /** Requests under way at once against one origin, before anything is known of it: 32 streams of 100 MB/s are more than most NICs … */
  concurrencyInitial: 32,
  /** … 128 fill one of 100 Gbit/s; AWS allows thousands a prefix, and each may hold 16 MiB … */
  concurrencyMax: 128,
  /** … and with fewer than four, a throttled origin would be held to less than any origin serves, and hardly be seen to recover. */
  concurrencyMin: 4,
  /** Rounds without growth of the throughput after which one more request is tried: what held it back may be gone. */
  flatRoundsMax: 8,
  /** TCP and TLS handshakes across the world take under a second; ten allow for lost packets. */
  connectTimeoutMs: 10_000,
  /** A body that brings nothing for this long has stalled: object stores send the first byte within 200 ms and then go on. */
  idleTimeoutMs: 15_000,
  /** A body must bring `throughputBytesPerSecondMin` in the mean over each such span: it outlasts TCP's slow start and a few lost packets … */
  throughputWindowMs: 30_000,
  /** … and 32 streams that share a line of 10 Mbit/s still get four times this each: what brings less is a drip, and a new connection may do better. */
  throughputBytesPerSecondMin: 10_000,
  /** Tries of one request in a row that do not get on, the first included: with full jitter, seven span half a minute of trouble. */
  attemptsMax: 7,
  /** A try of a read that brings less than this has not got on: a read of 16 MiB is asked for 256 times at most, besides the tries above. */
  progressBytesMin: 64 * 2 ** 10,
  /**
   * Retries of all requests of an origin that no success has paid for: all tries of 32 requests at once, so that a restart of the origin is
   * outlasted, and half of its answers may fail for good; beyond, its load would be more than doubled.
   */
  retryTokensMax: 200,
  /** All tries of one request after the first: longer than a restart of an object store's front end. */
  deadlineMs: 120_000,
  /** Waits before the second try: up to this … */
  baseDelayMs: 100,
  /** … doubling up to this: an overloaded service recovers in seconds. */
  maxDelayMs: 10_000,
  /** Longer ranges are read in parts, each of more than 8 MiB: what one stream of an object store reaches its full rate with. */
  partBytesMax: 16 * 2 ** 20,
  /** Parts of one range at once: eight streams of 100 MB/s fill a common NIC, and leave places for other reads. */
  partsAtOnceMax: 8,
  /** Local files that stay open for the next read: those of the open blocks of eight lanes, twice; processes may have 256 descriptors and more. */
  openFilesMax: 128,
  /** Bytes between two ranges that are read for nothing, to save a request: under 2 % of a block's requests, which are 1 MiB or more. */
  gapBytesMax: 16 * 2 ** 10,
  /** Joined ranges are no longer than a part: more would only be cut again. */
  joinedBytesMax: 16 * 2 ** 20,
  /** A read that has taken longer than 19 of 20 gets a second request (Dean and Barroso's figure) … */
  hedgeQuantile: 0.95,
  /** … of the latest so many of its size, which follow an origin's mood within seconds … */
  hedgeSamplesMax: 200,
  /** … and of no fewer than this: the 95th percentile of 40 has two above it … */
  hedgeSamplesMin: 40,
  /** … but not before this: object stores answer in 20 to 100 ms, and a second request would not be sooner. */
  hedgeDelayMsMin: 50,
  /** Bytes asked for twice, as a share of those read: as many as there are slow reads by definition … */
  hedgeBytesShare: 0.05,
  /** … saved up for no more than four large reads: an origin that is slow as a whole must not get twice its load. */
  hedgeBytesSavedMax: 64 * 2 ** 20,
  /** Second requests are sent as long as one of three is first: of two that wait in the same queue, the second is hardly ever … */
  hedgeWinShareMin: 1 / 3,
  /** … in a mean that follows about so many: nine that lose in a row end it … */
  hedgeOutcomes: 8,
  /** … and then of so many slow reads one is asked for twice, to see whether that has changed: one of 320 reads, by the quantile above. */
  hedgeTrialReads: 16,
  /** A signature whose time differs by this much from the server's may have been refused for it: S3 allows 15 minutes, and its imitations may allow five. */
  clockSkewMsMin: 4 * 60_000,
  /** Redirects that one request follows: a hub to its new name and on to a CDN are two; more than five are a loop. */
  redirectsMax: 5,
  /** A connection that nothing uses for this long is closed: longer than a window takes to be decoded, shorter than load balancers wait (60 s). */
  keepAliveMs: 30_000,
  /** … and so much before the end of what its server says: the next request must not meet the close of the connection on its way. */
  keepAliveMarginMs: 1000,
  /** The head of an answer: as much as Node's client takes; S3's have under 1 KiB, and 1 KiB for what users say of an object. */
  headBytesMax: 16 * 2 ** 10,
  /** The body of an answer that nobody wants is read to its end, so that its connection can be used again, if it is at most this: a new one costs a handshake. */
  discardedBytesMax: 64 * 2 ** 10,
  /** JSON of a listing's page or of an object's description: 1,000 entries of 4 KiB; more is something else. */
  jsonBytesMax: 4 * 2 ** 20,
  /** A page of a listing of S3 that we read ourselves: 1,000 keys of 1,024 bytes, each of which may be an entity, and what is said of them. */
  listPageBytesMax: 8 * 2 ** 20,
  /** A whole object sent instead of a range is used if it is at most this: some origins ignore Range, and small objects cost nothing. */
  wholeObjectBytesMax: 2 ** 20,
} as const;
