import { fieldOfRow, mergeCursors, openPipeline, showStep, type Batch, type ConfigInput, type Cursor } from 'headrace';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SEGMENT_FIELDS, SEGMENT_FIRST, SEGMENT_LAST, SOURCE_PADDING } from '../../src/core/sequence.js';
import type { SkipRecord } from '../../src/core/skip.js';
import { runScript } from '../support/python.js';
import { SAMPLE_FIELDS, samplesConfig } from '../support/samples.js';
import { runCli } from '../support/sidecar.js';
import { expectExactResumes, runPipeline, runRanks } from '../support/streams.js';
import { tarOf } from '../support/tar.js';
import { makeWorkspace, type Workspace } from '../support/workspace.js';

type Source = ConfigInput['sources'][string];

const SHARDS = 3;
const ROWS = 50;

interface Row {
  readonly caption: string;
  readonly alt: string;
  readonly n: number;
  readonly emb: readonly number[];
}

const rowOf = (shard: number, row: number): Row => ({
  caption: `a picture of ${row} things`,
  alt: row % 5 === 2 ? 'drop' : `alt ${shard}`,
  n: 1000 * shard + row,
  emb: [row + 1, row / 2, -1 - row],
});

const allRows = (): Row[] => Array.from({ length: SHARDS * ROWS }, (_, i) => rowOf(Math.floor(i / ROWS), i % ROWS));

/** Leaves rows out by a column that is not served, makes up to three samples of the others, and has random numbers. */
const MULTIPLY = `
export default (row, ctx) => {
  if (row.alt === 'drop') return null;
  if (typeof row.caption !== 'string' || typeof row.n !== 'bigint' || !(row.emb instanceof Float32Array)) throw new Error('types');
  const chance = ctx.random();
  return Array.from({ length: 1 + Number(row.n % 3n) }, (_, i) => ({
    caption: row.caption.toUpperCase() + ' ' + row.alt + ' ' + i + ' ' + chance.toFixed(9),
    n: row.n * 10n + BigInt(i),
    emb: row.emb.map((value) => value / 2),
  }));
};
`;

const multiplied = ({ caption, alt, n, emb }: Row): { caption: string; n: bigint; emb: number[] }[] =>
  alt === 'drop'
    ? []
    : Array.from({ length: 1 + (n % 3) }, (_, i) => ({
        caption: `${caption.toUpperCase()} ${alt} ${i}`,
        n: BigInt(10 * n + i),
        emb: emb.map((value) => value / 2),
      }));

const FIELDS = {
  caption: 'caption',
  n: { column: 'n', type: 'int64' as const },
  emb: { column: 'emb', size: 3, type: 'float32' as const },
};

describe('a transform of samples without tokens', () => {
  let workspace: Workspace;

  const config = (source: Partial<Source>, changes: Partial<ConfigInput> = {}): ConfigInput =>
    samplesConfig(workspace, source, { seed: 5, ...changes });

  const collect = async (input: ConfigInput, skipped: SkipRecord[] = []): Promise<readonly Batch[]> =>
    (await runPipeline(input, undefined, { onSkip: (record) => skipped.push(record) })).batches;

  const module = async (name: string, code: string): Promise<{ readonly transform: string }> => {
    await writeFile(workspace.path(name), code);
    return { transform: workspace.path(name) };
  };

  const SOURCES: Readonly<Record<string, () => Promise<Partial<Source>>>> = {
    Parquet: async () => ({
      uri: workspace.path('rows/*.parquet'),
      fields: FIELDS,
      columns: ['alt'],
      ...(await module('m.mjs', MULTIPLY)),
    }),
    Arrow: async () => ({ uri: workspace.path('rows/*.arrow'), fields: FIELDS, columns: ['alt'], ...(await module('m.mjs', MULTIPLY)) }),
    'JSON lines': async () => ({
      uri: workspace.path('rows/*.jsonl'),
      fields: { ...FIELDS, caption: 'meta.caption' },
      columns: ['meta.alt'],
      ...(await module('m.mjs', MULTIPLY)),
    }),
    tars: async () => ({
      uri: workspace.path('rows/*.tar'),
      fields: { caption: 'txt', n: 'cls', emb: { column: 'json.emb', size: 3, type: 'float32' } },
      columns: ['json.alt'],
      ...(await module('m.mjs', MULTIPLY)),
    }),
  };

  beforeAll(async () => {
    workspace = await makeWorkspace();
    await mkdir(workspace.path('rows'));
    for (let shard = 0; shard < SHARDS; shard++) {
      const rows = Array.from({ length: ROWS }, (_, row) => rowOf(shard, row));
      const lines = rows.map(({ caption, alt, ...rest }) => `${JSON.stringify({ meta: { caption, alt }, ...rest })}\n`);
      await writeFile(workspace.path('rows', `${shard}.jsonl`), lines.join(''));
      const members = rows.flatMap(({ caption, alt, n, emb }, row) => [
        { name: `${row}.txt`, body: caption },
        { name: `${row}.cls`, body: `${n}` },
        { name: `${row}.json`, body: JSON.stringify({ alt, emb }) },
      ]);
      await writeFile(workspace.path('rows', `${shard}.tar`), tarOf(members));
    }
    runScript('field_rows.py', workspace.path('rows'));
    runScript('samples.py', 'write', workspace.path('data'));
  });
  afterAll(() => workspace.remove());

  it.each(Object.entries(SOURCES))(
    'leaves rows of %s out and makes several samples of others, the same from every tenth step on, for any workers and ranks',
    async (_, source) => {
      const input = config(await source());
      const whole = await collect(input);
      const served = whole.flatMap(samplesIn);
      const withoutChance = served.map(({ caption, n, emb }) => ({ caption: caption.slice(0, caption.lastIndexOf(' ')), n, emb }));
      const byN = (a: { n: bigint }, b: { n: bigint }): number => Number(a.n - b.n);
      expect(withoutChance.sort(byN)).toEqual(allRows().flatMap(multiplied).sort(byN));
      // the samples of a row are told apart by where they begin in it
      for (const { n, part } of served) expect(part).toBe(Number(n % 10n));
      await expectExactResumes(input, whole, { first: 3 });
      const two = await collect({ ...input, limits: { workers: 1 } });
      expect(two.map(({ digest }) => digest)).toEqual(whole.map(({ digest }) => digest));
      const ranks = await runRanks(input, 2, { cursor: mergeCursors([whole[4].cursor]) });
      expect(ranks.map(({ length }) => length)).toEqual([whole.length - 5, whole.length - 5]);
      for (const [i, batch] of whole.slice(5).entries()) {
        const parts = ranks.map((rank) => samplesIn(rank[i]));
        expect(samplesIn(batch).map((_, slot) => parts[slot % 2][Math.floor(slot / 2)])).toEqual(samplesIn(batch));
      }
    },
    60_000,
  );

  it('goes on in the middle of a row, and ends with padding or without it', async () => {
    const source = await SOURCES['JSON lines']();
    const pipeline = await openPipeline(config(source, { last: 'drop' }));
    try {
      const whole: Batch[] = [];
      for await (const batch of pipeline.batches()) whole.push(batch);
      let inRows = 0;
      for (const [step, { cursor }] of whole.entries()) {
        if (!Object.values(cursor.lanes).some((lane) => lane.pairs[3] > 0)) continue;
        inRows++;
        const rest: string[] = [];
        for await (const { digest } of pipeline.batches({ cursor: JSON.parse(JSON.stringify(cursor)) as Cursor })) rest.push(digest);
        expect(rest).toEqual(whole.slice(step + 1).map(({ digest }) => digest));
      }
      expect(inRows).toBeGreaterThan(3);
      const dropped = whole.flatMap(samplesIn);
      const padded = (await collect(config(source, { last: 'pad' }))).flatMap(samplesIn);
      const total = allRows().flatMap(multiplied).length;
      expect(padded).toHaveLength(total);
      expect(padded.slice(0, dropped.length)).toEqual(dropped);
      expect(dropped.length).toBe(total - (total % whole[0].rows));
    } finally {
      await pipeline.close();
    }
  }, 60_000);

  it('sees every kind of field that pyarrow writes, and what it leaves or gives back as it is, is served byte for byte', async () => {
    const plain = await collect(config({ fields: SAMPLE_FIELDS }));
    const types = `
      const KINDS = { image: Uint8Array, emb: Float32Array, half: Float32Array, double: Float32Array, nested: Uint8Array };
      const check = (row) => {
        for (const [name, kind] of Object.entries(KINDS)) if (row[name]?.constructor !== kind) throw new Error(name + ' is ' + row[name]?.constructor?.name);
        if (typeof row.caption !== 'string' || typeof row.big !== 'bigint' || typeof row.score !== 'number') throw new Error('kinds');
      };
    `;
    const same = [
      'export default (row) => ({ ...row });',
      'export default (row) => row;',
      'export default () => ({});',
      `${types} export default (row) => { check(row); row.image = row.image.subarray(0); return row; };`,
      'export default ({ caption, big }) => [{ caption, big }];',
    ];
    for (const [i, code] of same.entries()) {
      const batches = await collect(config({ fields: SAMPLE_FIELDS, ...(await module(`same-${i}.mjs`, code)) }));
      expect(
        batches.map(({ digest }) => digest),
        code,
      ).toEqual(plain.map(({ digest }) => digest));
    }
    // what it does to its own copy reaches no other sample of the row
    const spoil = 'export default (row) => { row.image.fill(0); row.emb.fill(0); return [{}, { image: row.image }]; };';
    const spoilt = await collect(config({ fields: SAMPLE_FIELDS, ...(await module('spoil.mjs', spoil)) }));
    const imageOf = (batches: readonly Batch[]): string[] =>
      batches.flatMap((batch) =>
        placesIn(batch).map(
          ({ at, place, part }) => `${place}:${part} ${Buffer.from(fieldOfRow(batch.fields!.image, at) as Uint8Array).toString('hex')}`,
        ),
      );
    const own = imageOf(plain);
    expect(
      imageOf(spoilt)
        .filter((image) => !/ 0*$/.test(image))
        .sort(),
    ).toEqual(own.filter((image) => !/ 0*$/.test(image)).sort());
    expect(imageOf(spoilt)).toHaveLength(2 * own.length);
  }, 60_000);

  it('gives and takes fields that a row may be without', async () => {
    const rows = Array.from({ length: 40 }, (_, n) => ({ n, ...(n % 2 === 0 && { label: n, note: `note ${n}` }) }));
    await writeFile(workspace.path('some.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const fields = {
      n: { column: 'n', type: 'int32' as const },
      label: { column: 'label', type: 'int32' as const, missing: null },
      note: { column: 'note', missing: null },
    };
    const turn = await module(
      'turn.mjs',
      `export default ({ label, note, n }) => (label === null) !== (note === null) ? [] : { label: label === null ? -n : null, note: note && note + '!' };`,
    );
    const batches = await collect(config({ uri: workspace.path('some.jsonl'), fields, ...turn }));
    const served = batches.flatMap((batch) =>
      placesIn(batch).map(({ at }) =>
        Object.fromEntries(Object.entries(batch.fields!).map(([name, field]) => [name, fieldOfRow(field, at)])),
      ),
    );
    expect(served.sort((a, b) => Number(a.n) - Number(b.n))).toEqual(
      rows.map(({ n, label, note }) => ({
        n,
        label: label === undefined ? -n : 0,
        'label.present': label === undefined ? 1 : 0,
        note: note === undefined ? '' : `${note}!`,
        'note.present': note === undefined ? 0 : 1,
      })),
    );
  }, 60_000);

  it('is shown and audited, and its content is part of the plan', async () => {
    const source = await SOURCES.Parquet();
    const file = await workspace.config('made.yaml', { ...config(source), ledger: workspace.path('ledger') });
    const whole = await collect(config(source));
    await runPipeline(file);
    const audit = await runCli(['audit', file]);
    expect([audit.code, audit.out + audit.err]).toEqual([0, expect.any(String)]);
    const shown = await showStep(file, { step: 2 });
    expect(shown.digest).toBe(whole[2].digest);
    expect(shown.slots.map(({ fields }) => fields?.find(({ name }) => name === 'caption')?.text)).toEqual(
      samplesIn(whole[2]).map(({ caption }) => caption),
    );
    const planOf = async (own: Partial<Source>): Promise<string> => {
      const pipeline = await openPipeline(config({ ...source, ...own }));
      await pipeline.close();
      return pipeline.info.planFingerprint;
    };
    const plan = await planOf({});
    expect(await planOf(await module('elsewhere.mjs', MULTIPLY))).toBe(plan);
    expect(await planOf(await module('other.mjs', MULTIPLY.replace('10n', '20n')))).not.toBe(plan);
    expect(await planOf({ transform: undefined, columns: undefined })).not.toBe(plan);
  }, 120_000);

  it.each([
    ['({ captoin: "a" })', 'a row that has captoin, which is neither a field nor a column'],
    ['({ caption: undefined })', 'a row whose caption is undefined, and the field is text'],
    ['({ caption: null })', 'a row whose caption is null, and the field is text'],
    ['({ caption: "\\ud800" })', 'a row whose caption is the text'],
    ['({ n: 2n ** 63n })', 'a row whose n is a bigint, and the field is int64'],
    ['({ n: 1.5 })', 'a row whose n is a number, and the field is int64'],
    ['({ emb: [1, 2] })', 'a row whose emb is a list, and the field is float32 × 3'],
    ['({ emb: [1, 2, 1e39] })', 'a row whose emb is a list, and the field is float32 × 3'],
    ['[{}, "no"]', 'a list whose item 1 is the text "no", not to a row'],
  ])('that answers %s fails the run by the row, or the row is left out', async (answer, problem) => {
    const code = `export default (row) => row.n % 10n === 3n ? (${answer}) : {};`;
    const source = {
      uri: workspace.path('rows/*.jsonl'),
      fields: { ...FIELDS, caption: 'meta.caption' },
      ...(await module('bad.mjs', code)),
    };
    await expect(collect(config(source))).rejects.toMatchObject({
      code: 'TRANSFORM_FAILED',
      message: expect.stringMatching(/row \d*3 of .*\.jsonl is transformed by .*bad\.mjs to /),
    });
    const skipped: SkipRecord[] = [];
    const left = await collect(config(source, { badRows: 'skip' }), skipped);
    expect(skipped).toHaveLength((SHARDS * ROWS) / 10);
    for (const skip of skipped) expect(skip.problem).toContain(problem);
    expect(left.flatMap(samplesIn)).toHaveLength((SHARDS * ROWS * 9) / 10);
  });

  it('is not asked for rows whose fields are bad, nor for those that nobody wants', async () => {
    const rows = Array.from({ length: 30 }, (_, n) => ({ n: n % 7 === 3 ? 'x' : n, lang: n % 3 === 0 ? 'de' : 'en' }));
    await writeFile(workspace.path('bad.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const asked = await module(
      'asked.mjs',
      `export default (row) => { if (row.lang !== 'en' || typeof row.n !== 'number') throw new Error('asked'); return {}; };`,
    );
    const source = {
      uri: workspace.path('bad.jsonl'),
      fields: { n: { column: 'n', type: 'int32' as const } },
      columns: ['lang'],
      where: { lang: 'en' },
      ...asked,
    };
    const skipped: SkipRecord[] = [];
    const served = await collect(config(source, { badRows: 'skip' }), skipped);
    const good = rows.filter(({ n, lang }) => lang === 'en' && n !== 'x');
    expect(served.flatMap((batch) => placesIn(batch).map(({ at }) => fieldOfRow(batch.fields!.n, at))).sort()).toEqual(
      good.map(({ n }) => n).sort(),
    );
    expect(skipped).toHaveLength(rows.filter(({ n, lang }) => lang === 'en' && n === 'x').length);
    for (const { problem } of skipped) expect(problem).toMatch(/has a field n that is missing, null, or no int32/);
    await expect(collect(config(source))).rejects.toMatchObject({ code: 'BAD_ROW' });
  });

  it('that the documentation shows does what it says', async () => {
    const page = await readFile(new URL('../../docs/transforms.md', import.meta.url), 'utf8');
    const [code] = [...page.matchAll(/^```js\n(.*?)^```/gms)].map(([, block]) => block).filter((block) => block.includes('emb'));
    const rows = [
      { caption: 'a red bicycle ', alt: 'a bicycle, red', width: 300, emb: [3, 4] },
      { caption: 'too small to see', alt: 'small and smaller', width: 200, emb: [1, 1] },
      { caption: 'IMG_1', alt: null, width: 400, emb: [1, 0] },
      { caption: 'nothing in its place', width: 256, emb: [0, 0] },
    ];
    await writeFile(workspace.path('doc.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const fields = { caption: 'caption', emb: { column: 'emb', size: 2, type: 'float32' as const } };
    const source = { uri: workspace.path('doc.jsonl'), fields, columns: ['width', 'alt'], ...(await module('doc.mjs', code)) };
    const served = await collect(config(source, { shuffle: false, batch: { size: 1, lanes: 1 } }));
    expect(served.map(({ fields: own }) => [fieldOfRow(own!.caption, 0), ...(fieldOfRow(own!.emb, 0) as Float32Array)])).toEqual([
      ['a red bicycle', Math.fround(0.6), Math.fround(0.8)],
      ['a bicycle, red', Math.fround(0.6), Math.fround(0.8)],
      ['nothing in its place', 0, 0],
    ]);
  });

  it('has columns by names that no field has, and tokens only where a sequence has room for them', async () => {
    const own = await module('own.mjs', 'export default (row) => row;');
    const refusal = (source: Partial<Source>): Promise<unknown> =>
      openPipeline(config({ fields: { caption: 'txt' }, ...own, ...source })).catch((error: unknown) => error);
    expect(await refusal({ columns: ['meta.caption'] })).toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('meta.caption is caption to a transform, which has the field of that name'),
    });
    expect(await refusal({ text: 'txt' })).toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('has text, and sequence is none'),
    });
    expect(await refusal({ fields: undefined })).toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('neither fields nor text'),
    });
  });
});

/** Without padding: the row in the batch, where it comes from, and which of its row's samples it is. */
function placesIn({ rows, cuSeqlens, segments, length }: Batch): { at: number; place: string; part: number }[] {
  return Array.from({ length: rows }, (_, at) => {
    const [source, shard, row, part, count, flags] = segments.subarray(SEGMENT_FIELDS * cuSeqlens.indexOf(at * length));
    if (source !== SOURCE_PADDING) expect([count, flags]).toEqual([1, SEGMENT_FIRST | SEGMENT_LAST]);
    return { at, source, place: `${shard}:${row}`, part };
  }).filter(({ source }) => source !== SOURCE_PADDING);
}

function samplesIn(batch: Batch): { caption: string; n: bigint; emb: number[]; part: number }[] {
  const { caption, n, emb } = batch.fields!;
  return placesIn(batch).map(({ at, part }) => ({
    caption: fieldOfRow(caption, at) as string,
    n: fieldOfRow(n, at) as bigint,
    emb: [...(fieldOfRow(emb, at) as Float32Array)],
    part,
  }));
}
