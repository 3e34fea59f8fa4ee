/** The S3 server of the end-to-end benchmark: versitygw, which leaves more of the machine to loaders, or MinIO. */
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { MINIO_BINARY, startMinio } from '../../test/support/minio.js';
import { startS3Server, type S3Server, type S3ServerCommand } from '../../test/support/s3-server.js';

export type ServerName = 'versitygw' | 'minio';

/** Set by scripts/bench.mjs where there is one. */
const VERSITYGW_BINARY = process.env.HEADRACE_VERSITYGW;

export interface BenchServer extends S3Server {
  /** With its version, where Go is there to tell. */
  readonly title: string;
}

/** `wanted`: that one or none; undefined: MinIO only where there is no versitygw. */
export async function startServer(wanted: string | undefined): Promise<BenchServer> {
  const name = wanted ?? (VERSITYGW_BINARY === undefined ? 'minio' : 'versitygw');
  if (name !== 'versitygw' && name !== 'minio') throw new Error(`--server: ${name} is none of versitygw, minio`);
  const binary = name === 'minio' ? MINIO_BINARY : VERSITYGW_BINARY;
  if (binary === undefined) throw new Error(`there is no ${name}: install it, or Go, with which it is built`);
  const server = name === 'minio' ? await startMinio() : await startVersitygw(binary);
  return { ...server, title: titleOf(name, binary) };
}

/** Its objects are files below a directory, their metadata extended attributes. */
async function startVersitygw(binary: string): Promise<S3Server> {
  const command: S3ServerCommand = {
    name: 'versitygw',
    binary,
    // without keep-alive it closes the connection with each response
    arguments: (dir, port) => [
      ...['--quiet', '--keep-alive', '--health', '/health', '--port', `127.0.0.1:${port}`, '--region', 'us-east-1'],
      ...['posix', dir],
    ],
    env: ({ accessKeyId, secretAccessKey }) => ({ ROOT_ACCESS_KEY: accessKeyId, ROOT_SECRET_KEY: secretAccessKey }),
    livePath: '/health',
  };
  return startS3Server(command).catch((cause: unknown) => {
    const message = `versitygw does not serve ${tmpdir()}, which has to be on a file system with extended attributes: set TMPDIR, or use --server minio`;
    throw new Error(message, { cause });
  });
}

/** Binaries of `go install` do not know their own version, but Go reads it from them. */
function titleOf(name: ServerName, binary: string): string {
  const told = spawnSync('go', ['version', '-m', binary], { encoding: 'utf8' });
  const version = told.status === 0 ? /^\s*mod\s+\S+\s+(\S+)/m.exec(told.stdout)?.[1] : undefined;
  return version === undefined ? name : `${name} ${version}`;
}
