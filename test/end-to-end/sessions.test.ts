import { connect, openPipeline, type Batch, type ConfigInput } from 'headrace';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from 'vitest';
import { Dealer } from 'zeromq';
import fc from 'fast-check';
import { encodeHeader, decodeMessage } from '../../src/wire/messages.js';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { expectEqual } from '../support/equal.js';
import { freePort } from '../support/server-process.js';
import { writeShards } from '../../examples/corpus/parquet.js';
import { startSidecar, type SidecarProcess } from '../support/sidecar.js';
import { digestsOf, take } from '../support/streams.js';
import { makeWorkspace, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

/** FAULTS 22 to 26, 46, 50: what trainers and sidecars do to each other. */
describe('sessions', () => {
  let workspace: Workspace;
  let sidecar: SidecarProcess;
  let isRunning = false;
  /** By tests that leave nothing behind: the next one goes on with the same sidecar. */
  let isShared = false;
  let file: string;
  let metrics: string;
  let address: string;
  let reference: string[];

  const config = (metricsPort: number): ConfigInput => ({
    sources: { prose: { uri: workspace.path('data/') } },
    tokenizer: { file: TOKENIZER_FILE },
    sequence: { length: 64 },
    shuffle: { windowBytes: '64KiB' },
    batch: { size: 4 },
    epochs: 1,
    cache: { dir: workspace.path('cache') },
    serve: { metrics: `127.0.0.1:${metricsPort}`, lease: '2s', grace: '3s' },
  });

  beforeAll(async () => {
    workspace = await makeWorkspace();
    await writeShards(workspace.path('data'), sampleDocuments(120), 4, 10);
    const port = await freePort();
    metrics = `http://127.0.0.1:${port}`;
    file = await workspace.config('headrace.yaml', config(port));
    address = `ipc://${workspace.path('s.sock')}`;
    const pipeline = await openPipeline(file);
    reference = digestsOf(await take(pipeline.batches()));
    await pipeline.close();
  });
  afterAll(() => workspace.remove());
  beforeEach(async () => {
    if (!isRunning) sidecar = await startSidecar(file, { address });
    isRunning = true;
  });
  afterEach(() => (isShared ? undefined : end()));

  async function end(): Promise<void> {
    isRunning = false;
    await sidecar.end('SIGKILL');
  }

  it('answer on /healthz, /readyz and /metrics, and count what was sent', async () => {
    const batches = await take(connect({ address }));
    expect(digestsOf(batches)).toEqual(reference);
    expect((await fetch(`${metrics}/healthz`)).status).toBe(200);
    expect((await fetch(`${metrics}/readyz`)).status).toBe(200);
    expect((await fetch(`${metrics}/else`)).status).toBe(404);
    const text = await (await fetch(`${metrics}/metrics`)).text();
    const value = (name: string): number => Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1]);
    expect(value('headrace_batches_total')).toBe(batches.length);
    expect(value('headrace_tokens_total')).toBe(batches.reduce((sum, batch) => sum + batch.tokens, 0));
    expect(value('headrace_store_read_bytes_total')).toBeGreaterThan(10_000);
    for (const cause of ['store', 'decode', 'tokenize', 'pack', 'client'])
      expect(text).toContain(`headrace_wait_seconds_total{cause="${cause}"}`);
  });

  it('what a trainer waited is told by rank, and by cause, which sum up to it', async () => {
    const prefetch = 2;
    const client = connect({ address, consumer: 'waits', prefetch });
    let waitedMs = 0;
    let count = 0;
    for (;;) {
      const sinceMs = performance.now();
      const batch = await client.next();
      if (batch === undefined) break;
      waitedMs += performance.now() - sinceMs;
      count++;
    }
    let text = '';
    const told = async (): Promise<number> => {
      text = await (await fetch(`${metrics}/metrics`)).text();
      return Number(/^headrace_trainer_wait_seconds_count\{rank="0"\} (.*)$/m.exec(text)?.[1]);
    };
    // what was there when the stream ended was not waited for, and is not told
    await expect.poll(told).toBeGreaterThanOrEqual(count - prefetch);
    expect(await told()).toBeLessThanOrEqual(count);
    const sum = Number(/^headrace_trainer_wait_seconds_sum\{rank="0"\} (.*)$/m.exec(text)?.[1]);
    const causes = [...text.matchAll(/^headrace_stall_seconds_total\{cause="(\w+)"\} (.*)$/gm)];
    expect(causes.map(([, cause]) => cause)).toEqual(['store', 'decode', 'tokenize', 'pack', 'other', 'transport']);
    expect(causes.reduce((total, [, , seconds]) => total + Number(seconds), 0)).toBeCloseTo(sum, 6);
    // the first batch alone is waited for; what the client's own promises take is not told
    expect(sum).toBeGreaterThan(0);
    expect(sum).toBeLessThanOrEqual(waitedMs / 1000);
  });

  it('a paused sidecar gives the trainer a timeout, and goes on where it was', async () => {
    // the first batch may take longer, on a busy machine
    await take(connect({ address, consumer: 'before' }), 1);
    const client = connect({ address, timeoutMs: 1500, prefetch: 1 });
    const first = await client.next();
    sidecar.child.kill('SIGSTOP');
    const received = [first!.digest];
    await expect(
      (async () => {
        for (let i = 0; i < 10; i++) received.push((await client.next())!.digest);
      })(),
    ).rejects.toMatchObject({ code: expect.stringMatching(/TIMEOUT|SIDECAR_UNREACHABLE/) });
    sidecar.child.kill('SIGCONT');
    client.close();
    const rest = await take(connect({ address, cursor: client.cursor! }));
    expect([...received, ...digestsOf(rest)]).toEqual(reference);
  });

  it('a trainer that falls silent loses its lease', async () => {
    const raw = new Dealer({ linger: 0, receiveTimeout: 3000 });
    raw.connect(address);
    await raw.send(helloOf(5));
    expect(decodeMessage(await raw.receive()).message.type).toBe('WELCOME');
    const metricsText = async (): Promise<string> => (await fetch(`${metrics}/metrics`)).text();
    await expect.poll(metricsText, { timeout: 6000 }).toMatch(/^headrace_leases_expired_total 1$/m);
    raw.close(); // not before: a closed socket ends the session for another reason
  });

  it('a trainer keeps its lease while the sidecar is stopped', async () => {
    const client = connect({ address, prefetch: 1 });
    await client.next();
    await delay(300);
    sidecar.child.kill('SIGSTOP');
    await delay(2600);
    sidecar.child.kill('SIGCONT');
    await delay(1000);
    expect(await (await fetch(`${metrics}/metrics`)).text()).toMatch(/^headrace_leases_expired_total 0$/m);
    client.close();
  });

  it('a slow trainer gets no more than it asked for', async () => {
    const client = connect({ address, prefetch: 2 });
    await client.next();
    await delay(500);
    // one taken, whose credit came back: at most three were ever sent
    expect(await (await fetch(`${metrics}/metrics`)).text()).toMatch(/^headrace_batches_total [23]$/m);
    client.close();
  });

  it('malformed messages are answered and counted, and disturb nobody', async () => {
    const raw = new Dealer({ linger: 0, receiveTimeout: 2000 });
    raw.connect(address);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 60 }), { minLength: 1, maxLength: 3 }), async (frames) => {
        await raw.send(frames.map((frame) => Buffer.from(frame)));
        const { message } = decodeMessage(await raw.receive());
        expect(message).toMatchObject({ type: 'ERROR', code: 'BAD_MESSAGE' });
      }),
      { numRuns: 200 },
    );
    raw.close();
    expect(digestsOf(await take(connect({ address })))).toEqual(reference);
  });

  describe('at a sidecar that others were at before', () => {
    beforeAll(() => {
      isShared = true;
    });
    afterAll(() => {
      isShared = false;
      return end();
    });

    it('a second trainer of the same rank takes over, and the first one is told', async () => {
      const first = connect({ address, prefetch: 1 });
      await first.next();
      const second = connect({ address });
      const taken = await take(second);
      expect(digestsOf(taken)).toEqual(reference);
      await expect(
        (async () => {
          while ((await first.next()) !== undefined);
        })(),
      ).rejects.toMatchObject({ code: 'FENCED' });
    });

    it('an older incarnation that comes back is refused', async () => {
      const current = connect({ address, prefetch: 1 });
      await current.next();
      const reply = await sayHello({ incarnation: 1000 });
      expect(reply).toMatchObject({ type: 'ERROR', code: 'STALE_CLIENT' });
      expect((await current.next())?.step).toBe(1);
      current.close();
    });

    it('consumers of one rank with different names get the same batches', async () => {
      const [a, b] = await Promise.all(['tp0', 'tp1'].map((consumer) => take(connect({ address, consumer }))));
      expectEqual(a, b);
      expect(digestsOf(a)).toEqual(reference);
    });

    it.each([
      [{ worldSize: 3 }, 'WORLD_SIZE'],
      [{ rank: 2, worldSize: 2 }, 'WORLD_SIZE'],
      [{ expect: { 'sequence.length': 2048 } }, 'CONFIG_MISMATCH'],
    ])('a trainer that asks for %j is refused with %s', async (request, code) => {
      await expect(connect({ address, ...request }).next()).rejects.toMatchObject({ code });
    });
  });

  it('SIGTERM ends an idle sidecar at once, and a busy one when its trainers have left', async () => {
    const idle = Date.now();
    expect(await sidecar.end('SIGTERM')).toBe(0);
    expect(Date.now() - idle).toBeLessThan(2500);
    sidecar = await startSidecar(file, { address });
    const client = connect({ address, prefetch: 1 });
    await client.next();
    const ended = sidecar.end('SIGTERM');
    await delay(200);
    await expect(connect({ address, rank: 1, worldSize: 2, timeoutMs: 500 }).next()).rejects.toMatchObject({
      code: expect.stringMatching(/TIMEOUT|SIDECAR_UNREACHABLE/),
    });
    // the connected one is served to its end
    let last: Batch | undefined;
    for (let batch = await client.next(); batch !== undefined; batch = await client.next()) last = batch;
    expect(last?.step).toBe(reference.length - 1);
    expect(await ended).toBe(0);
  });

  it('SIGTERM does not wait for a trainer that is dead or silent, and does for one that is only slow', async () => {
    await sidecar.end('SIGKILL');
    const patient = await workspace.config('patient.yaml', { ...config(await freePort()), serve: {} });
    for (const isDead of [true, false]) {
      sidecar = await startSidecar(patient, { address });
      const raw = new Dealer({ linger: 0, receiveTimeout: 3000 });
      raw.connect(address);
      await raw.send(helloOf(5));
      expect(decodeMessage(await raw.receive()).message.type).toBe('WELCOME');
      expect(decodeMessage(await raw.receive()).message.type).toBe('BATCHES');
      if (isDead) raw.close();
      const slow = connect({ address, consumer: 'slow', prefetch: 1 });
      const steps = [(await slow.next())!.step];
      const ended = sidecar.end('SIGTERM');
      await delay(isDead ? 4500 : 0);
      expect(sidecar.child.exitCode).toBeNull();
      const began = Date.now();
      for (let batch = await slow.next(); batch !== undefined; batch = await slow.next()) steps.push(batch.step);
      expect(steps).toEqual(reference.map((_, step) => step));
      expect(await ended).toBe(0);
      expect(Date.now() - began).toBeLessThan(6000);
      raw.close();
    }
  });

  it('SIGTERM does not wait for the session of a trainer that came back and was refused', async () => {
    const raw = new Dealer({ linger: 0, receiveTimeout: 3000 });
    raw.connect(address);
    await raw.send(helloOf(5));
    expect(decodeMessage(await raw.receive()).message.type).toBe('WELCOME');
    expect(decodeMessage(await raw.receive()).message.type).toBe('BATCHES');
    const began = Date.now();
    const ended = sidecar.end('SIGTERM');
    await delay(100);
    await raw.send(helloOf(5));
    expect(decodeMessage(await raw.receive()).message).toMatchObject({ type: 'ERROR', code: 'DRAINING' });
    expect(await ended).toBe(0);
    expect(Date.now() - began).toBeLessThan(1500);
    raw.close();
  });

  async function sayHello({ incarnation }: { incarnation: number }): Promise<{ type: string }> {
    const raw = new Dealer({ linger: 0, receiveTimeout: 3000 });
    raw.connect(address);
    await raw.send(helloOf(incarnation));
    const { message } = decodeMessage(await raw.receive());
    raw.close();
    return message;
  }
});

function helloOf(incarnation: number): Buffer {
  return encodeHeader({
    type: 'HELLO',
    client: 'test',
    consumer: 'default',
    rank: 0,
    worldSize: 1,
    credits: 1,
    expect: {},
    cursors: [],
    incarnation,
  });
}
