/** An HTTP proxy on 127.0.0.1 before a real server: it counts what passes, and can be as slow and as unreliable as an object store far away. */
import { once } from 'node:events';
import { Agent, createServer, request as sendRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { mulberry32 } from './chaos-proxy.js';

export interface ProxiedRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  /** Of the header: `bytes=0-99`. */
  readonly range: string | undefined;
  /** Of the body, so far. */
  bytes: number;
}

export interface HttpProxy {
  readonly endpoint: string;
  /** In the order of their arrival. */
  readonly requests: ProxiedRequest[];
  stop(): Promise<void>;
}

/** Serializable, so that a proxy can be a process of its own. */
export interface ProxyOptions {
  /** Before a request is passed on. */
  readonly firstByteMs?: number;
  readonly streamBytesPerSecond?: number;
  /** Of all streams together. */
  readonly totalBytesPerSecond?: number;
  readonly faults?: ProxyFaults;
}

/** Shares of the requests for a range. */
export interface ProxyFaults {
  readonly seed: number;
  /** Answered with 503. */
  readonly refused: number;
  /** Reset at a random place of the body. */
  readonly resets: number;
  /** Passed on after `stragglerMs`. */
  readonly stragglers: number;
  readonly stragglerMs: number;
}

/** What a stream that was held up may catch up: timers are a few milliseconds late. */
const BURST_MS = 20;
/** Shorter waits are added up: timers count milliseconds. */
const WAIT_MS_MIN = 2;

/** Before the server at `target`, such as `http://127.0.0.1:9000`. Host and signature are passed on as they come. */
export async function startHttpProxy(target: string, options: ProxyOptions = {}): Promise<HttpProxy> {
  const { hostname, port } = new URL(target);
  const { firstByteMs = 0, faults } = options;
  const agent = new Agent({ keepAlive: true });
  const draw = mulberry32(faults?.seed ?? 0);
  const total = paceOf(options.totalBytesPerSecond);
  const requests: ProxiedRequest[] = [];

  const pass = async (request: IncomingMessage, response: ServerResponse, left: AbortSignal): Promise<void> => {
    const { method = 'GET', url = '/', headers } = request;
    const record: ProxiedRequest = { method, url, range: headers.range, bytes: 0 };
    requests.push(record);
    const fault = headers.range === undefined ? undefined : faultOf(draw(), faults);
    const waitMs = fault === 'straggler' ? faults!.stragglerMs : firstByteMs;
    if (waitMs > 0) await delay(waitMs, undefined, { signal: left });
    if (fault === 'refused') {
      response.writeHead(503).end('<Error><Code>SlowDown</Code></Error>');
      return;
    }
    const asked = sendRequest({ hostname, port, method, path: url, headers, agent, signal: left });
    request.pipe(asked);
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    response.writeHead(answer.statusCode!, answer.headers);
    const end = fault === 'reset' ? Math.floor(draw() * Number(answer.headers['content-length'])) : Infinity;
    const stream = paceOf(options.streamBytesPerSecond);
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      const passed = chunk.subarray(0, end - record.bytes);
      record.bytes += passed.length;
      if (!response.write(passed)) await once(response, 'drain', { signal: left });
      if (record.bytes >= end) {
        request.socket.resetAndDestroy();
        return;
      }
      const aheadMs = Math.max(stream(chunk.length), total(chunk.length));
      if (aheadMs >= WAIT_MS_MIN) await delay(aheadMs, undefined, { signal: left });
    }
    response.end();
  };

  const server = createServer((request, response) => {
    const left = new AbortController();
    response.on('close', () => {
      if (!response.writableFinished) left.abort();
    });
    pass(request, response, left.signal).catch(() => response.destroy()); // one side has left, and the other is told
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
      agent.destroy();
    },
  };
}

function faultOf(drawn: number, faults: ProxyFaults | undefined): 'refused' | 'reset' | 'straggler' | undefined {
  if (faults === undefined) return undefined;
  const { refused, resets, stragglers } = faults;
  if (drawn < refused) return 'refused';
  if (drawn < refused + resets) return 'reset';
  return drawn < refused + resets + stragglers ? 'straggler' : undefined;
}

/** Takes note of bytes, and answers how many milliseconds they are ahead of the rate. */
function paceOf(bytesPerSecond = Infinity): (bytes: number) => number {
  let dueMs = 0;
  return (bytes) => {
    const now = performance.now();
    dueMs = Math.max(dueMs, now - BURST_MS) + (bytes * 1000) / bytesPerSecond;
    return dueMs - now;
  };
}
