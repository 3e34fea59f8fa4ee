import { once } from 'node:events';
import { link, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bindSocket, type ServingSocket } from '../../sidecar/serve/socket.js';

async function answers(file: string): Promise<boolean> {
  const socket = connect(file);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

describe('a path that several sidecars want', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-test-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const wanted = (): string => `ipc://${path.join(dir, 's.sock')}`;
  const leaveDead = async (): Promise<void> => {
    const socket = await bindSocket(wanted());
    await link(path.join(dir, 's.sock'), path.join(dir, 'kept'));
    await socket.close();
    await rename(path.join(dir, 'kept'), path.join(dir, 's.sock'));
    // ZeroMQ closes it in a thread of its own
    await expect.poll(() => answers(path.join(dir, 's.sock'))).toBe(false);
  };

  it.each(['nothing', 'a socket whose process is gone'])('is that of one of them, where there was %s', async (before) => {
    for (let round = 0; round < 10; round++) {
      if (before !== 'nothing') await leaveDead();
      const bound = await Promise.allSettled(Array.from({ length: 6 }, () => bindSocket(wanted())));
      const won = bound.flatMap((result): ServingSocket[] => (result.status === 'fulfilled' ? [result.value] : []));
      const refused = bound.flatMap((result) => (result.status === 'rejected' ? [(result.reason as { code: string }).code] : []));
      await Promise.all(won.map((socket) => socket.close()));
      expect([won.length, new Set(refused)]).toEqual([1, new Set(['ADDRESS_IN_USE'])]);
      expect(await readdir(dir)).toEqual([]);
    }
  });

  it('is left alone where it is no socket', async () => {
    await writeFile(path.join(dir, 's.sock'), 'mine');
    await expect(bindSocket(wanted())).rejects.toMatchObject({ code: 'ADDRESS_INVALID', message: expect.stringContaining('is no socket') });
    expect(await readdir(dir)).toEqual(['s.sock']);
  });
});
