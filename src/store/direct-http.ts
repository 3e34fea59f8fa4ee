/** GETs on kept connections whose bodies go where they are wanted: see connection.ts. No redirects, no bodies of requests. */
import { isIP, connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { abortError, throwIfAborted, whenAborted } from '../core/abort.js';
import type { AnswerHead } from './answer-head.js';
import { openConnection, type Connection, type DirectAnswer, type OnRead } from './connection.js';
import { STORE_LIMITS } from './limits.js';

export interface DirectRequest {
  /** Of which only the origin counts. */
  readonly url: URL;
  /** Path and query, as they are sent. */
  readonly path: string;
  /** Names in lower case, `host` among them. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface DirectHttp {
  /**
   * Resolves with the head of the answer, whatever its status. `into`: where its body is to be written, if it is exactly so long. `signal` ends it until
   * then; afterwards, `body.destroy` does. Errors: those of Node, and of `parseHead`.
   */
  get(request: DirectRequest, into: (head: AnswerHead) => Uint8Array | undefined, signal: AbortSignal): Promise<DirectAnswer>;
  /** Closes the connections that wait for use; who has one in use ends its request. */
  close(): void;
}

export function createDirectHttp(): DirectHttp {
  const origins = new Map<string, Pool>();
  return {
    get: (request, into, signal) =>
      new Promise((resolve, reject) => {
        throwIfAborted(signal);
        const { origin } = request.url;
        let pool = origins.get(origin);
        if (pool === undefined) origins.set(origin, (pool = createPool(request.url)));
        const text = textOf(request);
        let connection: Connection | undefined;
        const unlink = whenAborted(signal, () => {
          reject(abortError(signal));
          if (connection === undefined) leave();
          else connection.destroy(abortError(signal));
        });
        const leave = pool.enter((opened) => {
          connection = opened;
          opened.send({
            text,
            into,
            onAnswer: (answer) => {
              unlink();
              resolve(answer);
            },
            onError: (error) => {
              unlink();
              reject(error);
            },
          });
        });
      }),
    close: () => {
      for (const pool of origins.values()) pool.close();
    },
  };
}

function textOf({ path, headers }: DirectRequest): string {
  let text = `GET ${path} HTTP/1.1\r\n`;
  for (const name in headers) text += `${name}: ${headers[name]}\r\n`;
  text += 'connection: keep-alive\r\n\r\n';
  const lines = Object.keys(headers).length + 3;
  // a line more would be a request more
  if (!PLAIN.test(text) || text.split('\r\n').length !== lines + 1 || path.includes(' '))
    throw new TypeError('a path or a header holds characters that may not be sent');
  return text;
}

const PLAIN = /^[\t\r\n\x20-\x7e\x80-\xff]*$/;

interface Pool {
  /** Calls back with a connection as soon as there is one; answers how to leave the queue before. */
  enter(use: (connection: Connection) => void): () => void;
  close(): void;
}

function createPool(url: URL): Pool {
  const free: Connection[] = []; // the one used last is used next: the others may run out
  const waiting = new Set<(connection: Connection) => void>();
  let open = 0;
  let isClosed = false;
  const connect = connector(url);

  const add = (): Connection => {
    open++;
    const connection: Connection = openConnection(connect, {
      onFree: () => {
        for (const use of waiting) {
          waiting.delete(use);
          use(connection);
          return;
        }
        if (isClosed) connection.destroy();
        else free.push(connection);
      },
      onClosed: () => {
        open--;
        const at = free.indexOf(connection);
        if (at >= 0) free.splice(at, 1);
        for (const use of waiting) {
          waiting.delete(use);
          use(add());
          return;
        }
      },
    });
    return connection;
  };

  return {
    enter: (use) => {
      if (free.length > 0 || open < 2 * STORE_LIMITS.concurrencyMax) use(free.pop() ?? add());
      else waiting.add(use);
      return () => void waiting.delete(use);
    },
    close: () => {
      isClosed = true;
      for (const connection of free.splice(0)) connection.destroy();
    },
  };
}

/** Opens connections to the origin of a URL. Sessions of TLS are taken up again, which saves a round trip and a signature. */
function connector({ protocol, hostname, port }: URL): (onread: OnRead) => Socket {
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  if (protocol !== 'https:')
    return (onread) => connectTcp({ host, port: Number(port || 80), onread } as Parameters<typeof connectTcp>[0] & object);
  let session: Buffer | undefined;
  return (onread) =>
    connectTls({
      host,
      port: Number(port || 443),
      servername: isIP(host) === 0 ? host : '',
      ALPNProtocols: ['http/1.1'],
      ...(session !== undefined && { session }),
      onread,
    } as Parameters<typeof connectTls>[0] & object).on('session', (latest) => (session = latest));
}
