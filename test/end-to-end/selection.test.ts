import { connect, openPipeline, type ConfigInput } from 'headrace';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { mkdir, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { SEGMENT_FIELDS } from '../../src/core/sequence.js';
import { startSidecar } from '../support/sidecar.js';
import { digestsOf, runPipeline, take, type Request, type Run } from '../support/streams.js';
import { makeWorkspace, smallConfig, type Workspace } from '../support/workspace.js';

const FILES = 3;
const ROWS = 120;

interface SelectedRun extends Run {
  /** `shard:row` of each document, in the order of the stream, batch by batch and row by row. */
  readonly documents: readonly string[];
}

describe('exclusions and validation, end to end', () => {
  let workspace: Workspace;
  const all = Array.from({ length: FILES * ROWS }, (_, i) => `${Math.floor(i / ROWS)}:${i % ROWS}`);
  const idOf = (document: string): string => `urn:${document}`;

  /** One lane, so that the order of the documents is that of the stream. */
  const config = (changes: Partial<ConfigInput> = {}, source: Partial<ConfigInput['sources'][string]> = {}): ConfigInput =>
    smallConfig(workspace, {
      sources: { prose: { uri: workspace.path('data/'), id: 'name', ...source } },
      shuffle: { blocks: 3, windowBytes: '64KiB' },
      batch: { size: 4, lanes: 1 },
      ...changes,
    });
  const run = async (input: ConfigInput, request?: Request): Promise<SelectedRun> => {
    const whole = await runPipeline(input, request);
    return { ...whole, documents: whole.places.map(({ shard, row }) => `${shard}:${row}`) };
  };
  const list = async (name: string, lines: readonly string[]): Promise<string> => {
    await writeFile(workspace.path(name), lines.map((line) => `${line}\n`).join(''));
    return workspace.path(name);
  };
  const digests = ({ batches }: Pick<Run, 'batches'>): string[] => digestsOf(batches);
  const chosen = all.filter((_, i) => i % 7 === 3);
  /** Of everything, but for the row that is null. */
  let plain: SelectedRun;

  beforeAll(async () => {
    workspace = await makeWorkspace();
    await mkdir(workspace.path('data'));
    const texts = sampleDocuments(FILES * ROWS).map(({ text }) => text);
    for (let file = 0; file < FILES; file++) {
      const rows = Array.from({ length: ROWS }, (_, row) => ROWS * file + row);
      const bytes = parquetWriteBuffer({
        columnData: [
          { name: 'name', data: rows.map((row) => idOf(all[row])), type: 'STRING' },
          { name: 'number', data: rows.map((row) => BigInt(row)), type: 'INT64' },
          // a row that is null, and is excluded below
          { name: 'text', data: rows.map((row) => (row === 3 ? null : texts[row])), type: 'STRING', nullable: true },
        ],
        rowGroupSize: 30,
      });
      await writeFile(workspace.path('data', `${file}.parquet`), new Uint8Array(bytes));
    }
    plain = await run(config({ badRows: 'skip' }));
  });
  afterAll(() => workspace.remove());

  it('leaves documents out by name, number or row, and moves no other; what nobody wants may be broken', async () => {
    expect([...plain.documents].sort()).toEqual(all.filter((document) => document !== '0:3').sort());
    const rest = plain.documents.filter((document) => !chosen.includes(document));
    const byName = await run(config({}, { exclude: await list('names.txt', chosen.map(idOf)) }));
    expect(byName.documents).toEqual(rest);
    expect(byName.stats).toMatchObject({ rowsExcluded: chosen.length, rowsSkipped: 0 });
    const numbers = chosen.map((document) => String(all.indexOf(document)));
    const byNumber = await run(config({}, { id: 'number', exclude: await list('numbers.jsonl', numbers) }));
    const rows = ['shard,row', ...chosen.map((document) => document.replace(/^(\d+):/, '$1.parquet,'))];
    const byRow = await run(config({}, { id: undefined, exclude: [await list('rows.csv', rows)] }));
    expect(digests(byNumber)).toEqual(digests(byName));
    expect(digests(byRow)).toEqual(digests(byName));
  });

  it('reads no byte of the ids where nobody asks for them', async () => {
    // each reads the footers
    let dirs = 0;
    const fresh = (source: Partial<ConfigInput['sources'][string]>): ConfigInput =>
      config({ badRows: 'skip', cache: { dir: workspace.path(`fresh-${dirs++}`) } }, source);
    const without = await run(fresh({ id: undefined }));
    const idle = await run(fresh({ exclude: await list('none.txt', []) }));
    const rows = await list('one.csv', ['shard,row', '0.parquet,3']);
    const byRow = await run(fresh({ exclude: rows }));
    expect(idle.batches[0].cursor.plan).toEqual(without.batches[0].cursor.plan);
    expect([idle.bytes, byRow.bytes - 'shard,row\n0.parquet,3\n'.length]).toEqual([without.bytes, without.bytes]);
    expect((await run(fresh({ exclude: await list('some.txt', ['x']) }))).bytes).toBeGreaterThan(without.bytes);
  });

  it.each(['id', 'row'] as const)('training and validation by %s share all documents between them, at any seed', async (by) => {
    const changes = { badRows: 'skip', validation: { share: 0.1, by } } as const;
    const [train, validation] = [await run(config(changes)), await run(config(changes), { split: 'validation' })];
    expect([...train.documents, ...validation.documents].sort()).toEqual(all.filter((document) => document !== '0:3').sort());
    expect(validation.documents.length).toBeGreaterThan(10);
    expect(validation.stats.tokenizedBytes).toBeLessThan(0.25 * train.stats.tokenizedBytes);
    // another seed: the same documents, in the same order; of training, another order of the same
    const again = await run(config({ ...changes, seed: 6, epochs: 2, limits: { workers: 2 } }), { split: 'validation' });
    expect(digests(again)).toEqual(digests(validation));
    expect(again.batches[0].cursor.plan).toEqual(validation.batches[0].cursor.plan);
    const other = await run(config({ ...changes, seed: 6 }));
    expect(other.documents).not.toEqual(train.documents);
    expect([...other.documents].sort()).toEqual([...train.documents].sort());
    expect(train.documents).toEqual(plain.documents.filter((document) => train.documents.includes(document)));
    // exclusions apply to both
    const exclude = await list('both.txt', chosen.map(idOf));
    const left = await run(config(changes, { exclude }), { split: 'validation' });
    expect(left.documents).toEqual(validation.documents.filter((document) => !chosen.includes(document)));
  });

  it("validation has nothing of what training's sources, schedules and run directory say", async () => {
    const two = (prose: object, other: object): Partial<ConfigInput> => ({
      badRows: 'skip',
      badBlocks: 'skip',
      validation: { share: 0.2 },
      sources: {
        prose: { uri: workspace.path('data/0.parquet'), weight: 2, ...prose },
        other: { uri: workspace.path('data/1.parquet'), ...other },
      },
    });
    const alone = await run(config(two({}, {})), { split: 'validation' });
    const sources = new Set(alone.batches.flatMap(({ segments }) => [...segments].filter((_, i) => i % SEGMENT_FIELDS === 0)));
    expect([...sources].filter((source) => source >= 0).sort()).toEqual([0, 1]);
    expect(alone.batches.at(-1)?.cursor.mixture).toEqual([]);
    const {
      epochs: _,
      last: __,
      ...endless
    } = config({
      ...two({ whenUsedUp: 'repeat' }, { epochs: 2, maxTokens: 500, whenUsedUp: 'stop' }),
      mixture: [{ at: 2, weights: { prose: 0.5 } }],
      run: { dir: workspace.path('run') },
    });
    const pipeline = await openPipeline(endless);
    try {
      await pipeline.changeMixture({ at: { step: 1000 }, weights: { other: 0 }, ramp: 0 });
      const batches = await take(pipeline.batches({ split: 'validation' }));
      expect(digests({ batches })).toEqual(digests(alone));
      expect(batches[0].cursor.plan).toEqual(alone.batches[0].cursor.plan);
      const { cursor } = batches[0];
      const stream = pipeline.openStream({ split: 'validation', cursor });
      expect((await stream.next())?.digest).toBe(batches[1].digest);
      stream.close();
      expect(pipeline.info.plan).toMatchObject({ split: 'train', 'sources.other.maxTokens': 500, mixture: expect.any(String) });
    } finally {
      await pipeline.close();
    }
  });

  it('goes on from any batch of either split, with another number of ranks, and mixes no two', async () => {
    const input = config({
      batch: { size: 4, lanes: 2 },
      validation: { share: 0.2, by: 'id', seed: 3 },
      sources: { prose: { uri: workspace.path('data/'), id: 'name', exclude: await list('resumed.txt', chosen.map(idOf)) } },
    });
    const [train, validation] = [await run(input), await run(input, { split: 'validation' })];
    const pipeline = await openPipeline(input);
    try {
      for (const [split, { batches }] of [['train', train] as const, ['validation', validation] as const]) {
        for (const [step, { cursor }] of batches.entries()) {
          if (step % 5 !== 0 && step !== batches.length - 1) continue;
          const stream = pipeline.openStream({ split, cursor });
          expect((await stream.next())?.digest).toBe(batches.at(step + 1)?.digest);
          stream.close();
        }
        const { cursor } = batches[0];
        const ranks = [0, 1].map((rank) => pipeline.openStream({ split, cursor, rank, worldSize: 2 }));
        const [a, b] = await Promise.all(ranks.map((stream) => stream.next()));
        const { length, inputIds } = batches[1];
        expect([0, 1].flatMap((row) => [a, b].flatMap((part) => [...part!.inputIds.subarray(row * length, (row + 1) * length)]))).toEqual([
          ...inputIds,
        ]);
        for (const stream of ranks) stream.close();
        const other = split === 'train' ? 'validation' : 'train';
        expect(() => pipeline.openStream({ split: other, cursor })).toThrow(
          expect.objectContaining({ code: 'CURSOR_MISMATCH', detail: { field: 'split', cursor: split, run: other } }),
        );
      }
    } finally {
      await pipeline.close();
    }
    await expect(run(config(), { split: 'validation' })).rejects.toMatchObject({ code: 'CONFIG_INVALID', detail: { field: 'validation' } });
  });

  const changes = (dir: string): Partial<ConfigInput> => ({ badRows: 'skip', cache: { dir: workspace.path(dir), tokens: true } });

  it('tokens that are kept serve any list', async () => {
    const exclude = await list('kept.txt', chosen.map(idOf));
    const first = await run(config(changes('tokens'), { exclude }));
    expect(digests(first)).toEqual(digests(await run(config({ badRows: 'skip' }, { exclude }))));
    expect(first.stats).toMatchObject({ slicesKept: 0, rowsExcluded: chosen.length });
    const source = { exclude: await list('shorter.txt', chosen.slice(9).map(idOf)) };
    const kept = await run(config(changes('tokens'), source));
    expect(kept.stats).toMatchObject({ tokenizedBytes: 0, slicesWanted: 0, rowsExcluded: chosen.length - 9 });
    expect(digests(kept)).toEqual(digests(await run(config({ badRows: 'skip' }, source))));
  });

  it('tokens that training keeps serve validation, which keeps none', async () => {
    const validation = { share: 0.1, by: 'id' } as const;
    const expected = digests(await run(config({ badRows: 'skip', validation }), { split: 'validation' }));
    await run(config({ ...changes('splits'), validation }));
    const kept = await run(config({ ...changes('splits'), validation }), { split: 'validation' });
    expect(digests(kept)).toEqual(expected);
    expect(kept.stats).toMatchObject({ tokenizedBytes: 0, slicesWanted: 0 });
    const alone = await run(config({ ...changes('empty'), validation }), { split: 'validation' });
    expect(digests(alone)).toEqual(expected);
    expect(alone.stats).toMatchObject({ slicesKept: 0, slicesWanted: 0 });
  });

  it('a list of content that is the same is the same plan; another is a mismatch that names it', async () => {
    const [one, same, other] = [
      await list('one.txt', ['a', 'b']),
      await list('same.jsonl', ['"b"', '"a"', '"a"']),
      await list('other.txt', ['a']),
    ];
    const { batches } = await run(config({ badRows: 'skip' }, { exclude: one }));
    const request = { cursor: batches[0].cursor };
    expect(digests(await run(config({ badRows: 'skip' }, { exclude: same }), request))).toEqual(digests({ batches: batches.slice(1) }));
    await expect(run(config({ badRows: 'skip' }, { exclude: other }), request)).rejects.toMatchObject({
      code: 'CURSOR_MISMATCH',
      detail: { field: 'sources.prose.exclude' },
    });
  });

  it.each([
    [{ validation: { share: 0.1, by: 'id' } }, { id: undefined }, 'CONFIG_INVALID', /sources\.prose\.id is needed/],
    [{}, { id: 'nmae', exclude: 'x.txt' }, 'COLUMN_MISSING', /no column nmae/],
    [{}, { exclude: '/nowhere/x.txt' }, 'STORE_NOT_FOUND', /nowhere/],
  ] as [Partial<ConfigInput>, Partial<ConfigInput['sources'][string]>, string, RegExp][])(
    'refuses %j with %j',
    async (changes, source, code, message) => {
      await expect(run(config(changes, source))).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    },
  );

  it('a sidecar serves both splits to one trainer, byte for byte', async () => {
    const input = config({ badRows: 'skip', validation: { share: 0.1 } });
    const expected = { train: digests(await run(input)), validation: digests(await run(input, { split: 'validation' })) };
    const sidecar = await startSidecar(await workspace.config('split.yaml', input), { address: `ipc://${workspace.path('s.sock')}` });
    try {
      const address = `ipc://${workspace.path('s.sock')}`;
      for (const split of ['train', 'validation', 'validation'] as const) {
        const received = digestsOf(await take(connect({ address, split, verify: true })));
        expect(received).toEqual(expected[split]);
      }
      // at the same time, as one consumer of each
      const [train, validation] = [connect({ address }), connect({ address, split: 'validation' })];
      const [a, b] = [await train.next(), await validation.next()];
      expect([a?.cursor.plan.split, b?.cursor.plan.split]).toEqual(['train', 'validation']);
      expect((await train.next())?.step).toBe(1);
      const mixed = connect({ address, split: 'validation', cursor: a!.cursor });
      await expect(mixed.next()).rejects.toMatchObject({ code: 'CURSOR_MISMATCH', detail: { field: 'split' } });
      for (const client of [train, validation, mixed]) client.close();
    } finally {
      await sidecar.end();
    }
  });
});
