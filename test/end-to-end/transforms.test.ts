import { mergeCursors, openPipeline, showStep, type Batch, type ConfigInput, type Cursor } from 'headrace';
import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleDocuments } from '../../examples/corpus/prose.js';
import { fieldOfRow } from '../../src/core/fields.js';
import { SEGMENT_FIELDS, SEGMENT_FIRST, SEGMENT_LAST, SOURCE_PADDING } from '../../src/core/sequence.js';
import { loadTokenizer } from '../../src/open-tokenizer.js';
import type { SkipRecord } from '../../src/core/skip.js';
import { stepHashes } from '../support/global-hash.js';
import { runCli } from '../support/sidecar.js';
import { expectExactResumes, runPipeline, runRanks } from '../support/streams.js';
import { tarOf } from '../support/tar.js';
import { makeWorkspace, smallConfig, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

const SHARDS = 4;
const ROWS = 30;
const PYTHON = process.env.HEADRACE_PYTHON;

/** Leaves out rows by language, splits at paragraphs, shouts by chance. */
const SPLIT = `
const shout = (text, ctx) => (ctx.random() < 0.2 ? text.toUpperCase() : text);
export default (row, ctx) => {
  if (row.lang === 'xx') return null;
  return row.text.split('. ').filter((part) => part.length > 20).map((part) => ({ text: shout(row.lang + ': ' + part, ctx), rest: 1 }));
};
`;

describe('a transform', () => {
  let workspace: Workspace;
  let reference: readonly Batch[];
  const rowsOfShards: { text: string; lang: string }[][] = [];

  const config = (changes: Partial<ConfigInput> = {}, source: Partial<ConfigInput['sources'][string]> = {}): ConfigInput =>
    smallConfig(workspace, {
      seed: 7,
      sources: { prose: { uri: workspace.path('data/'), columns: ['lang'], transform: workspace.path('split.mjs'), id: 'id', ...source } },
      cache: { dir: workspace.path('cache'), tokens: true },
      ...changes,
    });

  const collect = async (input: ConfigInput, skipped: SkipRecord[] = []): Promise<readonly Batch[]> =>
    (await runPipeline(input, undefined, { onSkip: (record) => skipped.push(record) })).batches;

  const module = async (name: string, code: string): Promise<Partial<ConfigInput['sources'][string]>> => {
    await writeFile(workspace.path(name), code);
    return { transform: workspace.path(name) };
  };

  beforeAll(async () => {
    workspace = await makeWorkspace();
    await mkdir(workspace.path('data'));
    await writeFile(workspace.path('split.mjs'), SPLIT);
    const documents = sampleDocuments(SHARDS * ROWS);
    for (let shard = 0; shard < SHARDS; shard++) {
      const rows = documents.slice(shard * ROWS, (shard + 1) * ROWS).map(({ text }, row) => ({ text, lang: row % 5 === 3 ? 'xx' : 'en' }));
      rowsOfShards.push(rows);
      const columnData = [
        { name: 'id', data: rows.map((_, row) => `${shard}-${row}`), type: 'STRING' as const },
        { name: 'text', data: rows.map(({ text }) => text), type: 'STRING' as const },
        { name: 'lang', data: rows.map(({ lang }) => lang), type: 'STRING' as const },
      ];
      await writeFile(workspace.path('data', `p-${shard}.parquet`), new Uint8Array(parquetWriteBuffer({ columnData, rowGroupSize: 8 })));
    }
    reference = await collect(config());
  }, 60_000);
  afterAll(() => workspace.remove());

  it('makes several documents of a row, each with its end-of-sequence token and its own segments, or none', async () => {
    const tokenizer = await loadTokenizer(TOKENIZER_FILE);
    const eos = tokenizer.tokenId('<|endoftext|>')!;
    const delivered = documentsOf(reference);
    let shouted = 0;
    for (const [shard, rows] of rowsOfShards.entries()) {
      for (const [row, { text, lang }] of rows.entries()) {
        const parts = lang === 'xx' ? [] : text.split('. ').filter((part) => part.length > 20);
        const own = delivered.get(`${shard}:${row}`) ?? [];
        expect(own.map((ids) => ids.at(-1))).toEqual(parts.map(() => eos));
        for (const [i, ids] of own.entries()) {
          const plain = `${lang}: ${parts[i]}`;
          const decoded = tokenizer.decode(Int32Array.from(ids.slice(0, -1)));
          expect([plain, plain.toUpperCase()], `${shard}:${row}`).toContain(decoded);
          if (decoded !== plain) shouted++;
        }
      }
    }
    expect(shouted).toBeGreaterThan(20);
  });

  it('gives this order, in one worker or two', async () => {
    expect(stepHashes([reference]).at(-1)).toMatchInlineSnapshot(`"0fed6fcbdd988c0140c34512ad6353b90cac6af52890026fbcfe2eebadd18023"`);
    const batches = await collect(config({ limits: { workers: 2 } }));
    expect(batches.map(({ digest }) => digest)).toEqual(reference.map(({ digest }) => digest));
  }, 60_000);

  it.each(['concat', 'best-fit', 'pad'] as const)(
    'packed as %s, resumed after every tenth step, goes on exactly, also on other ranks',
    async (packing) => {
      const input = config({ sequence: { length: 128, packing } });
      const whole = await collect(input);
      expect(new Set(documentsOf(whole).keys())).toEqual(new Set(documentsOf(reference).keys()));
      await expectExactResumes(input, whole, { first: 3, nextMax: 12 });
      const two = await runRanks(input, 2, { cursor: mergeCursors([whole[7].cursor]) });
      expect(stepHashes(two)).toEqual(stepHashes([whole.slice(8)]));
    },
    60_000,
  );

  it('gives each of its samples the fields of its row, and a row that it leaves out takes them along; resumed in the middle of rows', async () => {
    const fields = { id: 'id', image: 'lang' };
    const asSamples = { length: 32, packing: 'samples' } as const;
    const pipeline = await openPipeline(config({ sequence: asSamples }, { fields }));
    try {
      const whole: Batch[] = [];
      for await (const batch of pipeline.batches()) whole.push(batch);
      // the same documents in the same places as without fields
      const padded = await collect(config({ sequence: { length: 32, packing: 'pad', long: 'truncate' } }));
      expect(whole.map(({ inputIds }) => inputIds)).toEqual(padded.map(({ inputIds }) => inputIds));
      expect(whole.map(({ segments }) => segments)).toEqual(padded.map(({ segments }) => segments));
      const samplesOf = new Map<string, number>();
      for (const { shard, row, fields: own } of whole.flatMap(samplesIn)) {
        expect(own).toEqual({ id: `${shard}-${row}`, image: 'en' });
        samplesOf.set(own.id, (samplesOf.get(own.id) ?? 0) + 1);
      }
      expect(samplesOf.size).toBe(documentsOf(reference).size);
      expect(Math.max(...samplesOf.values())).toBeGreaterThan(8);
      let inRows = 0;
      for (let step = 0; step < whole.length - 1; step += 5) {
        const cursor = JSON.parse(JSON.stringify(whole[step].cursor)) as Cursor;
        inRows += Object.values(cursor.lanes).filter((lane) => lane.prose[3] > 0).length;
        const rest: Batch[] = [];
        for await (const batch of pipeline.batches({ cursor })) if (rest.push(batch) === 3) break;
        expect(rest.map(({ digest }) => digest)).toEqual(whole.slice(step + 1, step + 4).map(({ digest }) => digest));
      }
      expect(inRows).toBeGreaterThan(5);
    } finally {
      await pipeline.close();
    }
  }, 60_000);

  it('of any format has samples with the fields of their rows; a text of nothing is a sample as well', async () => {
    const data = Array.from({ length: 24 }, (_, i) => ({
      text: i % 4 === 0 ? 'drop' : i % 4 === 1 ? 'a|b||' : i % 4 === 2 ? '' : 'c',
      n: i,
    }));
    await writeFile(workspace.path('rows.jsonl'), data.map((row) => `${JSON.stringify(row)}\n`).join(''));
    await writeFile(workspace.path('rows.csv'), `text,n\n${data.map(({ text, n }) => `${text},${n}\n`).join('')}`);
    await writeFile(
      workspace.path('rows.tar'),
      tarOf(
        data.flatMap(({ text, n }) => [
          { name: `${n}.text`, body: text },
          { name: `${n}.n`, body: `${n}` },
        ]),
      ),
    );
    const columnData = [
      { name: 'text', data: data.map(({ text }) => text), type: 'STRING' as const },
      { name: 'n', data: data.map(({ n }) => n), type: 'INT32' as const },
    ];
    await writeFile(workspace.path('rows.parquet'), new Uint8Array(parquetWriteBuffer({ columnData })));
    const split = await module(
      'bars.mjs',
      `export default ({ text }) => text === 'drop' ? null : text.split('|').map((text) => ({ text }));`,
    );
    const changes = {
      tokenizer: { file: TOKENIZER_FILE, append: 'none' },
      sequence: { length: 4, packing: 'samples' },
      shuffle: false,
      batch: { size: 2, lanes: 1 },
    } as const;
    const expected = data.flatMap(({ text, n }) => (text === 'drop' ? [] : text.split('|').map((part) => [n, part])));
    const tokenizer = await loadTokenizer(TOKENIZER_FILE);
    for (const file of ['rows.jsonl', 'rows.csv', 'rows.tar', 'rows.parquet']) {
      const source = {
        uri: workspace.path(file),
        columns: undefined,
        id: undefined,
        fields: { n: { column: 'n', type: 'int32' as const } },
        ...split,
      };
      const served = (await collect(config(changes, source))).flatMap(samplesIn);
      expect(
        served.map(({ fields: { n }, ids }) => [Number(n), tokenizer.decode(Int32Array.from(ids))]),
        file,
      ).toEqual(expected);
    }
    const bad = {
      uri: workspace.path('rows.jsonl'),
      columns: undefined,
      fields: { n: { column: 'text', type: 'int32' as const } },
      ...split,
    };
    await expect(collect(config(changes, bad))).rejects.toMatchObject({
      code: 'BAD_ROW',
      message: expect.stringMatching(/row 1 of .*a field n/),
    });
  }, 60_000);

  it('is part of the plan by its content alone', async () => {
    const planOf = async (source: Partial<ConfigInput['sources'][string]>): Promise<string> => {
      const pipeline = await openPipeline(config({}, source));
      await pipeline.close();
      return pipeline.info.planFingerprint;
    };
    const own = await planOf({});
    expect(await planOf(await module('elsewhere.js', SPLIT))).toBe(own);
    expect(await planOf(await module('changed.js', SPLIT.replace('0.2', '0.3')))).not.toBe(own);
    expect(await planOf({ columns: ['lang', 'id'] })).not.toBe(own);
    expect(await planOf({ columns: undefined, transform: undefined })).not.toBe(own);
  }, 60_000);

  it('is shown, with the row of each document', async () => {
    const shown = await showStep(config(), { step: 4 });
    expect(shown.digest).toBe(reference[4].digest);
    const segment = shown.slots.flatMap(({ segments }) => segments).find(({ begins, tokenStart }) => begins && tokenStart > 0)!;
    const [shard, row] = segment.id!.split('-').map(Number);
    expect([segment.shard, segment.row]).toEqual([`p-${shard}.parquet`, row]);
    expect(segment.text?.toLowerCase()).toMatch(/^en: /);
  }, 60_000);

  it('that throws for a row fails the run by name, or leaves the row out by policy', async () => {
    const source = await module(
      'throws.js',
      `export default (row) => {\n  if (row.lang === 'xx') throw new Error('no such language');\n  return row;\n};`,
    );
    await expect(collect(config({}, source))).rejects.toMatchObject({
      code: 'TRANSFORM_FAILED',
      message: expect.stringMatching(
        /row \d+ of .*p-\d\.parquet cannot be transformed by .*throws\.js: no such language \(line 2, column \d+\)$/,
      ),
      detail: { row: expect.any(Number), uri: expect.stringContaining('.parquet'), transform: workspace.path('throws.js') },
    });
    const skipped: SkipRecord[] = [];
    const left = documentsOf(await collect(config({ badRows: 'skip' }, source), skipped));
    expect(skipped).toHaveLength((SHARDS * ROWS) / 5);
    expect(skipped[0].problem).toContain('no such language');
    expect(left.size).toBe((SHARDS * ROWS * 4) / 5);
  }, 60_000);

  it('that answers otherwise the second time, or with a promise, fails under either policy', async () => {
    const code = 'let n = 0;\nexport default (row) => ({ text: `${n++} ${row.text}` });';
    const random = config({ badRows: 'skip' }, await module('counts.js', code));
    await expect(collect(random)).rejects.toMatchObject({ code: 'TRANSFORM_FAILED', message: expect.stringContaining('something else') });
    const promising = config({ badRows: 'skip' }, await module('promise.js', 'export default (row) => Promise.resolve(row);'));
    await expect(collect(promising)).rejects.toMatchObject({ code: 'TRANSFORM_FAILED', message: expect.stringContaining('a promise') });
  }, 60_000);

  it('that is no transform is refused at the start', async () => {
    const refusal = async (source: Partial<ConfigInput['sources'][string]>): Promise<unknown> =>
      openPipeline(config({}, source)).then(
        (pipeline) => pipeline.close(),
        (error: unknown) => error,
      );
    expect(await refusal(await module('bad.mjs', 'export default (row => row'))).toMatchObject({
      code: 'TRANSFORM_INVALID',
      message: expect.stringMatching(/bad\.mjs cannot be loaded: /),
    });
    expect(await refusal(await module('imports.mjs', "import x from './x.js'; export default x;"))).toMatchObject({
      code: 'TRANSFORM_INVALID',
      hint: expect.stringContaining('bundle'),
    });
    expect(await refusal({ transform: workspace.path('none.js') })).toMatchObject({ code: 'STORE_NOT_FOUND' });
    const invalid = { code: 'CONFIG_INVALID', detail: { field: 'sources.prose.transform' } };
    expect(await refusal({ transform: './clean.ts' })).toMatchObject({ ...invalid, hint: expect.stringContaining('TypeScript') });
  }, 60_000);

  it('has other random numbers in another epoch and with another seed, and in validation the same with any', async () => {
    const source = await module(
      'says.js',
      "export default (_, c) => ({ text: [c.source, c.shard, c.row, c.epoch, c.random()].join(' ') });",
    );
    const tokenizer = await loadTokenizer(TOKENIZER_FILE);
    const said = async (changes: Partial<ConfigInput>, split?: 'validation'): Promise<string[]> => {
      const pipeline = await openPipeline(config({ sequence: { length: 64, packing: 'pad', padId: 0 }, ...changes }, source));
      const texts: string[] = [];
      for await (const { inputIds, rows, length } of pipeline.batches(split && { split })) {
        for (let row = 0; row < rows; row++)
          texts.push(tokenizer.decode(inputIds.subarray(row * length, (row + 1) * length)).split('<|')[0]);
      }
      await pipeline.close();
      return texts.filter((text) => text.startsWith('prose ')).sort();
    };
    const both = await said({ epochs: 2 });
    expect(new Set(both).size).toBe(2 * SHARDS * ROWS);
    expect(new Set(both.map((text) => text.replace(/ \S+$/, ''))).size, 'each row in each epoch').toBe(2 * SHARDS * ROWS);
    expect(both).toContainEqual(expect.stringMatching(/^prose p-2\.parquet 17 1 0\.\d+$/));
    const own = new Set(both);
    expect((await said({})).every((text) => own.has(text))).toBe(true);
    expect((await said({ seed: 8 })).some((text) => own.has(text))).toBe(false);
    const held = { validation: { share: 0.3, by: 'row' } } as const;
    expect(await said({ ...held, seed: 8 }, 'validation')).toEqual(await said(held, 'validation'));
  }, 60_000);

  it('before a template of chats makes its messages', async () => {
    const code = `export default (row) => [1, 2].map((n) => ({ text: [{ role: 'user', content: n + row.text }], lang: row.lang, n }));`;
    const template = '{% for message in messages %}<{{ n }}{{ lang }}{{ message.content }}>{% endfor %}';
    const source = { ...(await module('chat.js', code)), messages: 'text', template, loss: 'all' as const };
    const delivered = documentsOf(await collect(config({}, source)));
    const tokenizer = await loadTokenizer(TOKENIZER_FILE);
    const texts = delivered.get('2:7')!.map((ids) => tokenizer.decode(Int32Array.from(ids)));
    expect(texts).toEqual([1, 2].map((n) => `<${n}en${n}${rowsOfShards[2][7].text}>`));
  }, 60_000);

  it('works from a configuration file for the command line and for Python', async () => {
    const file = await workspace.config('headrace.yaml', config());
    const { code, out, err } = await runCli(['diff', file, file]);
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain('same');
    if (PYTHON === undefined) return;
    const script = [
      'import sys, headrace',
      'loader = headrace.DataLoader(sys.argv[1], rank=0, world_size=1)',
      'for i, batch in zip(range(5), loader): print(batch.digest)',
      'loader.close()',
    ].join('\n');
    const cli = fileURLToPath(new URL('../../dist/command/headrace.js', import.meta.url));
    const { stdout } = await promisify(execFile)(PYTHON, ['-c', script, file], {
      env: {
        ...process.env,
        PYTHONPATH: fileURLToPath(new URL('../../python/src', import.meta.url)),
        HEADRACE_COMMAND: `${process.execPath} ${cli}`,
      },
    });
    expect(stdout.trim().split('\n')).toEqual(reference.slice(0, 5).map(({ digest }) => digest));
  }, 60_000);

  it('that the documentation shows does what it says', async () => {
    const page = await readFile(new URL('../../docs/transforms.md', import.meta.url), 'utf8');
    // those of token ids and of fields: id-transforms.test.ts, field-transforms.test.ts
    const blocks = [...page.matchAll(/^```js\n(.*?)^```/gms)].map(([, code]) => code).filter((code) => !/input_ids|emb/.test(code));
    expect(blocks.length).toBeGreaterThanOrEqual(3);
    for (const [i, code] of blocks.entries()) {
      const batches = await collect(config({}, await module(`example-${i}.js`, code)));
      expect(documentsOf(batches).size).toBeGreaterThan(0.9 * SHARDS * ROWS);
    }
  }, 60_000);
});

/** Without padding. */
function samplesIn(batch: Batch): { shard: number; row: number; ids: number[]; fields: Record<string, string> }[] {
  const { rows, length, cuSeqlens, segments, inputIds, fields = {} } = batch;
  return Array.from({ length: rows }, (_, sample) => {
    const own = [...cuSeqlens].indexOf(sample * length);
    const [source, shard, row, , count] = segments.subarray(SEGMENT_FIELDS * own);
    const values = Object.entries(fields).map(([name, field]) => [name, String(fieldOfRow(field, sample))]);
    const ids = [...inputIds.subarray(sample * length, sample * length + count)];
    return { source, shard, row, ids, fields: Object.fromEntries(values) as Record<string, string> };
  }).filter(({ source }) => source !== SOURCE_PADDING);
}

/** The ids of the documents of each row, put together from their segments by its tokens. */
function documentsOf(batches: readonly Batch[]): Map<string, number[][]> {
  const rows = new Map<string, { ids: number[]; ends: number[]; starts: number[] }>();
  for (const { inputIds, cuSeqlens, segments } of batches) {
    for (let i = 0; i < cuSeqlens.length - 1; i++) {
      const [source, shard, row, start, length, flags] = segments.subarray(i * SEGMENT_FIELDS, (i + 1) * SEGMENT_FIELDS);
      if (source === SOURCE_PADDING) continue;
      const own = rows.get(`${shard}:${row}`) ?? { ids: [], ends: [], starts: [] };
      rows.set(`${shard}:${row}`, own);
      for (let token = 0; token < length; token++) own.ids[start + token] = inputIds[cuSeqlens[i] + token];
      if ((flags & SEGMENT_FIRST) !== 0) own.starts.push(start);
      if ((flags & SEGMENT_LAST) !== 0) own.ends.push(start + length);
    }
  }
  return new Map(
    [...rows].map(([place, { ids, starts, ends }]) => {
      const from = [...new Set(starts)].sort((a, b) => a - b);
      const to = [...new Set(ends)].sort((a, b) => a - b);
      expect(from).toEqual([0, ...to.slice(0, -1)]);
      return [place, from.map((start, i) => ids.slice(start, to[i]))];
    }),
  );
}
