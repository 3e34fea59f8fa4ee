/** What stores make of an answer of HTTP: the bytes of a range, or a document of JSON. */
import type * as z from 'zod';
import { rangeHeaders } from './check-range.js';
import { discard, type HttpAnswer } from './http-client.js';
import { answerError } from './http-error.js';
import { STORE_LIMITS } from './limits.js';
import type { BodyLimits } from './read-body.js';
import { readRangeBody } from './read-range.js';
import { transientError } from './store-error.js';
import type { ByteRange, ReadOptions } from './store.js';

/** How long a store waits; for tests. Default: those of `STORE_LIMITS`. */
export interface Patience {
  readonly idleTimeoutMs?: number;
  readonly throughputWindowMs?: number;
}

export function bodyLimits({ idleTimeoutMs, throughputWindowMs }: Patience): BodyLimits {
  return {
    idleTimeoutMs: idleTimeoutMs ?? STORE_LIMITS.idleTimeoutMs,
    throughputWindowMs: throughputWindowMs ?? STORE_LIMITS.throughputWindowMs,
    throughputBytesPerSecondMin: STORE_LIMITS.throughputBytesPerSecondMin,
  };
}

/** Reads the answer to a GET of `range`. `etagOf`: its version. Errors: those of `readRangeBody` and `answerError`. */
export async function readRange(
  answer: HttpAnswer,
  etagOf: (answer: HttpAnswer) => string | undefined,
  uri: string,
  range: ByteRange,
  readOptions: ReadOptions,
  limits: BodyLimits,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { status, body } = answer;
  if (status !== 200 && status !== 206) {
    discard(body, 'GET');
    throw answerError(answer, uri, range);
  }
  return readRangeBody(body, () => ({ status, etag: etagOf(answer), ...rangeHeaders(answer) }), uri, range, readOptions, limits, signal);
}

/** Reads the body of a 200. Errors, both transient, since a proxy in trouble makes them: `STORE_READ_FAILED` (too long, or something else). */
export async function readJson<T>(body: AsyncIterable<Buffer>, schema: z.ZodType<T>, uri: string): Promise<T> {
  const chunks: Buffer[] = [];
  let received = 0;
  for await (const chunk of body) {
    received += chunk.length;
    if (received > STORE_LIMITS.jsonBytesMax)
      throw transientError('STORE_READ_FAILED', `the answer for ${uri} is longer than ${STORE_LIMITS.jsonBytesMax} bytes`, { uri });
    chunks.push(chunk);
  }
  try {
    return schema.parse(JSON.parse(Buffer.concat(chunks).toString()));
  } catch (error) {
    throw transientError('STORE_READ_FAILED', `the store of ${uri} answered with something else than was asked for`, { uri }, error);
  }
}
