import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openMixtureLog } from '../../src/run/mixture-log.js';
import { createMixtureReader } from '../../src/run/mixture-reader.js';

const PLAN = { seed: 1 };

describe('reading the changes of a run from outside', () => {
  let dir: string;
  const warnings: string[] = [];
  const reader = (plan = PLAN) => createMixtureReader({ dir, plan, warn: (message) => warnings.push(message) });

  beforeEach(async () => {
    warnings.length = 0;
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-test-'));
    const log = await openMixtureLog({ dir, plan: PLAN, names: ['a', 'b'], weights: [1, 1], scheduled: [], mayBeWeightless: true });
    await log.propose({ at: { step: 7 }, weights: { a: 3 }, ramp: 0 });
    await log.close();
    // proposed and void; proposed, and nobody has decided yet
    await writeFile(path.join(dir, 'changes', '000002.json'), JSON.stringify({ at: 8, weights: { b: 9 }, ramp: 0 }));
    await writeFile(path.join(dir, 'changes', '000002.decision'), 'void a sidecar has claimed its step');
    await writeFile(path.join(dir, 'changes', '000003.json'), JSON.stringify({ at: 20, weights: { b: 5 }, ramp: 0 }));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('finds what was committed, and nothing else; decides and claims nothing', async () => {
    const before = await readdir(dir, { recursive: true });
    expect(await reader().through(19)).toEqual([{ at: 7, weights: { a: 3 }, ramp: 0 }]);
    expect(await readdir(dir, { recursive: true })).toEqual(before);
    expect(warnings).toEqual([]);
  });

  it('refuses a step whose changes are not decided', async () => {
    await expect(reader().through(20)).rejects.toMatchObject({ code: 'RUN_DIRECTORY', detail: { step: 20 } });
  });

  it('refuses the directory of another plan, and one that holds something else', async () => {
    await expect(reader({ seed: 2 }).through(0)).rejects.toMatchObject({ code: 'CONFIG_MISMATCH', detail: { field: 'seed' } });
    await writeFile(path.join(dir, 'run.json'), '{"plan":');
    await expect(reader().through(0)).rejects.toMatchObject({ code: 'RUN_DIRECTORY' });
  });

  it('says where there is no run, and makes none', async () => {
    await rm(dir, { recursive: true });
    expect(await reader().through(50)).toEqual([]);
    expect(warnings).toEqual([expect.stringMatching(/there is no run in/)]);
    await expect(readdir(dir)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
