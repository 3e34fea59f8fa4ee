/** From an answer to a ranged request to the bytes of the range: the same for every store that speaks HTTP. */
import type { Readable } from 'node:stream';
import { rawBytes } from '../core/raw-memory.js';
import { checkRange, type RangeAnswer } from './check-range.js';
import type { DirectBody } from './direct-body.js';
import { awaitBody, readBody, type BodyLimits } from './read-body.js';
import type { ByteRange, ReadOptions } from './store.js';

/**
 * `describe`: what the answer says about itself. A `DirectBody` is one of an answer that has just the range. Errors: those of `describe`, `checkRange` and
 * `readBody`.
 */
export async function readRangeBody(
  body: Readable | DirectBody,
  describe: () => RangeAnswer,
  uri: string,
  range: ByteRange,
  options: ReadOptions,
  limits: BodyLimits,
  signal: AbortSignal,
): Promise<Uint8Array> {
  try {
    const plan = checkRange(describe(), uri, range, options);
    if ('received' in body) return await awaitBody(body, plan, uri, range, limits, signal);
    const bytes = options.into ?? rawBytes(range.endByte - range.startByte);
    return await readBody(body, plan, bytes, uri, range, limits, signal);
  } finally {
    body.destroy(); // frees the socket of a body that was not read to its end
  }
}
