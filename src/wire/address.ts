/** Addresses of sidecars: `ipc://PATH` and `tcp://HOST:PORT`, and where a configuration's sidecar is when nobody says. */
import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import path from 'node:path';
import { HeadraceError } from '../core/errors.js';

/** A Unix socket's path has 104 bytes on macOS and 108 on Linux, the final NUL included. */
const SOCKET_PATH_BYTES_MAX = 103;

export type Address =
  { readonly transport: 'ipc'; readonly path: string } | { readonly transport: 'tcp'; readonly host: string; readonly port: string };

/** Errors: `ADDRESS_INVALID`. */
export function parseAddress(address: string): Address {
  const ipc = /^ipc:\/\/(.+)$/.exec(address);
  if (ipc !== null) {
    const bytes = Buffer.byteLength(ipc[1]);
    if (bytes <= SOCKET_PATH_BYTES_MAX) return { transport: 'ipc', path: ipc[1] };
    throw invalid(
      address,
      `its path has ${bytes} bytes, and a socket's may have ${SOCKET_PATH_BYTES_MAX}`,
      'Choose a shorter path, such as one in /tmp.',
    );
  }
  const tcp = /^tcp:\/\/(\[[^\]]+\]|[^:]+):(\d+|\*)$/.exec(address);
  if (tcp === null)
    throw invalid(address, 'it is neither ipc://PATH nor tcp://HOST:PORT', 'For example ipc:///tmp/headrace.sock or tcp://127.0.0.1:7070.');
  const host = tcp[1];
  if (!isLoopback(host)) {
    throw invalid(
      address,
      'it can be reached from other machines, and the connection is neither encrypted nor authenticated',
      'Use a loopback address, or ipc.',
    );
  }
  return { transport: 'tcp', host, port: tcp[2] };
}

/** The private directory of this user's sockets. The Python client computes the same. */
export function socketDirectory(): string {
  const runtime = process.env.XDG_RUNTIME_DIR;
  if (runtime !== undefined && runtime !== '') return path.join(runtime, 'headrace');
  return path.join(tmpdir(), `headrace-${userInfo().uid}`);
}

/** The address of a configuration file that names none: from its real path, so that every trainer beside it finds the same. */
export function defaultAddress(configFile: string): string {
  const name = createHash('sha256').update(realpathSync(configFile)).digest('hex').slice(0, 16);
  return `ipc://${path.join(socketDirectory(), `${name}.sock`)}`;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);
}

function invalid(address: string, problem: string, hint: string): HeadraceError {
  return new HeadraceError('ADDRESS_INVALID', `the address ${address} cannot be used: ${problem}`, { detail: { address }, hint });
}
