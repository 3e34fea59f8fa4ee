import { fieldOfRow, loadTokenizer, openPipeline, type ConfigInput } from 'headrace';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inspect } from '../../src/inspecting.js';
import { itDeliversEachOnce, paddedDocuments, type Delivery } from '../support/deliveries.js';
import { runPipeline } from '../support/streams.js';
import { makeWorkspace, smallConfig, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

const FIXTURES = fileURLToPath(new URL('../decode/mds/fixtures/', import.meta.url));

type Columns = Readonly<Record<string, readonly unknown[]>>;

/** MDS through the whole pipeline: what its own writer wrote, each row once, in an order that is pinned, and exact after a resume. */
describe('MDS', () => {
  let workspace: Workspace;
  let reference: Readonly<Record<string, { readonly columns: Columns }>>;
  let textIds: (text: string) => readonly number[];

  beforeAll(async () => {
    workspace = await makeWorkspace();
    reference = JSON.parse(await readFile(`${FIXTURES}rows.json`, 'utf8')) as typeof reference;
    // a store of several parts: one is compressed
    for (const [part, set] of [
      ['a', 'plain'],
      ['b', 'zstd'],
    ]) {
      await mkdir(workspace.path('merged', part), { recursive: true });
      for (const name of await readdir(FIXTURES + set)) await copyFile(`${FIXTURES}${set}/${name}`, workspace.path('merged', part, name));
    }
    const tokenizer = await loadTokenizer(TOKENIZER_FILE);
    textIds = (text) => [...tokenizer.encode(text)];
  });
  afterAll(() => workspace.remove());

  const config = (source: Partial<ConfigInput['sources'][string]>, changes: Partial<ConfigInput> = {}): ConfigInput =>
    smallConfig(workspace, {
      seed: 11,
      sources: { s: { uri: `${FIXTURES}plain/`, ...source } },
      tokenizer: { file: TOKENIZER_FILE, append: 'none' },
      sequence: { length: 64, packing: 'pad', padId: 0 },
      batch: { size: 2, lanes: 2 },
      ...changes,
    });

  interface Case extends Omit<Delivery, 'config'> {
    readonly source: () => Partial<ConfigInput['sources'][string]>;
  }

  const CASES: Readonly<Record<string, Case>> = {
    'text, plain and compressed, in parts': {
      source: () => ({ uri: workspace.path('merged/') }),
      expected: () => [...reference.plain.columns.text, ...reference.zstd.columns.text].map((text) => textIds(text as string)),
      order: '7caedc6576ab4b32359e070cedd837d601815ca1d82cee8f0828f3bf717af77e',
    },
    'token ids of arrays, by index.json': {
      source: () => ({ uri: `${FIXTURES}plain/index.json`, format: 'mds', tokens: 'dynamic' }),
      expected: () => reference.plain.columns.dynamic as readonly number[][],
      order: 'c2a8c27b934e67b42c8d46d6fa0cb6c4b3517c9733c8ee8abe1e632bcc678c45',
    },
    'token ids in bytes': {
      source: () => ({ format: 'mds', tokens: 'raw', array: { dtype: 'int64' } }),
      expected: () =>
        reference.plain.columns.raw.map((value) => [
          ...Array.from(new BigInt64Array(new Uint8Array(Buffer.from(value as string, 'hex')).buffer), Number),
        ]),
      order: '04d92fb9ebf3f2d3278cb2ff842905a8addd978b91deaf71034f1c725938d737',
    },
  };

  describe.each(Object.entries(CASES))('%s', (_name, { source, ...delivery }) => {
    itDeliversEachOnce({ ...delivery, config: (workers) => config(source(), { limits: { workers } }) }, 2);
  });

  it('ids leave documents out by name', async () => {
    await writeFile(workspace.path('gone.txt'), '-5\n12\n');
    const { batches } = await runPipeline(config({ id: 'int', exclude: workspace.path('gone.txt') }));
    const kept = reference.plain.columns.text.filter((_text, row) => row !== 0 && row !== 17);
    expect(paddedDocuments(batches).sort()).toEqual(kept.map((text) => String(textIds(text as string))).sort());
  });

  it('samples carry fields of the rows that `where` takes', async () => {
    const { batches } = await runPipeline(
      config({ fields: { body: 'body', embedding: 'embedding', number: 'int' }, where: { int: { gte: 5, lt: 25 } } }, { sequence: 'none' }),
    );
    const found = batches.flatMap(({ fields }) => {
      const { number, body, embedding } = fields ?? {};
      return Array.from({ length: 2 }, (_, row) => [
        Number(fieldOfRow(number, row)),
        Buffer.from(fieldOfRow(body, row) as Uint8Array).toString('hex'),
        [...(fieldOfRow(embedding, row) as Float32Array)],
      ]);
    });
    const { int, body, embedding } = reference.plain.columns;
    const expected = int.map((value, row) => [value, body[row], embedding[row]]).slice(10, 30);
    expect(found.sort(([a], [b]) => Number(a) - Number(b))).toEqual(expected);
  });

  it.each([
    [{ array: { eosId: 1, dtype: 'int64' }, format: 'mds', tokens: 'raw' }, /of MDS only sources\.s\.array\.dtype is read/],
    [{ uri: 'x.mds', array: { rowTokens: 4 }, tokens: 'raw' }, /rowTokens is for files of token ids/],
  ] as const)('%j is refused with what to write', async (source, message) => {
    await expect(openPipeline(config(source))).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringMatching(message) });
  });

  it('inspect says what columns there are, and shows rows of those that a source could use', async () => {
    const { format, shards, rows, columns, firstRows, advice } = await inspect({ uri: `${FIXTURES}plain/`, rows: 2, all: true });
    expect({ format, shards, rows, advice }).toEqual({ format: 'mds', shards: 4, rows: 40, advice: [] });
    expect(columns.map(({ name, type, use }) => [name, type, use]).slice(0, 5)).toEqual([
      ['body', 'bytes', undefined],
      ['digits', 'str_int', undefined],
      ['dynamic', 'ndarray', 'tokens'],
      ['embedding', 'ndarray:float32:2', undefined],
      ['fixed', 'ndarray:int64:3', 'tokens'],
    ]);
    expect(firstRows.columns.find(({ name }) => name === 'dynamic')?.rows).toEqual(reference.plain.columns.dynamic.slice(0, 2));
  });
});
