/** The sidecar's socket: binds a ROUTER where nobody else is, lets in this user only, and sends one message at a time. */
import { randomBytes } from 'node:crypto';
import { chmod, link, lstat, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { Context, Reply, Router } from 'zeromq';
import { HeadraceError, messageOf } from '../../src/core/errors.js';
import { makeDirectory } from '../../src/files/make-directory.js';
import { parseAddress, socketDirectory } from '../../src/wire/address.js';

/** Where libzmq asks who may connect (ZeroMQ RFC 27, ZAP). */
const ZAP_ENDPOINT = 'inproc://zeromq.zap.01';
/** Messages to one peer that the kernel has not taken yet: above any client's credits, so that a full queue means a dead peer. */
const SEND_QUEUE_MESSAGES = 1024;
/** Frames of a client's message are small: more is no client of ours. */
const RECEIVE_BYTES_MAX = 2 * 2 ** 20;
/** Each after the first means that a socket without a process was in the way, and that others came and went while it was removed. */
const CLAIMS_MAX = 5;
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
  if (address.transport === 'ipc') await prepareDirectory(address.path, wanted);
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
  try {
    if (address.transport === 'ipc') await bindPath(router, address.path, wanted);
    else await router.bind(wanted.replace(/:0$/, ':*'));
  } catch (error) {
    router.close();
    zap?.close();
    throw bindError(wanted, error);
  }
  let sending: Promise<unknown> = Promise.resolve();
  return {
    address: (address.transport === 'tcp' ? router.lastEndpoint : undefined) ?? wanted,
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
      // while it is ours: the path of a closed socket may be another one's a moment later
      if (address.transport === 'ipc') await rm(address.path, { force: true });
      router.close();
      zap?.close();
    },
  };
}

async function prepareDirectory(file: string, wanted: string): Promise<void> {
  const directory = path.dirname(file);
  try {
    await makeDirectory(directory, 0o700);
    if (directory !== socketDirectory()) return;
    const { uid, mode } = await lstat(directory);
    if (uid !== process.getuid?.()) throw new Error(`${directory} belongs to another user`);
    if ((mode & 0o077) !== 0) await chmod(directory, 0o700);
  } catch (error) {
    throw unusable(wanted, error);
  }
}

/**
 * ZeroMQ takes a path from whoever listens there. So it binds a name that nobody else has, which is then linked to the path: of several that come at once one
 * gets it, and the others see that it is taken.
 */
async function bindPath(router: Router, file: string, wanted: string): Promise<void> {
  const own = unusedName(file);
  const umask = process.umask(0o077);
  try {
    await router.bind(`ipc://${own}`);
  } finally {
    process.umask(umask);
  }
  try {
    for (let attempt = 0; attempt < CLAIMS_MAX; attempt++) {
      if (await claim(own, file)) return;
      if ((await answers(file)) || !(await removeDead(own, file))) break;
    }
  } catch (error) {
    throw unusable(wanted, error);
  } finally {
    await rm(own, { force: true });
  }
  throw inUse(wanted);
}

/** False where there is something. */
async function claim(own: string, file: string): Promise<boolean> {
  try {
    await link(own, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Removes a socket that nobody answers at. Only who holds the lock does: another one could remove what was claimed meanwhile. The lock is a link to the
 * holder's own socket, so that it tells whether its holder lives. False where that one does: it is about to have the path.
 */
async function removeDead(own: string, file: string): Promise<boolean> {
  const lock = `${file}~`;
  if (!(await claim(own, lock))) {
    if (await answers(lock)) return false;
    await rm(lock, { force: true }); // its holder was killed within these lines
    return true;
  }
  try {
    if (await answers(file)) return true;
    const found = await lstat(file).catch(() => undefined);
    if (found?.isSocket() === false) throw new Error(`${file} exists and is no socket`);
    await rm(file, { force: true });
    return true;
  } finally {
    await rm(lock, { force: true });
  }
}

/** Of five characters: the path of a socket has 107 bytes at most, and that of an address may have 103. */
function unusedName(file: string): string {
  return path.join(path.dirname(file), `.${randomBytes(3).toString('base64url')}`);
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

function unusable(wanted: string, cause: unknown): HeadraceError {
  return new HeadraceError('ADDRESS_INVALID', `the address ${wanted} cannot be used: ${messageOf(cause)}`, {
    detail: { address: wanted },
    hint: 'Choose another path in serve.address.',
    cause,
  });
}

function bindError(wanted: string, error: unknown): HeadraceError {
  if (error instanceof HeadraceError) return error;
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
