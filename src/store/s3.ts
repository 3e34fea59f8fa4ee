/** S3 and what speaks like it, through the AWS SDK, with what the SDK lacks: an idle timeout, and a check that the bytes are the ones asked for. */
import type { Readable } from 'node:stream';
import type * as S3 from '@aws-sdk/client-s3';
import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3';
import { abortError, throwIfAborted } from '../core/abort.js';
import { HeadraceError, messageOf } from '../core/errors.js';
import { STORE_LIMITS } from './limits.js';
import { outsideObject, shardChanged, storeError, transientError } from './store-error.js';
import type { ByteRange, ObjectInfo, ReadOptions, Store } from './store.js';

export interface S3Options {
  readonly bucket: string;
  /** The address of an S3-compatible server; AWS without. */
  readonly endpoint?: string | undefined;
  /** Default: the environment's, else us-east-1. */
  readonly region?: string | undefined;
  readonly forcePathStyle?: boolean;
  /** Default: the standard chain. */
  readonly credentials?: S3ClientConfig['credentials'];
  readonly idleTimeoutMs?: number;
}

type Sdk = typeof S3;

/** The SDK is loaded by the first request: it takes 150 ms, which users of files need not pay. */
export function s3Store(options: S3Options): Store {
  const uri = `s3://${options.bucket}/`;
  // silence is silence, before the first byte and between two
  const answerMs = options.idleTimeoutMs ?? STORE_LIMITS.idleTimeoutMs;
  let opened: Promise<{ readonly sdk: Sdk; readonly client: S3Client }> | undefined;
  const open = (): Promise<{ readonly sdk: Sdk; readonly client: S3Client }> => (opened ??= openClient(options));

  return {
    uri,
    list: async function* (prefix, { signal } = {}) {
      const { sdk, client } = await open();
      let token: string | undefined;
      do {
        const command = new sdk.ListObjectsV2Command({
          Bucket: options.bucket,
          Prefix: prefix,
          ...(token !== undefined && { ContinuationToken: token }),
        });
        const page = await guarded(uri + prefix, signal, () =>
          answered(uri + prefix, answerMs, signal, (abortSignal) => client.send(command, { abortSignal })),
        );
        for (const { Key: path, Size: size, ETag: etag } of page.Contents ?? []) {
          if (path !== undefined && size !== undefined && etag !== undefined) yield { path, size, etag };
        }
        token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
      } while (token !== undefined);
    },
    head: async (path, { signal } = {}): Promise<ObjectInfo> => {
      const { sdk, client } = await open();
      const command = new sdk.HeadObjectCommand({ Bucket: options.bucket, Key: path });
      const { ContentLength: size, ETag: etag } = await guarded(uri + path, signal, () =>
        answered(uri + path, answerMs, signal, (abortSignal) => client.send(command, { abortSignal })),
      );
      if (size === undefined || etag === undefined)
        throw transientError('STORE_READ_FAILED', `${uri}${path} was described without size or ETag`, { uri: uri + path });
      return { path, size, etag };
    },
    read: async (path, range, readOptions = {}) => {
      const { startByte, endByte } = range;
      if (endByte <= startByte) return readNothing(await open(), options.bucket, answerMs, uri, path, range, readOptions);
      const { sdk, client } = await open();
      const command = new sdk.GetObjectCommand({
        Bucket: options.bucket,
        Key: path,
        Range: `bytes=${startByte}-${endByte - 1}`,
        ...(readOptions.ifMatch !== undefined && { IfMatch: readOptions.ifMatch }),
      });
      return guarded(uri + path, readOptions.signal, async () => {
        const response = await answered(uri + path, answerMs, readOptions.signal, (abortSignal) => client.send(command, { abortSignal }));
        const body = response.Body as Readable | undefined;
        if (body === undefined) throw transientError('STORE_READ_FAILED', `${uri}${path} came without a body`, { uri: uri + path });
        try {
          const plan = checkResponse(response, uri + path, range, readOptions);
          return await collect(body, plan, uri + path, range, answerMs, readOptions.signal);
        } finally {
          body.destroy(); // frees the socket of a body that was not read to its end
        }
      });
    },
    close: async () => {
      const client = await opened?.then((parts) => parts.client).catch(() => undefined);
      client?.destroy();
    },
  };
}

async function openClient(options: S3Options): Promise<{ readonly sdk: Sdk; readonly client: S3Client }> {
  const [sdk, { NodeHttpHandler }, { Agent: HttpAgent }, { Agent: HttpsAgent }] = await Promise.all([
    import('@aws-sdk/client-s3'),
    import('@smithy/node-http-handler'),
    import('node:http'),
    import('node:https'),
  ]);
  const agent = { keepAlive: true, maxSockets: 2 * STORE_LIMITS.concurrencyMax };
  const client = new sdk.S3Client({
    region: options.region ?? process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION ?? 'us-east-1',
    ...(options.endpoint !== undefined && { endpoint: options.endpoint }),
    ...(options.credentials !== undefined && { credentials: options.credentials }),
    forcePathStyle: options.forcePathStyle ?? false,
    // retries are with-retry's, which sees the body phase too
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    cacheMiddleware: true,
    requestHandler: new NodeHttpHandler({
      connectionTimeout: STORE_LIMITS.connectTimeoutMs,
      httpAgent: new HttpAgent(agent),
      httpsAgent: new HttpsAgent(agent),
    }),
  });
  return { sdk, client };
}

/** HTTP has no empty range: whether the object is there, and of which version, is what such a read can say. */
async function readNothing(
  { sdk, client }: { readonly sdk: Sdk; readonly client: S3Client },
  bucket: string,
  answerMs: number,
  uri: string,
  path: string,
  { startByte, endByte }: ByteRange,
  { ifMatch, signal }: ReadOptions,
): Promise<Uint8Array> {
  const command = new sdk.HeadObjectCommand({ Bucket: bucket, Key: path });
  const { ContentLength: size = 0, ETag: etag } = await guarded(uri + path, signal, () =>
    answered(uri + path, answerMs, signal, (abortSignal) => client.send(command, { abortSignal })),
  );
  if (ifMatch !== undefined && ifMatch !== etag) throw shardChanged(uri + path, ifMatch, etag);
  if (startByte < 0 || endByte < startByte || endByte > size) throw outsideObject(uri + path, startByte, endByte, size);
  return new Uint8Array(0);
}

interface BodyPlan {
  /** Bytes of the body before the wanted ones. */
  readonly skip: number;
  readonly length: number;
}

/** A 206 must have the wanted range and version; a 200 is used where the whole object is small, else refused. */
function checkResponse(
  response: {
    readonly $metadata: { readonly httpStatusCode?: number | undefined };
    readonly ContentRange?: string | undefined;
    readonly ContentLength?: number | undefined;
    readonly ETag?: string | undefined;
  },
  uri: string,
  { startByte, endByte }: ByteRange,
  { ifMatch }: ReadOptions,
): BodyPlan {
  const { ETag: etag, ContentRange: contentRange, ContentLength: contentLength } = response;
  const detail = { uri, startByte, endByte };
  if (etag === undefined) throw transientError('STORE_READ_FAILED', `${uri} came without an ETag`, detail);
  if (ifMatch !== undefined && etag !== ifMatch) throw shardChanged(uri, ifMatch, etag);
  if (response.$metadata.httpStatusCode === 206) {
    const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(contentRange ?? '');
    const [start, last, size] = match === null ? [-1, -1, -1] : match.slice(1).map(Number);
    if (start === startByte && last === endByte - 1) return { skip: 0, length: endByte - startByte };
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
    return { skip: startByte, length: endByte - startByte };
  }
  throw storeError('STORE_READ_FAILED', `the origin of ${uri} ignores byte ranges, and the object is too large to read whole`, detail);
}

/** Reads a body into one array of the exact size. A body that brings nothing for `idleTimeoutMs` is cut. */
async function collect(
  body: Readable,
  plan: BodyPlan,
  uri: string,
  range: ByteRange,
  idleTimeoutMs: number,
  signal: AbortSignal | undefined,
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
  const onAbort = (): void => {
    if (signal !== undefined) body.destroy(abortError(signal));
  };
  signal?.addEventListener('abort', onAbort, { once: true });
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
    signal?.removeEventListener('abort', onAbort);
  }
  if (received < end)
    throw transientError('STORE_READ_FAILED', `the body of ${uri} ended after ${received} of ${end} bytes`, { ...detail, received });
  return bytes;
}

/** Waits for the head of an answer, no longer than `timeoutMs`: the SDK's own request timeout only logs. */
async function answered<T>(
  uri: string,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  send: (abortSignal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), timeoutMs);
  try {
    return await send(signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]));
  } catch (error) {
    if (!late.signal.aborted) throw error;
    throw transientError('STORE_UNREACHABLE', `the store of ${uri} did not answer within ${timeoutMs} ms`, { uri, timeoutMs }, error);
  } finally {
    clearTimeout(timer);
  }
}

/** Runs a request and gives its errors their names. */
async function guarded<T>(uri: string, signal: AbortSignal | undefined, request: () => Promise<T>): Promise<T> {
  throwIfAborted(signal);
  try {
    return await request();
  } catch (error) {
    if (signal?.aborted === true) throw abortError(signal);
    throw error instanceof HeadraceError ? error : nameError(error, uri);
  }
}

const DENIED_NAMES = new Set([
  'AccessDenied',
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'CredentialsProviderError',
  'ExpiredToken',
  'Forbidden',
]);
const MISSING_NAMES = new Set(['NoSuchKey', 'NoSuchBucket', 'NotFound']);

function nameError(error: unknown, uri: string): HeadraceError {
  const name = error instanceof Error ? error.name : '';
  const status = statusOf(error);
  const detail = { uri, ...(status !== undefined && { status }) };
  if (MISSING_NAMES.has(name) || status === 404) {
    return storeError(
      'STORE_NOT_FOUND',
      name === 'NoSuchBucket' ? `the bucket of ${uri} does not exist` : `${uri} does not exist`,
      detail,
      error,
    );
  }
  if (DENIED_NAMES.has(name) || status === 401 || status === 403)
    return storeError('STORE_DENIED', `access to ${uri} is denied (${name})`, detail, error);
  if (status === 412) return storeError('SHARD_CHANGED', `${uri} is no longer the version that the run started with`, detail, error);
  if (status === 416) return storeError('STORE_READ_FAILED', `${uri} does not have the bytes that were asked for`, detail, error);
  if (status === undefined)
    return transientError('STORE_UNREACHABLE', `no answer from the store of ${uri}: ${messageOf(error)}`, detail, error);
  // a body that is an error's XML comes with any status, 200 included
  if (status === 429 || status >= 500 || status < 300) {
    return transientError('STORE_READ_FAILED', `the store of ${uri} answered with ${status}: ${messageOf(error)}`, detail, error);
  }
  return storeError('STORE_READ_FAILED', `the store refused to read ${uri}: ${status} ${messageOf(error)}`, detail, error);
}

function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('$metadata' in error)) return undefined;
  const { httpStatusCode } = error.$metadata as { readonly httpStatusCode?: number };
  return httpStatusCode;
}
