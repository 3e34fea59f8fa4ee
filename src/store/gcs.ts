/** Google Cloud Storage, through its JSON API; an object's generation is its version. */
import * as z from 'zod';
import { readNothing } from './check-range.js';
import { defaultCredentials, type Authorize } from './gcs-auth.js';
import { bodyLimits, readJson, readRange, type Patience } from './http-answer.js';
import { createHttpClient, discard, type HttpAnswer } from './http-client.js';
import { answerError } from './http-error.js';
import { answered, createGuard } from './request.js';
import { storeClosed, transientError } from './store-error.js';
import type { ObjectInfo, Store } from './store.js';

export interface GcsOptions extends Patience {
  readonly bucket: string;
  /** Default: STORAGE_EMULATOR_HOST, which is asked without credentials, else Google's. */
  readonly endpoint?: string | undefined;
  /** Asks without credentials, for public buckets. */
  readonly anonymous?: boolean;
  /** Default: Application Default Credentials. */
  readonly authorize?: Authorize;
}

const objectSchema = z.object({ name: z.string(), size: z.string().regex(/^\d+$/), generation: z.string().regex(/^\d+$/) });
const pageSchema = z.object({
  items: z.array(objectSchema).default([]),
  nextPageToken: z.string().optional(),
  kind: z.literal('storage#objects'),
});

export function gcsStore(options: GcsOptions): Store {
  const uri = `gs://${options.bucket}/`;
  const emulator = process.env.STORAGE_EMULATOR_HOST;
  const objects = `${endpointOf(options.endpoint ?? emulator)}/storage/v1/b/${encodeURIComponent(options.bucket)}/o`;
  const anonymous = options.anonymous === true || (options.endpoint === undefined && emulator !== undefined);
  const authorize = options.authorize ?? (anonymous ? () => Promise.resolve(undefined) : defaultCredentials());
  const limits = bodyLimits(options);
  const client = createHttpClient();
  const closing = new AbortController();
  let renewal: Promise<string | undefined> | undefined;

  const guard = createGuard(uri, closing.signal);
  /** A GET; where its token has run out, once more with another, which all requests share that were sent with the same one. */
  const get = async (url: URL, path: string, range: string | undefined, signal: AbortSignal): Promise<HttpAnswer> => {
    const ask = async (value: string | undefined): Promise<HttpAnswer> => {
      const headers = {
        // without it, objects that are stored compressed come in another form, whose size nobody knows
        'accept-encoding': range === undefined ? 'identity' : 'gzip',
        ...(range !== undefined && { range }),
        ...(value !== undefined && { authorization: value }),
      };
      return client.send({ method: 'GET', url, headers, follow: 'all' }, uri + path, signal);
    };
    const value = await authorize(false);
    const answer = await ask(value);
    if (answer.status !== 401 || value === undefined) return answer;
    discard(answer.body, 'GET');
    const current = await authorize(false);
    if (current !== value) return ask(current);
    renewal ??= authorize(true).finally(() => (renewal = undefined));
    return ask(await renewal);
  };
  /** One document of the API. */
  const fetchJson = <T>(url: URL, path: string, schema: z.ZodType<T>, signal: AbortSignal): Promise<T> =>
    answered(uri + path, limits.idleTimeoutMs, signal, async (either) => {
      const answer = await get(url, path, undefined, either);
      if (answer.status === 200) return readJson(answer.body, schema, uri + path);
      discard(answer.body, 'GET');
      throw answerError(answer, uri + path);
    });
  const describe = (path: string, signal: AbortSignal | undefined): Promise<ObjectInfo> =>
    guard(path, signal, async (either) => {
      const url = withQuery(`${objects}/${encodeURIComponent(path)}`, { fields: 'name,size,generation' });
      return infoOf(await fetchJson(url, path, objectSchema, either));
    });

  return {
    uri,
    list: async function* (prefix, { signal } = {}) {
      let token: string | undefined;
      do {
        const url = withQuery(objects, {
          prefix,
          fields: 'kind,items(name,size,generation),nextPageToken',
          ...(token !== undefined && { pageToken: token }),
        });
        const { items, nextPageToken } = await guard(prefix, signal, (either) => fetchJson(url, prefix, pageSchema, either));
        if (nextPageToken !== undefined && nextPageToken === token)
          throw transientError('STORE_READ_FAILED', `the listing of ${uri}${prefix} leads back to the same page`, { uri: uri + prefix });
        for (const item of items) yield infoOf(item);
        token = nextPageToken;
      } while (token !== undefined && token !== '');
    },
    head: (path, { signal } = {}) => describe(path, signal),
    read: async (path, range, readOptions = {}) => {
      const { startByte, endByte } = range;
      if (endByte <= startByte) return readNothing(uri, await describe(path, readOptions.signal), range, readOptions);
      return guard(path, readOptions.signal, async (signal) => {
        const { ifMatch } = readOptions;
        const url = withQuery(`${objects}/${encodeURIComponent(path)}`, {
          alt: 'media',
          ...(ifMatch !== undefined && { ifGenerationMatch: ifMatch }),
        });
        const answer = await answered(uri + path, limits.idleTimeoutMs, signal, (abortSignal) =>
          get(url, path, `bytes=${startByte}-${endByte - 1}`, abortSignal),
        );
        return readRange(answer, generationOf, uri + path, range, readOptions, limits, signal);
      });
    },
    close: () => {
      closing.abort(storeClosed(uri));
      client.close();
      return Promise.resolve();
    },
  };
}

/** An emulator's address may come without a scheme. */
function endpointOf(endpoint = 'https://storage.googleapis.com'): string {
  return (endpoint.includes('://') ? endpoint : `http://${endpoint}`).replace(/\/+$/, '');
}

function withQuery(url: string, query: Readonly<Record<string, string>>): URL {
  const result = new URL(url);
  for (const [name, value] of Object.entries(query)) result.searchParams.set(name, value);
  return result;
}

function infoOf({ name, size, generation }: z.infer<typeof objectSchema>): ObjectInfo {
  return { path: name, size: Number(size), etag: generation };
}

function generationOf({ headers }: HttpAnswer): string | undefined {
  const generation = headers['x-goog-generation'];
  return typeof generation === 'string' ? generation : undefined;
}
