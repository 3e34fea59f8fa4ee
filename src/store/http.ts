/** Single objects of a web server: pinned by ETag or by date, read in ranges. HTTP has no listing. */
import { createHash } from 'node:crypto';
import { HeadraceError } from '../core/errors.js';
import { readNothing, sizeOf } from './check-range.js';
import { bodyLimits, readRange, type Patience } from './http-answer.js';
import { createHttpClient, discard, type HttpAnswer, type HttpRequest } from './http-client.js';
import { answerError } from './http-error.js';
import { answered, createGuard } from './request.js';
import { storeClosed, storeError } from './store-error.js';
import type { ObjectInfo, Store } from './store.js';

export interface HttpOptions extends Patience {
  /** Scheme, host and port. */
  readonly origin: string;
  /** What follows the `?` of every URL of this store: it may be a signature, and is never shown. */
  readonly query?: string;
  /** The header's value, such as `Basic …`; goes to `origin` only. */
  readonly authorization?: string;
}

/** A URL as a store and a path in it. The path says by a digest that there is a query, so that two queries are two objects. */
export function splitUrl(url: string): { readonly options: HttpOptions; readonly path: string } | undefined {
  if (!URL.canParse(url)) return undefined;
  const { origin, username, password, pathname, search } = new URL(url);
  if (origin === 'null') return undefined;
  const query = search.slice(1);
  const userinfo = decoded(`${username}:${password}`);
  if (userinfo === undefined) return undefined;
  const options = {
    origin,
    ...(query !== '' && { query }),
    ...(userinfo !== ':' && { authorization: `Basic ${Buffer.from(userinfo).toString('base64')}` }),
  };
  const digest = createHash('sha256').update(query).digest('hex').slice(0, 8);
  return { options, path: pathname.slice(1) + (query === '' ? '' : `?${digest}`) };
}

/** Undefined where a percent sign begins no code. */
function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** Paths are those of URLs, as they are: percent-encoded. Errors of `list`: `CONFIG_INVALID`. */
export function httpStore(options: HttpOptions): Store {
  const uri = `${options.origin}/`;
  const limits = bodyLimits(options);
  const client = createHttpClient();
  const closing = new AbortController();
  const guard = createGuard(uri, closing.signal);
  const send = (
    method: HttpRequest['method'],
    path: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<HttpAnswer> => {
    const [bare] = path.split('?', 1);
    const request: HttpRequest = {
      method,
      url: new URL(`${options.origin}/${bare}${options.query === undefined ? '' : `?${options.query}`}`),
      headers: {
        ...headers,
        'accept-encoding': 'identity', // ranges are of the bytes as they are
        ...(options.authorization !== undefined && { authorization: options.authorization }),
      },
      follow: 'all',
    };
    return answered(uri + path, limits.idleTimeoutMs, signal, (abortSignal) => client.send(request, uri + path, abortSignal));
  };

  const describe = (path: string, signal: AbortSignal | undefined): Promise<ObjectInfo> =>
    guard(path, signal, async (either) => {
      let answer = await send('HEAD', path, {}, either);
      discard(answer.body, 'HEAD');
      // HEAD is not allowed everywhere: a signature may be good for GET alone
      if (answer.status !== 404 && (answer.status !== 200 || sizeOf(answer) === undefined)) {
        answer = await send('GET', path, { range: 'bytes=0-0' }, either);
        discard(answer.body, 'GET');
      }
      const size = sizeOf(answer);
      if (size === undefined) throw answerError(answer, uri + path);
      return { path, size, etag: versionOf(answer, size, uri + path) };
    });

  return {
    uri,
    list: (prefix) => ({
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(noListing(uri + prefix)) }),
    }),
    head: (path, { signal } = {}) => describe(path, signal),
    read: async (path, range, readOptions = {}) => {
      const { startByte, endByte } = range;
      if (endByte <= startByte) return readNothing(uri, await describe(path, readOptions.signal), range, readOptions);
      const { ifMatch } = readOptions;
      const headers = {
        range: `bytes=${startByte}-${endByte - 1}`,
        ...(ifMatch !== undefined && isStrong(ifMatch) && { 'if-match': ifMatch }),
      };
      return guard(path, readOptions.signal, async (signal) => {
        const answer = await send('GET', path, headers, signal);
        const etagOf = (of: HttpAnswer): string => versionOf(of, sizeOf(of), uri + path);
        return readRange(answer, etagOf, uri + path, range, readOptions, limits, signal);
      });
    },
    close: () => {
      closing.abort(storeClosed(uri));
      client.close();
      return Promise.resolve();
    },
  };
}

const isStrong = (version: string): boolean => version.startsWith('"');

/**
 * What an answer is pinned by: its strong ETag; else its date and its weak ETag, of which there must be one, with the size. Only the first
 * can be sent back in If-Match (RFC 9110 §13.1.1 wants strong ones), so every answer's own version is compared as well.
 */
function versionOf({ headers }: HttpAnswer, size: number | undefined, uri: string): string {
  const { etag, 'last-modified': date, 'content-encoding': encoding = 'identity' } = headers;
  if (encoding !== 'identity')
    throw storeError('STORE_READ_FAILED', `${uri} comes compressed (${encoding}), so that its bytes cannot be addressed`, {
      uri,
      encoding,
    });
  if (etag !== undefined && isStrong(etag)) return etag;
  if (etag === undefined && date === undefined) {
    throw new HeadraceError('STORE_READ_FAILED', `${uri} has neither an ETag nor a date, so no version that a run could be pinned to`, {
      detail: { uri },
      hint: 'Serve it with ETag or Last-Modified, or copy it to a disk or an object store.',
    });
  }
  return [etag, date, size].filter((part) => part !== undefined).join(' ');
}

function noListing(uri: string): HeadraceError {
  return new HeadraceError('CONFIG_INVALID', `${uri} cannot be listed: HTTP has no listings`, {
    detail: { uri },
    hint: 'Name the objects themselves: one URL, or a list of URLs.',
  });
}
