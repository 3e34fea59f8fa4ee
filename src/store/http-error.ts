/** An HTTP answer that is no success, by the names of headrace, and whether another try may help. */
import type { HeadraceError } from '../core/errors.js';
import type { HttpAnswer } from './http-client.js';
import { outsideObject, storeError, transientError } from './store-error.js';
import type { ByteRange } from './store.js';

/** `range`: the one that was asked for. */
export function answerError({ status, headers }: Pick<HttpAnswer, 'status' | 'headers'>, uri: string, range?: ByteRange): HeadraceError {
  const retryAfterMs = retryAfter(headers['retry-after']);
  const detail = { uri, status, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  if (status === 404 || status === 410) return storeError('STORE_NOT_FOUND', `${uri} does not exist`, detail);
  if (status === 401 || status === 403 || status === 407)
    return storeError('STORE_DENIED', `access to ${uri} is denied (${status})`, detail);
  if (status === 412) return storeError('SHARD_CHANGED', `${uri} is no longer the version that the run started with`, detail);
  if (status === 416) {
    const size = /^bytes \*\/(\d+)$/.exec(headers['content-range'] ?? '')?.[1];
    if (size !== undefined && range !== undefined) return outsideObject(uri, range.startByte, range.endByte, Number(size));
    return storeError('STORE_READ_FAILED', `${uri} does not have the bytes that were asked for`, detail);
  }
  if (status === 408 || status === 425 || status === 429 || status >= 500)
    return transientError('STORE_READ_FAILED', `the store of ${uri} answered with ${status}`, detail);
  return storeError('STORE_READ_FAILED', `the store refused to read ${uri}: ${status}`, detail);
}

/** Seconds or a date, as RFC 9110 §10.2.3 has it; in milliseconds. */
function retryAfter(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) && ms >= 0 ? ms : undefined;
}
