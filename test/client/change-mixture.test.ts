import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { changeMixture } from '../../src/index.js';

describe('a change of weights', () => {
  it.each([
    { what: 'a weight', at: { step: 10 }, weights: { web: Infinity }, named: /^the weight of web is Infinity/ },
    {
      what: 'a weight of a source that is called as an option',
      at: { step: 10 },
      weights: { ramp: 1 },
      ramp: Infinity,
      named: /^ramp is Infinity/,
    },
    { what: 'a step', at: { step: Number.NaN }, weights: { web: 1 }, named: /^step is NaN/ },
    { what: 'a ramp', at: { after: 1 }, weights: { web: 1 }, ramp: Infinity, named: /^ramp is Infinity/ },
  ])('is refused before it is sent where $what is no finite number', async ({ at, weights, ramp = 0, named }) => {
    const change = changeMixture({ address: 'ipc:///nobody/listens/here', at, weights, ramp, timeoutMs: 100 });
    await expect(change).rejects.toMatchObject({ code: 'MIXTURE_REFUSED', message: expect.stringMatching(named) as string });
  });

  // the longest wait is beyond the test's own: it is not waited for
  it('says at once where nobody listens, and that nothing was asked', async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'headrace-mix-'));
    const ask = (address: string): Promise<unknown> =>
      changeMixture({ address, at: { after: 1 }, weights: { web: 1 }, timeoutMs: 3_600_000 });
    const unreachable = (message: RegExp): unknown =>
      expect.objectContaining({
        code: 'SIDECAR_UNREACHABLE',
        message: expect.stringMatching(message) as string,
        hint: expect.stringMatching(/Nothing was asked of it/) as string,
      });
    try {
      await expect(ask(`ipc://${path.join(dir, 'none.sock')}`)).rejects.toEqual(unreachable(/no sidecar listens at ipc:.*ENOENT/));
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as { port: number };
      server.close();
      await once(server, 'close');
      await expect(ask(`tcp://127.0.0.1:${port}`)).rejects.toEqual(unreachable(/no sidecar listens at tcp:.*ECONNREFUSED/));
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
