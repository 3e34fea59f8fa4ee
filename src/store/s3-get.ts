/**
 * The GET of a range from S3, signed and sent by ourselves: the SDK takes milliseconds of the processor a request, as long as 1 MiB takes from a
 * near store. Where requests go, the credentials and the clock are the SDK's still.
 */
import type { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import { createSigner, encodePath, NO_BODY_HASH } from './aws-signature.js';
import type { AnswerHead } from './answer-head.js';
import { rawBytes } from '../core/raw-memory.js';
import { rangeHeaders, type RangeAnswer } from './check-range.js';
import type { DirectAnswer } from './connection.js';
import type { DirectBody } from './direct-body.js';
import type { DirectHttp } from './direct-http.js';
import { STORE_LIMITS } from './limits.js';
import { placeOfBucket, type BucketPlace, type OpenedSdk } from './s3-client.js';
import { readRefusal } from './s3-refusal.js';
import { transientError } from './store-error.js';
import type { ByteRange, ReadOptions } from './store.js';

export interface GetOptions {
  readonly bucket: string;
  readonly anonymous?: boolean;
  readonly requestPayer?: boolean;
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
    return place === undefined ? throughSdk(opened, options) : signedHere(place, opened.client, http, options);
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

function signedHere({ url, region, service }: BucketPlace, { config }: S3Client, http: DirectHttp, options: GetOptions): GetRange {
  const base = url.pathname.replace(/\/+$/, '');
  const sign = createSigner(region, service);
  return async (key, { startByte, endByte }, { ifMatch, into }, signal) => {
    const path = `${base}/${encodePath(key)}`;
    const bare = {
      host: url.host,
      range: `bytes=${startByte}-${endByte - 1}`,
      ...(ifMatch !== undefined && { 'if-match': ifMatch }),
      ...(options.requestPayer === true && { 'x-amz-request-payer': 'requester' }),
    };
    const credentials = options.anonymous === true ? undefined : await config.credentials();
    const clockOffsetMs = config.systemClockOffset;
    const headers =
      credentials === undefined
        ? bare
        : sign(
            { method: 'GET', path, query: '', headers: bare, bodyHash: NO_BODY_HASH },
            credentials,
            new Date(Date.now() + clockOffsetMs),
          );
    const isWanted = ({ status, headers: { 'content-range': found = '' } }: AnswerHead): boolean =>
      status === 206 && found.startsWith(`bytes ${startByte}-${endByte - 1}/`);
    const answer = await http.get(
      { url, path, headers },
      (head) => (isWanted(head) ? (into ?? rawBytes(endByte - startByte)) : undefined),
      signal,
    );
    const { status, body } = answer;
    if (status === 200 || status === 206) return { status, etag: answer.headers.etag, ...rangeHeaders(answer), body };
    const clockSkewCorrected = await correctClock(config, answer, clockOffsetMs);
    throw await readRefusal({ ...answer, body: body as Readable }, clockSkewCorrected); // `isWanted` wants none of it
  };
}

/**
 * Takes over the clock of a refusal for all requests, the SDK's too. Answers whether the refused one, signed by a clock that was set forward by
 * `usedOffsetMs`, had a time that S3 cannot have accepted.
 */
async function correctClock(config: S3Client['config'], { headers }: DirectAnswer, usedOffsetMs: number): Promise<boolean> {
  const offsetMs = Date.parse(headers.date ?? '') - Date.now();
  // an Age says that a cache has answered, with a date of long ago
  if (Number.isNaN(offsetMs) || headers.age !== undefined || (await config.disableClockSkewCorrection())) return false;
  config.systemClockOffset = offsetMs;
  return Math.abs(offsetMs - usedOffsetMs) >= STORE_LIMITS.clockSkewMsMin;
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
