import { loadTokenizer, openPipeline, type Batch, type ConfigInput } from 'headrace';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { mkdir, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tokenizerPath } from '../tokenize/tokenizers.js';
import { runPipeline } from '../support/streams.js';
import { tokenRows } from '../support/token-rows.js';
import { makeWorkspace, type Workspace } from '../support/workspace.js';

/** Rows that cannot be delivered, and data sets that are very small. */
describe('odd data', () => {
  let workspace: Workspace;

  async function config(name: string, rows: readonly (number[] | null)[], changes: Partial<ConfigInput> = {}): Promise<ConfigInput> {
    await mkdir(workspace.path(name), { recursive: true });
    await writeFile(workspace.path(name, 'a.parquet'), tokenRows(rows));
    return {
      sources: { t: { uri: workspace.path(`${name}/`), tokens: 'ids' } },
      sequence: { length: 4, padId: 9 },
      batch: { size: 4 },
      cache: { dir: workspace.path('cache') },
      limits: { workers: 1 },
      ...changes,
    };
  }

  async function collect(input: ConfigInput, batchesMax = Infinity): Promise<Batch[]> {
    const pipeline = await openPipeline(input);
    const batches: Batch[] = [];
    try {
      for await (const batch of pipeline.batches()) {
        batches.push(batch);
        if (batches.length === batchesMax) break;
      }
      return batches;
    } finally {
      await pipeline.close();
    }
  }

  beforeAll(async () => {
    workspace = await makeWorkspace();
  });
  afterAll(() => workspace.remove());

  it('one row, one epoch: one padded step, on every lane that there is', async () => {
    const batches = await collect(await config('one', [[1, 2, 3]], { epochs: 1, last: 'pad' }));
    expect(batches).toHaveLength(1);
    expect([...batches[0].inputIds]).toEqual([1, 2, 3, 9, ...new Array<number>(12).fill(9)]);
    expect(batches[0].tokens).toBe(3);
    expect([...batches[0].lossMask]).toEqual([1, 1, 1, ...new Array<number>(13).fill(0)]);
  });

  it('one row, without epochs, is repeated for ever', async () => {
    const batches = await collect(await config('one', [[1, 2, 3]]), 50);
    expect(batches).toHaveLength(50);
    expect(batches.every((batch) => batch.tokens === 12)).toBe(true);
  });

  it('an incomplete last step is left out with last: drop', async () => {
    expect(await collect(await config('one', [[1, 2, 3]], { epochs: 1 }))).toEqual([]);
    expect(await collect(await config('one', [[1, 2, 3]], { epochs: 5 }))).toHaveLength(1);
  });

  it('a run that ends before its first step says why, once, and one that was begun says nothing', async () => {
    const warned: string[] = [];
    const warn = (message: string): void => void warned.push(message);
    const steps = async (input: ConfigInput, request?: Parameters<typeof runPipeline>[1]): Promise<readonly Batch[]> =>
      (await runPipeline(input, request, { warn })).batches;
    expect(await steps(await config('one', [[1, 2, 3]], { epochs: 1 }))).toEqual([]);
    expect(warned.splice(0)).toEqual([expect.stringContaining('of which 1 of 4 slots could be filled: set `last: pad`')]);
    await mkdir(workspace.path('lines'));
    await writeFile(workspace.path('lines', 'a.jsonl'), '{"ids": [1, 2], "lang": "en"}\n');
    const misspelt = { lines: { uri: workspace.path('lines/'), tokens: 'ids', where: { lnag: 'en' } } };
    expect(await steps({ ...(await config('one', [[1]], { epochs: 1, last: 'pad' })), sources: misspelt })).toEqual([]);
    expect(warned.splice(0).at(-1)).toMatch(/ends before its first step: every row is .* not taken by `where`/);
    const input = await config('one', [[1, 2, 3]], { epochs: 1, last: 'pad' });
    const [{ cursor }] = await steps(input);
    expect(await steps(input, { cursor })).toEqual([]);
    expect(warned).toEqual([]);
  });

  it.each([
    ['null', null, 'BAD_ROW', /row 1 of .*a\.parquet is null/],
    ['negative', [5, -1], 'TOKEN_OUT_OF_RANGE', /token id -1/],
  ] as const)('a %s row fails the run by name, or is left out by policy', async (_name, bad, code, message) => {
    const rows = [[1, 2, 3, 4], bad === null ? null : [...bad], [5, 6, 7, 8]];
    await expect(collect(await config('bad', rows, { epochs: 1 }))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    const batches = await collect(await config('bad', rows, { epochs: 1, last: 'pad', badRows: 'skip' }));
    expect(
      batches
        .flatMap((batch) => [...batch.inputIds])
        .filter((id) => id !== 9)
        .sort(),
    ).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('a row of invalid UTF-8 fails the run by name, is left out, or is read with U+FFFD, as the configuration says', async () => {
    const rows = ['good', Uint8Array.of(0x61, 0xff, 0x62), '\u20ac'].map((text) => (typeof text === 'string' ? Buffer.from(text) : text));
    await mkdir(workspace.path('utf8'), { recursive: true });
    const columnData = [{ name: 'text', data: rows }];
    const text = { name: 'text', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'REQUIRED' } as const;
    await writeFile(
      workspace.path('utf8', 'a.parquet'),
      new Uint8Array(parquetWriteBuffer({ schema: [{ name: 'root', num_children: 1 }, text], columnData })),
    );
    const file = tokenizerPath('gpt2');
    const decoded = async (changes: Partial<ConfigInput>, invalidUtf8?: 'replace'): Promise<string> => {
      const batches = await collect({
        sources: { t: { uri: workspace.path('utf8/'), text: 'text' } },
        tokenizer: { file, append: 'eos', eos: '<|endoftext|>', ...(invalidUtf8 && { invalidUtf8 }) },
        sequence: { length: 16 },
        shuffle: false,
        batch: { size: 1 },
        epochs: 1,
        last: 'pad',
        cache: { dir: workspace.path('cache') },
        ...changes,
      });
      const ids = batches.flatMap(({ inputIds, lossMask }) => [...inputIds].filter((_id, i) => lossMask[i] === 1));
      return (await loadTokenizer(file)).decode(Int32Array.from(ids));
    };
    await expect(decoded({})).rejects.toMatchObject({
      code: 'BAD_ROW',
      message: expect.stringMatching(/row 1 of .*a\.parquet is not valid UTF-8/),
    });
    expect(await decoded({ badRows: 'skip' })).toBe('good<|endoftext|>\u20ac<|endoftext|>');
    expect(await decoded({}, 'replace')).toBe('good<|endoftext|>a\ufffdb<|endoftext|>\u20ac<|endoftext|>');
  });

  it('a source of which every row is skipped is an error, and no endless search', async () => {
    const empty = await config('empty', [null, [], null], { badRows: 'skip' });
    await expect(collect(empty)).rejects.toMatchObject({ code: 'NO_ROWS', hint: expect.stringContaining('badRows') });
  });

  it('a stream that is closed while a batch is awaited ends that wait', async () => {
    const pipeline = await openPipeline(await config('closing', [[1, 2, 3]]));
    try {
      for (let i = 0; i < 20; i++) {
        const stream = pipeline.openStream();
        const waiting = stream.next();
        for (let ticks = 0; ticks < i; ticks++) await new Promise(setImmediate);
        stream.close();
        const outcome = await waiting.then(
          (batch) => batch?.step,
          (error: unknown) => (error as { code: string }).code,
        );
        expect(['ABORTED', 0]).toContain(outcome);
      }
    } finally {
      await pipeline.close();
    }
  });

  it('sources are mixed by their weights, in tokens, within a sequence a lane', async () => {
    const rows = (id: number): number[][] => Array.from({ length: 200 }, () => new Array<number>(7).fill(id));
    const base = await config('mix-a', rows(1));
    await config('mix-b', rows(2));
    const batches = await collect(
      {
        ...base,
        sources: { a: { uri: workspace.path('mix-a/'), tokens: 'ids', weight: 3 }, b: { uri: workspace.path('mix-b/'), tokens: 'ids' } },
      },
      100,
    );
    const ids = batches.flatMap((batch) => [...batch.inputIds]);
    const share = ids.filter((id) => id === 1).length / ids.filter((id) => id !== 9).length;
    expect(Math.abs(share - 0.75)).toBeLessThan(0.02);
  });
});
