/** The HTTP side of a sidecar: `/metrics`, `/healthz` (the process is alive) and `/readyz` (it serves). */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { HeadraceError } from '../../src/core/errors.js';
import { http } from '../../src/store/node-http.js';
import { createRegistry, type MetricsSources } from './metrics.js';

export interface MetricsServer {
  /** `http://HOST:PORT`, with the port that was chosen for port 0. */
  readonly url: string;
  /** From now on `/readyz` says that the sidecar serves, and `/metrics` what is read there; with `undefined` no longer. */
  show(sources: MetricsSources | undefined): void;
  close(): Promise<void>;
}

/** `address`: `HOST:PORT`. Errors: `ADDRESS_INVALID`, `ADDRESS_IN_USE`. */
export async function serveMetrics(address: string): Promise<MetricsServer> {
  const { host, port } = parseHostPort(address);
  let registry: Registry | undefined;
  const server = http.createServer((request, response) => {
    respond(request, response, registry).catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const inUse = error.code === 'EADDRINUSE';
      reject(
        new HeadraceError(inUse ? 'ADDRESS_IN_USE' : 'ADDRESS_INVALID', `cannot listen at ${address} for metrics: ${error.message}`, {
          detail: { address },
          hint: 'Choose another serve.metrics.',
          cause: error,
        }),
      );
    });
    server.listen(port, host, resolve);
  });
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    show: (sources) => {
      registry = sources && createRegistry(sources);
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function respond(request: IncomingMessage, response: ServerResponse, metrics: Registry | undefined): Promise<void> {
  switch (request.url) {
    case '/healthz':
      response.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n');
      return;
    case '/readyz':
      response.writeHead(metrics ? 200 : 503, { 'content-type': 'text/plain' }).end(metrics ? 'ready\n' : 'not ready\n');
      return;
    case '/metrics':
      if (metrics === undefined) response.writeHead(503).end();
      else {
        const text = await metrics.metrics(); // before the head: what fails here is another answer
        response.writeHead(200, { 'content-type': metrics.contentType }).end(text);
      }
      return;
    default:
      response.writeHead(404, { 'content-type': 'text/plain' }).end('/metrics, /healthz and /readyz are here\n');
  }
}

function parseHostPort(address: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3] ?? Infinity);
  const host = match?.at(1) ?? match?.at(2);
  if (host === undefined || port > 65_535) {
    throw new HeadraceError('ADDRESS_INVALID', `serve.metrics is ${address}, which is not HOST:PORT`, {
      detail: { address },
      hint: 'For example 127.0.0.1:9464.',
    });
  }
  return { host, port };
}
