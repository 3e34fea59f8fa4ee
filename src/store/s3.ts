/**
 * S3 and what speaks like it: heads through the AWS SDK, ranges by requests of our own, and so listings where the configuration says where the server is and
 * who asks; with what the SDK lacks: an idle timeout, and a check that the bytes are the ones asked for.
 */
import { throwIfAborted } from '../core/abort.js';
import { readNothing } from './check-range.js';
import { bodyLimits, type Patience } from './http-answer.js';
import { createDirectHttp } from './direct-http.js';
import { createHttpClient } from './http-client.js';
import { readRangeBody } from './read-range.js';
import { createGuard } from './request.js';
import { openSdk, type OpenedSdk, type S3ClientOptions } from './s3-client.js';
import { knownAccess, type Signing } from './s3-access.js';
import { nameError } from './s3-error.js';
import { createGetRange, createSignedGetRange, type GetRange } from './s3-get.js';
import { readListPage, type PageContent } from './s3-list.js';
import { createSignedGet, getListing } from './s3-request.js';
import { createResend } from './s3-resend.js';
import { storeClosed, transientError } from './store-error.js';
import type { ObjectInfo, Store } from './store.js';

export interface S3Options extends S3ClientOptions, Patience {
  readonly bucket: string;
  /** Says that the account of the credentials pays, as buckets of the kind "requester pays" ask. */
  readonly requestPayer?: boolean;
}

interface Opened extends OpenedSdk {
  readonly getRange: GetRange;
}

interface Reading {
  readonly signing: Signing;
  readonly getRange: GetRange;
}

/** The SDK is loaded by the first request that needs it: it takes 100 ms, which users of files, and of servers of their own, need not pay. */
export function s3Store(options: S3Options): Store {
  const uri = `s3://${options.bucket}/`;
  const limits = bodyLimits(options);
  const bucket = { Bucket: options.bucket, ...(options.requestPayer === true && { RequestPayer: 'requester' as const }) };
  const http = createHttpClient();
  const direct = createDirectHttp();
  const closing = new AbortController();
  let opened: Promise<Opened> | undefined;
  const open = (): Promise<Opened> => {
    throwIfAborted(closing.signal);
    return (opened ??= openSdk(options, http.agents).then((parts) => ({ ...parts, getRange: createGetRange(parts, direct, options) })));
  };
  const known = knownAccess(options, process.env);
  const signedGet = known && createSignedGet(known.place, known.signing, direct, options);
  const knownReading: Reading | undefined = known && signedGet && { signing: known.signing, getRange: createSignedGetRange(signedGet) };
  const openReading = async (): Promise<Reading> => {
    if (knownReading !== undefined) return knownReading;
    const { client, getRange } = await open();
    return { signing: client.config, getRange };
  };
  const ask = createResend(limits.idleTimeoutMs, options.anonymous !== true);
  const guard = createGuard(uri, closing.signal, nameError);
  const describe = async (path: string, signal: AbortSignal | undefined): Promise<ObjectInfo> => {
    const parts = await open();
    const command = { ...bucket, Key: path };
    const { ContentLength: size, ETag: etag } = await guard(path, signal, (either) =>
      ask(uri + path, parts.client.config, either, (abortSignal) =>
        parts.client.send(new parts.sdk.HeadObjectCommand(command), { abortSignal }),
      ),
    );
    if (size === undefined || etag === undefined)
      throw transientError('STORE_READ_FAILED', `${uri}${path} was described without size or ETag`, { uri: uri + path });
    return { path, size, etag };
  };

  const listHere = async (prefix: string, token: string | undefined, signal: AbortSignal): Promise<PageContent | undefined> =>
    known && signedGet && ask(uri + prefix, known.signing, signal, (abortSignal) => getListing(signedGet, prefix, token, abortSignal));
  const listThroughSdk = async (prefix: string, token: string | undefined, signal: AbortSignal): Promise<PageContent> => {
    const { sdk, client } = await open();
    const command = { ...bucket, Prefix: prefix, ...(token !== undefined && { ContinuationToken: token }) };
    return ask(uri + prefix, client.config, signal, (abortSignal) => client.send(new sdk.ListObjectsV2Command(command), { abortSignal }));
  };

  return {
    uri,
    list: async function* (prefix, { signal } = {}) {
      let token: string | undefined;
      do {
        const page = await guard(
          prefix,
          signal,
          async (either) => (await listHere(prefix, token, either)) ?? (await listThroughSdk(prefix, token, either)),
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
      const { signing, getRange } = await openReading();
      return guard(path, readOptions.signal, async (signal) => {
        const answer = await ask(uri + path, signing, signal, (abortSignal) => getRange(path, range, readOptions, abortSignal));
        return readRangeBody(answer.body, () => answer, uri + path, range, readOptions, limits, signal);
      });
    },
    close: async () => {
      closing.abort(storeClosed(uri));
      const client = await opened?.then((parts) => parts.client).catch(() => undefined);
      client?.destroy();
      http.close();
      direct.close();
    },
  };
}
