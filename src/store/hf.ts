/** Datasets of the Hugging Face hub: a revision is pinned to its commit once, and large files come by way of a redirect to a CDN. */
import * as z from 'zod';
import { untilAborted } from '../core/abort.js';
import { compareUtf8 } from '../core/canonical-json.js';
import { HeadraceError } from '../core/errors.js';
import { rangeHeaders, readNothing } from './check-range.js';
import { hubEndpoint, hubToken } from './hf-environment.js';
import { bodyLimits, readJson, readRange, type Patience } from './http-answer.js';
import { createHttpClient, discard, type HttpAnswer, type HttpRequest } from './http-client.js';
import { answerError } from './http-error.js';
import { answered, createGuard } from './request.js';
import { storeClosed, transientError } from './store-error.js';
import type { ObjectInfo, Store } from './store.js';

export interface HfOptions extends Patience {
  /** `OWNER/NAME`. */
  readonly dataset: string;
  /** Branch, tag, `refs/…` or commit. Default: main. */
  readonly revision?: string | undefined;
  /** Default: HF_ENDPOINT, else the hub. */
  readonly endpoint?: string;
  /** Default: that of the environment. */
  readonly token?: () => Promise<string | undefined>;
}

const revisionSchema = z.object({ sha: z.string().regex(/^[0-9a-f]{40}$/) });
const treeSchema = z.array(
  z.object({
    type: z.string(),
    path: z.string(),
    oid: z.string(),
    size: z.int().min(0),
    lfs: z.object({ oid: z.string() }).optional(),
  }),
);

export function hfStore(options: HfOptions): Store {
  const { dataset, revision = 'main' } = options;
  const endpoint = options.endpoint ?? hubEndpoint();
  const uri = `hf://datasets/${dataset}${options.revision === undefined ? '' : `@${revision}`}/`;
  const limits = bodyLimits(options);
  const client = createHttpClient();
  const closing = new AbortController();
  let token: Promise<string | undefined> | undefined;
  let commit: Promise<string> | undefined;

  const guard = createGuard(uri, closing.signal);
  const send = async (
    request: Pick<HttpRequest, 'method' | 'follow'> & { readonly range?: string },
    url: string,
    path: string,
    signal: AbortSignal,
  ): Promise<HttpAnswer> => {
    const bearer = await (token ??= (options.token ?? hubToken)());
    const { method, follow, range } = request;
    const headers = {
      'accept-encoding': 'identity', // ranges and sizes are of the bytes as they are
      ...(range !== undefined && { range }),
      ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
    };
    const answer = await client.send({ method, follow, url: new URL(url), headers }, uri + path, signal);
    if (answer.status < 400) return answer;
    discard(answer.body, method);
    throw hubError(answer, uri + path, bearer !== undefined);
  };
  /** One document of the hub's API. */
  const fetchJson = <T>(url: string, path: string, schema: z.ZodType<T>, signal: AbortSignal): Promise<{ answer: HttpAnswer; value: T }> =>
    answered(uri + path, limits.idleTimeoutMs, signal, async (either) => {
      const answer = await send({ method: 'GET', follow: 'all' }, url, path, either);
      return { answer, value: await readJson(answer.body, schema, uri + path) };
    });
  /** The commit of the revision: asked for once, so that a run reads one state of the dataset. Shared, so no caller's signal ends it. */
  const pin = async (signal: AbortSignal): Promise<string> => {
    if (/^[0-9a-f]{40}$/.test(revision)) return revision;
    const url = `${endpoint}/api/datasets/${dataset}/revision/${encodeURIComponent(revision)}`;
    commit ??= fetchJson(url, '', revisionSchema, closing.signal).then(({ value }) => value.sha);
    const asked = commit;
    try {
      return await untilAborted(asked, signal);
    } catch (error) {
      if (!signal.aborted && commit === asked) commit = undefined; // the next try asks again
      throw error;
    }
  };
  const fileUrl = async (path: string, signal: AbortSignal): Promise<string> =>
    `${endpoint}/datasets/${dataset}/resolve/${await pin(signal)}/${encodePath(path)}`;

  const describe = (path: string, signal: AbortSignal | undefined): Promise<ObjectInfo> =>
    guard(path, signal, async (either) => {
      const url = await fileUrl(path, either);
      // what the CDN would add is nothing: the hub's own answer says which file it is
      const answer = await answered(uri + path, limits.idleTimeoutMs, either, (abortSignal) =>
        send({ method: 'HEAD', follow: 'origin' }, url, path, abortSignal),
      );
      discard(answer.body, 'HEAD');
      const size = Number(hubHeader(answer, 'x-linked-size') ?? rangeHeaders(answer).contentLength ?? NaN);
      const etag = versionOf(answer);
      if (etag === undefined || !Number.isSafeInteger(size))
        throw transientError('STORE_READ_FAILED', `${uri}${path} was described without size or ETag`, { uri: uri + path });
      return { path, size, etag };
    });

  return {
    uri,
    // the hub lists in the order of its tree, which is not that of whole paths
    list: async function* (prefix, { signal } = {}) {
      const objects = await guard(prefix, signal, async (either) => {
        const directory = prefix.slice(0, Math.max(0, prefix.lastIndexOf('/')));
        const found: ObjectInfo[] = [];
        const seen = new Set<string>();
        const tree = `${endpoint}/api/datasets/${dataset}/tree/${await pin(either)}`;
        for (let url: string | undefined = `${tree}/${encodePath(directory)}?recursive=true`; url !== undefined;) {
          if (seen.has(url))
            throw transientError('STORE_READ_FAILED', `the listing of ${uri}${prefix} leads back to its own pages`, { uri });
          seen.add(url);
          const { answer, value } = await fetchJson(url, prefix, treeSchema, either);
          for (const { type, path, oid, size, lfs } of value) {
            if (type === 'file' && path.startsWith(prefix)) found.push({ path, size, etag: lfs?.oid ?? oid });
          }
          url = nextPage(answer, endpoint);
        }
        return found.sort((a, b) => compareUtf8(a.path, b.path));
      });
      yield* objects;
    },
    head: (path, { signal } = {}) => describe(path, signal),
    read: async (path, range, readOptions = {}) => {
      const { startByte, endByte } = range;
      if (endByte <= startByte) return readNothing(uri, await describe(path, readOptions.signal), range, readOptions);
      return guard(path, readOptions.signal, async (signal) => {
        const url = await fileUrl(path, signal);
        const request = { method: 'GET', follow: 'all', range: `bytes=${startByte}-${endByte - 1}` } as const;
        const answer = await answered(uri + path, limits.idleTimeoutMs, signal, (abortSignal) => send(request, url, path, abortSignal));
        return readRange(answer, versionOf, uri + path, range, readOptions, limits, signal);
      });
    },
    close: () => {
      closing.abort(storeClosed(uri));
      client.close();
      return Promise.resolve();
    },
  };
}

function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}

/** A header of the hub's, whichever of its answers has it: the CDN knows the file under another ETag. */
function hubHeader({ redirects, headers }: HttpAnswer, name: string): string | undefined {
  const value = [...redirects, headers].map((each) => each[name]).find((each) => each !== undefined);
  return typeof value === 'string' ? value : undefined;
}

/** The hash of the content, as listings have it. */
function versionOf(answer: HttpAnswer): string | undefined {
  return (hubHeader(answer, 'x-linked-etag') ?? answer.headers.etag)?.replace(/^(?:W\/)?"(.*)"$/, '$1');
}

/** The page that the Link header names (RFC 8288), on the endpoint's own host: a mirror passes on the hub's links. */
function nextPage({ headers }: HttpAnswer, endpoint: string): string | undefined {
  const link = /<([^>]*)>\s*;\s*rel="?next"?/.exec(typeof headers.link === 'string' ? headers.link : '')?.[1];
  if (link === undefined || !URL.canParse(link, endpoint)) return undefined;
  const { pathname, search } = new URL(link, endpoint);
  return new URL(pathname + search, endpoint).href;
}

function hubError(answer: HttpAnswer, uri: string, hasToken: boolean): HeadraceError {
  const { status, headers, redirects } = answer;
  if (status !== 401 && status !== 403) return answerError(answer, uri);
  // the CDN's signature may have run out on the way: the next try gets a new one
  if (redirects.length > 0 && headers['x-error-code'] === undefined)
    return transientError('STORE_DENIED', `the CDN of ${uri} refuses its own signature (${status})`, { uri, status });
  const reason = typeof headers['x-error-message'] === 'string' ? `: ${headers['x-error-message']}` : '';
  return new HeadraceError('STORE_DENIED', `access to ${uri} is denied (${status}${reason})`, {
    detail: { uri, status },
    hint: hasToken
      ? 'The token of this process may not read the dataset: check its scope, and ask for access on the page of a gated dataset.'
      : 'The dataset is private, gated, or not there: set HF_TOKEN to a token that may read it.',
  });
}
