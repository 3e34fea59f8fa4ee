/** The Node client of a sidecar: an async iterable of a rank's batches, equal byte for byte to those of `openPipeline`. */
import { LIMITS } from '../config/limits.js';
import { HeadraceError, type ErrorCode } from '../core/errors.js';
import type { Split } from '../select/selection.js';
import { splitRows, type Cursor, type PlanRecord } from '../plan/cursor.js';
import { MicroBatches, type MicroBatch } from '../stream/micro-batches.js';
import type { Batch } from '../stream/rank-stream.js';
import { parseAddress } from '../wire/address.js';
import { Connection, type ConnectionOptions } from './connection.js';

export interface ConnectOptions {
  /** `ipc://PATH` or `tcp://127.0.0.1:PORT`: what `headrace serve` prints. */
  readonly address: string;
  /** The data-parallel rank; default 0. */
  readonly rank?: number;
  /** Default 1. */
  readonly worldSize?: number;
  /** Which documents: those of training (the default), or those that `validation` holds out, once and in a fixed order. */
  readonly split?: Split;
  /** Where to go on: a batch's `cursor`, or those of all ranks of a checkpoint. */
  readonly cursor?: Cursor | readonly Cursor[];
  /** Names this consumer among several of the same rank (tensor, pipeline, context parallel); default `default`. */
  readonly consumer?: string;
  /** Batches asked for ahead, 1 … 64: at most so many, and never less than half of them. Default: 4, and more while `next` has to wait, up to 64, or 32 MiB of all ranks. */
  readonly prefetch?: number;
  /** Longest wait for a batch, and for a sidecar that went away; more than 0, up to 2³¹ − 1; default 300 000. */
  readonly timeoutMs?: number;
  /** Plan entries that the caller relies on, such as `{'sequence.length': 2048}`. */
  readonly expect?: PlanRecord;
  /** Compute the digest of each batch and compare; default false. */
  readonly verify?: boolean;
}

export interface MicroBatchedOptions extends ConnectOptions {
  /** Rows that are given out at a time, for gradient accumulation; it divides the rank's rows of a step. Their order stays the same. */
  readonly microBatch: number;
}

export interface SidecarClient<Each extends Batch = Batch> extends AsyncIterable<Each> {
  /**
   * The next batch; undefined after the last, and whenever asked again. Errors: `TIMEOUT` (call again to go on waiting), `SIDECAR_UNREACHABLE`
   * and `DIGEST_MISMATCH` (call again to connect again), `ABORTED` once closed, `FENCED`, `STALE_CLIENT`, `CURSOR_MISMATCH`, `CONFIG_MISMATCH`,
   * `WORLD_SIZE`, and whatever the sidecar's pipeline failed with.
   */
  next(): Promise<Each | undefined>;
  /** After the last batch taken: what a checkpoint keeps. In the middle of a step, between two micro-batches, as many ranks only can go on with it. Undefined until the first one, unless the sidecar has told where it starts. */
  readonly cursor: Cursor | undefined;
  /** Ends the session; a `next` that waits is `ABORTED`. May be called again. A `for await` loop does so by itself when it is left, by an error too. */
  close(): void;
}

/** After these the next call connects again, and goes on after the last batch that was taken. */
const CONNECTS_AGAIN = new Set<ErrorCode>(['SIDECAR_UNREACHABLE', 'DIGEST_MISMATCH']);
/** The longest that a timer of Node can wait. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/**
 * Connects to a sidecar. Returns at once; the first `next` waits for it. Errors: `ADDRESS_INVALID`, `CONFIG_INVALID`, and `CURSOR_MISMATCH` where a
 * cursor of the middle of a step cannot be continued by such ranks and micro-batches.
 */
export function connect(options: MicroBatchedOptions): SidecarClient<MicroBatch>;
export function connect(options: ConnectOptions): SidecarClient;
export function connect(options: ConnectOptions & Partial<MicroBatchedOptions>): SidecarClient {
  const { worldSize = 1, microBatch, cursor = [] } = options;
  const micro = microBatch === undefined ? undefined : new MicroBatches({ microBatch, worldSize });
  const { cursors, rows } = splitRows([cursor].flat(), worldSize, microBatch);
  const request = requestOf({ ...options, cursor: cursors });
  let connection: Connection | undefined;
  let taken: Cursor | undefined;
  let start: Cursor | undefined;
  let state: 'open' | 'ended' | 'closed' = 'open';

  const openConnection = (): Connection => {
    const made = new Connection({ ...request, received: taken ?? start });
    void made.run();
    return made;
  };
  const nextStep = async (): Promise<Batch | undefined> => {
    if (state === 'ended') return undefined;
    if (state === 'closed') throw closedError();
    const own = (connection ??= openConnection());
    try {
      const batch = await own.take();
      start ??= own.start;
      if (batch === undefined) state = 'ended';
      else taken = batch.cursor;
      return batch;
    } catch (error) {
      if (connection === own && error instanceof HeadraceError && CONNECTS_AGAIN.has(error.code)) {
        start ??= own.start;
        connection = undefined;
        own.close(error);
      }
      throw error;
    }
  };
  const startCursor = (): Cursor | undefined => {
    const known = start ?? connection?.start;
    return known === undefined || rows === undefined ? known : { ...known, rows };
  };
  const close = (): void => {
    if (state === 'open') state = 'closed';
    connection?.close(closedError());
  };
  const parts = micro && partsOf(nextStep, micro, startCursor);
  const next = async (): Promise<Batch | undefined> => {
    if (state === 'closed') throw closedError();
    return parts === undefined ? nextStep() : parts.next();
  };
  return {
    next,
    close,
    get cursor() {
      return (parts === undefined ? taken : parts.cursor) ?? startCursor();
    },
    [Symbol.asyncIterator]: () => iterate(next, close),
  };
}

interface Parts {
  next(): Promise<MicroBatch | undefined>;
  /** After the last one that was given out. */
  readonly cursor: Cursor | undefined;
}

/** The micro-batches of steps, one call after the other. */
function partsOf(nextStep: () => Promise<Batch | undefined>, micro: MicroBatches, startCursor: () => Cursor | undefined): Parts {
  let cursor: Cursor | undefined;
  let turn: Promise<unknown> = Promise.resolve();

  const take = async (): Promise<MicroBatch | undefined> => {
    let part = micro.next();
    if (part === undefined) {
      const batch = await nextStep();
      if (batch === undefined) return undefined;
      micro.begin(batch, cursor ?? startCursor() ?? batch.cursor);
      part = micro.next();
    }
    cursor = part?.cursor;
    return part;
  };
  return {
    next: () => {
      const taking = turn.then(take);
      turn = taking.catch(() => undefined);
      return taking;
    },
    get cursor() {
      return cursor;
    },
  };
}

/** By hand: `return` of an async generator would wait for the batch that is awaited. */
function iterate(next: () => Promise<Batch | undefined>, close: () => void): AsyncIterator<Batch, undefined> {
  const done = { done: true, value: undefined } as const;
  let left = false;
  // as a call, so that the compiler does not think that waiting changes nothing
  const isLeft = (): boolean => left;
  const leave = (): typeof done => {
    left = true;
    close();
    return done;
  };
  return {
    next: async () => {
      if (left) return done;
      try {
        const value = await next();
        return value === undefined ? leave() : { done: false, value };
      } catch (error) {
        if (isLeft()) return done; // it was told to stop waiting
        leave();
        throw error;
      }
    },
    return: () => Promise.resolve(leave()),
  };
}

/** Errors: `ADDRESS_INVALID`, `CONFIG_INVALID`. */
function requestOf(options: ConnectOptions): Omit<ConnectionOptions, 'received'> {
  const { address, rank = 0, worldSize = 1, split = 'train', cursor, consumer = 'default', expect = {}, verify = false } = options;
  const { prefetch, timeoutMs = LIMITS.clientTimeoutMsDefault } = options;
  const parsed = parseAddress(address);
  if (parsed.transport === 'tcp' && !(Number(parsed.port) > 0)) {
    throw new HeadraceError('ADDRESS_INVALID', `${address} names no port to connect to`, {
      detail: { address },
      hint: 'Pass what `headrace serve` prints.',
    });
  }
  if (prefetch !== undefined && (!Number.isInteger(prefetch) || prefetch < 1 || prefetch > LIMITS.creditsMax))
    throw invalidOption('prefetch', prefetch, `it can be 1 to ${LIMITS.creditsMax}`);
  if (!(timeoutMs > 0 && timeoutMs <= TIMER_MS_MAX))
    throw invalidOption('timeoutMs', timeoutMs, `it can be more than 0 and up to ${TIMER_MS_MAX}`);
  for (const [name, value] of Object.entries({ rank, worldSize }))
    if (!Number.isInteger(value)) throw invalidOption(name, value, 'it is an integer');
  const cursors = cursor === undefined ? [] : [cursor].flat();
  const incarnation = Math.round((performance.timeOrigin + performance.now()) * 1000);
  return { address, rank, worldSize, split, consumer, incarnation, cursors, expect, credits: prefetch, timeoutMs, verify };
}

function invalidOption(name: string, value: number, allowed: string): HeadraceError {
  return new HeadraceError('CONFIG_INVALID', `${name} is ${value}; ${allowed}`, { detail: { [name]: String(value) } });
}

function closedError(): HeadraceError {
  return new HeadraceError('ABORTED', 'this client was closed', { hint: 'To go on, connect again with its cursor.' });
}
