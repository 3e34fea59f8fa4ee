import { openPipeline, type Batch, type ConfigInput } from 'headrace';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SEGMENT_FIELDS, SOURCE_PADDING } from '../../src/core/sequence.js';
import { stepHashes } from '../support/global-hash.js';
import { tarOf } from '../support/tar.js';
import { makeWorkspace, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('../support/tar_reference.py', import.meta.url));

describe.skipIf(PYTHON === undefined)('streams of tars', { timeout: 300_000 }, () => {
  let workspace: Workspace;
  let reference: Batch[];

  const config = (changes: Partial<ConfigInput> = {}): ConfigInput => ({
    seed: 5,
    sources: { prose: { uri: workspace.path('data/shard-{000000..000003}.tar'), text: 'txt', id: '__key__' } },
    tokenizer: { file: TOKENIZER_FILE },
    sequence: { length: 256 },
    shuffle: { blocks: 4, windowBytes: '64KiB' },
    batch: { size: 8, lanes: 4 },
    epochs: 1,
    last: 'pad',
    cache: { dir: workspace.path('cache') },
    limits: { workers: 1 },
    ...changes,
  });

  async function streams(input: ConfigInput, worldSize = 1, cursor?: Batch['cursor'] | readonly Batch['cursor'][]): Promise<Batch[][]> {
    const pipeline = await openPipeline(input);
    const collect = async (rank: number): Promise<Batch[]> => {
      const batches: Batch[] = [];
      for await (const batch of pipeline.batches({ rank, worldSize, ...(cursor !== undefined && { cursor }) })) batches.push(batch);
      return batches;
    };
    try {
      return await Promise.all(Array.from({ length: worldSize }, (_, rank) => collect(rank)));
    } finally {
      await pipeline.close();
    }
  }

  beforeAll(async () => {
    workspace = await makeWorkspace();
    execFileSync(PYTHON!, [SCRIPT, 'text', workspace.path('data'), '4', '250']);
    [reference] = await streams(config());
  }, 120_000);
  afterAll(() => workspace.remove());

  it('have the order that is pinned here', () => {
    expect(reference.length).toBeGreaterThan(100);
    const ids = createHash('sha256');
    for (const { inputIds } of reference) ids.update(new Uint8Array(inputIds.buffer, inputIds.byteOffset, inputIds.byteLength));
    expect(ids.digest('hex')).toBe('669dba1432ac9fba6ba82696a567223a854c01c327270ee439c49bad723fc36d');
  });

  it.each([2, 4])('are the same for %i ranks', async (worldSize) => {
    expect(stepHashes(await streams(config(), worldSize))).toEqual(stepHashes([reference]));
  });

  it('go on exactly from every tenth step', async () => {
    const pipeline = await openPipeline(config());
    try {
      for (let step = 0; step < reference.length - 1; step += 10) {
        const next: string[] = [];
        for await (const batch of pipeline.batches({ cursor: reference[step].cursor })) {
          next.push(batch.digest);
          if (next.length === 3) break;
        }
        expect(next, `after step ${step}`).toEqual(reference.slice(step + 1, step + 4).map(({ digest }) => digest));
      }
    } finally {
      await pipeline.close();
    }
  });

  it('that are compressed go on exactly too, near the end of a stream that is read from its start', async () => {
    execFileSync(PYTHON!, [SCRIPT, 'text', workspace.path('gz'), '3', '250', 'tar.gz']);
    execFileSync(PYTHON!, [SCRIPT, 'text', workspace.path('long'), '1', '5000', 'tgz']);
    const sources = { prose: { uri: [workspace.path('gz/'), workspace.path('long/')], text: 'txt', id: '__key__' } };
    const plain = { prose: { ...sources.prose, uri: [workspace.path('gz-plain/'), workspace.path('long-plain/')] } };
    execFileSync(PYTHON!, [SCRIPT, 'text', workspace.path('gz-plain'), '3', '250', 'tar']);
    execFileSync(PYTHON!, [SCRIPT, 'text', workspace.path('long-plain'), '1', '5000', 'tar']);
    const [whole] = await streams(config({ sources }));
    const tokens = (batches: readonly Batch[]): number => batches.reduce((sum, batch) => sum + batch.tokens, 0);
    expect(tokens(whole)).toBe(tokens((await streams(config({ sources: plain })))[0]));
    expect(stepHashes(await streams(config({ sources }), 2))).toEqual(stepHashes([whole]));
    const pipeline = await openPipeline(config({ sources }));
    try {
      for (const step of [3, Math.floor(whole.length / 2), whole.length - 40, whole.length - 3]) {
        const next: string[] = [];
        for await (const batch of pipeline.batches({ cursor: whole[step].cursor })) {
          next.push(batch.digest);
          if (next.length === 5) break;
        }
        expect(next, `after step ${step}`).toEqual(whole.slice(step + 1, step + 6).map(({ digest }) => digest));
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
    await expect(streams(odd)).rejects.toMatchObject({
      code: 'BAD_ROW',
      message: expect.stringMatching(/row 1 of .*odd\.tar has no member txt \(sample b\)/),
    });
    const problems: string[] = [];
    const pipeline = await openPipeline({ ...odd, badRows: 'skip' }, { onSkip: ({ problem }) => void problems.push(problem) });
    try {
      let tokens = 0;
      for await (const batch of pipeline.batches()) tokens += batch.tokens;
      expect(tokens).toBe(4);
      expect(problems).toEqual([expect.stringMatching(/row 1 of .* has no member txt/)]);
    } finally {
      await pipeline.close();
    }
  });
});
