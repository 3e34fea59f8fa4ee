import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connect, type ConnectOptions, type SidecarClient } from '../../src/client/client.js';
import type { Batch } from '../../src/stream/rank-stream.js';
import type { Message } from '../../src/wire/messages.js';
import { cursorOf, FakeSidecar, type FakeSidecarOptions } from '../support/fake-sidecar.js';
import { makeWorkspace, type Workspace } from '../support/workspace.js';

/** The client against a scripted sidecar, as python/tests/test_loader.py has it. */
describe('the Node client', () => {
  let workspace: Workspace;
  let address: string;
  let open: (FakeSidecar | SidecarClient)[];

  beforeEach(async () => {
    workspace = await makeWorkspace();
    address = `ipc://${workspace.path('s.sock')}`;
    open = [];
  });
  afterEach(async () => {
    for (const each of open) each.close();
    await workspace.remove();
  });

  const start = async (options: FakeSidecarOptions = {}): Promise<FakeSidecar> => {
    const sidecar = await FakeSidecar.start(address, options);
    open.push(sidecar);
    return sidecar;
  };
  const client = (options: Partial<ConnectOptions> = {}): SidecarClient => {
    const made = connect({ address, timeoutMs: 5000, ...options });
    open.push(made);
    return made;
  };
  /** Answers nothing to messages of these types. */
  const deafTo =
    (...types: readonly Message['type'][]) =>
    (_: FakeSidecar, message: Message): boolean =>
      types.includes(message.type);

  it('delivers every step in order, asks for no more than it was told to, and then ends, also when asked again', async () => {
    const sidecar = await start();
    const own = client({ prefetch: 3, verify: true });
    const batches = await collect(own);
    expect(batches.map(({ step }) => step)).toEqual(range(0, 20));
    expect([...batches[3].inputIds]).toEqual([3, 4, 7, 0]);
    expect(own.cursor).toEqual(cursorOf(20));
    expect(sidecar.hellos[0].credits).toBe(3);
    expect(sidecar.inFlightMax).toBeLessThanOrEqual(3);
    // the end of the data stays the end
    expect(await own.next()).toBeUndefined();
    expect(await collect(own)).toEqual([]);
  });

  it('gives credits back half of them at a time, and never has the sidecar wait for one', async () => {
    for (const prefetch of [1, 2, 5]) {
      const returned: number[] = [];
      const sidecar = await start({
        script: (_, message) => {
          if (message.type === 'CREDIT') returned.push(message.credits);
          return false;
        },
      });
      const own = client({ prefetch });
      expect((await collect(own)).map(({ step }) => step)).toEqual(range(0, 20));
      const half = Math.max(1, Math.floor(prefetch / 2));
      expect(Math.min(...returned)).toBe(half);
      expect(returned.length).toBeLessThanOrEqual(20 / half);
      own.close();
      sidecar.close();
    }
  });

  it('asks for more while it waits, up to so many bytes', async () => {
    for (const [rows, aheadMax, worldSize] of [
      [1, 64, 8],
      [12_000, 16, 1],
      [12_000, 8, 2],
    ]) {
      const steps = rows === 1 ? 300 : 20;
      let asked = 0;
      const ahead: number[] = [];
      const sidecar = await start({
        steps,
        rows,
        delayMs: 10, // so that the consumer, which does nothing, waits
        script: (_, message) => {
          if (message.type === 'HELLO') asked += message.credits;
          if (message.type === 'CREDIT') ahead.push((asked += message.credits) - message.step);
          return false;
        },
      });
      const own = client({ worldSize });
      expect((await collect(own)).map(({ step }) => step)).toEqual(range(0, steps));
      expect(sidecar.hellos[0].credits).toBe(4);
      expect(Math.max(...ahead)).toBe(aheadMax);
      own.close();
      sidecar.close();
    }
  });

  it('goes on after the sidecar was replaced, and expects the same plan', async () => {
    const first = await start();
    const own = client({ prefetch: 2 });
    const steps = await take(own, 4);
    first.close();
    const second = await start();
    steps.push(...(await collect(own)).map(({ step }) => step));
    expect(steps).toEqual(range(0, 20));
    expect(second.hellos.at(-1)).toMatchObject({ expect: cursorOf(0).plan, incarnation: first.hellos[0].incarnation });
  });

  it('connects again and again while the consumer is busy, and breaks no bound', async () => {
    const sidecar = await start({ steps: 40 });
    const own = client({ prefetch: 2 });
    expect(await take(own, 1)).toEqual([0]);
    for (let i = 0; i < 6; i++) {
      sidecar.forgetSession();
      await delay(300); // longer than a heartbeat: the client finds out
    }
    expect(sidecar.hellos.length).toBeGreaterThanOrEqual(2);
    sidecar.inFlightMax = 0;
    expect((await collect(own)).map(({ step }) => step)).toEqual(range(1, 40));
    expect(sidecar.inFlightMax).toBeLessThanOrEqual(2);
  });

  it('pays back the batch too many that a HELLO with a full queue asks for', async () => {
    const sidecar = await start();
    const own = client({ prefetch: 2 });
    expect(await take(own, 1)).toEqual([0]);
    await delay(50);
    sidecar.forgetSession();
    await expect.poll(() => sidecar.hellos.map(({ credits }) => credits)).toEqual([2, 1]);
    sidecar.received.length = 0;
    expect(await take(own, 1)).toEqual([1]);
    await delay(50);
    expect(sidecar.received).not.toContain('CREDIT');
    expect(await take(own, 1)).toEqual([2]);
    await expect.poll(() => sidecar.received).toContain('CREDIT');
  });

  it('does not take a stream that ends too early for the end of the data', async () => {
    await start({
      script: (sidecar, message) => {
        if (message.type === 'CREDIT') sidecar.send({ type: 'END', session: sidecar.session, step: 20 });
        return message.type === 'CREDIT';
      },
    });
    const own = client({ prefetch: 1 });
    expect(await take(own, 1)).toEqual([0]);
    await expect(own.next()).rejects.toMatchObject({
      code: 'BAD_MESSAGE',
      message: 'the stream ended at step 20 where step 1 was due',
    });
  });

  it('refuses a sidecar that starts elsewhere than asked', async () => {
    await start({
      script: (sidecar, message) => {
        if (message.type === 'HELLO') sidecar.answer({ ...message, cursors: [] });
        return message.type === 'HELLO';
      },
    });
    const own = client({ cursor: cursorOf(5) });
    await expect(own.next()).rejects.toMatchObject({
      code: 'BAD_MESSAGE',
      message: 'the sidecar starts at step 0 where step 5 was due',
    });
  });

  it.each([
    [{ rows: 2 }, 'batches of 2 × 4 came where 1 × 4 was due'],
    [{ lanes: {} }, 'batches came with positions of other lanes or sources than the session has'],
    [
      { lanes: { '0': { code: [2, 0, 0, 0, 8, 0] as const } } },
      'batches came with positions of other lanes or sources than the session has',
    ],
    [{ step: 17 }, 'step 17 came where step 1 was due'],
  ])('refuses a batch with %j', async (over, message) => {
    await start({
      script: (sidecar, asked) => {
        if (asked.type === 'CREDIT') sidecar.sendBatch(1, over);
        return asked.type === 'CREDIT';
      },
    });
    const own = client({ prefetch: 1 });
    expect(await take(own, 1)).toEqual([0]);
    await expect(own.next()).rejects.toMatchObject({ code: 'BAD_MESSAGE', message });
  });

  it.each([[['']], [['XX\x01\x04{}']], [['HR\x01\x05[]']], [['HR\x01\x08{}', 'x']]])('refuses the malformed message %j', async (frames) => {
    await start({
      script: (sidecar, message) => {
        if (message.type === 'HELLO') sidecar.sendRaw(frames.map((frame) => Buffer.from(frame)));
        return message.type === 'HELLO';
      },
    });
    await expect(client().next()).rejects.toMatchObject({ code: 'BAD_MESSAGE' });
  });

  it.each([500, 1500])('says that nobody is there within %d ms, and looks again when called again', async (timeoutMs) => {
    const own = client({ timeoutMs });
    const began = performance.now();
    await expect(own.next()).rejects.toMatchObject({ code: 'SIDECAR_UNREACHABLE', detail: { timeoutMs } });
    expect(performance.now() - began).toBeLessThan(timeoutMs + 500);
    await start();
    expect((await collect(own)).map(({ step }) => step)).toEqual(range(0, 20));
  });

  it('goes on where it was after the sidecar was away for too long', async () => {
    const first = await start();
    const own = client({ prefetch: 1, timeoutMs: 800 });
    const steps = await take(own, 3);
    first.close();
    await expect(
      (async () => {
        for (;;) steps.push(...(await take(own, 1)));
      })(),
    ).rejects.toMatchObject({ code: 'SIDECAR_UNREACHABLE' });
    const second = await start();
    steps.push(...(await collect(own)).map(({ step }) => step));
    expect(steps).toEqual(range(0, 20));
    expect(second.hellos.at(-1)).toMatchObject({ expect: cursorOf(0).plan, incarnation: first.hellos[0].incarnation });
  });

  it('says of a sidecar that is there and slow that it is a timeout, after which waiting goes on', async () => {
    let silent = true;
    let held: Message | undefined;
    await start({
      script: (sidecar, message) => {
        if (message.type === 'CREDIT' && silent) {
          held = message;
          return true;
        }
        if (held !== undefined && !silent) sidecar.answer(held);
        held = silent ? held : undefined;
        return false;
      },
    });
    const own = client({ prefetch: 1, timeoutMs: 700 });
    expect(await take(own, 1)).toEqual([0]);
    await expect(own.next()).rejects.toMatchObject({ code: 'TIMEOUT' });
    silent = false;
    expect((await collect(own)).map(({ step }) => step)).toEqual(range(1, 20));
  });

  it('does not blame a sidecar for the time in which its own process stood still', async () => {
    let blocked = 0;
    await start({
      script: (sidecar, message) => {
        if (message.type !== 'CREDIT' || blocked++ > 0) return false;
        sidecar.answer(message);
        void sidecar.sent.then(() => {
          for (const until = performance.now() + 700; performance.now() < until;);
        });
        return true;
      },
    });
    const own = client({ prefetch: 1, timeoutMs: 300 });
    expect((await collect(own)).map(({ step }) => step)).toEqual(range(0, 20));
    expect(blocked).toBeGreaterThan(1);
  });

  it('looks for the sidecar before it gives it up, when its own process stood still', async () => {
    await start();
    const own = client({ prefetch: 1, timeoutMs: 300 });
    expect(await take(own, 1)).toEqual([0]);
    await delay(50); // the next batch is there: nothing is on its way
    for (const until = performance.now() + 1000; performance.now() < until;);
    await delay(50);
    expect((await collect(own)).map(({ step }) => step)).toEqual(range(1, 20));
  });

  it('asks for a sign of life as often as the sidecar says', async () => {
    const sidecar = await start({ heartbeatMs: 50 });
    const own = client({ prefetch: 1 });
    await own.next();
    await delay(600);
    expect(sidecar.received.filter((type) => type === 'PING').length).toBeGreaterThan(4);
  });

  it('ends the wait for a batch with ABORTED when it is closed, and so every later one', async () => {
    await start({ script: deafTo('CREDIT') });
    const own = client({ prefetch: 1 });
    await own.next();
    const waiting = [own.next(), own.next()];
    setTimeout(() => own.close(), 100);
    for (const wait of waiting) await expect(wait).rejects.toMatchObject({ code: 'ABORTED' });
    own.close();
    await expect(own.next()).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(collect(own)).rejects.toMatchObject({ code: 'ABORTED' });
    expect(own.cursor).toEqual(cursorOf(1));
  });

  it('is closed before it was used: no sidecar hears of it', async () => {
    const sidecar = await start();
    const own = client();
    own.close();
    await expect(own.next()).rejects.toMatchObject({ code: 'ABORTED' });
    await delay(100);
    expect(sidecar.received).toEqual([]);
  });

  it('ends a loop that is left while a batch is awaited at once, without an error', async () => {
    await start({ script: deafTo('CREDIT') });
    const batches = client({ prefetch: 1 })[Symbol.asyncIterator]();
    expect((await batches.next()).done).toBe(false);
    const waiting = batches.next();
    await delay(50);
    expect(await batches.return?.()).toEqual({ done: true, value: undefined });
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(await batches.next()).toEqual({ done: true, value: undefined });
  });

  it('says BYE when a loop is left, and lets the process end', async () => {
    const sidecar = await start();
    for await (const batch of client()) if (batch.step === 2) break;
    await expect.poll(() => sidecar.received).toContain('BYE');
  });

  it('ends its wait for room when it is closed', async () => {
    const sidecar = await start();
    const own = client({ prefetch: 1 });
    await own.next();
    for (let i = 0; i < 4; i++) {
      sidecar.forgetSession();
      await delay(250);
    }
    own.close();
    await expect(own.next()).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it.each(['FENCED', 'CONFIG_MISMATCH', 'BAD_ROW'])('raises what the sidecar says: %s, as often as it is asked', async (code) => {
    await start({
      script: (sidecar, { type }) => {
        if (type === 'HELLO')
          sidecar.send({ type: 'ERROR', session: 0, code, message: 'no — ü', hint: 'do this', detail: { field: 'seed' } });
        return type === 'HELLO';
      },
    });
    const own = client();
    const expected = { code, message: 'no — ü', hint: 'do this', detail: { field: 'seed' } };
    await expect(own.next()).rejects.toMatchObject(expected);
    await expect(own.next()).rejects.toMatchObject(expected);
  });

  it('finds a damaged batch when it is told to verify, and asks for it again', async () => {
    const sidecar = await start();
    sidecar.damagedStep = 7;
    const own = client({ verify: true });
    expect(await take(own, 7)).toEqual(range(0, 7));
    await expect(own.next()).rejects.toMatchObject({ code: 'DIGEST_MISMATCH', detail: { step: 7 } });
    sidecar.damagedStep = undefined;
    expect((await collect(own)).map(({ step }) => step)).toEqual(range(7, 20));
  });

  it('reports a failure of its own as INTERNAL', async () => {
    await start();
    const own = client({ expect: { seed: 1n as unknown as number } });
    await expect(own.next()).rejects.toMatchObject({ code: 'INTERNAL', cause: expect.any(TypeError) });
  });

  it.each([
    [{ prefetch: 0 }, 'CONFIG_INVALID'],
    [{ prefetch: 65 }, 'CONFIG_INVALID'],
    [{ rank: 1.5 }, 'CONFIG_INVALID'],
    [{ worldSize: Number.NaN }, 'CONFIG_INVALID'],
    [{ timeoutMs: 0 }, 'CONFIG_INVALID'],
    [{ timeoutMs: Number.NaN }, 'CONFIG_INVALID'],
    [{ timeoutMs: Infinity }, 'CONFIG_INVALID'],
    [{ address: 'localhost:7070' }, 'ADDRESS_INVALID'],
    [{ address: 'tcp://127.0.0.1:*' }, 'ADDRESS_INVALID'],
    [{ address: 'tcp://127.0.0.1:0' }, 'ADDRESS_INVALID'],
  ])('refuses %j with %s', (options, code) => {
    expect(() => client(options)).toThrow(expect.objectContaining({ code }));
  });
});

async function collect(batches: AsyncIterable<Batch>): Promise<Batch[]> {
  const all: Batch[] = [];
  for await (const batch of batches) all.push(batch);
  return all;
}

async function take(client: SidecarClient, count: number): Promise<number[]> {
  const steps: number[] = [];
  while (steps.length < count) steps.push((await client.next())!.step);
  return steps;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}
