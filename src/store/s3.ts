/** S3 and what speaks like it, through the AWS SDK, with what the SDK lacks: an idle timeout, and a check that the bytes are the ones asked for. */
import type { Readable } from 'node:stream';
import type * as S3 from '@aws-sdk/client-s3';
import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3';
import { abortError, throwIfAborted, untilAborted, withAnySignal } from '../core/abort.js';
import { HeadraceError } from '../core/errors.js';
import { STORE_LIMITS } from './limits.js';
import { readBody, type BodyPlan } from './read-body.js';
import { nameError } from './s3-error.js';
import { readListPage } from './s3-list.js';
import { outsideObject, shardChanged, storeClosed, storeError, transientError } from './store-error.js';
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
  readonly throughputWindowMs?: number;
}

type Sdk = typeof S3;

/** The SDK is loaded by the first request: it takes 150 ms, which users of files need not pay. */
export function s3Store(options: S3Options): Store {
  const uri = `s3://${options.bucket}/`;
  const limits = {
    idleTimeoutMs: options.idleTimeoutMs ?? STORE_LIMITS.idleTimeoutMs,
    throughputWindowMs: options.throughputWindowMs ?? STORE_LIMITS.throughputWindowMs,
    throughputBytesPerSecondMin: STORE_LIMITS.throughputBytesPerSecondMin,
  };
  // silence is silence, before the first byte and between two; a head and a page of a listing have no more time than that as a whole
  const answerMs = limits.idleTimeoutMs;
  const closing = new AbortController();
  let opened: Promise<{ readonly sdk: Sdk; readonly client: S3Client }> | undefined;
  const open = (): Promise<{ readonly sdk: Sdk; readonly client: S3Client }> => {
    throwIfAborted(closing.signal);
    return (opened ??= openClient(options));
  };
  const describe = async (path: string, signal: AbortSignal | undefined): Promise<ObjectInfo> => {
    const { sdk, client } = await open();
    const command = new sdk.HeadObjectCommand({ Bucket: options.bucket, Key: path });
    const { ContentLength: size, ETag: etag } = await guarded(uri + path, [signal, closing.signal], (signal) =>
      answered(uri + path, answerMs, signal, (abortSignal) => client.send(command, { abortSignal })),
    );
    if (size === undefined || etag === undefined)
      throw transientError('STORE_READ_FAILED', `${uri}${path} was described without size or ETag`, { uri: uri + path });
    return { path, size, etag };
  };

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
        const page = await guarded(uri + prefix, [signal, closing.signal], (signal) =>
          answered(uri + prefix, answerMs, signal, (abortSignal) => client.send(command, { abortSignal })),
        );
        const { objects, nextToken } = readListPage(page, uri + prefix, token);
        yield* objects;
        token = nextToken;
      } while (token !== undefined);
    },
    head: (path, { signal } = {}) => describe(path, signal),
    read: async (path, range, readOptions = {}) => {
      const { startByte, endByte } = range;
      if (endByte <= startByte) return readNothing(uri, await describe(path, readOptions.signal), range, readOptions);
      const { sdk, client } = await open();
      const command = new sdk.GetObjectCommand({
        Bucket: options.bucket,
        Key: path,
        Range: `bytes=${startByte}-${endByte - 1}`,
        ...(readOptions.ifMatch !== undefined && { IfMatch: readOptions.ifMatch }),
      });
      return guarded(uri + path, [readOptions.signal, closing.signal], async (signal) => {
        const response = await answered(uri + path, answerMs, signal, (abortSignal) => client.send(command, { abortSignal }));
        const body = response.Body as Readable | undefined;
        if (body === undefined) throw transientError('STORE_READ_FAILED', `${uri}${path} came without a body`, { uri: uri + path });
        try {
          const plan = checkResponse(response, uri + path, range, readOptions);
          const bytes = readOptions.into ?? new Uint8Array(endByte - startByte);
          return await readBody(body, plan, bytes, uri + path, range, limits, signal);
        } finally {
          body.destroy(); // frees the socket of a body that was not read to its end
        }
      });
    },
    close: async () => {
      closing.abort(storeClosed(uri));
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
function readNothing(
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

/** Waits for the head of an answer, no longer than `timeoutMs`: the SDK's own request timeout only logs. */
async function answered<T>(
  uri: string,
  timeoutMs: number,
  signal: AbortSignal,
  send: (abortSignal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const timer = setTimeout(
    () => late.abort(transientError('STORE_UNREACHABLE', `the store of ${uri} did not answer within ${timeoutMs} ms`, { uri, timeoutMs })),
    timeoutMs,
  );
  try {
    // not all that the SDK waits for heeds the signal: it may be asking for credentials still
    return await withAnySignal([signal, late.signal], (either) => untilAborted(send(either), either));
  } finally {
    clearTimeout(timer);
  }
}

/** Runs a request until its caller gives up or its store is closed, and gives its errors their names. */
async function guarded<T>(
  uri: string,
  signals: readonly (AbortSignal | undefined)[],
  request: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return withAnySignal(signals, async (signal) => {
    throwIfAborted(signal);
    try {
      return await request(signal);
    } catch (error) {
      if (signal.aborted) throw abortError(signal);
      throw error instanceof HeadraceError ? error : nameError(error, uri);
    }
  });
}
