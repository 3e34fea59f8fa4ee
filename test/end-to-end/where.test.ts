import { connect, openPipeline, type ConfigInput } from 'headrace';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import type { AuditReport } from '../../src/auditing.js';
import type { WhereInput } from '../../src/config/where.js';
import { runCli, startSidecar } from '../support/sidecar.js';
import { digestsOf, placesOf, runPipeline, take, type Request, type Run } from '../support/streams.js';
import { makeWorkspace, smallConfig, type Workspace } from '../support/workspace.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('../support/where.py', import.meta.url));
const FILES = 4;
const ROWS = 40;
/** Directories that other programs write. */
const LAYOUTS = ['arrow', 'duckdb', 'spark', 'dask'];
type Source = Partial<ConfigInput['sources'][string]>;

interface FilteredRun extends Run {
  /** `path:row` of each document, in the order of the stream. */
  readonly documents: readonly string[];
  readonly source: Run['sources'][number];
}

describe('where, end to end', { timeout: 120_000 }, () => {
  let workspace: Workspace;
  let dataBytes = 0;

  /** One lane, so that the order of the documents is that of the stream. */
  const config = (source: Source = {}, changes: Partial<ConfigInput> = {}): ConfigInput =>
    smallConfig(workspace, {
      sources: { prose: { uri: workspace.path('data/'), ...source } },
      sequence: { length: 512 },
      shuffle: { blocks: 3, windowBytes: '64KiB' },
      batch: { size: 4, lanes: 1 },
      ...changes,
    });
  const run = async (input: ConfigInput, request?: Request): Promise<FilteredRun> => {
    const whole = await runPipeline(input, request);
    const [source] = whole.sources;
    return { ...whole, source, documents: whole.places.map(({ shard, row }) => `${source.shard(shard).path}:${row}`) };
  };
  const digests = ({ batches }: Pick<Run, 'batches'>): string[] => digestsOf(batches);
  const langOf = (row: number): string | null => (row % 10 === 9 ? null : ['en', 'de', 'fr'][row % 3]);
  const paths = Array.from({ length: FILES }, (_, file) => `day=2026-01-0${1 + (file >> 1)}/${file}.parquet`);
  const all = paths.flatMap((path) => Array.from({ length: ROWS }, (_, row) => `${path}:${row}`));
  const rowOf = (document: string): number => Number(document.split(':')[1]);

  beforeAll(async () => {
    workspace = await makeWorkspace();
    const texts = sampleDocuments(FILES * ROWS).map(({ text }) => text);
    for (const [file, path] of paths.entries()) {
      const rows = Array.from({ length: ROWS }, (_, row) => row);
      const bytes = parquetWriteBuffer({
        columnData: [
          { name: 'lang', data: rows.map(langOf), type: 'STRING', nullable: true },
          // one value of each row group
          { name: 'part', data: rows.map((row) => Math.floor(row / 10)), type: 'INT32' },
          { name: 'number', data: rows.map((row) => BigInt(ROWS * file + row)), type: 'INT64' },
          // a row that is null where nobody takes it
          { name: 'text', data: rows.map((row) => (row === 9 ? null : texts[ROWS * file + row])), type: 'STRING', nullable: true },
        ],
        rowGroupSize: 10,
      });
      await mkdir(workspace.path('data', path.split('/')[0]), { recursive: true });
      dataBytes += bytes.byteLength;
      await writeFile(workspace.path('data', path), new Uint8Array(bytes));
    }
  });
  afterAll(() => workspace.remove());

  it('drops rows inside their windows: all others keep their order and places, and what nobody takes may be broken', async () => {
    const plain = await run(config({}, { badRows: 'skip' }));
    const filtered = await run(config({ where: { lang: 'en' } }));
    expect(filtered.documents).toEqual(plain.documents.filter((document) => langOf(rowOf(document)) === 'en'));
    expect(filtered.stats).toMatchObject({ rowsFiltered: all.length - filtered.documents.length, rowsSkipped: 0, rowsExcluded: 0 });
    expect(filtered.source).toMatchObject({ rows: all.length, ruledOut: { shards: 0, byStatistics: 0, byBloom: 0, rows: 0 } });
    // as in SQL, a comparison with null is not true, and neither is its negation
    const others = await run(config({ where: { lang: { not: 'en' } } }));
    expect(others.documents).toEqual(plain.documents.filter((document) => ['de', 'fr'].includes(langOf(rowOf(document)) ?? '')));
    const [entries, without] = [filtered, plain].map(({ batches }) => batches[0].cursor.plan);
    expect(entries['sources.prose.where']).toBe('{"column":"lang","kind":"compare","op":"eq","value":"en"}');
    expect(without).not.toHaveProperty('sources.prose.where');
    // the order is part of the product
    expect(createHash('sha256').update(filtered.documents.join('\n')).digest('hex').slice(0, 16)).toBe('745d178017f4b0dc');
  });

  it('leaves out shards by partition and row groups by statistics before a byte of them is read, and reads no column that decides nothing', async () => {
    let caches = 0;
    const fresh = (source: Source): Promise<FilteredRun> =>
      run(config(source, { badRows: 'skip', cache: { dir: workspace.path(`fresh-${caches++}`) } }));
    const plain = await fresh({});
    const where: WhereInput = { day: { gte: '2026-01-02' }, part: { in: [1, 2] } };
    const filtered = await fresh({ where });
    const wanted = all.filter((document) => document.startsWith('day=2026-01-02') && [1, 2].includes(Math.floor(rowOf(document) / 10)));
    expect([...filtered.documents].sort()).toEqual([...wanted].sort());
    expect(filtered.stats.rowsFiltered).toBe(0);
    expect(filtered.source).toMatchObject({ shardCount: 2, rows: 40, ruledOut: { shards: 2, byStatistics: 4, byBloom: 0, rows: 40 } });
    // the tokenizer's file is read in both
    expect(plain.bytes - filtered.bytes).toBeGreaterThan(0.6 * dataBytes);
    // two starts, and two ways to write it, are one plan
    const again = await run(config({ where: { all: [{ part: [2, 1, 2] }, { day: { not: { lt: '2026-01-02' } } }] } }, { badRows: 'skip' }));
    expect([...again.documents].sort()).toEqual([...wanted].sort());
    const second = await run(
      config({ where: { part: [1, 2], day: { gte: '2026-01-02' } } }, { badRows: 'skip', cache: { dir: workspace.path('fresh-1') } }),
    );
    expect(digests(second)).toEqual(digests(filtered));
    expect(second.batches[0].cursor.plan).toEqual(filtered.batches[0].cursor.plan);
    expect(second.source).toMatchObject({ shardsRead: 0, ruledOut: filtered.source.ruledOut });
  });

  it('says in the log how much each step left out: partitions, statistics, rows', async () => {
    const address = `ipc://${workspace.path('where.sock')}`;
    const where: WhereInput = { day: { gte: '2026-01-02' }, part: { in: [1, 2] }, lang: 'en' };
    const file = await workspace.config('log.yaml', { ...config({ where }), epochs: 1, last: 'pad', serve: { address } });
    const sidecar = await startSidecar(file);
    const client = connect({ address });
    while ((await client.next()) !== undefined);
    client.close();
    await sidecar.end();
    const log = sidecar.log();
    expect(log).toContain(
      'where leaves out 2 shards by their partitions, 4 row groups by statistics and 0 by bloom filters (40 rows); of 2 shards, 40 rows',
    );
    const rows = all.filter((path) => path.startsWith('day=2026-01-02') && [1, 2].includes(Math.floor(rowOf(path) / 10))).map(rowOf);
    const [line] = log.split('\n').filter((own) => own.includes('rows that were left out of the windows'));
    expect(JSON.parse(line)).toMatchObject({ byWhere: rows.filter((row) => langOf(row) !== 'en').length });
  });

  it('resumes exactly at every tenth step, with other workers', async () => {
    const input = config({ where: { lang: ['en', 'fr'], part: { lt: 3 } } }, { batch: { size: 4, lanes: 2 } });
    const whole = await run(input);
    expect(whole.batches.length).toBeGreaterThan(20);
    for (let step = 10; step < whole.batches.length; step += 10) {
      const rest = await run({ ...input, limits: { workers: 2 } }, { cursor: whole.batches[step - 1].cursor, stepsEnd: step + 10 });
      expect(digests(rest), `from step ${step}`).toEqual(digests(whole).slice(step, step + 10));
    }
  }, 120_000);

  it('shares kept tokens with runs of other filters, and both splits and lists of documents with those of the same one', async () => {
    const cache = { dir: workspace.path('tokens'), tokens: true };
    const where: WhereInput = { lang: 'en' };
    const plain = await run(config({ where }));
    await run(config({}, { badRows: 'skip', cache }));
    const kept = await run(config({ where }, { badRows: 'skip', cache }));
    expect(kept.documents).toEqual(plain.documents);
    expect(kept.batches.map(({ inputIds }) => inputIds)).toEqual(plain.batches.map(({ inputIds }) => inputIds));
    expect(kept.stats).toMatchObject({ tokenizedBytes: 0, slicesWanted: 0, rowsFiltered: plain.stats.rowsFiltered });
    const validation = { share: 0.2 };
    const [train, held] = [
      await run(config({ where }, { validation })),
      await run(config({ where }, { validation }), { split: 'validation' }),
    ];
    expect(held.documents.length).toBeGreaterThan(10);
    expect([...train.documents, ...held.documents].sort()).toEqual([...plain.documents].sort());
    // a list of documents may name what the filter leaves out already
    const list = workspace.path('list.csv');
    const [first] = plain.documents;
    await writeFile(list, ['shard,row', first.replace(':', ','), `${paths[0]},9`, `${paths[3]},1`].map((line) => `${line}\n`).join(''));
    const excluded = await run(config({ where, exclude: list }));
    expect(excluded.documents).toEqual(plain.documents.filter((document) => document !== first));
    const day = await run(config({ where: { ...where, day: '2026-01-01' }, exclude: list }));
    expect(day.documents).toHaveLength(
      plain.documents.filter((document) => document.startsWith('day=2026-01-01')).length - Number(first.startsWith('day=2026-01-01')),
    );
    await writeFile(list, 'shard,row\nday=2026-01-01/9.parquet,0\n');
    await expect(run(config({ where, exclude: list }))).rejects.toMatchObject({ code: 'EXCLUSION_INVALID' });
  }, 120_000);

  it('is covered by the audit, whole epochs without what metadata rules out', async () => {
    const ledger = workspace.path('ledger');
    const input = config({ where: { part: { gte: 1 }, lang: { not: { isNull: true } } } }, { ledger });
    await run(input);
    const { out } = await runCli(['audit', await workspace.config('audit.yaml', input), '--json', '--seed', '7', '--sample', '2']);
    const report = JSON.parse(out) as AuditReport;
    expect(report.checks.flatMap(({ problems }) => problems)).toEqual([]);
    expect(report).toMatchObject({ passed: true, sources: [{ rows: 120, epochs: [{ isWhole: true, rows: 120 }] }] });
  });

  it('says so where nothing is left, and where the question does not fit the data', async () => {
    const problem = async (where: WhereInput): Promise<unknown> => run(config({ where })).catch((error: unknown) => error);
    expect(await problem({ day: '2027-01-01' })).toMatchObject({
      code: 'NO_ROWS',
      message: expect.stringContaining('none of its 4 shards') as string,
    });
    expect(await problem({ part: 9 })).toMatchObject({ code: 'NO_ROWS', message: expect.stringContaining('that `where` takes') as string });
    expect(await problem({ day: 7 })).toMatchObject({ code: 'COLUMN_TYPE', message: expect.stringContaining('partition day') as string });
    expect(await problem({ language: 'en' })).toMatchObject({ code: 'COLUMN_MISSING', detail: { column: 'language' } });
    expect(await problem({ part: '1x' })).toMatchObject({ code: 'COLUMN_TYPE', detail: { column: 'part' } });
  });

  describe.skipIf(PYTHON === undefined)('directories as other programs write them', () => {
    const numbersOf = async (name: string, where: WhereInput): Promise<number[]> => {
      const input = config({ uri: workspace.path(`outputs/${name}/`), id: 'n', where });
      const pipeline = await openPipeline(input);
      try {
        const rows = new Map<number, number[]>();
        for (const { shard, row } of placesOf(await take(pipeline.batches()))) rows.set(shard, [...(rows.get(shard) ?? []), row]);
        const found = await Promise.all([...rows].map(([shard, own]) => pipeline.documentIds(0, shard, own)));
        return found.flatMap((ids) => [...ids.values()].map(Number)).sort((a, b) => a - b);
      } finally {
        await pipeline.close();
      }
    };
    const filters: WhereInput[] = [
      { lang: 'en' },
      { lang: { not: ['en', 'de'] }, date: { gt: '2026-01-02' } },
      { lang: { isNull: true } },
      { quality: { gte: 0.5 }, date: { between: ['2026-01-02', '2026-01-03'] } },
      { any: [{ lang: 'a b/ü%' }, { quality: { isNull: true } }, { n: { lt: 40 } }] },
      { not: { any: [{ quality: { lt: 0.9 } }, { lang: 'de' }] } },
    ];

    /** By directory: of each filter that it can take, the numbers that pyarrow.dataset takes. */
    let expected: Map<string, readonly (readonly [WhereInput, readonly number[]])[]>;

    beforeAll(async () => {
      execFileSync(PYTHON!, [SCRIPT, 'outputs', workspace.path('outputs')]);
      // the package is not part of every environment
      const names = LAYOUTS.filter((name) => name !== 'duckdb' || existsSync(workspace.path('outputs', name)));
      const asked = names.map(
        (name) => [name, filters.filter((where) => name !== 'dask' || !JSON.stringify(where).includes('date'))] as const,
      );
      await writeFile(workspace.path('filters.json'), JSON.stringify(Object.fromEntries(asked)));
      const stdout = execFileSync(PYTHON!, [SCRIPT, 'expect', workspace.path('outputs'), workspace.path('filters.json')]);
      const answers = JSON.parse(stdout.toString()) as Record<string, number[][]>;
      expected = new Map(asked.map(([name, own]) => [name, own.map((where, i) => [where, answers[name][i]] as const)]));
    }, 60_000);

    it('reads shards alike whose columns differ in width, in dictionaries and in being nullable, and names the one that is really different', async () => {
      const quality = (n: number): number | undefined => (n % 13 === 0 ? undefined : ((n * 37) % 100) / 100);
      const expected = Array.from({ length: 600 }, (_, n) => n).filter((n) => (quality(n) ?? 0) >= 0.7 && n > 30);
      expect(await numbersOf('drift', { quality: { gte: 0.7 }, n: { gt: 30 } })).toEqual(expected);
      await expect(numbersOf('broken', { n: { gt: 30 } })).rejects.toMatchObject({
        code: 'COLUMN_TYPE',
        message: expect.stringMatching(/^column text of .*broken\/1\.parquet is int64, not text$/) as string,
      });
      await expect(numbersOf('drift', { lang: 'en' })).rejects.toMatchObject({ code: 'COLUMN_MISSING', detail: { column: 'lang' } });
    }, 60_000);

    it.each(LAYOUTS)(
      '%s: the same rows as pyarrow.dataset',
      async (name) => {
        for (const [where, numbers] of expected.get(name) ?? []) {
          expect(numbers.length).toBeGreaterThan(0);
          expect(await numbersOf(name, where), `${name}, ${JSON.stringify(where)}`).toEqual(numbers);
        }
      },
      120_000,
    );
  });
});
