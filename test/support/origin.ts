/** A web server on a free port of 127.0.0.1 that answers as a test says, and remembers what it was asked. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Answer = (request: IncomingMessage, response: ServerResponse) => unknown;

export interface Origin {
  /** Without a trailing slash. */
  readonly url: string;
  readonly requests: IncomingMessage[];
  close(): void;
}

/** One answer a request; the last one goes on for ever. */
export async function startOrigin(...script: readonly Answer[]): Promise<Origin> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    const answer = script[Math.min(requests.length, script.length - 1)];
    requests.push(request);
    answer(request, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Answers GET and HEAD for an object as a good server does: ranges, If-Match, 416. `headers`: more of them, such as the ETag. */
export function sendObject(bytes: Uint8Array | undefined, headers: Readonly<Record<string, string>>): Answer {
  return (request, response) => {
    if (bytes === undefined) return response.writeHead(404).end();
    const wanted = request.headers['if-match'];
    if (wanted !== undefined && wanted !== headers.etag) return response.writeHead(412).end();
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    if (range === null) {
      response.writeHead(200, { ...headers, 'content-length': bytes.length });
      return response.end(request.method === 'HEAD' ? undefined : bytes);
    }
    const [start, last] = [Number(range[1]), Math.min(Number(range[2]), bytes.length - 1)];
    if (start >= bytes.length) return response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
    const length = last - start + 1;
    response.writeHead(206, { ...headers, 'content-range': `bytes ${start}-${last}/${bytes.length}`, 'content-length': length });
    return response.end(bytes.subarray(start, last + 1));
  };
}
