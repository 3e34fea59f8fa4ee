/** A fake-gcs-server in memory, on a free port of 127.0.0.1, gone when it is stopped. */
import { spawn } from 'node:child_process';
import { endProcess, freePort, untilLive } from './server-process.js';

export interface FakeGcs {
  readonly endpoint: string;
  readonly bucket: string;
  put(name: string, body: Uint8Array): Promise<void>;
  stop(): Promise<void>;
}

/** Set by scripts/test.mjs, as HEADRACE_MINIO is. */
export const FAKE_GCS_BINARY = process.env.HEADRACE_FAKE_GCS;

export async function startFakeGcs(): Promise<FakeGcs> {
  if (FAKE_GCS_BINARY === undefined) throw new Error('HEADRACE_FAKE_GCS is not set');
  const address = `127.0.0.1:${await freePort()}`;
  const [host, port] = address.split(':');
  const flags = ['-scheme', 'http', '-host', host, '-port', port, '-backend', 'memory', '-public-host', address, '-data', ''];
  const child = spawn(FAKE_GCS_BINARY, flags, { stdio: 'ignore' });
  const endpoint = `http://${address}`;
  const stop = (): Promise<void> => endProcess(child);
  const post = async (url: string, body: string | Uint8Array<ArrayBuffer>, type: string): Promise<void> => {
    const response = await fetch(url, { method: 'POST', body, headers: { 'content-type': type } });
    if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
    await response.arrayBuffer();
  };
  try {
    await untilLive(`${endpoint}/storage/v1/b`, () => child.exitCode);
    const bucket = 'corpus';
    await post(`${endpoint}/storage/v1/b`, JSON.stringify({ name: bucket }), 'application/json');
    return {
      endpoint,
      bucket,
      put: (name, body) =>
        post(
          `${endpoint}/upload/storage/v1/b/${bucket}/o?uploadType=media&name=${encodeURIComponent(name)}`,
          Uint8Array.from(body),
          'application/octet-stream',
        ),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
