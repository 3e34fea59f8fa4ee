/**
 * GETs for a bucket of S3, signed and sent by ourselves: the SDK takes milliseconds of the processor a request, as long as 1 MiB takes from a near store.
 * Where they go, the credentials and the clock are the SDK's still, unless the configuration says all of it.
 */
import type { Readable } from 'node:stream';
import { whenAborted } from '../core/abort.js';
import type { AnswerHead } from './answer-head.js';
import { createSigner, encodePath, NO_BODY_HASH } from './aws-signature.js';
import type { DirectAnswer } from './connection.js';
import type { DirectHttp } from './direct-http.js';
import { STORE_LIMITS } from './limits.js';
import type { Signing } from './s3-access.js';
import type { BucketPlace } from './s3-client.js';
import { parseListing, type PageContent } from './s3-list.js';
import { readRefusal } from './s3-refusal.js';

export interface SignedOptions {
  readonly anonymous?: boolean;
  readonly requestPayer?: boolean;
}

export interface SignedRequest {
  /** Of the object; empty: the bucket itself. */
  readonly key: string;
  /** Percent-encoded and in order; empty without one. */
  readonly query: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

/** `into` and `signal`: see `DirectHttp`. Resolves with the head of an answer of status 200 or 206. Errors: `S3Refusal`, those of Node and of `parseHead`. */
export type SignedGet = (
  request: SignedRequest,
  into: (head: AnswerHead) => Uint8Array | undefined,
  signal: AbortSignal,
) => Promise<DirectAnswer>;

/** Connections are those of `http`. */
export function createSignedGet(
  { url, region, service }: BucketPlace,
  signing: Signing,
  http: DirectHttp,
  options: SignedOptions,
): SignedGet {
  const base = url.pathname.replace(/\/+$/, '');
  const sign = createSigner(region, service);
  return async ({ key, query, headers: wanted }, into, signal) => {
    const path = `${base}/${encodePath(key)}`;
    const bare = { host: url.host, ...wanted, ...(options.requestPayer === true && { 'x-amz-request-payer': 'requester' }) };
    const credentials = options.anonymous === true ? undefined : await signing.credentials();
    const clockOffsetMs = signing.systemClockOffset;
    const headers =
      credentials === undefined
        ? bare
        : sign({ method: 'GET', path, query, headers: bare, bodyHash: NO_BODY_HASH }, credentials, new Date(Date.now() + clockOffsetMs));
    const answer = await http.get({ url, path: query === '' ? path : `${path}?${query}`, headers }, into, signal);
    if (answer.status === 200 || answer.status === 206) return answer;
    const clockSkewCorrected = await correctClock(signing, answer, clockOffsetMs);
    throw await readRefusal({ ...answer, body: answer.body as Readable }, clockSkewCorrected); // `into` wants none of it
  };
}

/**
 * Takes over the clock of a refusal for all requests, the SDK's too. Answers whether the refused one, signed by a clock that was set forward by
 * `usedOffsetMs`, had a time that S3 cannot have accepted.
 */
async function correctClock(signing: Signing, { headers }: DirectAnswer, usedOffsetMs: number): Promise<boolean> {
  const offsetMs = Date.parse(headers.date ?? '') - Date.now();
  // an Age says that a cache has answered, with a date of long ago
  if (Number.isNaN(offsetMs) || headers.age !== undefined || (await signing.disableClockSkewCorrection())) return false;
  signing.systemClockOffset = offsetMs;
  return Math.abs(offsetMs - usedOffsetMs) >= STORE_LIMITS.clockSkewMsMin;
}

/**
 * A page of the bucket's listing (ListObjectsV2). `token`: the page before named it. Undefined where the answer is no plain listing (see `parseListing`): the
 * SDK is to read it. Errors: those of `SignedGet`, and of Node where the body breaks off.
 */
export async function getListing(
  get: SignedGet,
  prefix: string,
  token: string | undefined,
  signal: AbortSignal,
): Promise<PageContent | undefined> {
  const query = `${token === undefined ? '' : `continuation-token=${encodeQuery(token)}&`}list-type=2&prefix=${encodeQuery(prefix)}`;
  const answer = await get({ key: '', query, headers: {} }, () => undefined, signal);
  const body = answer.body as Readable; // nothing was said of where to write it
  const unlink = whenAborted(signal, () => body.destroy());
  const chunks: Buffer[] = [];
  let received = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      received += chunk.length;
      if (received > STORE_LIMITS.listPageBytesMax) return undefined;
    }
  } finally {
    unlink();
  }
  return parseListing(Buffer.concat(chunks).toString());
}

/** A name or a value of a query: everything but unreserved characters is encoded. */
function encodeQuery(text: string): string {
  return encodePath(text).replaceAll('/', '%2F');
}
