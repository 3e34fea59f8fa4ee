/** Whether an answer has the bytes, and is of the version, that were asked for: the same for every store that speaks HTTP. */
import type { HttpAnswer } from './http-client.js';
import { STORE_LIMITS } from './limits.js';
import type { BodyPlan } from './read-body.js';
import { outsideObject, shardChanged, storeError, transientError } from './store-error.js';
import type { ByteRange, ObjectInfo, ReadOptions } from './store.js';

/** What of an answer to a ranged request says which bytes it brings. */
export interface RangeAnswer {
  readonly status: number | undefined;
  /** The version, as `ObjectInfo.etag` has it. */
  readonly etag: string | undefined;
  readonly contentRange: string | undefined;
  readonly contentLength: number | undefined;
}

/** What an answer of HTTP says about its bytes. */
export function rangeHeaders({ headers }: Pick<HttpAnswer, 'headers'>): Pick<RangeAnswer, 'contentRange' | 'contentLength'> {
  const length = headers['content-length'];
  return { contentRange: headers['content-range'], contentLength: length === undefined ? undefined : Number(length) };
}

/** The size of the whole object that an answer of HTTP is about, from whichever header has it; undefined if none has. */
export function sizeOf(answer: Pick<HttpAnswer, 'status' | 'headers'>): number | undefined {
  const { contentRange = '', contentLength } = rangeHeaders(answer);
  if (answer.status === 200) return contentLength;
  if (answer.status !== 206 && !(answer.status === 416 && contentRange === 'bytes */0')) return undefined;
  const size = /\/(\d+)$/.exec(contentRange)?.[1];
  return size === undefined ? undefined : Number(size);
}

/** HTTP has no empty range: whether the object is there, and of which version, is what such a read can say. */
export function readNothing(
  uri: string,
  { path, size, etag }: ObjectInfo,
  { startByte, endByte }: ByteRange,
  { ifMatch }: ReadOptions,
): Uint8Array {
  if (ifMatch !== undefined && ifMatch !== etag) throw shardChanged(uri + path, ifMatch, etag);
  if (startByte < 0 || endByte < startByte || endByte > size) throw outsideObject(uri + path, startByte, endByte, size);
  return new Uint8Array(0);
}

/** A 206 must have the wanted range and version; a 200 is used where the whole object is small, else refused. */
export function checkRange(
  { status, etag, contentRange, contentLength }: RangeAnswer,
  uri: string,
  { startByte, endByte }: ByteRange,
  { ifMatch }: ReadOptions,
): BodyPlan {
  const detail = { uri, startByte, endByte };
  if (etag === undefined) throw transientError('STORE_READ_FAILED', `${uri} came without an ETag`, detail);
  if (ifMatch !== undefined && etag !== ifMatch) throw shardChanged(uri, ifMatch, etag);
  if (status === 206) {
    const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(contentRange ?? '');
    const [start, last, size] = match === null ? [-1, -1, -1] : match.slice(1).map(Number);
    if (start === startByte && last === endByte - 1) return { skip: 0, total: endByte - startByte, etag };
    // the range was cut at the object's end: there is no more
    if (start === startByte && last === size - 1) throw outsideObject(uri, startByte, endByte, size);
    throw transientError(
      'STORE_READ_FAILED',
      `${uri} answered with the range ${contentRange ?? 'none'} where bytes ${startByte} to ${endByte} were asked for`,
      detail,
    );
  }
  if (contentLength !== undefined && contentLength <= STORE_LIMITS.wholeObjectBytesMax) {
    if (endByte > contentLength) throw outsideObject(uri, startByte, endByte, contentLength);
    return { skip: startByte, total: contentLength, etag };
  }
  throw storeError('STORE_READ_FAILED', `the origin of ${uri} ignores byte ranges, and the object is too large to read whole`, detail);
}
