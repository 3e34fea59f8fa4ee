/** Reads the body of an answer, and cuts one that stalls. */
import type { Readable } from 'node:stream';
import { abortError, throwIfAborted } from '../core/abort.js';
import { transientError } from './store-error.js';
import type { ByteRange } from './store.js';

export interface BodyPlan {
  /** Bytes of the body before the wanted ones. */
  readonly skip: number;
  readonly length: number;
}

/** Reads a body into one array of the exact size. A body that brings nothing for `idleTimeoutMs` is cut. */
export async function readBody(
  body: Readable,
  plan: BodyPlan,
  uri: string,
  range: ByteRange,
  idleTimeoutMs: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(plan.length);
  const end = plan.skip + plan.length;
  const detail = { uri, startByte: range.startByte, endByte: range.endByte };
  let received = 0;
  const idle = setTimeout(() => {
    body.destroy(
      transientError('STORE_READ_FAILED', `${uri} sent nothing for ${idleTimeoutMs} ms after ${received} bytes`, { ...detail, received }),
    );
  }, idleTimeoutMs);
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
    }
  } finally {
    clearTimeout(idle);
    signal.removeEventListener('abort', onAbort);
  }
  if (received < end)
    throw transientError('STORE_READ_FAILED', `the body of ${uri} ended after ${received} of ${end} bytes`, { ...detail, received });
  return bytes;
}
