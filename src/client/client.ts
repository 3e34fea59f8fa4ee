/** The Node client of a sidecar: an async iterable of a rank's batches, equal byte for byte to those of `openPipeline`. */
import { LIMITS } from '../config/limits.js';
import { HeadraceError } from '../core/errors.js';
import type { Cursor, PlanRecord } from '../plan/cursor.js';
import type { Batch } from '../stream/rank-stream.js';
import { parseAddress } from '../wire/address.js';
import { Connection } from './connection.js';

export interface ConnectOptions {
  /** `ipc://PATH` or `tcp://127.0.0.1:PORT`: what `headrace serve` prints. */
  readonly address: string;
  /** The data-parallel rank; default 0. */
  readonly rank?: number;
  /** Default 1. */
  readonly worldSize?: number;
  /** Where to go on: a batch's `cursor`, or those of all ranks of a checkpoint. */
  readonly cursor?: Cursor | readonly Cursor[];
  /** Names this consumer among several of the same rank (tensor, pipeline, context parallel); default `default`. */
  readonly consumer?: string;
  /** Batches asked for ahead, 1 … 64; default 4. */
  readonly prefetch?: number;
  /** Longest wait for a batch, and for a sidecar that went away; default 300 000. */
  readonly timeoutMs?: number;
  /** Plan entries that the caller relies on, such as `{'sequence.length': 2048}`. */
  readonly expect?: PlanRecord;
}

export interface SidecarClient extends AsyncIterable<Batch> {
  /**
   * The next batch; undefined after the last. Errors: `TIMEOUT` (call again to go on waiting), `SIDECAR_UNREACHABLE`, `FENCED`,
   * `STALE_CLIENT`, `CURSOR_MISMATCH`, `CONFIG_MISMATCH`, `WORLD_SIZE`, and whatever the sidecar's pipeline failed with.
   */
  next(): Promise<Batch | undefined>;
  /** After the last batch taken: what a checkpoint keeps. Undefined until the first one, unless the sidecar has told where it starts. */
  readonly cursor: Cursor | undefined;
  /** Ends the session. A `for await` loop does so by itself when it is left. */
  close(): void;
}

/** Connects to a sidecar. Returns at once; the first `next` waits for it. Errors: `ADDRESS_INVALID`, `CONFIG_INVALID`. */
export function connect(options: ConnectOptions): SidecarClient {
  const { address, rank = 0, worldSize = 1, cursor, consumer = 'default', expect = {} } = options;
  const { prefetch = LIMITS.creditsDefault, timeoutMs = LIMITS.clientTimeoutMsDefault } = options;
  parseAddress(address);
  if (!Number.isInteger(prefetch) || prefetch < 1 || prefetch > LIMITS.creditsMax) {
    throw new HeadraceError('CONFIG_INVALID', `prefetch is ${prefetch}; it can be 1 to ${LIMITS.creditsMax}`, { detail: { prefetch } });
  }
  const cursors = cursor === undefined ? [] : [cursor].flat();
  const connection = new Connection({ address, rank, worldSize, consumer, cursors, expect, credits: prefetch, timeoutMs });
  let running: Promise<void> | undefined;
  let taken: Cursor | undefined;

  const next = async (): Promise<Batch | undefined> => {
    running ??= connection.run();
    const batch = await takeWithin(connection, timeoutMs, address);
    if (batch === undefined) return undefined;
    connection.returnCredit();
    taken = batch.cursor;
    return batch;
  };
  const close = (): void => {
    connection.close();
    connection.batches.end();
  };
  return {
    next,
    close,
    get cursor() {
      return taken ?? connection.start;
    },
    async *[Symbol.asyncIterator]() {
      try {
        for (let batch = await next(); batch !== undefined; batch = await next()) yield batch;
      } finally {
        close();
      }
    },
  };
}

async function takeWithin(connection: Connection, timeoutMs: number, address: string): Promise<Batch | undefined> {
  if (connection.batches.length > 0) return connection.batches.take();
  const deadline = new AbortController();
  const timer = setTimeout(() => {
    deadline.abort(
      new HeadraceError('TIMEOUT', `no batch came from ${address} within ${timeoutMs} ms`, {
        detail: { address, timeoutMs },
        hint: 'The sidecar is slow or paused: its log and /metrics say what it waits for. Call next() again to go on waiting.',
      }),
    );
  }, timeoutMs);
  try {
    return await connection.batches.take(deadline.signal);
  } finally {
    clearTimeout(timer);
  }
}
