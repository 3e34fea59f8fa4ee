import { openPipeline, type Batch, type ConfigInput, type SkipRecord } from 'headrace';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SEGMENT_FIELDS, SOURCE_PADDING } from '../../src/core/sequence.js';
import { stepHashes } from '../support/global-hash.js';
import { PYTHON, runScript } from '../support/python.js';
import { digestsOf, expectExactResumes, runPipeline, runRanks, take } from '../support/streams.js';
import { tarOf } from '../support/tar.js';
import { makeWorkspace, smallConfig, type Workspace } from '../support/workspace.js';

const tokensOf = (batches: readonly Batch[]): number => batches.reduce((sum, { tokens }) => sum + tokens, 0);

describe.skipIf(PYTHON === undefined)('streams of tars', { timeout: 300_000 }, () => {
  let workspace: Workspace;
  let reference: readonly Batch[];

  const config = (changes: Partial<ConfigInput> = {}): ConfigInput =>
    smallConfig(workspace, {
      sources: { prose: { uri: workspace.path('data/shard-{000000..000003}.tar'), text: 'txt', id: '__key__' } },
      sequence: { length: 256 },
      ...changes,
    });

  beforeAll(async () => {
    workspace = await makeWorkspace();
    runScript('tar_reference.py', 'text', workspace.path('data'), '4', '250');
    ({ batches: reference } = await runPipeline(config()));
  }, 120_000);
  afterAll(() => workspace.remove());

  it('have the order that is pinned here', () => {
    expect(reference.length).toBeGreaterThan(100);
    const ids = createHash('sha256');
    for (const { inputIds } of reference) ids.update(new Uint8Array(inputIds.buffer, inputIds.byteOffset, inputIds.byteLength));
    expect(ids.digest('hex')).toBe('b9222d72bd18589c09485010c21190bd0a110a72dade3db8b2999947a30689e0');
  });

  it.each([2, 4])('are the same for %i ranks', async (worldSize) => {
    expect(stepHashes(await runRanks(config(), worldSize))).toEqual(stepHashes([reference]));
  });

  it('go on exactly from every tenth step', async () => {
    await expectExactResumes(config(), reference, { nextMax: 3 });
  });

  it('that are compressed go on exactly too, near the end of a stream that is read from its start', async () => {
    runScript('tar_reference.py', 'text', workspace.path('gz'), '3', '250', 'tar.gz');
    runScript('tar_reference.py', 'text', workspace.path('long'), '1', '5000', 'tgz');
    const sources = { prose: { uri: [workspace.path('gz/'), workspace.path('long/')], text: 'txt', id: '__key__' } };
    const plain = { prose: { ...sources.prose, uri: [workspace.path('gz-plain/'), workspace.path('long-plain/')] } };
    runScript('tar_reference.py', 'text', workspace.path('gz-plain'), '3', '250', 'tar');
    runScript('tar_reference.py', 'text', workspace.path('long-plain'), '1', '5000', 'tar');
    const { batches: whole } = await runPipeline(config({ sources }));
    expect(tokensOf(whole)).toBe(tokensOf((await runPipeline(config({ sources: plain }))).batches));
    expect(stepHashes(await runRanks(config({ sources }), 2))).toEqual(stepHashes([whole]));
    const pipeline = await openPipeline(config({ sources }));
    try {
      for (const step of [3, Math.floor(whole.length / 2), whole.length - 40, whole.length - 3]) {
        const next = await take(pipeline.batches({ cursor: whole[step].cursor }), 5);
        expect(digestsOf(next), `after step ${step}`).toEqual(digestsOf(whole.slice(step + 1, step + 6)));
      }
    } finally {
      await pipeline.close();
    }
  });

  it('leave documents out by key, and name them', async () => {
    const list = workspace.path('exclude.txt');
    await writeFile(list, '2/000007\n0/000249\n');
    const { prose } = config().sources;
    const pipeline = await openPipeline(config({ sources: { prose: { ...prose, exclude: list } } }));
    try {
      const rows = new Set<string>();
      for await (const { segments } of pipeline.batches()) {
        for (let i = 0; i < segments.length; i += SEGMENT_FIELDS)
          if (segments[i] !== SOURCE_PADDING) rows.add(`${segments[i + 1]}:${segments[i + 2]}`);
      }
      expect(rows.size).toBe(998);
      expect([rows.has('2:7'), rows.has('0:249'), rows.has('2:8')]).toEqual([false, false, true]);
      expect([...(await pipeline.documentIds(0, 2, [7, 249]))]).toEqual([
        [7, '2/000007'],
        [249, '2/000249'],
      ]);
    } finally {
      await pipeline.close();
    }
  });

  it('a sample without the member fails the run by name, or is left out and told of', async () => {
    const file = workspace.path('odd.tar');
    await writeFile(
      file,
      tarOf([
        { name: 'a.txt', body: 'good' },
        { name: 'b.json', body: '{}' },
        { name: 'c.txt', body: 'fine' },
      ]),
    );
    const odd = config({ sources: { odd: { uri: file, text: 'txt' } } });
    await expect(runPipeline(odd)).rejects.toMatchObject({
      code: 'BAD_ROW',
      message: expect.stringMatching(/row 1 of .*odd\.tar has no member txt \(sample b\)/),
    });
    const problems: string[] = [];
    const onSkip = ({ problem }: SkipRecord): void => void problems.push(problem);
    expect(tokensOf((await runPipeline({ ...odd, badRows: 'skip' }, undefined, { onSkip })).batches)).toBe(4);
    expect(problems).toEqual([expect.stringMatching(/row 1 of .* has no member txt/)]);
  });
});
