import fc from 'fast-check';
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PlanRecord } from '../../src/plan/cursor.js';
import { RUN_LIMITS } from '../../src/run/limits.js';
import { openMixtureLog, type SharedMixtureLog } from '../../src/run/mixture-log.js';
import { MixtureTimeline } from '../../src/stream/mixture-timeline.js';

const PLAN: PlanRecord = { seed: 1 };
const SOURCES = { names: ['code', 'web'], weights: [1, 1], scheduled: [], mayBeWeightless: true };

describe('the run directory', () => {
  let dir: string;
  let logs: SharedMixtureLog[];

  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-run-'));
    logs = [];
  });
  afterEach(async () => {
    await Promise.all(logs.map((log) => log.close()));
    await rm(dir, { recursive: true, force: true });
  });

  const open = async (plan: PlanRecord = PLAN, below = ''): Promise<SharedMixtureLog> => {
    const log = await openMixtureLog({ ...SOURCES, dir: path.join(dir, below), plan });
    logs.push(log);
    return log;
  };

  it('gives every sidecar the same changes, before the first step that they touch', async () => {
    const [a, b] = [await open(), await open()];
    await a.through(10);
    const change = await b.propose({ at: { after: 0 }, weights: { web: 3 }, ramp: 5 });
    expect(change).toEqual({ at: 10 + RUN_LIMITS.claimSteps, weights: { web: 3 }, ramp: 5 });
    expect(await a.through(change.at)).toEqual([change]);
    expect(await b.through(change.at)).toEqual([change]);
    expect(await (await open()).through(0), 'a sidecar that starts later').toEqual([change]);
  });

  it('refuses a step that another may have made, and says who', async () => {
    const [a, b] = [await open(), await open()];
    await a.through(100);
    await expect(b.propose({ at: { step: 120 }, weights: { web: 3 }, ramp: 0 })).rejects.toMatchObject({
      code: 'MIXTURE_REFUSED',
      detail: { step: 120, stepsEnd: 100 + RUN_LIMITS.claimSteps, pid: process.pid },
    });
    expect(await a.through(1000)).toEqual([]);
  });

  it('leaves no source without a weight where that could end a lane', async () => {
    const own = await openMixtureLog({ ...SOURCES, dir, plan: PLAN, mayBeWeightless: false });
    try {
      await expect(own.propose({ at: { after: 0 }, weights: { web: 0 }, ramp: 0 })).rejects.toMatchObject({
        code: 'MIXTURE_REFUSED',
        detail: { source: 'web' },
      });
      await expect(own.propose({ at: { after: 0 }, weights: { web: 0.1 }, ramp: 0 })).resolves.toMatchObject({ weights: { web: 0.1 } });
    } finally {
      await own.close();
    }
  });

  it('refuses unknown sources and weights that are all 0', async () => {
    const log = await open();
    await expect(log.propose({ at: { after: 0 }, weights: { wb: 1 }, ramp: 0 })).rejects.toMatchObject({ code: 'MIXTURE_REFUSED' });
    await expect(log.propose({ at: { after: 0 }, weights: { web: 0, code: 0 }, ramp: 0 })).rejects.toThrow(/weight above 0/);
    await log.propose({ at: { after: 0 }, weights: { web: 0 }, ramp: 0 });
    await expect(log.propose({ at: { after: 0 }, weights: { code: 0 }, ramp: 0 })).rejects.toThrow(/weight above 0/);
  });

  it('a change whose proposer died before it decided is void for everybody, once a sidecar needs its step', async () => {
    const log = await open();
    await writeFile(path.join(dir, 'changes', '000001.json'), JSON.stringify({ at: 5, weights: { web: 9 }, ramp: 0 }));
    expect(await log.through(0)).toEqual([]);
    expect(await readdir(path.join(dir, 'changes'))).toContain('000001.decision');
    expect(await (await open()).through(10)).toEqual([]);
    const change = await log.propose({ at: { after: 3 }, weights: { web: 2 }, ramp: 0 });
    expect(await log.through(change.at)).toEqual([change]);
  });

  it('a sidecar that has not renewed its claim stands in no way', async () => {
    const log = await open();
    const claims = path.join(dir, 'claims');
    await writeFile(path.join(claims, 'dead.json'), JSON.stringify({ stepsEnd: 9000, host: 'h', pid: 1 }));
    await expect(log.propose({ at: { step: 100 }, weights: { web: 2 }, ramp: 0 })).rejects.toMatchObject({ code: 'MIXTURE_REFUSED' });
    const longAgo = new Date(Date.now() - 2 * RUN_LIMITS.claimLeaseMs);
    await utimes(path.join(claims, 'dead.json'), longAgo, longAgo);
    expect(await log.propose({ at: { step: 100 }, weights: { web: 2 }, ramp: 0 })).toMatchObject({ at: 100 });
  });

  it('a stream that has made the step of a change without it fails, and does not go on with another order', async () => {
    const log = await open();
    const timeline = new MixtureTimeline({ ...SOURCES, taken: [], log }, 0);
    expect(await timeline.weightsOf(0)).toEqual([1, 1]);
    // as after a pause in which its claim was taken for dead
    await writeFile(path.join(dir, 'changes', '000001.json'), JSON.stringify({ at: 3, weights: { web: 9 }, ramp: 0 }));
    await writeFile(path.join(dir, 'changes', '000001.decision'), 'commit');
    await expect(timeline.weightsOf(RUN_LIMITS.claimSteps)).rejects.toMatchObject({
      code: 'CURSOR_MISMATCH',
      detail: { field: 'mixture' },
    });
  });

  it('a cursor goes on where the directory agrees with it, in a new directory too, and nowhere else', async () => {
    const log = await open();
    const change = await log.propose({ at: { step: 10 }, weights: { web: 3 }, ramp: 0 });
    const go = (taken: readonly (typeof change)[], of: SharedMixtureLog, step: number): Promise<readonly number[]> =>
      new MixtureTimeline({ ...SOURCES, taken, log: of }, step).weightsOf(step);
    expect(await go([change], log, 20)).toEqual([1, 3]);
    expect(await go([], log, 5), 'before the change').toEqual([1, 1]);
    await expect(go([], log, 20)).rejects.toMatchObject({ code: 'CURSOR_MISMATCH' });
    expect(await go([change], await open(PLAN, 'new'), 20), 'a new directory').toEqual([1, 3]);
    expect(await new MixtureTimeline({ ...SOURCES, taken: [change], log: undefined }, 20).weightsOf(20), 'none').toEqual([1, 3]);
  });

  it('belongs to one plan', async () => {
    await open();
    await expect(open({ seed: 2 })).rejects.toMatchObject({ code: 'CONFIG_MISMATCH', detail: { field: 'seed' } });
    await expect(open({ seed: 1, more: null })).rejects.toMatchObject({ code: 'CONFIG_MISMATCH', detail: { field: 'more' } });
  });

  it('names a directory that cannot be used', async () => {
    await writeFile(path.join(dir, 'file'), '');
    await expect(open(PLAN, 'file/below')).rejects.toMatchObject({ code: 'RUN_DIRECTORY' });
    await mkdir(path.join(dir, 'odd'));
    await writeFile(path.join(dir, 'odd', 'run.json'), 'no json');
    await expect(open(PLAN, 'odd')).rejects.toMatchObject({ code: 'RUN_DIRECTORY' });
  });

  it('whatever the sidecars do at the same time, all see one mixture at every step', async () => {
    let round = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ steps: fc.integer({ min: 1, max: 200 }), proposals: fc.array(fc.nat({ max: 80 }), { maxLength: 4 }) }), {
          minLength: 2,
          maxLength: 4,
        }),
        async (sidecars) => {
          const below = `round-${round++}`;
          const streams = await Promise.all(
            sidecars.map(async ({ steps, proposals }) => {
              const log = await openMixtureLog({ ...SOURCES, dir: path.join(dir, below), plan: PLAN });
              const timeline = new MixtureTimeline({ ...SOURCES, taken: [], log }, 0);
              const seen: string[] = [];
              const proposing = Promise.allSettled(
                proposals.map((after, i) => log.propose({ at: { after }, weights: { web: after + i + 2 }, ramp: i % 2 === 0 ? 0 : 20 })),
              );
              for (let step = 0; step < steps; step++) seen.push((await timeline.weightsOf(step)).join());
              for (const outcome of await proposing)
                if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'MIXTURE_REFUSED' });
              await log.close();
              return seen;
            }),
          );
          const longest = streams.toSorted((a, b) => b.length - a.length)[0];
          for (const seen of streams) expect(seen).toEqual(longest.slice(0, seen.length));
        },
      ),
      { numRuns: 15 },
    );
  });
});
