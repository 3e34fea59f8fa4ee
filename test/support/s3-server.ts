/** A real S3 server of a binary, in a temporary directory, on a free port of 127.0.0.1, gone when it is stopped. */
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { endProcess, freePort, untilLive } from './server-process.js';

export interface S3Server {
  readonly endpoint: string;
  readonly bucket: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** For child processes: the standard chain finds these. */
  readonly env: Readonly<Record<string, string>>;
  readonly pid: number;
  put(key: string, body: Uint8Array): Promise<void>;
  stop(): Promise<void>;
}

export interface S3ServerCommand {
  /** Of its temporary directory. */
  readonly name: string;
  readonly binary: string;
  arguments(dir: string, port: number): readonly string[] | Promise<readonly string[]>;
  env(credentials: S3Server['credentials']): Readonly<Record<string, string>>;
  /** A path that it answers with 200 when it is ready. */
  readonly livePath: string;
}

export async function startS3Server({ name, binary, arguments: argumentsOf, env, livePath }: S3ServerCommand): Promise<S3Server> {
  const dir = await mkdtemp(path.join(tmpdir(), `headrace-${name}-`));
  const port = await freePort();
  const credentials = { accessKeyId: `test${randomBytes(6).toString('hex')}`, secretAccessKey: randomBytes(16).toString('hex') };
  const child = spawn(binary, await argumentsOf(dir, port), { env: { ...process.env, ...env(credentials) }, stdio: 'ignore' });
  const endpoint = `http://127.0.0.1:${port}`;
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
  const stop = async (): Promise<void> => {
    client.destroy();
    await endProcess(child);
    await rm(dir, { recursive: true, force: true });
  };
  try {
    await untilLive(`${endpoint}${livePath}`, () => child.exitCode);
    const bucket = 'corpus';
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
    return {
      endpoint,
      bucket,
      credentials,
      env: { AWS_ACCESS_KEY_ID: credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey, AWS_REGION: 'us-east-1' },
      pid: child.pid!,
      put: async (key, body) => {
        await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body }));
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
