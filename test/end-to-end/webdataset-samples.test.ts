import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { Batch, ConfigInput } from 'headrace';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { batchDigest } from '../../src/wire/batch-digest.js';
import { hasModule, PYTHON, runScript } from '../support/python.js';
import { placeOf, sampleRowsOf, TAR_SAMPLE_FIELDS, type SampleRow } from '../support/samples.js';
import { startSidecar } from '../support/sidecar.js';
import { expectExactResumes, runPipeline, runRanks } from '../support/streams.js';
import { tarOf } from '../support/tar.js';
import { makeWorkspace, smallConfig, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

type Sample = SampleRow & { readonly where: { readonly width: number; readonly lang: string | null } };

describe.skipIf(PYTHON === undefined)('samples of tars', { timeout: 120_000 }, () => {
  let workspace: Workspace;
  let samples: ReadonlyMap<string, Sample>;
  let reference: readonly Batch[];

  const config = (changes: Partial<ConfigInput> = {}, source: Partial<ConfigInput['sources'][string]> = {}): ConfigInput =>
    smallConfig(workspace, {
      sources: { pairs: { uri: workspace.path('data/'), fields: TAR_SAMPLE_FIELDS, ...source } },
      tokenizer: undefined,
      sequence: 'none',
      shuffle: { windowBytes: '64KiB' },
      limits: { workers: 2 },
      ...changes,
    });

  const collect = async (input: ConfigInput): Promise<readonly Batch[]> => (await runPipeline(input)).batches;

  beforeAll(async () => {
    workspace = await makeWorkspace();
    runScript('tar_samples.py', 'write', workspace.path('data'));
    const lines = runScript('tar_samples.py', 'rows', workspace.path('data')).trim().split('\n');
    samples = new Map(lines.map((line) => JSON.parse(line) as Sample).map((sample) => [placeOf(sample), sample]));
    reference = await collect(config());
  }, 60_000);
  afterAll(() => workspace.remove());

  it('every sample comes once, with what webdataset decodes of it, in an order that is pinned here', () => {
    const rows = reference.flatMap(sampleRowsOf);
    expect(rows).toHaveLength(samples.size);
    expect(new Set(rows.map(placeOf)).size).toBe(180);
    for (const row of rows) expect(row.fields).toEqual(samples.get(placeOf(row))!.fields);
    for (const batch of reference) expect(batchDigest(batch)).toBe(batch.digest);
    const digests = createHash('sha256').update(reference.map(({ digest }) => digest).join());
    expect(digests.digest('hex')).toMatchInlineSnapshot(`"134a671d24580ee8ce9927f163c191f6516426ec9653dca6fd45e6fec00c765e"`);
  });

  it('they are the same for 2 and 4 ranks, and go on exactly from every tenth step', async () => {
    const input = config({ limits: { workers: 1 } });
    for (const worldSize of [2, 4]) {
      const ranks = await runRanks(input, worldSize);
      for (const [step, batch] of reference.entries()) {
        const parts = ranks.map((rank) => sampleRowsOf(rank[step]));
        const rows = sampleRowsOf(batch);
        expect(rows.map((_, slot) => parts[slot % worldSize][Math.floor(slot / worldSize)])).toEqual(rows);
      }
    }
    await expectExactResumes(input, reference);
  });

  it('text is tokenized beside the images of the samples that a filter takes', async () => {
    const batches = await collect(
      config(
        { tokenizer: { file: TOKENIZER_FILE, append: 'none' }, sequence: { packing: 'samples', length: 12 } },
        { text: 'txt', fields: { image: TAR_SAMPLE_FIELDS.image }, where: { 'json.width': { gte: 256 }, not: { 'json.lang': 'en' } } },
      ),
    );
    const rows = batches.flatMap(sampleRowsOf);
    const taken = [...samples.values()].filter(({ where: { width, lang } }) => width >= 256 && lang === 'de');
    expect(rows.map(placeOf).sort()).toEqual(taken.map(placeOf).sort());
    for (const row of rows) expect(row.fields).toEqual({ image: samples.get(placeOf(row))!.fields.image });
    for (const batch of batches) {
      for (const [at, row] of sampleRowsOf(batch).entries()) {
        const tokens = batch.lossMask.subarray(12 * at, 12 * at + 12).filter((one) => one === 1).length;
        if (samples.get(placeOf(row))!.fields.caption === '') expect(tokens).toBe(0);
        else expect([...batch.inputIds.subarray(12 * at, 12 * at + 2)]).toEqual([6888, 1159]);
      }
    }
  });

  it('images are decoded by the Python client, from a sidecar', async (context) => {
    if (!hasModule('PIL')) context.skip();
    const address = `ipc://${workspace.path('p.sock')}`;
    const sidecar = await startSidecar(await workspace.config('pillow.yaml', { ...config(), serve: { address } }));
    try {
      const decoded = JSON.parse(runScript('tar_samples.py', 'decode', address)) as [string, number[][]][];
      for (const [at, { fields, row, shard }] of sampleRowsOf(reference[0]).slice(0, decoded.length).entries()) {
        const [caption, red] = decoded[at];
        expect(caption).toBe(Buffer.from(fields.caption, 'base64').toString());
        const [width, height, seed] = [3 + (row % 5), 2 + (row % 4), shard * 100 + row];
        expect(red).toEqual(Array.from({ length: height }, (_, y) => Array.from({ length: width }, (_, x) => (x * seed + y) % 256)));
      }
    } finally {
      await sidecar.end();
    }
  });

  it('chats in JSON members are rendered with their template, as the same text is', async () => {
    const chats = Array.from({ length: 12 }, (_, i) => [
      { role: 'user', content: `question ${i} é` },
      { role: 'assistant', content: `answer ${'word '.repeat(i)}` },
    ]);
    const named = (name: string, bodies: readonly string[]): Uint8Array =>
      tarOf(
        bodies
          .map((body, i) => ({ name: `${i}.${name}`, body }))
          .toSpliced(5, 0, { name: 'broken.json', body: '{' }, { name: 'broken.txt', body: '' }),
      );
    await writeFile(
      workspace.path('chats.tar'),
      named(
        'json',
        chats.map((chat, i) => JSON.stringify({ chat: { turns: chat }, from: `f${i}` })),
      ),
    );
    const rendered = chats.map((chat, i) => `f${i}${chat.map(({ role, content }) => `<${role}>${content}`).join('')}`);
    await writeFile(workspace.path('texts.tar'), named('txt', rendered));
    const tokens = {
      tokenizer: { file: TOKENIZER_FILE, append: 'none' },
      sequence: { packing: 'pad', length: 64 },
      batch: { size: 4 },
    } as const;
    const template = '{{ from }}{% for turn in messages %}<{{ turn.role }}>{{ turn.content }}{% endfor %}';
    const source = {
      uri: workspace.path('chats.tar'),
      messages: 'json.chat.turns',
      columns: ['json.from'],
      template,
      loss: 'all' as const,
    };
    await expect(collect({ ...config(tokens), sources: { chats: source } })).rejects.toMatchObject({
      code: 'BAD_ROW',
      message: expect.stringMatching(/row 5 of .* no valid JSON in its member json \(sample broken\)/),
    });
    const ids = async (sources: ConfigInput['sources']): Promise<number[][]> =>
      (await collect({ ...config({ ...tokens, badRows: 'skip', shuffle: false }), sources })).map(({ inputIds }) => [...inputIds]);
    expect(await ids({ chats: source })).toEqual(await ids({ texts: { uri: workspace.path('texts.tar'), text: 'txt' } }));
  });

  it('a sample without its image fails the run by its key, or is left out and told of', async () => {
    const file = workspace.path('odd.tar');
    await writeFile(file, tarOf(['a.jpg', 'a.txt', 'b.txt', 'c.png', 'c.txt'].map((name) => ({ name, body: name }))));
    const odd = config({ batch: { size: 1 }, shuffle: false }, { uri: file, fields: { image: 'jpg;png' } });
    await expect(collect(odd)).rejects.toMatchObject({
      code: 'BAD_ROW',
      message: expect.stringMatching(/row 1 of .*odd\.tar has no member jpg or png \(sample b\)/),
    });
    const rows = (await collect({ ...odd, badRows: 'skip' })).flatMap(sampleRowsOf);
    expect(rows.map(({ row, fields }) => [row, Buffer.from(fields.image, 'base64').toString()])).toEqual([
      [0, 'a.jpg'],
      [2, 'c.png'],
    ]);
  });
});
