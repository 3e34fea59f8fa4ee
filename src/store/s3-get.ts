/** The GET of a range from S3, by ourselves where that can be (see s3-request.ts). */
import type { Readable } from 'node:stream';
import type { AnswerHead } from './answer-head.js';
import { rawBytes } from '../core/raw-memory.js';
import { rangeHeaders, type RangeAnswer } from './check-range.js';
import type { DirectBody } from './direct-body.js';
import type { DirectHttp } from './direct-http.js';
import { placeOfBucket, type OpenedSdk } from './s3-client.js';
import { createSignedGet, type SignedGet, type SignedOptions } from './s3-request.js';
import { transientError } from './store-error.js';
import type { ByteRange, ReadOptions } from './store.js';

export interface GetOptions extends SignedOptions {
  readonly bucket: string;
}

/** An answer of which only the head has been read. */
export interface RangeBody extends RangeAnswer {
  readonly body: Readable | DirectBody;
}

/** `signal` ends it until there is an answer. Errors: `S3Refusal`, those of the SDK, of Node and of `parseHead`. */
export type GetRange = (
  path: string,
  range: ByteRange,
  options: Pick<ReadOptions, 'ifMatch' | 'into'>,
  signal: AbortSignal,
) => Promise<RangeBody>;

/** Connections are those of `http`. */
export function createGetRange(opened: OpenedSdk, http: DirectHttp, options: GetOptions): GetRange {
  let chosen: Promise<GetRange> | undefined;
  const choose = async (): Promise<GetRange> => {
    const place = await placeOfBucket(opened, options.bucket);
    if (place === undefined) return throughSdk(opened, options);
    return createSignedGetRange(createSignedGet(place, opened.client.config, http, options));
  };
  return async (path, range, readOptions, signal) => {
    chosen ??= choose().catch((error: unknown) => {
      chosen = undefined; // credentials may be there at the next try
      throw error;
    });
    const get = await chosen;
    return get(path, range, readOptions, signal);
  };
}

/** Of the bucket's objects. */
export function createSignedGetRange(get: SignedGet): GetRange {
  return async (key, { startByte, endByte }, { ifMatch, into }, signal) => {
    const headers = { range: `bytes=${startByte}-${endByte - 1}`, ...(ifMatch !== undefined && { 'if-match': ifMatch }) };
    const isWanted = ({ status, headers: { 'content-range': found = '' } }: AnswerHead): boolean =>
      status === 206 && found.startsWith(`bytes ${startByte}-${endByte - 1}/`);
    const answer = await get(
      { key, query: '', headers },
      (head) => (isWanted(head) ? (into ?? rawBytes(endByte - startByte)) : undefined),
      signal,
    );
    return { status: answer.status, etag: answer.headers.etag, ...rangeHeaders(answer), body: answer.body };
  };
}

/** For buckets whose requests only the SDK can sign. */
function throughSdk({ sdk, client }: OpenedSdk, { bucket, requestPayer }: GetOptions): GetRange {
  return async (key, { startByte, endByte }, { ifMatch }, signal) => {
    const command = new sdk.GetObjectCommand({
      Bucket: bucket,
      Key: key,
      Range: `bytes=${startByte}-${endByte - 1}`,
      ...(ifMatch !== undefined && { IfMatch: ifMatch }),
      ...(requestPayer === true && { RequestPayer: 'requester' }),
    });
    const {
      Body: body,
      $metadata,
      ETag: etag,
      ContentRange: contentRange,
      ContentLength: contentLength,
    } = await client.send(command, {
      abortSignal: signal,
    });
    const uri = `s3://${bucket}/${key}`;
    if (body === undefined) throw transientError('STORE_READ_FAILED', `${uri} came without a body`, { uri });
    return { body: body as Readable, status: $metadata.httpStatusCode, etag, contentRange, contentLength };
  };
}
