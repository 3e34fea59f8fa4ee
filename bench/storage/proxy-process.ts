/** The proxy of the storage benchmark, in a process of its own: what it costs shall not be the client's. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { startHttpProxy, type ProxyOptions } from '../../test/support/http-proxy.js';

export interface ProxyCounts {
  readonly requests: number;
  /** Those for a range. */
  readonly ranges: number;
  /** Of bodies. */
  readonly bytes: number;
}

export interface ProxyProcess {
  readonly endpoint: string;
  /** Since the last call. */
  counts(): Promise<ProxyCounts>;
  stop(): Promise<void>;
}

export async function forkProxy(target: string, options: ProxyOptions): Promise<ProxyProcess> {
  const child = fork(fileURLToPath(import.meta.url), ['serve', target, JSON.stringify(options)]);
  const [endpoint] = (await once(child, 'message')) as [string];
  return {
    endpoint,
    counts: async () => {
      const answer = once(child, 'message');
      child.send('counts');
      const [counts] = (await answer) as [ProxyCounts];
      return counts;
    },
    stop: async () => {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
  };
}

async function serve(target: string, options: ProxyOptions): Promise<void> {
  const { endpoint, requests } = await startHttpProxy(target, options);
  process.on('message', () => {
    const all = requests.splice(0);
    const counts: ProxyCounts = {
      requests: all.length,
      ranges: all.filter(({ range }) => range !== undefined).length,
      bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
    };
    process.send?.(counts);
  });
  process.on('disconnect', () => process.exit()); // the benchmark has ended, however it did
  process.send?.(endpoint);
}

const [, script, mode, target, options] = process.argv;
if (mode === 'serve' && script === fileURLToPath(import.meta.url)) await serve(target, JSON.parse(options) as ProxyOptions);
