import { fieldOfRow, loadTokenizer, openPipeline, type ConfigInput } from 'headrace';
import { cp, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { itDeliversEachOnce, paddedDocuments } from '../support/deliveries.js';
import { runPipeline } from '../support/streams.js';
import { makeWorkspace, smallConfig, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

const FIXTURES = fileURLToPath(new URL('../decode/litdata/fixtures/', import.meta.url));

type Row = Readonly<Record<string, unknown>>;

/** litData through the whole pipeline: what `litdata.optimize` wrote, each row once, in an order that is pinned, and exact after a resume. */
describe('litData', () => {
  let workspace: Workspace;
  let rows: Readonly<Record<string, readonly unknown[]>>;
  let textIds: (text: unknown) => readonly number[];

  beforeAll(async () => {
    workspace = await makeWorkspace();
    rows = JSON.parse(await readFile(`${FIXTURES}expected.json`, 'utf8')) as typeof rows;
    const tokenizer = await loadTokenizer(TOKENIZER_FILE);
    textIds = (text) => [...tokenizer.encode(text as string)];
  });
  afterAll(() => workspace.remove());

  const config = (set: string, source: Partial<ConfigInput['sources'][string]>, workers = 1): ConfigInput =>
    smallConfig(workspace, {
      seed: 11,
      sources: { s: { uri: `${FIXTURES}${set}/`, format: 'litdata', ...source } },
      tokenizer: { file: TOKENIZER_FILE, append: 'none' },
      sequence: { length: 128, packing: 'pad', padId: 0 },
      shuffle: { blocks: 2, windowBytes: '64KiB' },
      batch: { size: 2, lanes: 2 },
      limits: { workers },
    });

  /** Set, source, and as of `Delivery` the ids of each row and the pinned order. */
  const CASES: Readonly<Record<string, readonly [string, Partial<ConfigInput['sources'][string]>, () => (readonly number[])[], string]>> = {
    'a bare text': ['bare', {}, () => rows.bare.map(textIds), 'a9b1d1df606538872667ebda508e823e1877038be4c61b0cb9347d3fc7875792'],
    'rows in Arrow': [
      'rows',
      { text: 'meta.body' },
      () => rows.rows.map((row) => textIds(((row as Row).meta as Row).body)),
      '23f28c9906428d012fffe87519f1182705dd97dc039038537e51c8c9fdac79ae',
    ],
    'ids of rows in Arrow': [
      'rows',
      { tokens: 'ids' },
      () => rows.rows.map((row) => (row as Row).ids as number[]),
      'ff954006ff5a2c19d07da08dc96856e6c049b9bb8dbb5ac6df8d4d3f753e26ea',
    ],
    'grouped frames': [
      'frames',
      { text: '0' },
      () => rows.positions.map((row) => textIds((row as unknown[])[0])),
      'a9b1d1df606538872667ebda508e823e1877038be4c61b0cb9347d3fc7875792',
    ],
    'chunks that are compressed as a whole': [
      'chunk-zstd',
      { text: 'text' },
      () => rows.mixed.map((row) => textIds((row as Row).text)),
      'a9b1d1df606538872667ebda508e823e1877038be4c61b0cb9347d3fc7875792',
    ],
    'samples that are compressed one by one': [
      'samples-zstd',
      { text: 'value' },
      () => rows.bare.map(textIds),
      'a9b1d1df606538872667ebda508e823e1877038be4c61b0cb9347d3fc7875792',
    ],
    'token ids of a TokensLoader': [
      'tokens',
      { tokens: 'tokens' },
      () => rows.tokens as number[][],
      'd653ce0377724e0e0c90d27a4dd4bc84d4c9c75bd26fafa055cd4e944b753e48',
    ],
  };

  describe.each(Object.entries(CASES))('%s', (_name, [set, source, expected, order]) => {
    itDeliversEachOnce({ config: (workers) => config(set, source, workers), expected, order }, 2);
  });

  it('an index.json that changes renews what was kept of its chunks, and of no others', async () => {
    const dir = workspace.path('moving');
    for (const part of ['a', 'b']) await cp(`${FIXTURES}mixed`, path.join(dir, part), { recursive: true });
    const own: ConfigInput = { ...config('mixed', { uri: `${dir}/`, text: 'text' }), cache: { dir: workspace.path('moving-cache') } };
    const open = async (): Promise<{ shardsRead: number; manifest: unknown }> => {
      const pipeline = await openPipeline(own);
      await pipeline.close();
      return { shardsRead: pipeline.info.sources[0].shardsRead, manifest: pipeline.info.plan['sources.s.manifest'] };
    };
    const first = await open();
    expect(first.shardsRead).toBe(6);
    expect(await open()).toEqual({ ...first, shardsRead: 0 });
    const file = path.join(dir, 'b', 'index.json');
    const index = await readFile(file, 'utf8');
    // written again, as it is
    await writeFile(file, index.replace('updated_at', 'written_at'));
    expect(await open()).toEqual({ ...first, shardsRead: 3 });
    expect((await open()).shardsRead).toBe(0);
    // the same chunks, of other values
    await writeFile(file, index.replaceAll(/\btext\b/g, 'body'));
    await expect(openPipeline(own)).rejects.toMatchObject({ code: 'COLUMN_MISSING' });
  });

  it.each(['samples', 'chats'])('%s: chats are rendered, from values of their own and from Arrow alike', async (set) => {
    const template = '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}';
    const { batches } = await runPipeline(config(set, { messages: 'messages', template, loss: 'all' }));
    const rendered = rows[set].map((row) =>
      ((row as Row).messages as Row[]).map(({ role, content }) => `${String(role)}: ${String(content)}\n`).join(''),
    );
    expect(paddedDocuments(batches).sort()).toEqual(rendered.map((text) => String(textIds(text))).sort());
  });

  it.each([
    ['samples', { text: 'text', score: 'score', good: 'good', image: 'image' }, { score: { lt: 3 }, good: true }],
    ['rows', { text: 'text', score: 'score' }, { score: { lt: 3 } }],
  ])('%s: samples carry fields of the rows that `where` takes', async (set, fields, where) => {
    const { batches } = await runPipeline({ ...config(set, { fields, where }), sequence: 'none' });
    const found = batches.flatMap((batch) =>
      Array.from({ length: batch.rows }, (_, row) =>
        Object.fromEntries(Object.entries(batch.fields ?? {}).map(([name, field]) => [name, fieldOfRow(field, row)])),
      ),
    );
    const taken = (rows[set] as Row[]).filter(({ score, good }) => (score as number) < 3 && good !== false);
    const padding = found.length - taken.length;
    expect(padding).toBeLessThan(2);
    expect(found.map(({ score, text }) => `${String(score)} ${String(text)}`).sort()).toEqual(
      [...taken.map(({ score, text }) => `${String(score)} ${String(text)}`), ...Array.from({ length: padding }, () => '0 ')].sort(),
    );
    if (set === 'samples') {
      const images = found.map(({ image }) => Buffer.from(image as Uint8Array).toString('base64'));
      expect(images.filter((image) => image !== '').sort()).toEqual(taken.map(({ image }) => image).sort());
    }
  });
});
