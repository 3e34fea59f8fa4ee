/** Reads the body of an answer, cuts one that stalls, and hands on what had arrived of one that broke off. */
import { finished, type Readable } from 'node:stream';
import { abortError, throwIfAborted, whenAborted } from '../core/abort.js';
import { HeadraceError, type ErrorDetail } from '../core/errors.js';
import { nameSilence, reasonOf } from './network-error.js';
import type { DirectBody } from './direct-body.js';
import { brokenOff, transientError, TransientStoreError, type PartialRead } from './store-error.js';
import type { ByteRange } from './store.js';

/** Below what a body is cut. */
export interface BodyLimits {
  /** The longest silence. */
  readonly idleTimeoutMs: number;
  /** Each such span, from the body's start on, must bring `throughputBytesPerSecondMin` in the mean: one byte a second is no silence. */
  readonly throughputWindowMs: number;
  readonly throughputBytesPerSecondMin: number;
}

export interface BodyPlan {
  /** Bytes of the body before the wanted ones. */
  readonly skip: number;
  /** Bytes of the whole body. */
  readonly total: number;
  /** The version of the object that it is of. */
  readonly etag: string;
}

/**
 * Reads a body into `bytes`, which are as long as the range, and writes no more to them once the signal aborts. Errors, transient and with
 * what had arrived: `STORE_READ_FAILED` if it ends early or falls below its limits, `STORE_UNREACHABLE` if its connection breaks.
 */
export async function readBody(
  body: Readable,
  plan: BodyPlan,
  bytes: Uint8Array,
  uri: string,
  range: ByteRange,
  limits: BodyLimits,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const end = plan.skip + bytes.length;
  const detail = { uri, startByte: range.startByte, endByte: range.endByte };
  let received = 0;
  const watch = watchBody(body, () => received, uri, detail, limits, signal);
  try {
    throwIfAborted(signal);
    await drain(body, (chunk) => {
      if (signal.aborted) return;
      watch.arrived();
      const from = Math.max(0, plan.skip - received);
      const to = Math.min(chunk.length, end - received);
      if (to > from) bytes.set(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to), received + from - plan.skip);
      received += chunk.length;
      if (received > plan.total) body.destroy();
    });
  } catch (error) {
    if (received > plan.total) throw tooMuch(uri, plan, { ...detail, received });
    const arrived = Math.min(bytes.length, Math.max(0, received - plan.skip));
    throw nameBreak(error, uri, detail, { bytes, received: arrived, etag: plan.etag });
  } finally {
    watch.end();
  }
  if (received > plan.total) throw tooMuch(uri, plan, { ...detail, received });
  if (received >= end) return bytes;
  const early = transientError('STORE_READ_FAILED', `the body of ${uri} ended after ${received} of ${end} bytes`, { ...detail, received });
  throw brokenOff(early, { bytes, received: Math.max(0, received - plan.skip), etag: plan.etag });
}

/** Waits for a body that is being written where it belongs. Errors: as those of `readBody`. */
export async function awaitBody(
  body: DirectBody,
  { etag }: BodyPlan,
  uri: string,
  range: ByteRange,
  limits: BodyLimits,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { bytes } = body;
  if (body.received === bytes.length) return bytes;
  const detail = { uri, startByte: range.startByte, endByte: range.endByte };
  const watch = watchBody(body, () => body.received, uri, detail, limits, signal);
  body.onPiece = watch.arrived;
  try {
    throwIfAborted(signal);
    await body.done;
    return bytes;
  } catch (error) {
    throw nameBreak(error, uri, detail, { bytes, received: body.received, etag });
  } finally {
    watch.end();
  }
}

interface BodyWatch {
  /** Something has come. */
  readonly arrived: () => void;
  readonly end: () => void;
}

/** Destroys a body once it falls below its limits or the signal aborts. */
function watchBody(
  body: { destroy(error: Error): unknown },
  received: () => number,
  uri: string,
  detail: ErrorDetail,
  { idleTimeoutMs, throughputWindowMs, throughputBytesPerSecondMin }: BodyLimits,
  signal: AbortSignal,
): BodyWatch {
  const cut = (why: string): void =>
    void body.destroy(transientError('STORE_READ_FAILED', `${uri} ${why}, after ${received()} bytes`, { ...detail, received: received() }));
  const idle = setTimeout(() => cut(`sent nothing for ${idleTimeoutMs} ms`), idleTimeoutMs);
  let receivedBefore = 0;
  const slow = setInterval(() => {
    const bytesPerSecond = ((received() - receivedBefore) * 1000) / throughputWindowMs;
    receivedBefore = received();
    if (bytesPerSecond < throughputBytesPerSecondMin)
      cut(`sent ${Math.round(bytesPerSecond)} bytes a second for ${throughputWindowMs} ms, less than ${throughputBytesPerSecondMin}`);
  }, throughputWindowMs);
  const unlink = whenAborted(signal, () => void body.destroy(abortError(signal)));
  return {
    arrived: () => void idle.refresh(),
    end: () => {
      clearTimeout(idle);
      clearInterval(slow);
      unlink();
    },
  };
}

/**
 * Hands on the chunks of a body as they come, until it ends or is destroyed. An iteration of it would join the chunks that wait, which copies them all
 * once more, and make a promise for each.
 */
function drain(body: Readable, onChunk: (chunk: Buffer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    finished(body, { writable: false }, (error) => {
      body.off('data', onChunk);
      if (error instanceof Error) reject(error);
      else resolve();
    });
    body.on('data', onChunk);
  });
}

/** What is longer than it says may be something else, and have no end: none of it is kept. */
function tooMuch(uri: string, { total }: BodyPlan, detail: ErrorDetail): TransientStoreError {
  return transientError('STORE_READ_FAILED', `the body of ${uri} goes on after its ${total} bytes`, detail);
}

/** Whatever breaks a body after it began may pass, by whichever name an SDK has it, but for a connection that is not secure. */
function nameBreak(error: unknown, uri: string, detail: ErrorDetail, arrived: PartialRead): HeadraceError {
  if (error instanceof HeadraceError) return error instanceof TransientStoreError ? brokenOff(error, arrived) : error;
  const named = nameSilence(error, uri, detail);
  if (named instanceof TransientStoreError) return brokenOff(named, arrived);
  if ('tlsCode' in named.detail) return named;
  return brokenOff(transientError('STORE_READ_FAILED', `the body of ${uri} broke off: ${reasonOf(error)}`, detail, error), arrived);
}
