import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { openPipeline, type Batch, type ConfigInput } from 'headrace';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { batchDigest } from '../../src/wire/batch-digest.js';
import { hasModule, PYTHON, runScript } from '../support/python.js';
import { placeOf, sampleRowsOf, samplesConfig, TAR_SAMPLE_FIELDS, type SampleRow } from '../support/samples.js';
import { startSidecar } from '../support/sidecar.js';
import { expectExactResumes, runPipeline, runRanks } from '../support/streams.js';
import { tarOf } from '../support/tar.js';
import { makeWorkspace, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

type Sample = SampleRow & { readonly where: { readonly width: number; readonly lang: string | null } };

describe.skipIf(PYTHON === undefined)('samples of tars', { timeout: 120_000 }, () => {
  let workspace: Workspace;
  let samples: ReadonlyMap<string, Sample>;
  let reference: readonly Batch[];

  const config = (changes: Partial<ConfigInput> = {}, source: Partial<ConfigInput['sources'][string]> = {}): ConfigInput =>
    samplesConfig(workspace, { fields: TAR_SAMPLE_FIELDS, ...source }, changes);

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
    expect(digests.digest('hex')).toMatchInlineSnapshot(`"65226ad7a3ed3cba9cd2e93deaaae4a9f6b64b15d88081f94abc8cb18ea52963"`);
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
    const expected = await ids({ texts: { uri: workspace.path('texts.tar'), text: 'txt' } });
    expect(await ids({ chats: source })).toEqual(expected);
    // the same template finds them in JSON lines, and so does a transform
    const lines = chats.map((chat, i) => JSON.stringify({ chat: { turns: chat }, meta: { from: `f${i}` } })).toSpliced(5, 0, '{');
    await writeFile(workspace.path('chats.jsonl'), lines.join('\n'));
    await writeFile(workspace.path('from.mjs'), "export default (row) => ({ 'chat.turns': row['chat.turns'], from: `${row.from}` });");
    const asLines = { ...source, uri: workspace.path('chats.jsonl'), messages: 'chat.turns', columns: ['meta.from'] };
    expect(await ids({ chats: asLines })).toEqual(expected);
    expect(await ids({ chats: { ...asLines, transform: workspace.path('from.mjs') } })).toEqual(expected);
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

  it('members and values that may be missing are served as none, alike from tars, JSON lines, Parquet and separated values', async () => {
    const data = Array.from({ length: 60 }, (_, i) => ({
      caption: i % 3 === 0 ? null : i % 7 === 0 ? '' : `caption ${i}`,
      label: i % 4 === 1 ? null : i,
      emb: i % 5 === 2 ? null : [i, 0.5],
    }));
    const members = data.flatMap(({ caption, label, emb }, i) => [
      { name: `${i}.json`, body: JSON.stringify(i % 2 === 0 ? { label, emb } : { ...(label !== null && { label }), ...(emb && { emb }) }) },
      ...(caption === null ? [] : [{ name: `${i}.txt`, body: caption }]),
    ]);
    await writeFile(workspace.path('gaps.tar'), tarOf(members));
    await writeFile(workspace.path('gaps.jsonl'), data.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const csv = data.map(({ caption, label }) => `"${caption ?? ''}",${label ?? ''}\n`).join('');
    await writeFile(workspace.path('gaps.csv'), `caption,label\n${csv}`);
    const write =
      'import json, sys, pyarrow as pa, pyarrow.parquet as pq; t = pa.Table.from_pylist([json.loads(l) for l in open(sys.argv[1])], schema=pa.schema([("caption", pa.string()), ("label", pa.int32()), ("emb", pa.list_(pa.float32()))])); pq.write_table(t, sys.argv[2], row_group_size=25); w = pa.ipc.new_file(sys.argv[3], t.schema); w.write_table(t, 25); w.close()';
    execFileSync(PYTHON!, ['-c', write, workspace.path('gaps.jsonl'), workspace.path('gaps.parquet'), workspace.path('gaps.arrow')]);

    const optional = <T extends object>(field: T) => ({ ...field, missing: null });
    const label = { type: 'int32', missing: null } as const;
    const emb = { size: 2, type: 'float32', missing: null } as const;
    const fields = { caption: optional({ column: 'caption' }), label: { column: 'label', ...label }, emb: { column: 'emb', ...emb } };
    const ofTar = { caption: optional({ column: 'txt' }), label: { column: 'json.label', ...label }, emb: { column: 'json.emb', ...emb } };
    const ofCsv = { caption: fields.caption, label: fields.label };
    const served = async (file: string, own: object, changes: Partial<ConfigInput> = {}): Promise<readonly Batch[]> =>
      collect(config({ batch: { size: 4, lanes: 2 }, shuffle: false, ...changes }, { uri: workspace.path(file), fields: own as never }));

    const expected = data.map(({ caption, label: number, emb: list }, row) => ({
      row,
      caption: caption ?? '',
      'caption.present': caption === null ? 0 : 1,
      label: number ?? 0,
      'label.present': number === null ? 0 : 1,
      emb: list ?? [0, 0],
      'emb.present': list === null ? 0 : 1,
    }));
    const shown = (batches: readonly Batch[]): unknown[] =>
      batches
        .flatMap(sampleRowsOf)
        .sort((a, b) => a.row - b.row)
        .map(({ row, fields: { caption, label: number, emb: list, ...present } }) => ({
          row,
          caption: Buffer.from(caption, 'base64').toString(),
          label: Buffer.from(number, 'base64').readInt32LE(),
          ...(list && { emb: [0, 4].map((at) => Buffer.from(list, 'base64').readFloatLE(at)) }),
          ...Object.fromEntries(Object.entries(present).map(([name, byte]) => [name, Buffer.from(byte, 'base64')[0]])),
        }));
    const tar = await served('gaps.tar', ofTar);
    expect(shown(tar)).toEqual(expected);
    expect(Object.keys(tar[0].fields!)).toEqual(['caption', 'caption.present', 'emb', 'emb.present', 'label', 'label.present']);
    for (const file of ['gaps.jsonl', 'gaps.parquet', 'gaps.arrow']) expect(shown(await served(file, fields)), file).toEqual(expected);
    // separated values have no null: an empty text is one, and no number
    expect(shown(await served('gaps.csv', ofCsv))).toEqual(
      expected.map(({ emb: _emb, 'emb.present': _present, ...row }) => ({ ...row, 'caption.present': 1 })),
    );
    // what is there and cannot be read is as bad as ever, and what is not declared too
    const bad = { ...ofTar, label: { column: 'txt', ...label } };
    await expect(served('gaps.tar', bad)).rejects.toMatchObject({
      code: 'BAD_ROW',
      message: expect.stringContaining('a field label in txt'),
    });
    await expect(served('gaps.tar', { ...ofTar, caption: 'txt' })).rejects.toMatchObject({ code: 'BAD_ROW' });
    // a shard may be without any
    const never = await served('gaps.tar', { label: ofTar.label, none: optional({ column: 'jpg' }) });
    expect(never.flatMap(({ fields: own }) => [...(own!['none.present'] as { values: Uint8Array }).values])).toEqual(Array(60).fill(0));
    // both of these are other streams
    const plan = async (own: object): Promise<string> => {
      const pipeline = await openPipeline(config({}, { uri: workspace.path('gaps.jsonl'), fields: own as never }));
      await pipeline.close();
      return pipeline.info.planFingerprint;
    };
    expect(await plan({ label: fields.label })).not.toBe(await plan({ label: { column: 'label', type: 'int32' } }));
  });
});
