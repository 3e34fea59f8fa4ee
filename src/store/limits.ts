/** The bounds of the byte layer, each with its reason. */

export const STORE_LIMITS = {
  /** Requests under way at once against one origin: 32 streams of 100 MB/s are more than a NIC; AWS allows thousands a prefix. */
  concurrencyMax: 32,
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
  /** All tries of one request together: longer than a restart of an object store's front end. */
  deadlineMs: 120_000,
  /** Waits before the second try: up to this … */
  baseDelayMs: 100,
  /** … doubling up to this: an overloaded service recovers in seconds. */
  maxDelayMs: 10_000,
  /** A whole object sent instead of a range is used if it is at most this: some origins ignore Range, and small objects cost nothing. */
  wholeObjectBytesMax: 2 ** 20,
} as const;
