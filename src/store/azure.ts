/** Azure Blob Storage, through its SDK, whose retries are off: they are with-retry's. */
import type { Readable } from 'node:stream';
import type * as Azure from '@azure/storage-blob';
import { throwIfAborted } from '../core/abort.js';
import { compareUtf8 } from '../core/canonical-json.js';
import { connectContainer, type AzureEnvironment } from './azure-credentials.js';
import { nameAzureError } from './azure-error.js';
import { readNothing } from './check-range.js';
import { bodyLimits, type Patience } from './http-answer.js';
import { readRangeBody } from './read-range.js';
import { answered, createGuard } from './request.js';
import { storeClosed, transientError } from './store-error.js';
import type { ObjectInfo, Store } from './store.js';

export interface AzureOptions extends Patience {
  readonly container: string;
  /** The storage account's host, such as `NAME.blob.core.windows.net`. Default: the environment's account. */
  readonly host?: string;
  /** Default: that of the process. */
  readonly environment?: AzureEnvironment;
}

/** The SDK is loaded by the first request. */
export function azureStore(options: AzureOptions): Store {
  const { container, host, environment = process.env } = options;
  const uri = host === undefined ? `az://${container}/` : `abfss://${container}@${host.replace('.blob.', '.dfs.')}/`;
  const limits = bodyLimits(options);
  const closing = new AbortController();
  let opened: Promise<Azure.ContainerClient> | undefined;
  const open = (): Promise<Azure.ContainerClient> => {
    throwIfAborted(closing.signal);
    return (opened ??= import('@azure/storage-blob').then((sdk) => connectContainer(sdk, container, host, environment)));
  };
  const guard = createGuard(uri, closing.signal, nameAzureError);
  const describe = (path: string, signal: AbortSignal | undefined): Promise<ObjectInfo> =>
    guard(path, signal, async (either) => {
      const blob = (await open()).getBlobClient(path);
      const found = await answered(uri + path, limits.idleTimeoutMs, either, (abortSignal) => blob.getProperties({ abortSignal }));
      return infoOf(path, found.contentLength, found.etag, uri);
    });

  return {
    uri,
    // the order of Azure's listings is not that of UTF-8 bytes
    list: async function* (prefix, { signal } = {}) {
      const objects = await guard(prefix, signal, async (either) => {
        const client = await open();
        const found: ObjectInfo[] = [];
        let token: string | undefined;
        do {
          const page = await answered(uri + prefix, limits.idleTimeoutMs, either, (abortSignal) => {
            const pages = client.listBlobsFlat({ prefix, includeMetadata: true, abortSignal });
            return pages.byPage(token === undefined ? {} : { continuationToken: token }).next();
          });
          if (page.done === true) break;
          const { segment, continuationToken: next } = page.value;
          for (const { name, properties, metadata } of segment.blobItems) {
            // a directory of Data Lake Storage shows as an empty blob
            if (metadata?.hdi_isfolder !== 'true') found.push(infoOf(name, properties.contentLength, properties.etag, uri));
          }
          if (next !== undefined && next !== '' && next === token)
            throw transientError('STORE_READ_FAILED', `the listing of ${uri}${prefix} leads back to the same page`, { uri: uri + prefix });
          token = next;
        } while (token !== undefined && token !== '');
        return found.sort((a, b) => compareUtf8(a.path, b.path));
      });
      yield* objects;
    },
    head: (path, { signal } = {}) => describe(path, signal),
    read: async (path, range, readOptions = {}) => {
      const { startByte, endByte } = range;
      if (endByte <= startByte) return readNothing(uri, await describe(path, readOptions.signal), range, readOptions);
      return guard(path, readOptions.signal, async (signal) => {
        const blob = (await open()).getBlobClient(path);
        const { ifMatch } = readOptions;
        const conditions = ifMatch === undefined ? {} : { ifMatch: `"${ifMatch}"` };
        const response = await answered(uri + path, limits.idleTimeoutMs, signal, (abortSignal) =>
          blob.download(startByte, endByte - startByte, { abortSignal, conditions, maxRetryRequests: 0 }),
        );
        const body = response.readableStreamBody as Readable | undefined;
        if (body === undefined) throw transientError('STORE_READ_FAILED', `${uri}${path} came without a body`, { uri: uri + path });
        const { contentRange, contentLength, _response } = response;
        const answer = { status: _response.status, etag: bare(response.etag), contentRange, contentLength };
        return readRangeBody(body, () => answer, uri + path, range, readOptions, limits, signal);
      });
    },
    close: () => {
      closing.abort(storeClosed(uri)); // ends the requests; the SDK closes idle connections by itself
      return Promise.resolve();
    },
  };
}

function infoOf(path: string, size: number | undefined, etag: string | undefined, uri: string): ObjectInfo {
  const version = bare(etag);
  if (size === undefined || version === undefined)
    throw transientError('STORE_READ_FAILED', `${uri}${path} was described without size or ETag`, { uri: uri + path });
  return { path, size, etag: version };
}

/** Without quotes, which headers have and listings have not. */
function bare(etag: string | undefined): string | undefined {
  return etag?.replace(/^"(.*)"$/, '$1');
}
