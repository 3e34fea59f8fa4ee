import { mergeCursors, openPipeline, type Batch, type ConfigInput } from 'headrace';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fieldOfRow } from '../../src/core/fields.js';
import type { SkipRecord } from '../../src/core/skip.js';
import { paddedDocuments } from '../support/deliveries.js';
import { stepHashes } from '../support/global-hash.js';
import { expectExactResumes, runPipeline, runRanks } from '../support/streams.js';
import { tarOf } from '../support/tar.js';
import { tokenRows } from '../support/token-rows.js';
import { makeWorkspace, smallConfig, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

type Source = ConfigInput['sources'][string];

const SHARDS = 3;
const ROWS = 80;
const CUT = 7;
const EOS = 50_256;

/** Documents of ids above 9: 1 to 40 of them, with a `CUT` here and there. */
const rowsOf = (shard: number): number[][] =>
  Array.from({ length: ROWS }, (_, row) =>
    Array.from({ length: 1 + ((row * 7 + shard) % 40) }, (_, i) =>
      (i + row) % 11 === 5 ? CUT : 10 + ((row * 31 + i * 17 + shard) % 9000),
    ),
  );

/** Cuts at `CUT`, and leaves out every fifth kind of row. `NAME` is what the rows have their ids under. */
const MODULE = `
export default (row, ctx) => {
  const ids = row['NAME'];
  if (!(ids instanceof Int32Array)) throw new Error('no ids');
  if (ids.length % 5 === 0) return null;
  const parts = [[]];
  for (const id of ids) if (id === ${CUT}) parts.push([]); else parts.at(-1).push(id);
  return parts.filter((part) => part.length > 0).map((part) => ({ 'NAME': [...part, ${EOS}], rest: ctx.random() }));
};
`;

const transformed = (ids: readonly number[]): number[][] => {
  if (ids.length % 5 === 0) return [];
  const parts: number[][] = [[]];
  for (const id of ids) {
    if (id === CUT) parts.push([]);
    else parts.at(-1)!.push(id);
  }
  return parts.filter((part) => part.length > 0).map((part) => [...part, EOS]);
};

describe('a transform of token ids', () => {
  let workspace: Workspace;

  const config = (source: Source, changes: Partial<ConfigInput> = {}): ConfigInput =>
    smallConfig(workspace, {
      seed: 3,
      sources: { s: source },
      tokenizer: undefined,
      sequence: { length: 64, packing: 'pad', padId: 0 },
      shuffle: { blocks: 2, windowBytes: '64KiB' },
      ...changes,
    });

  const collect = async (input: ConfigInput, skipped: SkipRecord[] = []): Promise<readonly Batch[]> =>
    (await runPipeline(input, undefined, { onSkip: (record) => skipped.push(record) })).batches;

  const module = async (name: string, code: string): Promise<{ readonly transform: string }> => {
    await writeFile(workspace.path(name), code);
    return { transform: workspace.path(name) };
  };

  const asIds = (name: string): Promise<{ readonly transform: string }> => module(`cut-${name}.mjs`, MODULE.replaceAll('NAME', name));

  const expected = (): string[] =>
    Array.from({ length: SHARDS }, (_, shard) => rowsOf(shard))
      .flat()
      .flatMap(transformed)
      .map(String)
      .sort();

  beforeAll(async () => {
    workspace = await makeWorkspace();
    for (const dir of ['parquet', 'lines', 'tars', 'arrays']) await mkdir(workspace.path(dir));
    for (let shard = 0; shard < SHARDS; shard++) {
      const rows = rowsOf(shard);
      const records = rows.map((ids, row) => ({ ids, lang: row % 2 === 0 ? 'de' : 'en', id: `${shard}-${row}` }));
      await writeFile(workspace.path('parquet', `${shard}.parquet`), tokenRows(rows, 20));
      await writeFile(workspace.path('lines', `${shard}.jsonl`), records.map((record) => `${JSON.stringify(record)}\n`).join(''));
      const members = records.map((record) => ({ name: `${record.id}.json`, body: JSON.stringify(record) }));
      await writeFile(workspace.path('tars', `${shard}.tar`), tarOf(members));
      // a row is what ends with 1, which none has
      await writeFile(workspace.path('arrays', `${shard}.bin`), Buffer.from(Uint16Array.from(rows.flatMap((ids) => [...ids, 1])).buffer));
    }
  });
  afterAll(() => workspace.remove());

  const SOURCES: Readonly<Record<string, () => Promise<Source>>> = {
    Parquet: async () => ({ uri: workspace.path('parquet/'), tokens: 'ids', ...(await asIds('ids')) }),
    'JSON lines': async () => ({ uri: workspace.path('lines/'), tokens: 'ids', ...(await asIds('ids')) }),
    'JSON lines, beside another column': async () => ({
      uri: workspace.path('lines/'),
      tokens: 'ids',
      columns: ['lang', 'id'],
      ...(await module(
        'beside.mjs',
        MODULE.replaceAll('NAME', 'ids').replace('=> {', "=> {\n  if (!/^(de|en)$/.test(row.lang) || !row.id) throw new Error('no lang');"),
      )),
    }),
    tars: async () => ({ uri: workspace.path('tars/'), tokens: 'json.ids', ...(await asIds('json.ids')) }),
  };

  it.each(Object.entries(SOURCES))(
    'gets the rows of %s, and makes several documents of them or none, the same from every tenth step on',
    async (_, source) => {
      const input = config(await source());
      const whole = await collect(input);
      expect(paddedDocuments(whole).sort()).toEqual(expected());
      await expectExactResumes(input, whole, { first: 3 });
      const two = await collect({ ...input, limits: { workers: 2 } });
      expect(two.map(({ digest }) => digest)).toEqual(whole.map(({ digest }) => digest));
    },
    60_000,
  );

  it('gets the documents of files that hold ids only, as `tokens`', async () => {
    const source: Source = {
      uri: workspace.path('arrays/'),
      format: 'tokens',
      array: { dtype: 'uint16', eosId: 1 },
      ...(await module('of-files.mjs', MODULE.replaceAll('NAME', 'tokens').replace("row['tokens'];", "row['tokens'].subarray(0, -1);"))),
    };
    const input = config(source);
    const whole = await collect(input);
    expect(paddedDocuments(whole).sort()).toEqual(expected());
    await expectExactResumes(input, whole, { first: 3 });
    await expect(openPipeline(config({ ...source, columns: ['lang'] }))).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('sources.s.columns names a column'),
    });
  }, 60_000);

  it.each(['concat', 'best-fit'] as const)(
    'is packed as %s like any documents, resumed exactly, also on other ranks',
    async (packing) => {
      const input = config(await SOURCES.Parquet(), { sequence: { length: 64, packing, padId: 0 } });
      const whole = await collect(input);
      await expectExactResumes(input, whole, { first: 3 });
      const two = await runRanks(input, 2, { cursor: mergeCursors([whole[4].cursor]) });
      expect(stepHashes(two)).toEqual(stepHashes([whole.slice(5)]));
      expect(whole.flatMap(({ inputIds }) => [...inputIds]).filter((id) => id === EOS)).toHaveLength(expected().length);
    },
    60_000,
  );

  it('fits rows to `packing: none`, and gives samples with the fields of their rows', async () => {
    const fit = await module('fit.mjs', 'export default ({ ids }) => ids.length < 16 ? null : { ids: ids.subarray(0, 16) };');
    const source: Source = { uri: workspace.path('parquet/'), tokens: 'ids', ...fit };
    const input = config(source, { sequence: { length: 16, packing: 'none', padId: 0 } });
    const rows = await collect(input);
    const long = Array.from({ length: SHARDS }, (_, shard) => rowsOf(shard))
      .flat()
      .filter(({ length }) => length >= 16);
    expect(paddedDocuments(rows).sort()).toEqual(long.map((ids) => String(ids.slice(0, 16))).sort());
    await expectExactResumes(input, rows, { first: 3 });

    const asSamples = config(
      { uri: workspace.path('lines/'), tokens: 'ids', fields: { id: 'id' }, ...(await asIds('ids')) },
      { sequence: { length: 16, packing: 'samples', padId: 0 } },
    );
    const samples = await collect(asSamples);
    const served = samples.flatMap(({ rows: count, fields, inputIds }) =>
      Array.from({ length: count }, (_, i): [string, string] => [
        fieldOfRow(fields!.id, i) as string,
        [...inputIds.subarray(16 * i, 16 * i + 16)].filter((id) => id !== 0).join(),
      ]),
    );
    const wanted = Array.from({ length: SHARDS }, (_, shard) =>
      rowsOf(shard).flatMap((ids, row) => transformed(ids).map((part): [string, string] => [`${shard}-${row}`, part.slice(0, 16).join()])),
    ).flat();
    expect(served.filter(([id]) => id !== '').sort()).toEqual(wanted.sort());
    await expectExactResumes(asSamples, samples, { first: 3 });
  }, 60_000);

  it('that answers with what is no row of ids, or with ids that no vocabulary has, is told by the row, or the row is left out', async () => {
    const source: Source = { uri: workspace.path('parquet/'), tokens: 'ids' };
    const failure = async (code: string, changes: Partial<ConfigInput> = {}): Promise<unknown> =>
      collect(config({ ...source, ...(await module('bad.mjs', code)) }, changes)).catch((error: unknown) => error);
    expect(await failure('export default () => ({ text: "a" });')).toMatchObject({
      code: 'TRANSFORM_FAILED',
      message: expect.stringMatching(
        /row \d+ of .*parquet is transformed by .*bad\.mjs to a row whose ids is undefined, not a list of token ids/,
      ),
    });
    expect(await failure('export default () => ({ ids: [1, 2.5] });')).toMatchObject({
      code: 'TRANSFORM_FAILED',
      message: expect.stringContaining('a row whose ids holds what is no token id, at 1'),
    });
    expect(await failure('export default () => ({ ids: [1, -1] });')).toMatchObject({ code: 'TOKEN_OUT_OF_RANGE' });
    expect(await failure('export default () => ({ ids: [60_000] });', { tokenizer: { file: TOKENIZER_FILE } })).toMatchObject({
      code: 'TOKEN_OUT_OF_RANGE',
      message: expect.stringContaining('has the token id 60000 after its transform, and ids are from 0 to 50256'),
    });
    expect(await failure('export default (row) => row;', { sequence: { length: 16, packing: 'none', padId: 0 } })).toMatchObject({
      code: 'BAD_ROW',
      message: expect.stringMatching(/has \d+ ids after its transform; with `packing: none` every row has the sequence's 16/),
    });
    const skipped: SkipRecord[] = [];
    const same = await module('same.mjs', 'export default (row) => row;');
    await writeFile(workspace.path('odd.parquet'), tokenRows([[1, 2], null, [3], []]));
    const left = await collect(config({ ...source, uri: workspace.path('odd.parquet'), ...same }, { badRows: 'skip' }), skipped);
    expect(paddedDocuments(left).sort()).toEqual(['1,2', '3']);
    expect(skipped.map(({ problem }) => problem)).toEqual([expect.stringMatching(/row 1 of .* is null, or holds a null/)]);
    await writeFile(workspace.path('odd.jsonl'), '{"ids":[1,2],"l":1}\n{"ids":[1.5],"l":1}\n{"ids":"a","l":1}\n{"l":1}\n');
    const lines = { ...source, uri: workspace.path('odd.jsonl'), columns: ['l'], ...same };
    expect(paddedDocuments(await collect(config(lines, { badRows: 'skip' }), skipped))).toEqual(['1,2']);
    expect(skipped.slice(1).map(({ problem }) => problem)).toHaveLength(3);
  }, 60_000);

  it('that the documentation shows does what it says', async () => {
    const page = await readFile(new URL('../../docs/transforms.md', import.meta.url), 'utf8');
    const [, code] = /^```js\n((?:(?!^```)[^])*input_ids[^]*?)^```/m.exec(page)!;
    await writeFile(
      workspace.path('padded.parquet'),
      tokenRows([
        [1, 2, 3, 4, 5, 6, 7, 8, -100],
        [1, -100],
        [1, 2, 3, 4, 5, 6, 7, 0],
      ]),
    );
    const source = {
      uri: workspace.path('padded.parquet'),
      tokens: 'ids',
      ...(await module('shown.mjs', code.replaceAll('input_ids', 'ids'))),
    };
    expect(paddedDocuments(await collect(config(source))).sort()).toEqual(['1,2,3,4,5,6,7,0', '1,2,3,4,5,6,7,8,0']);
  }, 60_000);

  it('is part of the plan, and no other stream has it', async () => {
    const planOf = async (source: Source, changes: Partial<ConfigInput> = {}): Promise<string> => {
      const pipeline = await openPipeline(config(source, changes));
      await pipeline.close();
      return pipeline.info.planFingerprint;
    };
    const { transform } = await asIds('ids');
    const uri = workspace.path('lines/');
    const plans = [
      await planOf({ uri, tokens: 'ids' }, { tokenizer: { file: TOKENIZER_FILE } }),
      await planOf({ uri, tokens: 'ids', transform }, { tokenizer: { file: TOKENIZER_FILE } }),
      await planOf({ uri, tokens: 'ids', columns: ['lang'], transform }, { tokenizer: { file: TOKENIZER_FILE } }),
      await planOf({ uri, text: 'ids', columns: ['lang'], transform }, { tokenizer: { file: TOKENIZER_FILE } }),
    ];
    expect(new Set(plans).size).toBe(4);
  }, 60_000);
});
