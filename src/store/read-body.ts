/** Reads the body of an answer, and cuts one that stalls. */
import type { Readable } from 'node:stream';
import { abortError, throwIfAborted } from '../core/abort.js';
import { transientError } from './store-error.js';
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
  readonly length: number;
  /** Bytes of the whole body. */
  readonly total: number;
}

/** Reads a body into one array of the exact size. Errors: `STORE_READ_FAILED`, transient, if it ends early or falls below its limits. */
export async function readBody(
  body: Readable,
  plan: BodyPlan,
  uri: string,
  range: ByteRange,
  { idleTimeoutMs, throughputWindowMs, throughputBytesPerSecondMin }: BodyLimits,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(plan.length);
  const end = plan.skip + plan.length;
  const detail = { uri, startByte: range.startByte, endByte: range.endByte };
  let received = 0;
  const cut = (why: string): void =>
    void body.destroy(transientError('STORE_READ_FAILED', `${uri} ${why}, after ${received} bytes`, { ...detail, received }));
  const idle = setTimeout(() => cut(`sent nothing for ${idleTimeoutMs} ms`), idleTimeoutMs);
  let receivedBefore = 0;
  const slow = setInterval(() => {
    const bytesPerSecond = ((received - receivedBefore) * 1000) / throughputWindowMs;
    receivedBefore = received;
    if (bytesPerSecond < throughputBytesPerSecondMin)
      cut(`sent ${Math.round(bytesPerSecond)} bytes a second for ${throughputWindowMs} ms, less than ${throughputBytesPerSecondMin}`);
  }, throughputWindowMs);
  const onAbort = (): void => void body.destroy(abortError(signal));
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    throwIfAborted(signal);
    for await (const chunk of body as AsyncIterable<Buffer>) {
      idle.refresh();
      const from = Math.max(0, plan.skip - received);
      const to = Math.min(chunk.length, end - received);
      if (to > from) bytes.set(chunk.subarray(from, to), received + from - plan.skip);
      received += chunk.length;
      // what is longer than it says may be something else, and have no end
      if (received > plan.total)
        throw transientError('STORE_READ_FAILED', `the body of ${uri} goes on after its ${plan.total} bytes`, { ...detail, received });
    }
  } finally {
    clearTimeout(idle);
    clearInterval(slow);
    signal.removeEventListener('abort', onAbort);
  }
  if (received < end)
    throw transientError('STORE_READ_FAILED', `the body of ${uri} ended after ${received} of ${end} bytes`, { ...detail, received });
  return bytes;
}
