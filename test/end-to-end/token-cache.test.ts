import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { ConfigInput } from 'headrace';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { stepHashes } from '../support/global-hash.js';
import { runPipeline, type Request, type Run } from '../support/streams.js';
import { makeWorkspace, smallConfig, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

/** Of each file's rows, these cannot be delivered. */
const NULL_ROWS = [3, 40, 41];
const INVALID_ROWS = [7, 42];
const EMPTY_ROWS = [5, 43];
const BLOCK_ROWS = 25;

interface HashedRun extends Run {
  readonly hashes: readonly string[];
}

describe('a pipeline with a token cache', () => {
  let workspace: Workspace;
  /** Without a token cache: two epochs, and one. */
  let off: HashedRun;
  let once: HashedRun;
  /** Of the tokenizer and of the file beside it, which are read at each start. */
  let tokenizerBytes: number;

  const config = (dir: string, changes: Partial<ConfigInput> = {}): ConfigInput =>
    smallConfig(workspace, {
      shuffle: { blocks: 3, windowBytes: '64KiB' },
      batch: { size: 8, lanes: 2 },
      epochs: 2,
      badRows: 'skip',
      cache: { dir: workspace.path(dir), tokens: true },
      ...changes,
    });
  const run = async (input: ConfigInput, request?: Request): Promise<HashedRun> => {
    const whole = await runPipeline(input, request);
    return { ...whole, hashes: stepHashes([whole.batches]) };
  };
  const entries = async (dir: string): Promise<string[]> => {
    const found = await readdir(workspace.path(dir, 'ranges', 'entries'), { recursive: true, withFileTypes: true });
    return found.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
  };

  beforeAll(async () => {
    workspace = await makeWorkspace();
    await mkdir(workspace.path('data'));
    const texts = sampleDocuments(300).map(({ text }) => text);
    for (let file = 0; file < 3; file++) {
      const rows = texts
        .slice(100 * file, 100 * file + 100)
        .map((text, row) =>
          NULL_ROWS.includes(row)
            ? null
            : Buffer.concat([Buffer.from(EMPTY_ROWS.includes(row) ? '' : text), Buffer.from(INVALID_ROWS.includes(row) ? [0xff] : [])]),
        );
      const column = { name: 'text', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' } as const;
      const bytes = parquetWriteBuffer({
        schema: [{ name: 'root', num_children: 1 }, column],
        columnData: [{ name: 'text', data: rows }],
        rowGroupSize: BLOCK_ROWS,
      });
      await writeFile(workspace.path('data', `${file}.parquet`), new Uint8Array(bytes));
    }
    const files = [TOKENIZER_FILE, path.join(path.dirname(TOKENIZER_FILE), 'tokenizer_config.json')];
    tokenizerBytes = (await Promise.all(files.map((file) => stat(file)))).reduce((sum, { size }) => sum + size, 0);
    off = await run(config('off', { cache: { dir: workspace.path('off') } }));
    once = await run(config('off', { epochs: 1, cache: { dir: workspace.path('off') } }));
  });
  afterAll(() => workspace.remove());

  it('delivers the same stream without it, cold, warm, partly warm and damaged; warm, nothing is tokenized or fetched', async () => {
    expect(off.stats).toMatchObject({ slicesKept: 0, slicesWanted: 0, rowsSkipped: 2 * 3 * (NULL_ROWS.length + INVALID_ROWS.length) });
    const cold = await run(config('shared', { limits: { workers: 2 } }));
    expect(cold.hashes).toEqual(off.hashes);
    expect(cold.stats.slicesWanted).toBeGreaterThan(0);
    expect(cold.stats.rowsSkipped).toBe(off.stats.rowsSkipped);

    const warm = await run(config('shared', { limits: { workers: 2 } }));
    expect(warm.hashes).toEqual(off.hashes);
    expect(warm.stats).toMatchObject({ slicesWanted: 0, tokenizedBytes: 0, tokenizeMs: 0, rowsSkipped: off.stats.rowsSkipped });
    expect(warm.bytes).toBe(tokenizerBytes);

    const files = (await entries('shared')).sort();
    expect(files.length).toBeGreaterThanOrEqual((3 * 100) / BLOCK_ROWS);
    for (const file of files.filter((_, i) => i % 2 === 0)) await rm(file);
    const partly = await run(config('shared', { epochs: 1 }));
    expect(partly.hashes).toEqual(once.hashes);
    expect(partly.stats.slicesWanted).toBe(Math.ceil(files.length / 2));
    expect(partly.stats.slicesKept).toBe(Math.floor(files.length / 2));
    expect(partly.stats.rowsSkipped).toBe(once.stats.rowsSkipped);

    for (const file of files) {
      const bytes = await readFile(file);
      bytes[bytes.length - 20] ^= 1; // an id
      await writeFile(file, bytes);
    }
    const damaged = await run(config('shared', { epochs: 1 }));
    expect(damaged.hashes).toEqual(once.hashes);
    expect(damaged.stats).toMatchObject({ slicesKept: 0, slicesWanted: files.length });
  });

  it('tokenizes and fetches nothing in its second epoch', async () => {
    // one lane in file order: the first window of an epoch is not the last of the one before, which is still being tokenized
    const order: Partial<ConfigInput> = { shuffle: false, batch: { size: 4, lanes: 1 } };
    const one = await run(config('one', { ...order, epochs: 1 }));
    const two = await run(config('two', { ...order, epochs: 2 }));
    expect(one.stats.tokenizedBytes).toBeGreaterThan(0);
    expect(two.stats.tokenizedBytes).toBe(one.stats.tokenizedBytes);
    expect(two.stats).toMatchObject({ slicesWanted: one.stats.slicesWanted, slicesKept: one.stats.slicesWanted });
    expect(two.bytes).toBe(one.bytes);
  });

  it('tokenizes nothing in its second epoch, though its first window was loaded before its tokens were made', async () => {
    // groups of 1, 2 and 10 blocks: while the last one is tokenized, which has more tokens than a lane keeps ready, the first of the next epoch is loaded
    await mkdir(workspace.path('long'));
    const texts = sampleDocuments(300).map(({ text }) => text.repeat(8));
    const columnData = [{ name: 'text', data: texts, type: 'STRING' as const }];
    await writeFile(workspace.path('long', '0.parquet'), new Uint8Array(parquetWriteBuffer({ columnData, rowGroupSize: BLOCK_ROWS })));
    const order: Partial<ConfigInput> = {
      seed: 6, // that one is among these
      sources: { data: { uri: workspace.path('long') } },
      shuffle: { blocks: 16, windowBytes: '64MiB' },
      batch: { size: 4, lanes: 1 },
    };
    const one = await run(config('once', { ...order, epochs: 1 }));
    const three = await run(config('thrice', { ...order, epochs: 3 }));
    expect(three.stats.slicesWanted).toBeGreaterThan(one.stats.slicesWanted);
    expect(three.stats.tokenizedBytes).toBe(one.stats.tokenizedBytes);
    expect(three.hashes).toEqual((await run(config('off', { ...order, epochs: 3, cache: { dir: workspace.path('off') } }))).hashes);
  });

  it('serves any order, length and end of a document from the same entries', async () => {
    await run(config('orders', { epochs: 1 }));
    const others: Partial<ConfigInput>[] = [
      { seed: 6 },
      { sequence: { length: 1000 } },
      { batch: { size: 6, lanes: 2 } },
      { tokenizer: { file: TOKENIZER_FILE, append: 'none' } },
    ];
    for (const changes of others) {
      const warm = await run(config('orders', { epochs: 1, ...changes }));
      expect(warm.stats).toMatchObject({ slicesWanted: 0, tokenizedBytes: 0 });
      const reference = await run(config('off', { epochs: 1, ...changes, cache: { dir: workspace.path('off') } }));
      expect(warm.hashes).toEqual(reference.hashes);
      expect(warm.stats.rowsSkipped).toBe(reference.stats.rowsSkipped);
    }
  });

  it('keeps what other tokenizers and other readings of text make apart', async () => {
    await run(config('apart', { epochs: 1 }));
    for (const options of [{ specialTokens: 'match' }, { invalidUtf8: 'replace' }] as const) {
      const tokenizer = { file: TOKENIZER_FILE, ...options };
      const other = await run(config('apart', { epochs: 1, tokenizer }));
      const reference = await run(config('off', { epochs: 1, tokenizer, cache: { dir: workspace.path('off') } }));
      expect(other.stats.slicesKept).toBe(0);
      expect(other.hashes).toEqual(reference.hashes);
    }
  });

  it('fails at the same row, with the same message, as without it', async () => {
    const failure = (dir: string, cache: ConfigInput['cache'] = { dir: workspace.path(dir), tokens: true }): Promise<unknown> =>
      run(config(dir, { epochs: 1, badRows: 'fail', cache })).then(
        () => undefined,
        (error: unknown) => error,
      );
    const expected = await failure('off', { dir: workspace.path('off') });
    expect(expected).toMatchObject({ code: 'BAD_ROW', message: expect.stringMatching(/^row \d+ of .*parquet is (null|not valid UTF-8)$/) });
    expect(await failure('failing')).toEqual(expected);
    await run(config('failing', { epochs: 1 }));
    expect(await failure('failing')).toEqual(expected);
  });

  it('goes on in the middle of a window, cold, warm and partly warm', async () => {
    const steps = [3, Math.floor(off.batches.length / 2) + 1];
    for (const step of steps) {
      const request = { cursor: off.batches[step].cursor };
      const dir = `resumed-${step}`;
      for (const state of ['cold', 'after it', 'warm', 'partly warm']) {
        if (state === 'warm') await run(config(dir));
        if (state === 'partly warm') for (const file of (await entries(dir)).filter((_, i) => i % 3 === 0)) await rm(file);
        const resumed = await run(config(dir), request);
        expect(resumed.hashes, `${state}, after step ${step}`).toEqual(off.hashes.slice(step + 1));
        if (state === 'warm') expect(resumed.stats).toMatchObject({ slicesWanted: 0, tokenizedBytes: 0 });
      }
    }
  });

  it('keeps tokens without keeping byte ranges, and nothing where there is no room', async () => {
    const only = await run(config('only', { cache: { dir: workspace.path('only'), tokens: true, ranges: false } }));
    expect(only.hashes).toEqual(off.hashes);
    expect((await run(config('only'))).stats.slicesWanted).toBe(0);
    const none = await run(config('none', { cache: { dir: workspace.path('none'), tokens: true, size: 0 } }));
    expect(none.hashes).toEqual(off.hashes);
    expect(none.stats).toMatchObject({ slicesKept: 0, slicesWanted: 0 });
    const small = await run(config('small', { cache: { dir: workspace.path('small'), tokens: true, size: '20kB' } }));
    expect(small.hashes).toEqual(off.hashes);
  });
});
