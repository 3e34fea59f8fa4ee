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
  /** Tries of one request, the first included: with full jitter, seven span half a minute of trouble. */
  attemptsMax: 7,
  /** All tries of one request together: longer than a restart of an object store's front end. */
  deadlineMs: 120_000,
  /** Waits before the second try: up to this … */
  baseDelayMs: 100,
  /** … doubling up to this: an overloaded service recovers in seconds. */
  maxDelayMs: 10_000,
  /** Redirects that one request follows: a hub to its new name and on to a CDN are two; more than five are a loop. */
  redirectsMax: 5,
  /** A connection that nothing uses for this long is closed: longer than a window takes to be decoded, shorter than load balancers wait (60 s). */
  keepAliveMs: 30_000,
  /** The body of an answer that nobody wants is read to its end, so that its connection can be used again, if it is at most this: a new one costs a handshake. */
  discardedBytesMax: 64 * 2 ** 10,
  /** JSON of a listing's page or of an object's description: 1,000 entries of 4 KiB; more is something else. */
  jsonBytesMax: 4 * 2 ** 20,
  /** A whole object sent instead of a range is used if it is at most this: some origins ignore Range, and small objects cost nothing. */
  wholeObjectBytesMax: 2 ** 20,
} as const;
