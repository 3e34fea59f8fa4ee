import { connect, fieldOfRow, labelsOf, openPipeline, showStep, type Batch, type ConfigInput, type Cursor } from 'headrace';
import { execFile } from 'node:child_process';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SEGMENT_FIELDS, SOURCE_PADDING } from '../../src/core/sequence.js';
import { stepHashes } from '../support/global-hash.js';
import { startSidecar } from '../support/sidecar.js';
import { expectExactResumes, runPipeline } from '../support/streams.js';
import { makeWorkspace, smallConfig, type Workspace } from '../support/workspace.js';
import { tokenizerPath } from '../tokenize/tokenizers.js';

const SPEC_FILE = fileURLToPath(new URL('../spec/chats.json', import.meta.url));
const SCRIPT = fileURLToPath(new URL('../support/chats.py', import.meta.url));
const PYTHON = process.env.HEADRACE_PYTHON;
const LENGTH = 96;

interface Spec {
  readonly chats: readonly object[];
  readonly cases: readonly {
    readonly name: string;
    readonly template: string | null;
    readonly expected: readonly { readonly ids: readonly number[]; readonly mask: readonly number[] }[];
  }[];
}

/** Chats that pyarrow has written, from shards to batches and through a sidecar: ids and masks are those that transformers made of them. */
describe.skipIf(PYTHON === undefined)('chats', () => {
  let workspace: Workspace;
  let spec: Spec;
  let reference: readonly Batch[];
  /** By shard and row. */
  let expected: Map<string, Spec['cases'][number]['expected'][number]>;

  const config = (changes: Partial<ConfigInput> = {}, source: Partial<ConfigInput['sources'][string]> = {}): ConfigInput =>
    smallConfig(workspace, {
      seed: 7,
      sources: { chats: { uri: workspace.path('data/'), messages: 'messages', template: workspace.path('marked.jinja'), ...source } },
      tokenizer: { file: workspace.path('tokenizer.json') },
      sequence: { length: LENGTH },
      ...changes,
    });

  const collect = async (input: ConfigInput): Promise<readonly Batch[]> => (await runPipeline(input)).batches;

  beforeAll(async () => {
    workspace = await makeWorkspace();
    spec = JSON.parse(await readFile(SPEC_FILE, 'utf8')) as Spec;
    await promisify(execFile)(PYTHON!, [SCRIPT, 'parquet', SPEC_FILE, workspace.path('data')]);
    // beside it its tokenizer_config.json, with the template of the model
    const file = tokenizerPath('qwen3');
    await copyFile(file, workspace.path('tokenizer.json'));
    await copyFile(file.replace(/tokenizer\.json$/, 'tokenizer_config.json'), workspace.path('tokenizer_config.json'));
    await writeFile(workspace.path('marked.jinja'), spec.cases.find(({ name }) => name === 'chatml, marked')!.template!);
    expected = expectedRows('chatml, marked');
    reference = await collect(config());
  }, 120_000);
  afterAll(() => workspace.remove());

  const expectedRows = (name: string): Map<string, Spec['cases'][number]['expected'][number]> => {
    const own = spec.cases.find((candidate) => candidate.name === name)!;
    const rows = new Map<string, Spec['cases'][number]['expected'][number]>();
    for (let shard = 0; shard < 4; shard++) {
      for (let row = 0; row < 120; row++) rows.set(`${shard}:${row}`, own.expected[(shard * 7 + row * 3) % spec.chats.length]);
    }
    return rows;
  };

  /** What was delivered of each row, put together from its segments. */
  function delivered(batches: readonly Batch[]): Map<string, { ids: number[]; mask: number[] }> {
    const rows = new Map<string, { ids: number[]; mask: number[] }>();
    for (const { inputIds, lossMask, cuSeqlens, segments } of batches) {
      for (let i = 0; i < cuSeqlens.length - 1; i++) {
        const [source, shard, row, tokenStart] = segments.subarray(i * SEGMENT_FIELDS, (i + 1) * SEGMENT_FIELDS);
        const mask = [...lossMask.subarray(cuSeqlens[i], cuSeqlens[i + 1])];
        if (source === SOURCE_PADDING) {
          expect(mask).not.toContain(1);
          continue;
        }
        const own = rows.get(`${shard}:${row}`) ?? { ids: [], mask: [] };
        rows.set(`${shard}:${row}`, own);
        for (const [at, id] of inputIds.subarray(cuSeqlens[i], cuSeqlens[i + 1]).entries()) {
          own.ids[tokenStart + at] = id;
          own.mask[tokenStart + at] = mask[at];
        }
      }
    }
    return rows;
  }

  it('has every row once, with the ids and the mask that transformers makes of it', () => {
    const rows = delivered(reference);
    expect(rows.size).toBe(480);
    for (const [place, row] of expected) expect(rows.get(place), place).toEqual(row);
  });

  it("without a template of its own a source has the tokenizer's", async () => {
    const rows = delivered(await collect(config({}, { template: undefined })));
    for (const [place, row] of expectedRows('qwen, its own')) expect(rows.get(place), place).toEqual(row);
  }, 60_000);

  it('the order is this one', () => {
    expect(stepHashes([reference]).at(-1)).toBe('5f55c5e0aae40223a2f9c080f03bd037aa84243af8d0ec4267970c66640b4bde');
  });

  it('chats as JSON text, in several workers, make the same batches', async () => {
    const batches = await collect(config({ limits: { workers: 3 } }));
    expect(batches.map(({ digest }) => digest)).toEqual(reference.map(({ digest }) => digest));
    const rows = delivered(await collect(config({}, { messages: 'json' })));
    for (const [place, row] of expected) expect(rows.get(place), place).toEqual(row);
  }, 60_000);

  it('of JSON lines, plain and compressed, they have the same ids and masks, and a bad line is left out by policy', async () => {
    await mkdir(workspace.path('lines'));
    for (let shard = 0; shard < 4; shard++) {
      const own = Array.from({ length: 120 }, (_, i) => spec.chats[(shard * 7 + i * 3) % spec.chats.length]);
      const lines = own.map(
        (messages, i) => `${JSON.stringify({ id: `${shard}-${i}`, of: { messages, json: JSON.stringify(messages) } })}\n`,
      );
      const content = `${lines.join('')}${shard === 3 ? '{"of":{"messages":[{"role":"user"\n' : ''}`;
      const name = workspace.path('lines', `chat-${shard}.jsonl`);
      await (shard < 2 ? writeFile(name, content) : writeFile(`${name}.gz`, gzipSync(content)));
    }
    const source = { uri: workspace.path('lines/'), messages: 'of.messages' };
    const batches = await collect(config({ badRows: 'skip' }, source));
    const rows = delivered(batches);
    expect(rows.size).toBe(480);
    for (const [place, row] of expected) expect(rows.get(place), place).toEqual(row);
    expect(stepHashes([batches]).at(-1)).toBe('8c2ff180115d48260b509f0d2b19d483244185a98c61ac20fe4abbd8d95df995');
    await expect(collect(config({}, source))).rejects.toMatchObject({
      code: 'BAD_ROW',
      message: expect.stringContaining('(line 121) is not valid JSON') as string,
    });
    const taken = await collect(config({ badRows: 'skip' }, { ...source, messages: 'of.json', where: { id: { startsWith: '1-1' } } }));
    expect([...delivered(taken).keys()].sort()).toEqual([...expected.keys()].filter((place) => place.startsWith('1:1')).sort());
  }, 60_000);

  it.each(['best-fit', 'pad'] as const)(
    'packed as %s, each token keeps its mask',
    async (packing) => {
      const rows = delivered(await collect(config({ sequence: { length: LENGTH, packing } })));
      for (const [place, row] of expected) expect(rows.get(place), place).toEqual(row);
    },
    60_000,
  );

  it('with loss: all every token counts, and the ids are the same', async () => {
    const batches = await collect(config({}, { loss: 'all' }));
    expect(batches.map(({ inputIds }) => [...inputIds])).toEqual(reference.map(({ inputIds }) => [...inputIds]));
    expect(batches[0].lossMask).not.toContain(0);
    // a mask is part of the digest where it says something
    expect(batches[0].digest).not.toBe(reference[0].digest);
  }, 60_000);

  it('resumed after every tenth step, goes on exactly, masks included', async () => {
    const pipeline = await openPipeline(config());
    try {
      for (let step = 0; step < reference.length; step += 10) {
        const cursor = JSON.parse(JSON.stringify(reference[step].cursor)) as Cursor;
        const rest: Batch[] = [];
        for await (const batch of pipeline.batches({ cursor })) rest.push(batch);
        expect(rest.map(({ digest }) => digest)).toEqual(reference.slice(step + 1).map(({ digest }) => digest));
        expect(rest.map(({ lossMask }) => [...lossMask])).toEqual(reference.slice(step + 1).map(({ lossMask }) => [...lossMask]));
      }
    } finally {
      await pipeline.close();
    }
  }, 60_000);

  it('where takes chats by another column, and the others keep their ids and masks', async () => {
    const taken = ['0-3', '0-90', '1-50', '2-7', '2-8', '2-119'];
    const rows = delivered(await collect(config({}, { where: { id: taken } })));
    expect([...rows.keys()].sort()).toEqual(taken.map((id) => id.replace('-', ':')).sort());
    for (const [place, row] of rows) expect(row, place).toEqual(expected.get(place));
  }, 60_000);

  it('the template, its loss and its columns are part of the plan', async () => {
    const planOf = async (source: Partial<ConfigInput['sources'][string]>): Promise<string> => {
      const pipeline = await openPipeline(config({}, source));
      await pipeline.close();
      return pipeline.info.planFingerprint;
    };
    const plans = [
      await planOf({}),
      await planOf({ template: undefined }),
      await planOf({ loss: 'all' }),
      await planOf({ columns: ['id'] }),
    ];
    expect(new Set(plans).size).toBe(4);
    const marked = await readFile(workspace.path('marked.jinja'), 'utf8');
    expect(await planOf({ template: marked }), 'by content').toBe(plans[0]);
  }, 60_000);

  it('a row that the template refuses fails the run by name, or is left out by policy', async () => {
    const template = "{% if messages|length > 4 %}{{ raise_exception('too long') }}{% endif %}{{ messages[0].content }}";
    await expect(collect(config({}, { template, loss: 'all' }))).rejects.toMatchObject({
      code: 'BAD_ROW',
      message: expect.stringMatching(/row \d+ of .*chat-\d\.parquet cannot be rendered with its template: too long/),
    });
    const rows = delivered(await collect(config({ badRows: 'skip' }, { template, loss: 'all' })));
    expect(rows.size).toBeLessThan(480);
  }, 60_000);

  it('as samples have the fields of their rows beside their ids and masks, cut at the length, exact from every tenth step on', async () => {
    const samples = (fields?: Record<string, string>): ConfigInput =>
      config({ sequence: { length: LENGTH, packing: 'samples' } }, { fields });
    const input = samples({ id: 'id', raw: 'json' });
    const whole = await collect(input);
    const places = new Set<string>();
    for (const { rows, inputIds, lossMask, segments, cuSeqlens, fields } of whole) {
      for (let row = 0; row < rows; row++) {
        const [source, shard, inShard] = segments.subarray([...cuSeqlens].indexOf(row * LENGTH) * SEGMENT_FIELDS);
        if (source === SOURCE_PADDING) continue;
        const place = `${shard}:${inShard}`;
        const { ids, mask } = expected.get(place)!;
        const taken = Math.min(LENGTH, ids.length);
        expect([...inputIds.subarray(row * LENGTH, row * LENGTH + taken)], place).toEqual(ids.slice(0, taken));
        const padding = new Array<number>(LENGTH - taken).fill(0);
        expect([...lossMask.subarray(row * LENGTH, (row + 1) * LENGTH)], place).toEqual([...mask.slice(0, taken), ...padding]);
        expect(fieldOfRow(fields!.id, row)).toBe(`${shard}-${inShard}`);
        expect(JSON.parse(fieldOfRow(fields!.raw, row) as string)).toEqual(spec.chats[(shard * 7 + inShard * 3) % spec.chats.length]);
        places.add(place);
      }
    }
    expect(places).toEqual(new Set(expected.keys()));
    await expectExactResumes(input, whole);
    // the same sequences as without fields
    const alone = await collect(samples());
    expect(alone.map(({ inputIds }) => [...inputIds])).toEqual(whole.map(({ inputIds }) => [...inputIds]));
  }, 60_000);

  it('chats where none can be read are refused by name', async () => {
    await expect(openPipeline(config({ sequence: 'none' }))).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('sources.chats has messages, and sequence is none'),
    });
    await expect(openPipeline(config({}, { fields: { id: 'id' } }))).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      hint: expect.stringContaining('A packed sequence has several rows'),
    });
    await writeFile(workspace.path('chats.txt'), '{"messages": []}\n');
    await expect(openPipeline(config({}, { uri: workspace.path('chats.txt') }))).rejects.toMatchObject({ code: 'SHARD_UNSUPPORTED' });
    const fieldOfStruct = openPipeline(config({}, { columns: ['meta.name'] }));
    await expect(fieldOfStruct).rejects.toMatchObject({ code: 'COLUMN_TYPE', message: expect.stringContaining('a field of a struct') });
  }, 60_000);

  it('a sidecar gives the same to a Node client, whose labels leave out what does not count, and to show', async () => {
    const address = `ipc://${workspace.path('node.sock')}`;
    const sidecar = await startSidecar(await workspace.config('headrace.yaml', config()), { address });
    const batches: Batch[] = [];
    try {
      const client = connect({ address });
      for await (const batch of client) batches.push(batch);
      client.close();
    } finally {
      await sidecar.end();
    }
    expect(batches.map(({ digest }) => digest)).toEqual(reference.map(({ digest }) => digest));
    expect(batches.map(({ lossMask }) => [...lossMask])).toEqual(reference.map(({ lossMask }) => [...lossMask]));
    const { inputIds, lossMask } = batches[0];
    expect([...labelsOf(batches[0])]).toEqual([...inputIds].map((id, i) => (lossMask[i] === 0 ? -100 : id)));
    const shown = await showStep(config(), { step: 3 });
    expect(shown.digest).toBe(reference[3].digest);
    const slot = await showStep(config(), { step: 3, slot: 2 });
    expect(slot.slots[0].digest).toBe(shown.slots[2].digest);
  }, 120_000);

  it('a Python client gives labels that respect the mask, and the same digest', async () => {
    const script = [
      'import json, sys, headrace, numpy as np',
      'loader = headrace.DataLoader(address=sys.argv[1], rank=0, world_size=1)',
      'for i, batch in enumerate(loader):',
      '    batch.verify()',
      '    labels = np.asarray(batch["labels"]); ids = np.asarray(batch["input_ids"]); mask = np.asarray(batch["loss_mask"])',
      '    assert (labels == np.where(mask == 0, -100, ids)).all()',
      '    print(batch.digest, int(mask.sum()))',
      '    if i == 9: break',
    ].join('\n');
    const address = `ipc://${workspace.path('python.sock')}`;
    const sidecar = await startSidecar(await workspace.config('python.yaml', config()), { address });
    try {
      const { stdout } = await promisify(execFile)(PYTHON!, ['-c', script, address], {
        env: { ...process.env, PYTHONPATH: fileURLToPath(new URL('../../python/src', import.meta.url)) },
      });
      expect(stdout.trim().split('\n')).toEqual(
        reference.slice(0, 10).map(({ digest, lossMask }) => `${digest} ${lossMask.reduce((sum, one) => sum + one, 0)}`),
      );
    } finally {
      await sidecar.end();
    }
  }, 120_000);
});
