/** A real MinIO server, gone when it is stopped. */
import { startS3Server, type S3Server } from './s3-server.js';
import { freePort } from './server-process.js';

export type Minio = S3Server;

/** Set by scripts/test.mjs; without it the suites that need a server say that they are skipped. In CI that is an error, which the script raises. */
export const MINIO_BINARY = process.env.HEADRACE_MINIO;

export async function startMinio(): Promise<Minio> {
  if (MINIO_BINARY === undefined) throw new Error('HEADRACE_MINIO is not set');
  return startS3Server({
    name: 'minio',
    binary: MINIO_BINARY,
    arguments: async (dir, port) => {
      const consolePort = await freePort();
      return ['server', dir, '--quiet', '--address', `127.0.0.1:${port}`, '--console-address', `127.0.0.1:${consolePort}`];
    },
    env: ({ accessKeyId, secretAccessKey }) => ({
      MINIO_ROOT_USER: accessKeyId,
      MINIO_ROOT_PASSWORD: secretAccessKey,
      MINIO_UPDATE: 'off',
    }),
    livePath: '/minio/health/live',
  });
}
