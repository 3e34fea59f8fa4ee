/** S3 and what speaks like it, through the AWS SDK, with what the SDK lacks: an idle timeout, and a check that the bytes are the ones asked for. */
import type { Readable } from 'node:stream';
import type * as S3 from '@aws-sdk/client-s3';
import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3';
import { throwIfAborted } from '../core/abort.js';
import { readNothing } from './check-range.js';
import { STORE_LIMITS } from './limits.js';
import { readRangeBody } from './read-range.js';
import { createGuard } from './request.js';
import { nameError } from './s3-error.js';
import { readListPage } from './s3-list.js';
import { createResend } from './s3-resend.js';
import { storeClosed, transientError } from './store-error.js';
import type { ObjectInfo, Store } from './store.js';

export interface S3Options {
  readonly bucket: string;
  /** The address of an S3-compatible server; AWS without. */
  readonly endpoint?: string | undefined;
  /** Default: the environment's, else us-east-1. */
  readonly region?: string | undefined;
  readonly forcePathStyle?: boolean;
  /** Sends requests without a signature, for public buckets: no credentials are looked for. */
  readonly anonymous?: boolean;
  /** Says that the account of the credentials pays, as buckets of the kind "requester pays" ask. */
  readonly requestPayer?: boolean;
  /** Default: the standard chain. */
  readonly credentials?: S3ClientConfig['credentials'];
  readonly idleTimeoutMs?: number;
  readonly throughputWindowMs?: number;
}

type Sdk = typeof S3;

interface Opened {
  readonly sdk: Sdk;
  readonly client: S3Client;
}

/** The SDK is loaded by the first request: it takes 150 ms, which users of files need not pay. */
export function s3Store(options: S3Options): Store {
  const uri = `s3://${options.bucket}/`;
  const limits = {
    idleTimeoutMs: options.idleTimeoutMs ?? STORE_LIMITS.idleTimeoutMs,
    throughputWindowMs: options.throughputWindowMs ?? STORE_LIMITS.throughputWindowMs,
    throughputBytesPerSecondMin: STORE_LIMITS.throughputBytesPerSecondMin,
  };
  const bucket = { Bucket: options.bucket, ...(options.requestPayer === true && { RequestPayer: 'requester' as const }) };
  const closing = new AbortController();
  let opened: Promise<Opened> | undefined;
  const open = (): Promise<Opened> => {
    throwIfAborted(closing.signal);
    return (opened ??= openClient(options));
  };
  const ask = createResend(limits.idleTimeoutMs, options.anonymous !== true);
  const guard = createGuard(uri, closing.signal, nameError);
  const describe = async (path: string, signal: AbortSignal | undefined): Promise<ObjectInfo> => {
    const parts = await open();
    const command = { ...bucket, Key: path };
    const { ContentLength: size, ETag: etag } = await guard(path, signal, (either) =>
      ask(uri + path, parts.client, either, (abortSignal) => parts.client.send(new parts.sdk.HeadObjectCommand(command), { abortSignal })),
    );
    if (size === undefined || etag === undefined)
      throw transientError('STORE_READ_FAILED', `${uri}${path} was described without size or ETag`, { uri: uri + path });
    return { path, size, etag };
  };

  return {
    uri,
    list: async function* (prefix, { signal } = {}) {
      const parts = await open();
      let token: string | undefined;
      do {
        const command = { ...bucket, Prefix: prefix, ...(token !== undefined && { ContinuationToken: token }) };
        const page = await guard(prefix, signal, (either) =>
          ask(uri + prefix, parts.client, either, (abortSignal) =>
            parts.client.send(new parts.sdk.ListObjectsV2Command(command), { abortSignal }),
          ),
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
      const parts = await open();
      const command = {
        ...bucket,
        Key: path,
        Range: `bytes=${startByte}-${endByte - 1}`,
        ...(readOptions.ifMatch !== undefined && { IfMatch: readOptions.ifMatch }),
      };
      return guard(path, readOptions.signal, async (signal) => {
        const response = await ask(uri + path, parts.client, signal, (abortSignal) =>
          parts.client.send(new parts.sdk.GetObjectCommand(command), { abortSignal }),
        );
        const body = response.Body as Readable | undefined;
        if (body === undefined) throw transientError('STORE_READ_FAILED', `${uri}${path} came without a body`, { uri: uri + path });
        const answer = {
          status: response.$metadata.httpStatusCode,
          etag: response.ETag,
          contentRange: response.ContentRange,
          contentLength: response.ContentLength,
        };
        return readRangeBody(body, () => answer, uri + path, range, readOptions, limits, signal);
      });
    },
    close: async () => {
      closing.abort(storeClosed(uri));
      const client = await opened?.then((parts) => parts.client).catch(() => undefined);
      client?.destroy();
    },
  };
}

async function openClient(options: S3Options): Promise<Opened> {
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
    ...(options.anonymous === true && UNSIGNED),
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

/** Credentials that the chain is not asked for, and a signer that signs nothing. */
const UNSIGNED: Pick<S3ClientConfig, 'credentials' | 'signer'> = {
  credentials: { accessKeyId: '', secretAccessKey: '' },
  signer: { sign: (request) => Promise.resolve(request) },
};
