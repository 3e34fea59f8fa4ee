import { fieldOfRow, type Batch, type ConfigInput, type SkipRecord } from 'headrace';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SEGMENT_FIELDS, SOURCE_PADDING } from '../../src/core/sequence.js';
import { digestsOf, expectExactResumes, runPipeline } from '../support/streams.js';
import { makeWorkspace, smallConfig, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SHARDS = 3;
const ROWS = 200;
/** The same rows as JSON lines and as separated values, and as a list of rows that Python reads back. */
const SCRIPT = `
import csv, io, json, random, sys, zstandard
rng = random.Random(11)
for shard in range(${SHARDS}):
    rows = [{"id": 2**60 + shard * ${ROWS} + i, "text": f"{shard} {i} é\\n" * rng.randint(1, 9), "label": rng.randint(-5, 5), "emb": [rng.random() for _ in range(4)],
             "meta": {"lang": rng.choice(["en", "de", None])}, "score": rng.choice([0.25, 0.5, 1, 2])} for i in range(${ROWS})]
    with open(f"{sys.argv[1]}/json/{shard}.jsonl", "w") as file:
        file.writelines(json.dumps(row, ensure_ascii=i % 2 == 0) + "\\n" for i, row in enumerate(rows))
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["text", "score", "lang"])
    writer.writerows([row["text"], row["score"], row["meta"]["lang"]] for row in rows)
    frames = out.getvalue().encode()
    compressor = zstandard.ZstdCompressor()
    with open(f"{sys.argv[1]}/csv/{shard}.csv.zst", "wb") as file:
        for at in range(0, len(frames), 4000):
            file.write(compressor.compress(frames[at : at + 4000]))
    json.dump([{**row, "id": str(row["id"])} for row in rows], open(f"{sys.argv[1]}/{shard}.rows", "w"))
`;

interface Row {
  readonly id: string;
  readonly text: string;
  readonly label: number;
  readonly emb: readonly number[];
  readonly meta: { readonly lang: string | null };
  readonly score: number;
}

/** SHA-256 of the digests of all steps, of one rank: pinned, so that no change moves a stream unseen. */
const ORDERS = {
  samples: 'a368d4fee74c261a99717d6e91344ca18fd26440c53f06761c32affaf3deb7c3',
  text: '87f910f0954d9ffa0f888971e7234defef91f2cdb3367e7ae2d628f5e6f8e23b',
} as const;

describe.skipIf(PYTHON === undefined)('columns of lines', () => {
  let workspace: Workspace;
  let rows: readonly (readonly Row[])[];

  const config = (source: ConfigInput['sources'][string], changes: Partial<ConfigInput> = {}): ConfigInput =>
    smallConfig(workspace, { seed: 3, sources: { s: source }, tokenizer: undefined, batch: { size: 8, lanes: 2 }, ...changes });
  const samples = (changes: Partial<ConfigInput> = {}): ConfigInput =>
    config(
      {
        uri: workspace.path('json/'),
        fields: {
          caption: 'text',
          lang: { column: 'meta.lang', type: 'bytes' },
          id: { column: 'id', type: 'int64' },
          label: { column: 'label', type: 'int32' },
          emb: { column: 'emb', size: 4, type: 'float32' },
          score: { column: 'score', type: 'float64' },
        },
        where: { 'meta.lang': ['en', 'de'], score: { lt: 2 }, not: { label: { between: [-1, 1] } } },
      },
      { sequence: 'none', ...changes },
    );

  beforeAll(async () => {
    workspace = await makeWorkspace();
    for (const name of ['json', 'csv', 'bad']) mkdirSync(workspace.path(name));
    execFileSync(PYTHON!, ['-c', SCRIPT, workspace.dir]);
    rows = Array.from({ length: SHARDS }, (_, shard) => JSON.parse(readFileSync(workspace.path(`${shard}.rows`), 'utf8')) as Row[]);
  });
  afterAll(() => workspace.remove());

  const placesOf = (takes: (row: Row) => boolean): string[] =>
    rows.flatMap((own, shard) => own.flatMap((row, i) => (takes(row) ? [`${shard}:${i}`] : [])));

  it('samples of JSON lines have the fields of the rows that where takes, each once, and go on exactly', async () => {
    const all = await runs(samples(), ORDERS.samples);
    const seen: string[] = [];
    for (const batch of all) {
      for (const [place, at] of deliveredOf(batch)) {
        const [shard, i] = place.split(':').map(Number);
        const row = rows[shard][i];
        seen.push(place);
        const own = Object.fromEntries(Object.entries(batch.fields ?? {}).map(([name, field]) => [name, fieldOfRow(field, at)]));
        expect(own, place).toEqual({
          caption: row.text,
          lang: expect.objectContaining({ length: 2 }) as Uint8Array,
          id: BigInt(row.id),
          label: row.label,
          emb: Float32Array.from(row.emb),
          score: row.score,
        });
        expect(Buffer.from(own.lang as Uint8Array).toString()).toBe(row.meta.lang);
      }
    }
    const expected = placesOf(({ meta, score, label }) => meta.lang !== null && score < 2 && Math.abs(label) > 1);
    expect(seen.sort()).toEqual(expected.sort());
    expect(expected.length).toBeGreaterThan(100);
  });

  it('text of compressed separated values is of the rows that where takes', async () => {
    const text = config(
      { uri: workspace.path('csv/'), where: { score: { gte: 0.5 }, lang: { not: 'de' } } },
      { tokenizer: { file: TOKENIZER_FILE }, sequence: { length: 64 } },
    );
    const all = await runs(text, ORDERS.text);
    const seen = new Set(all.flatMap((batch) => [...deliveredOf(batch).keys()]));
    expect([...seen].sort()).toEqual(placesOf(({ meta, score }) => score >= 0.5 && meta.lang !== 'de').sort());
  });

  it('a line that cannot be read is a bad row of samples, whatever the filter says, and is named', async () => {
    writeFileSync(workspace.path('bad', 'a.jsonl'), readFileSync(workspace.path('json', '0.jsonl')));
    appendFileSync(workspace.path('bad', 'a.jsonl'), '{"label": 7\n');
    const bad = samples();
    const own = { ...bad, sources: { s: { ...bad.sources.s, uri: workspace.path('bad/') } } };
    await expect(runPipeline(own)).rejects.toMatchObject({
      code: 'BAD_ROW',
      message: expect.stringMatching(/row 200 of .*a\.jsonl \(line 201\) is not valid JSON/) as string,
    });
    const skipped: SkipRecord[] = [];
    await runPipeline({ ...own, badRows: 'skip' }, undefined, { onSkip: (record) => skipped.push(record) });
    expect(skipped).toHaveLength(1);
  });

  it('a field of a type that its values are not is a bad row, and another one than in another source is refused', async () => {
    const own = samples();
    const wrong = { ...own, sources: { s: { ...own.sources.s, fields: { label: { column: 'score', type: 'int32' as const } } } } };
    await expect(runPipeline(wrong)).rejects.toMatchObject({
      code: 'BAD_ROW',
      message: expect.stringContaining('(line ') as string,
    });
    const sources = { a: { ...own.sources.s, fields: { label: 'label' } }, b: { ...wrong.sources.s } };
    await expect(runPipeline({ ...own, sources })).rejects.toMatchObject({ code: 'COLUMN_TYPE' });
  });

  /** All batches, of which the order is checked, and a resume at every tenth step. */
  async function runs(input: ConfigInput, order: string): Promise<readonly Batch[]> {
    const { batches } = await runPipeline(input);
    await expectExactResumes(input, batches, { first: 4 });
    expect(createHash('sha256').update(digestsOf(batches).join('')).digest('hex')).toBe(order);
    return batches;
  }
});

/** By shard and row: the batch's row that it begins in. */
function deliveredOf({ cuSeqlens, segments, length }: Batch): Map<string, number> {
  const places = new Map<string, number>();
  for (let i = 0; i < cuSeqlens.length - 1; i++) {
    const [source, shard, row] = segments.subarray(i * SEGMENT_FIELDS, i * SEGMENT_FIELDS + 3);
    if (source !== SOURCE_PADDING) places.set(`${shard}:${row}`, Math.floor(cuSeqlens[i] / length));
  }
  return places;
}
