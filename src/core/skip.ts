/** Rows that a stream leaves out by declared policy: what is told of them, for logs and ledgers. */

/** `missing`: the object is gone. `damaged`: its bytes are. `bad-row`: the row was read, and cannot be delivered. */
export type SkipReason = 'missing' | 'damaged' | 'bad-row';

/** Rows [startRow, endRow) of a shard, as a worker tells of them. */
export interface SkippedRows {
  /** Index into the source's shards. */
  readonly shard: number;
  /** First row of the block that they are in. */
  readonly blockStartRow: number;
  readonly startRow: number;
  readonly endRow: number;
  readonly reason: SkipReason;
  /** One line for people. */
  readonly problem: string;
}

/**
 * The same for whoever keeps a ledger. Each row that is left out of what is delivered is told at least once, before or when it would have been; rows ahead
 * of what is delivered, and again after a resume, may be told as well.
 */
export interface SkipRecord {
  readonly source: string;
  readonly uri: string;
  readonly startRow: number;
  readonly endRow: number;
  readonly reason: SkipReason;
  readonly problem: string;
}
