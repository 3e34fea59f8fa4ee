import { loadTokenizer, openPipeline, type Batch, type ConfigInput, type Cursor } from 'headrace';
import { mkdir, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeShards } from '../../examples/corpus/parquet.js';
import { paragraphs, type CorpusDocument } from '../../examples/corpus/prose.js';
import { SEGMENT_FIELDS, SOURCE_PADDING } from '../../src/core/sequence.js';
import { stepHashes } from '../support/global-hash.js';
import { take } from '../support/streams.js';
import { tokenRows } from '../support/token-rows.js';
import { makeWorkspace, smallConfig, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

const LENGTH = 128;
const SHARDS = 8;

type SequenceInput = Exclude<NonNullable<ConfigInput['sequence']>, 'none'>;

/** Every way of packing, from shards to batches, with a real tokenizer: what it delivers, and that the stream stays a pure function of the plan. */
describe.each<[string, SequenceInput]>([
  ['best-fit', { length: LENGTH, packing: 'best-fit' }],
  ['best-fit in groups of a few sequences', { length: LENGTH, packing: 'best-fit', packingTokens: 900 }],
  ['pad, split', { length: LENGTH, packing: 'pad' }],
  ['pad, truncate', { length: LENGTH, packing: 'pad', long: 'truncate' }],
  ['none', { length: LENGTH, packing: 'none' }],
])('packing: %s', (_name, sequence) => {
  let workspace: Workspace;
  let documents: readonly CorpusDocument[];
  /** By shard and row: the tokens of a row, as they should come. */
  let expected: Map<string, readonly number[]>;
  let reference: Batch[];
  let hashes: string[];
  let tokensTruncated: number;

  const config = (changes: Partial<ConfigInput> = {}): ConfigInput =>
    smallConfig(workspace, {
      sources: { prose: { uri: workspace.path('data/'), ...(sequence.packing === 'none' && { tokens: 'ids' }) } },
      sequence,
      ...changes,
    });

  beforeAll(async () => {
    workspace = await makeWorkspace();
    const tokenizer = await loadTokenizer(TOKENIZER_FILE);
    if (sequence.packing === 'none') {
      expected = await writeSequences(workspace.path('data'), 400);
    } else {
      // some are much longer than a sequence, most are shorter
      documents = everyNth(paragraphs(), 20).map((text, i) => ({ id: `d${i}`, text: text.slice(0, 3000) }));
      await writeShards(workspace.path('data'), documents, SHARDS, 20);
      const eos = tokenizer.tokenId('<|endoftext|>')!;
      expected = new Map(
        documents.map(({ text }, i) => [`${i % SHARDS}:${Math.floor(i / SHARDS)}`, [...tokenizer.encode(text), eos]] as const),
      );
    }
    const pipeline = await openPipeline(config());
    reference = await take(pipeline.batches());
    ({ tokensTruncated } = pipeline.stats);
    await pipeline.close();
    hashes = stepHashes([reference]);
  });
  afterAll(() => workspace.remove());

  it('delivers every token of every document once, and says where it is; with `truncate` what fits, and counts the rest', () => {
    const kept = (tokens: readonly number[]): readonly number[] => (sequence.long === 'truncate' ? tokens.slice(0, LENGTH) : tokens);
    const seen = new Map<string, (number | undefined)[]>();
    for (const batch of reference) {
      for (const { ids, source, shard, row, start, isMasked } of segmentsOf(batch)) {
        expect(isMasked).toBe(source === SOURCE_PADDING);
        if (source === SOURCE_PADDING) continue;
        const own = seen.get(`${shard}:${row}`) ?? [];
        for (const [i, id] of ids.entries()) {
          if (own[start + i] !== undefined) throw new Error(`token ${start + i} of ${shard}:${row} comes twice`);
          own[start + i] = id;
        }
        seen.set(`${shard}:${row}`, own);
      }
    }
    expect(seen.size).toBe(expected.size);
    for (const [place, tokens] of expected) expect(seen.get(place), place).toEqual(kept(tokens));
    const dropped = [...expected.values()].reduce((sum, tokens) => sum + tokens.length - kept(tokens).length, 0);
    expect(tokensTruncated).toBe(dropped);
    expect(sequence.long === 'truncate' ? dropped > 0 : dropped === 0).toBe(true);
    expect(reference.length).toBeGreaterThan(30);
  });

  it('bounds are those of documents: each segment is one document, every row starts one, and padding is the last of its row', () => {
    for (const batch of reference) {
      const { cuSeqlens, segments, length, rows } = batch;
      const bounds = new Set(cuSeqlens);
      expect([cuSeqlens[0], cuSeqlens.at(-1)]).toEqual([0, rows * length]);
      for (let row = 0; row < rows; row++) expect(bounds.has(row * length)).toBe(true);
      for (let i = 0; i < cuSeqlens.length - 1; i++) {
        expect(cuSeqlens[i + 1] - cuSeqlens[i]).toBe(segments[i * SEGMENT_FIELDS + 4]);
        if (segments[i * SEGMENT_FIELDS] === SOURCE_PADDING) expect(cuSeqlens[i + 1] % length).toBe(0);
      }
    }
  });

  it('resumed after every tenth step, goes on exactly, to the last step', async () => {
    const pipeline = await openPipeline(config());
    try {
      for (let step = 0; step < reference.length; step += 10) {
        const cursor = JSON.parse(JSON.stringify(reference[step].cursor)) as Cursor;
        const rest = await take(pipeline.batches({ cursor }));
        const expectedRest = reference.slice(step + 1);
        expect(
          rest.map(({ digest }) => digest),
          `after step ${step}`,
        ).toEqual(expectedRest.map(({ digest }) => digest));
        expect(rest.map((batch) => JSON.stringify(batch.cursor))).toEqual(expectedRest.map((batch) => JSON.stringify(batch.cursor)));
      }
    } finally {
      await pipeline.close();
    }
  }, 120_000);

  it('is the same for 2 and for 8 ranks, with two workers', async () => {
    const pipeline = await openPipeline(config({ limits: { workers: 2 } }));
    try {
      for (const worldSize of [2, 8]) {
        const streams = await Promise.all(Array.from({ length: worldSize }, (_, rank) => take(pipeline.batches({ rank, worldSize }))));
        expect(stepHashes(streams)).toEqual(hashes);
      }
    } finally {
      await pipeline.close();
    }
  });

  it.skipIf(sequence.packing === 'none')('is the same with kept tokens, when they are written and when they are read', async () => {
    const cached = config({ cache: { dir: workspace.path('token-cache'), tokens: true } });
    for (const kept of [false, true]) {
      const pipeline = await openPipeline(cached);
      try {
        expect(stepHashes([await take(pipeline.batches())])).toEqual(hashes);
        expect(pipeline.stats.slicesKept > 0).toBe(kept);
      } finally {
        await pipeline.close();
      }
    }
  });
});

describe('a configuration of packing', () => {
  let workspace: Workspace;

  beforeAll(async () => {
    workspace = await makeWorkspace();
  });
  afterAll(() => workspace.remove());

  const tokens = (changes: Partial<ConfigInput> = {}): ConfigInput => ({
    sources: { t: { uri: workspace.path('rows/'), tokens: 'ids' } },
    sequence: { length: 4, packing: 'none' },
    batch: { size: 1 },
    shuffle: false,
    epochs: 1,
    cache: { dir: workspace.path('cache') },
    limits: { workers: 1 },
    ...changes,
  });

  it.each([
    [{ sequence: { packing: 'none' } }, 'sequence.packing', /sources\.prose has text/],
    [{ sequence: { packingTokens: 4096 } }, 'sequence.packingTokens', /packing is concat/],
    [{ sequence: { packing: 'best-fit', long: 'split' } }, 'sequence.long', /packing is best-fit/],
  ] as const)('is refused where it says what cannot be: %o', async (changes, field, message) => {
    const input: ConfigInput = { sources: { prose: { uri: workspace.path('data/') } }, tokenizer: { file: TOKENIZER_FILE }, ...changes };
    await expect(openPipeline(input)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(message),
      detail: { field },
    });
  });

  it('is in the plan where it can move the stream, and only there', async () => {
    await writeLists(workspace.path('rows'), 'a.parquet', [[1, 2, 3, 4]]);
    const entries = async (sequence: SequenceInput): Promise<unknown[]> => {
      const pipeline = await openPipeline(tokens({ sequence }));
      await pipeline.close();
      const { plan } = pipeline.info;
      return ['sequence.packing', 'sequence.packingTokens', 'sequence.long'].map((name) => plan[name]);
    };
    expect(await entries({ length: 4 })).toEqual(['concat', undefined, undefined]);
    expect(await entries({ length: 4, packing: 'none' })).toEqual(['none', undefined, undefined]);
    expect(await entries({ length: 4, packing: 'best-fit' })).toEqual(['best-fit', 1024, undefined]);
    expect(await entries({ length: 4, packing: 'best-fit', packingTokens: 64 })).toEqual(['best-fit', 64, undefined]);
    expect(await entries({ length: 4, packing: 'pad' })).toEqual(['pad', undefined, 'split']);
  });

  it.each([
    ['short', [5, 6]],
    ['long', [5, 6, 7, 8, 9]],
    ['empty', []],
  ] as const)('none: a %s row fails the run by name, or is left out and counted', async (name, bad) => {
    await writeLists(workspace.path(name), 'a.parquet', [[1, 2, 3, 4], [...bad], [4, 3, 2, 1]]);
    const input = tokens({ sources: { t: { uri: workspace.path(`${name}/`), tokens: 'ids' } } });
    const failing = await openPipeline(input);
    await expect(take(failing.batches())).rejects.toMatchObject({
      code: 'BAD_ROW',
      message: expect.stringMatching(new RegExp(`row 1 of .*a\\.parquet has ${bad.length} ids`)),
    });
    await failing.close();
    const skipping = await openPipeline({ ...input, badRows: 'skip' });
    const batches = await take(skipping.batches());
    expect(batches.map(({ inputIds }) => [...inputIds])).toEqual([
      [1, 2, 3, 4],
      [4, 3, 2, 1],
    ]);
    expect(skipping.stats.rowsSkipped).toBe(1);
    await skipping.close();
  });
});

/** `rows` rows of LENGTH ids in some shards; answers with them by shard and row. */
async function writeSequences(dir: string, rows: number): Promise<Map<string, readonly number[]>> {
  const expected = new Map<string, readonly number[]>();
  for (let shard = 0; shard < SHARDS; shard++) {
    const own = Array.from({ length: rows / SHARDS }, (_, row) =>
      Array.from({ length: LENGTH }, (__, i) => (shard * 6007 + row * 131 + i) % 50257),
    );
    for (const [row, ids] of own.entries()) expected.set(`${shard}:${row}`, ids);
    await writeLists(dir, `part-${shard}.parquet`, own);
  }
  return expected;
}

async function writeLists(dir: string, name: string, rows: readonly (readonly number[])[]): Promise<void> {
  await mkdir(dir, { recursive: true });
  await writeFile(`${dir}/${name}`, tokenRows(rows, 10));
}

interface Segment {
  readonly ids: Int32Array;
  readonly source: number;
  readonly shard: number;
  readonly row: number;
  readonly start: number;
  readonly isMasked: boolean;
}

function segmentsOf({ inputIds, cuSeqlens, segments, lossMask }: Batch): Segment[] {
  return Array.from({ length: cuSeqlens.length - 1 }, (_, i) => {
    const [source, shard, row, start] = segments.subarray(i * SEGMENT_FIELDS, (i + 1) * SEGMENT_FIELDS);
    const [from, to] = [cuSeqlens[i], cuSeqlens[i + 1]];
    const masked = lossMask.subarray(from, to).filter((value) => value === 0).length;
    expect([0, to - from]).toContain(masked);
    return { ids: inputIds.subarray(from, to), source, shard, row, start, isMasked: masked > 0 };
  });
}

function everyNth<T>(values: readonly T[], every: number): T[] {
  return values.filter((_, i) => i % every === 0);
}
