/** Azurite's blob service in memory, on a free port of 127.0.0.1, gone when it is stopped. */
import { BlobServiceClient, type ContainerClient } from '@azure/storage-blob';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { endProcess, freePort, untilLive } from './server-process.js';

export interface Azurite {
  readonly connectionString: string;
  readonly container: ContainerClient;
  put(name: string, body: Uint8Array): Promise<void>;
  stop(): Promise<void>;
}

export async function startAzurite(): Promise<Azurite> {
  const dir = await mkdtemp(path.join(tmpdir(), 'headrace-azurite-'));
  const port = await freePort();
  const key = randomBytes(32).toString('base64');
  const main = createRequire(import.meta.url).resolve('azurite/dist/src/blob/main.js');
  const flags = ['--blobHost', '127.0.0.1', '--blobPort', String(port), '--silent', '--disableTelemetry'];
  const child = spawn(process.execPath, [main, ...flags, '--skipApiVersionCheck', '--inMemoryPersistence'], {
    env: { ...process.env, AZURITE_ACCOUNTS: `tester:${key}` },
    cwd: dir,
    stdio: 'ignore',
  });
  const stop = async (): Promise<void> => {
    await endProcess(child);
    await rm(dir, { recursive: true, force: true });
  };
  try {
    const endpoint = `http://127.0.0.1:${port}/tester`;
    // without credentials it answers that it wants some, so it is there
    await untilLive(
      endpoint,
      () => child.exitCode,
      (response) => response.status > 0,
    );
    const connectionString = `DefaultEndpointsProtocol=http;AccountName=tester;AccountKey=${key};BlobEndpoint=${endpoint};`;
    const container = BlobServiceClient.fromConnectionString(connectionString).getContainerClient('corpus');
    await container.create();
    return {
      connectionString,
      container,
      put: async (name, body) => {
        await container.getBlockBlobClient(name).uploadData(body);
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
