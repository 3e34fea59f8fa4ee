import { openPipeline, memoryStore, type Batch, type ConfigInput, type Pipeline, type SkipRecord, type Store } from 'headrace';
import { parquetMetadata } from 'hyparquet';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parquetOf } from '../../examples/corpus/parquet.js';
import { sampleDocuments, type CorpusDocument } from '../../examples/corpus/prose.js';
import { SEGMENT_FIELDS, SOURCE_PADDING } from '../../src/core/sequence.js';
import { stepHashes } from '../support/global-hash.js';
import { sendObject, startOrigin } from '../support/origin.js';
import { makeWorkspace, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

const LANES = 2;
const SHARD_ROWS = 120;
const BLOCK_ROWS = 40;
const SHARDS = 4;

interface Run {
  readonly batches: readonly Batch[];
  readonly hashes: readonly string[];
  readonly skips: readonly SkipRecord[];
  readonly warnings: readonly { readonly message: string; readonly detail: Readonly<Record<string, string | number>> }[];
  readonly stats: Pipeline['stats'];
}

/** FAULTS 7, 11 and 34, over whole runs: what is not to be had is an error, or is left out, and nothing else moves. */
describe('blocks that are damaged or gone', { timeout: 120_000 }, () => {
  let workspace: Workspace;
  const good = new Map<string, Uint8Array>();
  /** What the store answers now. */
  let corrupt: (path: string, startByte: number, bytes: Uint8Array) => Uint8Array;
  let ids: ReturnType<typeof memoryStore>;
  let store: Store;

  const lists = (shard: number): Uint8Array =>
    new Uint8Array(
      parquetWriteBuffer({
        schema: [
          { name: 'root', num_children: 1 },
          { name: 'ids', converted_type: 'LIST', repetition_type: 'OPTIONAL', num_children: 1 },
          { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
          { name: 'element', type: 'INT32', repetition_type: 'REQUIRED' },
        ],
        columnData: [
          {
            name: 'ids',
            data: Array.from({ length: SHARD_ROWS }, (_, row) =>
              Array.from({ length: 20 + ((row * 7) % 50) }, (_, i) => 1 + ((shard * 7919 + row * 31 + i) % 5000)),
            ),
          },
        ],
        rowGroupSize: BLOCK_ROWS,
        codec: 'UNCOMPRESSED',
      }),
    );

  const config = (changes: Partial<ConfigInput> = {}): ConfigInput => ({
    seed: 3,
    sources: { t: { uri: 'memory://corpus/', tokens: 'ids' } },
    sequence: { length: 64, padId: 0 },
    shuffle: { blocks: 2, windowBytes: '64KiB' },
    batch: { size: 4, lanes: LANES },
    badBlocks: 'skip',
    cache: { dir: workspace.path('cache') },
    limits: { workers: 2 },
    ...changes,
  });
  const run = async (
    input: ConfigInput,
    steps: number,
    request?: Parameters<Pipeline['batches']>[0],
    onOpen?: () => void,
  ): Promise<Run> => {
    const skips: SkipRecord[] = [];
    const warnings: Run['warnings'][number][] = [];
    const pipeline = await openPipeline(input, {
      stores: [store],
      onSkip: (record) => skips.push(record),
      warn: (message, detail) => warnings.push({ message, detail }),
    });
    const batches: Batch[] = [];
    try {
      onOpen?.();
      for await (const batch of pipeline.batches(request)) if (batches.push(batch) === steps) break;
    } finally {
      await pipeline.close();
    }
    return { batches, hashes: stepHashes([batches]), skips, warnings, stats: pipeline.stats };
  };
  /** The documents of each lane in their order, as `shard:row`. */
  const documents = (batches: readonly Batch[]): string[][] => {
    const lanes: string[][] = Array.from({ length: LANES }, () => []);
    for (const { segments, cuSeqlens, length } of batches) {
      for (let i = 0; i < cuSeqlens.length - 1; i++) {
        const [source, shard, row] = segments.subarray(SEGMENT_FIELDS * i, SEGMENT_FIELDS * i + 3);
        const lane = lanes[Math.floor(cuSeqlens[i] / length) % LANES];
        if (source !== SOURCE_PADDING && lane.at(-1) !== `${shard}:${row}`) lane.push(`${shard}:${row}`);
      }
    }
    return lanes;
  };
  const rowsOf = (skips: readonly SkipRecord[]): Set<string> =>
    new Set(
      skips.flatMap(({ uri, startRow, endRow }) =>
        Array.from({ length: endRow - startRow }, (_, i) => `${Number(/part-(\d+)/.exec(uri)![1])}:${startRow + i}`),
      ),
    );
  /** FAULTS I1, at the level of documents: what is left is in the order of the run without faults. */
  const expectOnlyGaps = (faulty: Run, clean: Run): void => {
    const skipped = rowsOf(faulty.skips);
    expect(skipped.size).toBeGreaterThan(0);
    for (const [lane, own] of documents(faulty.batches).entries()) {
      const expected = documents(clean.batches)[lane].filter((document) => !skipped.has(document));
      const length = Math.min(expected.length, own.length) - 1; // the last one may be a part of a document
      expect(length).toBeGreaterThan(50);
      expect(own.slice(0, length)).toEqual(expected.slice(0, length));
    }
  };
  /** The second row group's first page is damaged, in every read. */
  const damage = (path: string): void => {
    const bytes = good.get(path)!;
    const { data_page_offset: data, dictionary_page_offset: dictionary } = parquetMetadata(bytes.slice().buffer).row_groups[1].columns[0]
      .meta_data!;
    const at = Number(dictionary ?? data);
    corrupt = (file, startByte, read) => {
      if (file === path) for (let i = Math.max(0, at - startByte); i < Math.min(read.length, at + 64 - startByte); i++) read[i] = 0xff;
      return read;
    };
  };

  /** In place of the ids. */
  const putTexts = (): { readonly texts: readonly CorpusDocument[]; readonly shards: readonly Uint8Array[] } => {
    const texts = sampleDocuments(SHARDS * SHARD_ROWS).filter(({ text }) => text.length < 5000);
    const shards = Array.from({ length: SHARDS }, (_, shard) =>
      parquetOf(
        texts.filter((_, i) => i % SHARDS === shard),
        BLOCK_ROWS,
      ),
    );
    for (const [shard, bytes] of shards.entries()) ids.put(`part-${shard}.parquet`, bytes);
    return { texts, shards };
  };

  beforeAll(async () => {
    workspace = await makeWorkspace();
    for (let shard = 0; shard < SHARDS; shard++) good.set(`part-${shard}.parquet`, lists(shard));
  });
  afterAll(() => workspace.remove());
  beforeEach(() => {
    corrupt = (_path, _startByte, bytes) => bytes;
    ids = memoryStore('memory://corpus/', Object.fromEntries(good));
    const inner = ids;
    store = {
      ...inner,
      read: async (path, range, options) => corrupt(path, range.startByte, await inner.read(path, range, options)),
    };
  });

  it('an object that is gone fails the run by name, or its rows are left out and told', async () => {
    const steps = 60;
    const clean = await run(config(), steps);
    expect(clean.skips).toEqual([]);
    const gone = (): void => ids.delete('part-2.parquet');
    await expect(run(config({ badBlocks: 'fail' }), steps, undefined, gone)).rejects.toMatchObject({
      code: 'STORE_NOT_FOUND',
      message: expect.stringMatching(/part-2\.parquet.*it was there when the shards were listed, at \d{4}-\d\d-\d\dT/),
      hint: expect.stringContaining('badBlocks: skip'),
    });
    ids.put('part-2.parquet', good.get('part-2.parquet')!);
    const fresh = await run(config(), steps);
    const faulty = await run(config(), steps, undefined, () => ids.delete('part-2.parquet'));
    expectOnlyGaps(faulty, fresh);
    expect(rowsOf(faulty.skips)).toEqual(new Set(Array.from({ length: SHARD_ROWS }, (_, row) => `2:${row}`)));
    expect(faulty.skips[0]).toMatchObject({ source: 't', uri: 'memory://corpus/part-2.parquet', reason: 'missing' });
    expect(faulty.stats.rowsSkipped).toBeGreaterThanOrEqual(SHARD_ROWS);
    expect(faulty.stats.slicesSkipped).toBe(faulty.skips.length);
    // one line a block, however many epochs
    const lines = faulty.warnings.filter(({ message }) => message.startsWith('left out'));
    expect(lines).toHaveLength(SHARD_ROWS / BLOCK_ROWS);
    expect(lines[0].detail).toMatchObject({ uri: 'memory://corpus/part-2.parquet', reason: 'missing', startRow: expect.any(Number) });
  });

  it('an object that was changed, or may not be read, is never left out', async () => {
    const changed = (): void => ids.put('part-2.parquet', good.get('part-1.parquet')!);
    await expect(run(config(), 60, undefined, changed)).rejects.toMatchObject({ code: 'SHARD_CHANGED' });
  });

  it('damaged pages take down their own slices, the same ones however the stream is read', async () => {
    const steps = 60;
    const clean = await run(config(), steps);
    damage('part-1.parquet');
    await expect(run(config({ badBlocks: 'fail' }), steps)).rejects.toMatchObject({
      code: 'SHARD_INVALID',
      message: expect.stringContaining('part-1.parquet'),
    });
    const faulty = await run(config(), steps);
    expectOnlyGaps(faulty, clean);
    const skipped = rowsOf(faulty.skips);
    expect([...skipped].every((row) => row.startsWith('1:'))).toBe(true);
    expect(skipped.size).toBeLessThanOrEqual(BLOCK_ROWS);
    expect((await run(config({ limits: { workers: 1, fetchBytes: '1MiB' } }), steps)).hashes).toEqual(faulty.hashes);
    for (const step of [1, 7, 20]) {
      const resumed = await run(config(), steps - step - 1, { cursor: faulty.batches[step].cursor });
      expect(resumed.hashes).toEqual(faulty.hashes.slice(step + 1));
    }
    const [other] = await Promise.allSettled([run(config({ badBlocks: 'fail' }), 1, { cursor: faulty.batches[1].cursor })]);
    expect(other).toMatchObject({ reason: { code: 'CURSOR_MISMATCH', detail: { field: 'badBlocks' } } });
  });

  it('what was damaged on its way is read anew, and nobody notices', async () => {
    const steps = 40;
    const clean = await run(config(), steps);
    let damaged = 0;
    const seen = new Set<string>();
    corrupt = (path, startByte, bytes) => {
      if (seen.has(path) || startByte > 10_000) return bytes;
      seen.add(path);
      damaged++;
      return bytes.fill(0xff, 60, 200);
    };
    const healed = await run(config({ badBlocks: 'fail' }), steps, undefined, () => seen.clear());
    expect(damaged).toBeGreaterThan(1);
    expect(healed.hashes).toEqual(clean.hashes);
    expect(healed.skips).toEqual([]);
  });

  it('text: the same with and without kept tokens, and nothing is kept of what is left out', async () => {
    const { shards } = putTexts();
    const changes: Partial<ConfigInput> = {
      sources: { t: { uri: 'memory://corpus/' } },
      tokenizer: { file: TOKENIZER_FILE },
      sequence: { length: 512 },
    };
    const tokens = { dir: workspace.path('tokens'), tokens: true };
    const steps = 150; // further than lanes are ahead
    const clean = await run(config(changes), steps);
    const at = Math.floor(shards[1].length / 2);
    corrupt = (path, startByte, bytes) => {
      if (path === 'part-1.parquet')
        for (let i = at; i < at + 4000; i++) if (i >= startByte && i < startByte + bytes.length) bytes[i - startByte] = 0xff;
      return bytes;
    };
    const faulty = await run(config(changes), steps);
    expectOnlyGaps(faulty, clean);
    for (const state of ['cold', 'warm']) {
      const kept = await run(config({ ...changes, cache: tokens }), steps);
      expect(kept.hashes, state).toEqual(faulty.hashes);
      expect(rowsOf(kept.skips), state).toEqual(rowsOf(faulty.skips));
    }
    await expect(run(config({ ...changes, cache: tokens, badBlocks: 'fail' }), steps)).rejects.toMatchObject({ code: 'SHARD_INVALID' });
    corrupt = (_path, _startByte, bytes) => bytes;
    expect((await run(config({ ...changes, cache: tokens }), steps)).hashes).toEqual(clean.hashes);
  });

  it('rows whose ids are damaged are left out with them, whether their tokens are kept or not', async () => {
    const { texts, shards } = putTexts();
    const exclude = workspace.path('ids.txt');
    await writeFile(exclude, texts.flatMap(({ id }, i) => (i % 9 === 0 ? [`${id}\n`] : [])).join(''));
    const changes: Partial<ConfigInput> = {
      sources: { t: { uri: 'memory://corpus/', id: 'id', exclude } },
      tokenizer: { file: TOKENIZER_FILE },
      sequence: { length: 512 },
    };
    const cache = { dir: workspace.path('tokens-of-ids'), tokens: true };
    const steps = 80;
    const clean = await run(config({ ...changes, cache }), steps);
    const { columns } = parquetMetadata(shards[1].slice().buffer).row_groups[1];
    const at = Number(columns.find(({ meta_data }) => meta_data?.path_in_schema[0] === 'id')!.meta_data!.data_page_offset);
    const spoil: typeof corrupt = (path, startByte, bytes) => {
      if (path === 'part-1.parquet')
        for (let i = at; i < at + 32; i++) if (i >= startByte && i < startByte + bytes.length) bytes[i - startByte] = 0xff;
      return bytes;
    };
    corrupt = spoil;
    const faulty = await run(config(changes), steps);
    expectOnlyGaps(faulty, clean);
    expect([...rowsOf(faulty.skips)].every((row) => row.startsWith('1:'))).toBe(true);
    expect(faulty.stats.rowsExcluded).toBeGreaterThan(0);
    const kept = await run(config({ ...changes, cache }), steps);
    expect(kept.hashes).toEqual(faulty.hashes);
    expect(kept.stats.slicesKept).toBeGreaterThan(0);
    await expect(run(config({ ...changes, badBlocks: 'fail' }), steps)).rejects.toMatchObject({
      code: 'SHARD_INVALID',
      message: expect.stringContaining('part-1.parquet'),
    });
    // damaged on its way, once
    let spoiled = 0;
    corrupt = (path, startByte, bytes) => {
      const reaches = path === 'part-1.parquet' && startByte <= at && at < startByte + bytes.length;
      return reaches && spoiled++ === 0 ? spoil(path, startByte, bytes) : bytes;
    };
    expect((await run(config({ ...changes, badBlocks: 'fail' }), steps)).hashes).toEqual(clean.hashes);
    expect(spoiled).toBeGreaterThan(1);
  });

  it('bad rows are told by the same way, with a line each up to a bound', async () => {
    const rows = Array.from({ length: 400 }, (_, row) => (row % 2 === 0 ? [1, 2, 3, 4] : [-1]));
    const schema = [
      { name: 'root', num_children: 1 },
      { name: 'ids', converted_type: 'LIST', repetition_type: 'OPTIONAL', num_children: 1 },
      { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
      { name: 'element', type: 'INT32', repetition_type: 'REQUIRED' },
    ] as const;
    for (const path of good.keys()) ids.delete(path);
    ids.put('part-0.parquet', new Uint8Array(parquetWriteBuffer({ schema: [...schema], columnData: [{ name: 'ids', data: rows }] })));
    const { skips, warnings } = await run(config({ badRows: 'skip', epochs: 1, last: 'pad' }), Infinity);
    expect(rowsOf(skips).size).toBe(200);
    expect(skips[0]).toMatchObject({ reason: 'bad-row', problem: expect.stringMatching(/^row \d+ of .* holds the token id -1/) });
    expect(warnings.filter(({ message }) => message.startsWith('left out'))).toHaveLength(100);
    expect(warnings.filter(({ message }) => message.startsWith('further bad rows'))).toHaveLength(1);
  });

  it('a damaged range that was kept is replaced: the next run fetches nothing, and has the right bytes', async () => {
    const bytes = good.get('part-0.parquet')!;
    let flip = false;
    const origin = await startOrigin((request, response) => {
      // pages of so small a file come with its footer
      const answer = flip && request.headers.range !== undefined ? bytes.slice().fill(0xff, 60, 200) : bytes;
      if (answer !== bytes) flip = false;
      return sendObject(answer, { etag: '"one"' })(request, response);
    });
    try {
      const web = (dir: string): ConfigInput =>
        config({
          sources: { t: { uri: `${origin.url}/part-0.parquet`, tokens: 'ids' } },
          badBlocks: 'fail',
          cache: { dir: workspace.path(dir) },
        });
      const clean = await run(web('web-clean'), 30);
      flip = true;
      const poisoned = await run(web('web'), 30);
      expect(flip).toBe(false);
      expect(poisoned.hashes).toEqual(clean.hashes);
      const before = origin.requests.length;
      const second = await run(web('web'), 30);
      expect(second.hashes).toEqual(clean.hashes);
      expect(origin.requests.slice(before).filter(({ headers }) => headers.range !== undefined)).toEqual([]);
    } finally {
      origin.close();
    }
  });
});
