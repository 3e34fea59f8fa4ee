import { openPipeline, type Batch, type ConfigInput, type Cursor } from 'headrace';
import { cp, rm, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parquetOf, writeShards } from '../../examples/corpus/parquet.js';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { runCommand } from '../support/commands.js';
import { runCli } from '../support/sidecar.js';
import { takeAndClose } from '../support/streams.js';
import { makeWorkspace, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

interface Answer {
  readonly verdict: string;
  readonly equalBefore: number | null;
  readonly why: string;
  readonly entries: readonly { readonly field: string; readonly a: unknown; readonly b: unknown }[];
  readonly shards?: readonly {
    readonly source: string;
    readonly added: string[];
    readonly removed: string[];
    readonly changed: string[];
  }[];
  readonly positions: readonly { readonly lane: string }[];
  readonly steps: { readonly a: number; readonly b: number };
}

describe('headrace diff', { timeout: 120_000 }, () => {
  let workspace: Workspace;
  let batches: Batch[];

  const config = (changes: Partial<ConfigInput> = {}): ConfigInput => ({
    seed: 5,
    sources: { code: { uri: workspace.path('data/part-000.parquet') }, web: { uri: workspace.path('data/'), weight: 3 } },
    tokenizer: { file: TOKENIZER_FILE },
    sequence: { length: 64 },
    batch: { size: 4, lanes: 2 },
    cache: { dir: workspace.path('cache') },
    limits: { workers: 1 },
    ...changes,
  });
  const diff = async (a: string, b: string): Promise<{ readonly code: number | null; readonly answer: Answer; readonly text: string }> => {
    const [json, people] = [await runCommand(['diff', a, b, '--json']), await runCommand(['diff', a, b])];
    expect(json.err).toBe('');
    expect(json.code).toBe(people.code);
    return { code: json.code, answer: JSON.parse(json.out) as Answer, text: people.out };
  };
  const state = async (name: string, cursor: Cursor): Promise<string> => {
    await writeFile(workspace.path(name), JSON.stringify(cursor));
    return workspace.path(name);
  };
  const streamOf = async (input: ConfigInput, steps: number): Promise<Batch[]> =>
    takeAndClose(await openPipeline(input), { stepsEnd: steps });

  beforeAll(async () => {
    workspace = await makeWorkspace();
    await writeShards(workspace.path('data'), sampleDocuments(120), 4, 20);
    batches = await streamOf(config(), 12);
  });
  afterAll(() => workspace.remove());

  it('equal: a configuration and its copy elsewhere, and a state of it', async () => {
    const a = await workspace.config('a.yaml', config());
    const b = await workspace.config('b.yaml', config({ limits: { workers: 2 }, cache: { dir: workspace.path('other-cache') } }));
    expect(await diff(a, b)).toMatchObject({ code: 0, answer: { verdict: 'equal', equalBefore: null, entries: [] } });
    expect(await runCli(['diff', a, b])).toMatchObject({ code: 0, out: expect.stringMatching(/^equal: /) as string });
    const { code, text } = await diff(a, await state('at-8.json', batches[7].cursor));
    expect([code, text]).toEqual([0, expect.stringMatching(/^equal: .*from step 8 on/)]);
  });

  it('a change of weights by schedule: equal before it, as the batches are', async () => {
    const changed = config({ mixture: [{ at: 7, weights: { code: 9 } }] });
    const { code, answer, text } = await diff(await workspace.config('a.yaml', config()), await workspace.config('mix.yaml', changed));
    expect([code, answer.verdict, answer.equalBefore]).toEqual([1, 'differ', 7]);
    expect(text).toMatch(/equal before step 7: the weights of the sources differ from step 7 on/);
    const others = await streamOf(changed, 12);
    expect(others.slice(0, 7).map(({ digest }) => digest)).toEqual(batches.slice(0, 7).map(({ digest }) => digest));
    expect(others.map(({ digest }) => digest)).not.toEqual(batches.map(({ digest }) => digest));
  });

  it('names entries with both values', async () => {
    const a = await workspace.config('a.yaml', config());
    const b = await workspace.config('b.yaml', config({ seed: 6, sequence: { length: 32 } }));
    const { code, answer, text } = await diff(a, b);
    expect([code, answer.equalBefore]).toEqual([1, 0]);
    expect(answer.entries).toMatchObject([
      { field: 'seed', a: 5, b: 6 },
      { field: 'sequence.length', a: 64, b: 32 },
    ]);
    expect(text).toContain('seed: 5 → 6');
  });

  it('names shards that were added, removed and changed; of a state, says how to see them', async () => {
    const copy = workspace.path('copy');
    await cp(workspace.path('data'), copy, { recursive: true });
    await rm(`${copy}/part-001.parquet`);
    await writeFile(`${copy}/part-002.parquet`, parquetOf(sampleDocuments(9), 20));
    await writeFile(`${copy}/part-009.parquet`, parquetOf(sampleDocuments(5), 20));
    const a = await workspace.config('a.yaml', config());
    const other = config();
    const b = await workspace.config('b.yaml', { ...other, sources: { ...other.sources, web: { uri: `${copy}/`, weight: 3 } } });
    const { code, answer, text } = await diff(a, b);
    expect(code).toBe(1);
    expect(answer.shards).toEqual([
      { source: 'web', added: ['part-009.parquet'], removed: ['part-001.parquet'], changed: ['part-002.parquet'] },
    ]);
    expect(text).toContain('web: added part-009.parquet');
    const ofState = await diff(await state('at-8.json', batches[7].cursor), b);
    expect(ofState.text).toContain('give both configurations');
  });

  it('two states: where they stand, and what cannot be', async () => {
    const early = await state('at-3.json', batches[2].cursor);
    const late = await state('at-8.json', batches[7].cursor);
    const { code, answer, text } = await diff(early, late);
    expect([code, answer.verdict, answer.steps]).toEqual([0, 'equal', { a: 3, b: 8 }]);
    expect(answer.positions.map(({ lane }) => lane)).toContain('1');
    expect(text).toContain('steps: a stands before step 3, b before step 8');
    const forged = await state('forged.json', { ...batches[2].cursor, step: 8 });
    expect(await diff(forged, late)).toMatchObject({ code: 1, answer: { verdict: 'differ', equalBefore: 0 } });
    // those of all ranks in one file
    const pipeline = await openPipeline(config());
    const ranks = await Promise.all([0, 1].map((rank) => pipeline.openStream({ rank, worldSize: 2 }).next()));
    await pipeline.close();
    await writeFile(workspace.path('ranks.json'), JSON.stringify(ranks.map((batch) => batch!.cursor)));
    expect(await diff(workspace.path('ranks.json'), await state('at-1.json', batches[0].cursor))).toMatchObject({
      code: 0,
      answer: { verdict: 'equal', positions: [] },
    });
  });

  it('a state of validation is compared with validation, whose weights nobody changes', async () => {
    const input = config({ validation: { share: 0.2 } });
    const [first, second] = await takeAndClose(await openPipeline(input), { split: 'validation' });
    const [file, other] = [
      await workspace.config('held.yaml', input),
      await workspace.config('other.yaml', config({ validation: { share: 0.3 } })),
    ];
    const [early, late] = [await state('held-1.json', first.cursor), await state('held-2.json', second.cursor)];
    for (const [a, b] of [
      [file, early],
      [late, file],
      [early, late],
    ]) {
      expect(await diff(a, b)).toMatchObject({ code: 0, answer: { why: 'every batch is the same', entries: [] } });
    }
    const fields = (await diff(other, early)).answer.entries.map(({ field }) => field);
    expect(fields).toEqual(['validation.share']);
    const training = await diff(await state('train.json', batches[0].cursor), early);
    expect(training.answer).toMatchObject({ verdict: 'differ', equalBefore: 0, why: expect.stringMatching(/held out of it/) as string });
    expect(await runCommand(['diff', await workspace.config('without-validation.yaml', config()), early])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/CONFIG_INVALID: the state is one of validation, and the configuration has none/) as string,
    });
  });

  it('two configurations of one run directory are one stream; with a change in another they are not', async () => {
    const run = (dir: string): ConfigInput => config({ run: { dir: workspace.path(dir) } });
    const pipeline = await openPipeline(run('run'));
    await pipeline.changeMixture({ at: { step: 9 }, weights: { code: 5 }, ramp: 0 });
    await pipeline.close();
    const a = await workspace.config('a.yaml', run('run'));
    const b = await workspace.config('b.yaml', run('run'));
    expect(await diff(a, b)).toMatchObject({ code: 0, answer: { verdict: 'equal', equalBefore: null } });
    const plain = await workspace.config('c.yaml', config());
    expect(await diff(a, plain)).toMatchObject({ code: 1, answer: { verdict: 'open', equalBefore: 9 } });
  });

  it('ends with 2 where there is nothing to compare', async () => {
    const a = await workspace.config('a.yaml', config());
    await writeFile(workspace.path('half.json'), JSON.stringify(batches[0].cursor).slice(0, 80));
    for (const [args, problem] of [
      [[a, workspace.path('none.yaml')], /error CONFIG_NOT_FOUND/],
      [[a, workspace.path('half.json')], /error CURSOR_INVALID/],
      [[a], /missing required argument/],
      [[a, a, '--nonsense'], /unknown option/],
    ] as const) {
      const { code, err } = await runCommand(['diff', ...args]);
      expect([code, err]).toEqual([2, expect.stringMatching(problem)]);
    }
  });
});
