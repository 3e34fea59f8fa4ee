/** Bounds of ledgers, each with its reason. */
export const LEDGER_LIMITS = {
  /** A segment: about 120,000 steps of eight lanes and one source, so that the steps of a long run lie in some dozens of files. */
  segmentBytesMax: 64 * 2 ** 20,
  /** Lines that wait while the directory does not answer: some thousand steps; what comes after them is lost, and declared. */
  bufferBytesMax: 4 * 2 ** 20,
  /** How long a step waits for its line: a healthy file system takes under a millisecond; training does not stop for a dead one. */
  writeWaitMs: 2_000,
  /** After a failed write, until the next try: a disk that is full stays so for a while. */
  retryMs: 10_000,
  /** What a power cut may take; what is written survives the end of the process at once. */
  syncMs: 5_000,
  /** Of what is told about a skipped row. */
  problemCharsMax: 400,
  /** One line when reading: 1,024 lanes of 100 sources, with room; more is damage. */
  lineBytesMax: 16 * 2 ** 20,
  /** Steps of a run that can be audited: a step a second for four years. More is no step, but a forgery that would take the memory. */
  stepsMax: 2 ** 27,
  /** Problems that one check lists; the rest is counted. */
  problemsMax: 20,
} as const;
