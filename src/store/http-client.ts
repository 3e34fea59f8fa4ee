/** HTTP requests on kept connections, with redirects followed to a bound; the ground of the stores that need no SDK. */
import type { Agent as HttpAgent, IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Agent as HttpsAgent } from 'node:https';
import { abortError, throwIfAborted, whenAborted } from '../core/abort.js';
import { http, https } from './node-http.js';
import { STORE_LIMITS } from './limits.js';
import { storeError } from './store-error.js';

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD';
  readonly url: URL;
  /** What is sent instead of the path and query of `url`, which has lost its segments of dots. Not for requests that may be redirected. */
  readonly path?: string;
  /** Names in lower case. `authorization` goes to the origin of `url` only. */
  readonly headers: Readonly<Record<string, string>>;
  /** `origin`: a redirect to another origin is the answer; `none`: any is. */
  readonly follow: 'all' | 'origin' | 'none';
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** To be read, destroyed or discarded by the caller. */
  readonly body: IncomingMessage;
  /** Of the answers that redirected to this one, first to last. */
  readonly redirects: readonly IncomingHttpHeaders[];
}

export interface HttpClient {
  readonly agents: { readonly httpAgent: HttpAgent; readonly httpsAgent: HttpsAgent };
  /** Resolves with the head of the last answer, whatever its status. `uri`: what messages call it. Errors: `STORE_READ_FAILED`, those of Node. */
  send(request: HttpRequest, uri: string, signal: AbortSignal): Promise<HttpAnswer>;
  /** Frees the connections that wait for use; who has one in use aborts its request. */
  close(): void;
}

export function createHttpClient(): HttpClient {
  const options = { keepAlive: true, maxSockets: 2 * STORE_LIMITS.concurrencyMax, timeout: STORE_LIMITS.keepAliveMs };
  const httpAgent = new http.Agent(options);
  const httpsAgent = new https.Agent(options);

  const sendOnce = ({ method, url, path, headers }: HttpRequest, signal: AbortSignal): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      throwIfAborted(signal);
      const common = { method, headers, ...(path !== undefined && { path }) };
      const request =
        url.protocol === 'https:'
          ? https.request(url, { ...common, agent: httpsAgent }, resolve)
          : http.request(url, { ...common, agent: httpAgent }, resolve);
      // as Node's own option `signal`, which looks out for the end of the request in more ways and takes several times as long
      const unlink = whenAborted(signal, () => void request.destroy(abortError(signal)));
      request.on('error', reject).on('close', unlink).end();
    });

  return {
    agents: { httpAgent, httpsAgent },
    send: async (first, uri, signal) => {
      const redirects: IncomingHttpHeaders[] = [];
      for (let request = first; ;) {
        const body = await sendOnce(request, signal);
        const { statusCode: status = 0, headers } = body;
        const next = REDIRECTS.has(status) && first.follow !== 'none' ? nextUrl(headers.location, request.url, uri) : undefined;
        if (next === undefined || (first.follow === 'origin' && next.origin !== first.url.origin))
          return { status, headers, body, redirects };
        discard(body, request.method);
        if (redirects.push(headers) > STORE_LIMITS.redirectsMax)
          throw storeError('STORE_READ_FAILED', `${uri} redirects more than ${STORE_LIMITS.redirectsMax} times`, { uri, host: next.host });
        request = {
          ...request,
          url: next,
          headers: next.origin === request.url.origin ? request.headers : withoutSecrets(request.headers),
        };
      }
    },
    close: () => {
      httpAgent.destroy();
      httpsAgent.destroy();
    },
  };
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Where a redirect leads. Its host may be named in messages; its path and query may hold a signature. */
function nextUrl(location: string | undefined, from: URL, uri: string): URL | undefined {
  if (location === undefined || !URL.canParse(location, from.href)) return undefined;
  const next = new URL(location, from);
  if (next.protocol !== 'https:' && (next.protocol !== 'http:' || from.protocol === 'https:')) {
    throw storeError('STORE_READ_FAILED', `${uri} redirects from ${from.protocol} to ${next.protocol}, which is not followed`, {
      uri,
      host: next.host,
    });
  }
  return next;
}

function withoutSecrets({ authorization, ...headers }: Readonly<Record<string, string>>): Record<string, string> {
  return headers;
}

/** Lets go of a body that nobody wants: the connection is kept where little is left to come. */
export function discard(body: IncomingMessage, method: HttpRequest['method']): void {
  body.on('error', () => undefined); // whatever happens to it now matters to nobody
  const length = method === 'HEAD' ? 0 : Number(body.headers['content-length'] ?? Infinity);
  if (length > STORE_LIMITS.discardedBytesMax) {
    body.destroy();
    return;
  }
  body.setTimeout(STORE_LIMITS.idleTimeoutMs, () => void body.destroy());
  body.resume();
}
