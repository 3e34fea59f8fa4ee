/** The sidecar's socket: binds a ROUTER where nobody else is, lets in this user only, and sends one message at a time. */
import { chmod, lstat, mkdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { Context, Reply, Router } from 'zeromq';
import { HeadraceError, messageOf } from '../../src/core/errors.js';
import { parseAddress, socketDirectory } from '../../src/wire/address.js';

/** Where libzmq asks who may connect (ZeroMQ RFC 27, ZAP). */
const ZAP_ENDPOINT = 'inproc://zeromq.zap.01';
/** Messages to one peer that the kernel has not taken yet: above any client's credits, so that a full queue means a dead peer. */
const SEND_QUEUE_MESSAGES = 1024;
/** Frames of a client's message are small: more is no client of ours. */
const RECEIVE_BYTES_MAX = 2 * 2 ** 20;
/** How long the last messages get when the socket closes. */
const LINGER_MS = 1000;

/** Bytes, or their UTF-8 as text: of which ZeroMQ makes a copy at once, where bytes are kept until they are sent and then given back. */
export type Frame = Uint8Array | string;

export interface ServingSocket {
  /** The address as bound: with the port that was chosen for port 0. */
  readonly address: string;
  /** Messages as they come: the peer's identity, then the frames. Ends when the socket is closed. */
  receive(): AsyncIterable<readonly Buffer[]>;
  /** False where the peer is gone. Messages to one peer keep their order. */
  send(identity: Buffer, frames: readonly Frame[]): Promise<boolean>;
  close(): Promise<void>;
}

/** Errors: `ADDRESS_INVALID`, `ADDRESS_IN_USE`. */
export async function bindSocket(wanted: string): Promise<ServingSocket> {
  const address = parseAddress(wanted);
  if (address.transport === 'ipc') await prepareSocketPath(address.path, wanted);
  const context = new Context();
  const zap = address.transport === 'ipc' ? admitOwnUser(context) : undefined;
  const router = new Router({
    context,
    mandatory: true,
    sendHighWaterMark: SEND_QUEUE_MESSAGES,
    sendTimeout: 0,
    maxMessageSize: RECEIVE_BYTES_MAX,
    linger: LINGER_MS,
    ...(zap && { zapDomain: 'headrace' }),
  });
  const umask = process.umask(0o077);
  try {
    await router.bind(wanted.replace(/:0$/, ':*'));
  } catch (error) {
    router.close();
    zap?.close();
    throw bindError(wanted, error);
  } finally {
    process.umask(umask);
  }
  let sending: Promise<unknown> = Promise.resolve();
  return {
    address: router.lastEndpoint ?? wanted,
    receive: () => router,
    send: (identity, frames) => {
      const sent = sending.then(async () => {
        try {
          await router.send([identity, ...frames]);
          return true;
        } catch {
          return false; // unroutable, or a queue that nobody empties: the peer is gone
        }
      });
      sending = sent;
      return sent;
    },
    close: async () => {
      await sending;
      router.close();
      zap?.close();
      if (address.transport === 'ipc') await rm(address.path, { force: true });
    },
  };
}

/** Makes the directory, and removes a socket that nobody answers at. */
async function prepareSocketPath(file: string, wanted: string): Promise<void> {
  const directory = path.dirname(file);
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    if (directory === socketDirectory()) {
      const { uid, mode } = await lstat(directory);
      if (uid !== process.getuid?.()) throw new Error(`${directory} belongs to another user`);
      if ((mode & 0o077) !== 0) await chmod(directory, 0o700);
    }
    const existing = await lstat(file).catch(() => undefined);
    if (existing === undefined) return;
    if (!existing.isSocket()) throw new Error(`${file} exists and is no socket`);
    if (!(await answers(file))) {
      await rm(file);
      return;
    }
  } catch (error) {
    throw new HeadraceError('ADDRESS_INVALID', `the address ${wanted} cannot be used: ${messageOf(error)}`, {
      detail: { address: wanted },
      hint: 'Choose another path in serve.address.',
      cause: error,
    });
  }
  throw inUse(wanted);
}

function answers(file: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(file);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false);
      else reject(error);
    });
  });
}

/** Answers libzmq's question about each connection: on ipc, the peer's address ends in `uid:gid:pid`, as the kernel says. */
function admitOwnUser(context: Context): Reply {
  const zap = new Reply({ context, linger: 0 });
  const uid = String(process.getuid?.() ?? '');
  const run = async (): Promise<void> => {
    await zap.bind(ZAP_ENDPOINT);
    for await (const [version, requestId, , peerAddress] of zap) {
      const admitted = peerAddress.toString().split(':').at(1) === uid;
      await zap.send([version, requestId, admitted ? '200' : '400', admitted ? 'OK' : 'another user', admitted ? uid : '', '']);
    }
  };
  run().catch(() => zap.close()); // without an answer libzmq lets nobody in
  return zap;
}

function bindError(wanted: string, error: unknown): HeadraceError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE') return inUse(wanted);
  return new HeadraceError('ADDRESS_INVALID', `cannot listen at ${wanted}: ${messageOf(error)}`, {
    detail: { address: wanted },
    hint: 'Choose another serve.address.',
    cause: error,
  });
}

function inUse(wanted: string): HeadraceError {
  return new HeadraceError('ADDRESS_IN_USE', `another process listens at ${wanted}`, {
    detail: { address: wanted },
    hint: 'A sidecar may run already: use it, end it, or choose another serve.address.',
  });
}
