/** What the servers of tests have in common: a port, a start that is waited for, an end. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** A server that starts gives no event to wait for: it is asked until it answers, or ends. */
export async function untilLive(
  url: string,
  exitCode: () => number | null,
  isLive = (response: Response): boolean => response.ok,
): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (exitCode() !== null) throw new Error(`the server ended with ${String(exitCode())}`);
    const live = await fetch(url).then(isLive, () => false);
    if (live) return;
    await delay(100);
  }
  throw new Error('the server did not become ready in 20 s');
}

/** Ends a process at once, if it has not ended by itself. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return; // whom the system killed has no exit code, and no event to come
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
