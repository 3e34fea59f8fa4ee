/** A TCP proxy on 127.0.0.1 that breaks its connections at seeded random places: each ends in a reset, or in silence. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface ChaosProxy {
  readonly endpoint: string;
  /** So far. */
  readonly faults: { resets: number; stalls: number };
  connections(): number;
  /** Until no connection is open. */
  drained(): Promise<void>;
  stop(): Promise<void>;
}

export interface ChaosOptions {
  readonly seed: number;
  /** A connection breaks after up to so many bytes to the client. */
  readonly bytesMax: number;
  /** Of the faults, those that are silence. */
  readonly stallShare: number;
}

/** Before the server at `target`, such as `http://127.0.0.1:9000`. */
export async function startChaosProxy(target: string, { seed, bytesMax, stallShare }: ChaosOptions): Promise<ChaosProxy> {
  const { hostname, port } = new URL(target);
  const random = mulberry32(seed);
  const faults = { resets: 0, stalls: 0 };
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const origin = connect(Number(port), hostname);
    const stalls = random() < stallShare;
    let left = Math.floor(random() * bytesMax);
    open.add(client);
    client
      .on('error', () => undefined)
      .on('close', () => {
        open.delete(client);
        origin.destroy();
        server.emit('left');
      });
    origin.on('error', () => undefined).on('close', () => client.end());
    client.on('data', (chunk) => void origin.write(chunk));
    origin.on('data', (chunk) => {
      client.write(chunk.subarray(0, left));
      left -= chunk.length;
      if (left >= 0) return;
      origin.pause().removeAllListeners('data');
      faults[stalls ? 'stalls' : 'resets']++;
      if (!stalls) client.resetAndDestroy();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    faults,
    connections: () => open.size,
    drained: async () => {
      while (open.size > 0) await once(server, 'left');
    },
    stop: async () => {
      for (const client of open) client.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Uniform in [0, 1). Tommy Ettinger's mulberry32. */
export function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
