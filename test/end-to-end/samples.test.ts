import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect, fieldOfRow, openPipeline, showStep, type Batch, type ConfigInput, type Cursor } from 'headrace';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { batchDigest } from '../../src/wire/batch-digest.js';
import { hasModule, runScript } from '../support/python.js';
import { placeOf, SAMPLE_FIELDS, sampleRowsOf, samplesConfig, type SampleRow } from '../support/samples.js';
import { runCli, startSidecar } from '../support/sidecar.js';
import { expectExactResumes, runPipeline, runRanks, take } from '../support/streams.js';
import { makeWorkspace, TOKENIZER_FILE, type Workspace } from '../support/workspace.js';

const FIELDS = { ...SAMPLE_FIELDS, key: 'key' };
const ROWS = 400;

type Row = SampleRow & { readonly caption: string };

const python = (...args: readonly string[]): string => runScript('samples.py', ...args);

const linesOf = (text: string): Row[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Row);

function rowsOf(batch: Batch): Row[] {
  return sampleRowsOf(batch).map((row, at) => ({ ...row, caption: String(fieldOfRow(batch.fields!.caption, at)) }));
}

describe('samples', () => {
  let workspace: Workspace;
  let reference: ReadonlyMap<string, Row>;

  const config = (changes: Partial<ConfigInput> = {}): ConfigInput => samplesConfig(workspace, { fields: FIELDS }, changes);

  const collect = async (input: ConfigInput): Promise<readonly Batch[]> => (await runPipeline(input)).batches;

  beforeAll(async () => {
    workspace = await makeWorkspace();
    python('write', workspace.path('data'));
    reference = new Map(linesOf(python('rows', workspace.path('data'))).map((row) => [placeOf(row), row]));
  });
  afterAll(() => workspace.remove());

  it('every row comes once an epoch, with what pyarrow reads, in an order that stays', async () => {
    const batches = await collect(config());
    const rows = batches.flatMap(rowsOf);
    expect(reference.size).toBe(ROWS);
    expect(rows).toHaveLength(ROWS);
    expect(new Set(rows.map(placeOf)).size).toBe(ROWS);
    for (const row of rows) expect(row).toEqual(reference.get(placeOf(row)));
    for (const batch of batches) {
      expect(batchDigest(batch)).toBe(batch.digest);
      expect([batch.inputIds.length, batch.length, batch.tokens]).toEqual([0, 1, 8]);
    }
    expect(rows.slice(0, 12).map(placeOf)).toMatchInlineSnapshot(`
      [
        "2:102",
        "1:76",
        "1:36",
        "1:8",
        "0:15",
        "0:57",
        "0:6",
        "0:97",
        "1:87",
        "0:54",
        "0:33",
        "2:9",
      ]
    `);
    // files differ between versions of pyarrow in their footers, and rows do not
    expect(batches[0].digest).toMatchInlineSnapshot(`"9301d439d1845c88052c6caeea5a21b458d83ce5592b00f17e58ac3ceb768408"`);
  });

  it('is the same for 1, 2 and 4 ranks, for any cut into micro-batches, and from every tenth step on', async () => {
    const batches = await collect(config());
    const whole = batches.map(rowsOf);
    const input = config({ limits: { workers: 1 } });
    for (const worldSize of [2, 4]) {
      const ranks = await runRanks(input, worldSize);
      for (const [step, rows] of whole.entries()) {
        const parts = ranks.map((rank) => rowsOf(rank[step]));
        expect(rows.map((_, slot) => parts[slot % worldSize][Math.floor(slot / worldSize)])).toEqual(rows);
      }
    }
    const pipeline = await openPipeline(input);
    try {
      const parts = await take(pipeline.microBatches({ microBatch: 2 }));
      expect(parts.flatMap(rowsOf)).toEqual(whole.flat());
    } finally {
      await pipeline.close();
    }
    await expectExactResumes(input, batches, { first: 9 });
  });

  it('the last step is filled with samples of padding, which the mask says', async () => {
    const batches = await collect(config({ batch: { size: 48, lanes: 4 } }));
    const last = batches[batches.length - 1];
    const rest = ROWS % 48;
    expect([...last.lossMask]).toEqual(Array.from({ length: 48 }, (_, row) => (row < rest ? 1 : 0)));
    expect(last.tokens).toBe(rest);
    expect(fieldOfRow(last.fields!.image, 47)).toEqual(new Uint8Array(0));
    expect(fieldOfRow(last.fields!.emb, 47)).toEqual(new Float32Array(6));
    expect(batchDigest(last)).toBe(last.digest);
  });

  it('text is tokenized beside fields: padded, cut at the length, and never a reason to lose a row', async () => {
    const pairs = { uri: workspace.path('data/'), text: 'txt', fields: { image: 'jpg', caption: 'txt' } };
    for (const append of ['eos', 'none'] as const) {
      const batches = await collect(
        config({
          sources: { pairs },
          tokenizer: { file: TOKENIZER_FILE, append, eos: '<|endoftext|>' },
          sequence: { packing: 'samples', length: 12 },
        }),
      );
      const rows = batches.flatMap(rowsOf);
      expect(new Set(rows.map(placeOf)).size).toBe(ROWS);
      for (const row of rows)
        expect(row.fields).toEqual({
          image: reference.get(placeOf(row))!.fields.image,
          caption: reference.get(placeOf(row))!.fields.caption,
        });
      for (const batch of batches) {
        expect(batchDigest(batch)).toBe(batch.digest);
        expect(batch.inputIds).toHaveLength(8 * 12);
        for (const [at, { caption }] of rowsOf(batch).entries()) {
          const ids = [...batch.inputIds.subarray(12 * at, 12 * at + 12)];
          const mask = batch.lossMask.subarray(12 * at, 12 * at + 12).filter((one) => one === 1).length;
          if (caption === '') expect([mask, new Set(ids)]).toEqual([append === 'eos' ? 1 : 0, new Set([50256])]);
          else expect(ids.slice(0, 2)).toEqual([6888, 1159]);
        }
      }
    }
  });

  it('sources are mixed by their weights in samples', async () => {
    const source = { uri: workspace.path('data/'), fields: { image: 'jpg' } };
    const batches = await collect(
      config({ sources: { a: { ...source, weight: 3, epochs: 3 }, b: { ...source, epochs: 1 } }, epochs: undefined }),
    );
    const counts = [0, 0];
    for (const { segments } of batches.slice(0, 100)) for (let i = 0; i < segments.length; i += 6) counts[segments[i]]++;
    expect(counts[0] / (counts[0] + counts[1])).toBeCloseTo(0.75, 1);
  });

  it('one sidecar serves the Node and the Python client the same, after a kill too; show and audit know samples', async () => {
    const address = `ipc://${workspace.path('s.sock')}`;
    const file = await workspace.config('samples.yaml', { ...config(), ledger: workspace.path('ledger'), serve: { address } });
    const whole = await collect(config());
    let sidecar = await startSidecar(file);
    try {
      const client = connect({ address, verify: true });
      const received: Batch[] = [];
      let cursor: Cursor | undefined;
      for (let batch = await client.next(); batch !== undefined; batch = await client.next()) {
        received.push(batch);
        ({ cursor } = batch);
        if (received.length !== 20) continue;
        await sidecar.end('SIGKILL');
        sidecar = await startSidecar(file);
      }
      expect(cursor?.step).toBe(whole.length);
      expect(received.map(({ digest }) => digest)).toEqual(whole.map(({ digest }) => digest));
      expect(received.flatMap(rowsOf)).toEqual(whole.flatMap(rowsOf));
      expect(linesOf(python('clients', address, '10'))).toEqual(whole.slice(0, 10).flatMap(rowsOf));
    } finally {
      await sidecar.end();
    }
    const shown = await showStep(file, { step: 3, slot: 1 });
    const [{ fields, digest }] = shown.slots;
    expect(digest).toMatch(/^[0-9a-f]{64}$/);
    expect(fields?.find(({ name }) => name === 'caption')?.text).toBe(rowsOf(whole[3])[1].caption);
    expect(fields?.find(({ name }) => name === 'emb')).toMatchObject({ type: 'float32 × 6', bytes: 24 });
    const { out, code } = await runCli(['show', file, '--step', '3', '--slot', '1']);
    expect(code).toBe(0);
    expect(out).toMatch(/image · bytes · \d+ bytes · sha256 [0-9a-f]{16}…/);
    const audit = await runCli(['audit', file]);
    expect([audit.code, audit.out + audit.err]).toEqual([0, expect.stringMatching(/coverage +\w+: \d+ samples, /)]);
  }, 240_000);

  it('images are decoded by the Python client, where Pillow is installed', async (context) => {
    if (!hasModule('PIL')) context.skip();
    const address = `ipc://${workspace.path('p.sock')}`;
    const sidecar = await startSidecar(await workspace.config('pillow.yaml', { ...config(), serve: { address } }));
    try {
      const sizes = JSON.parse(python('decode', address)) as [number, number][];
      const [first] = await collect(config());
      expect(sizes).toEqual(rowsOf(first).map(({ row }) => [4 + (row % 7), 3 + (row % 5)]));
    } finally {
      await sidecar.end();
    }
  }, 120_000);

  it('rows without a value, or with another number of them, fail the run or are left out, by name', async () => {
    python('odd', workspace.path('odd'));
    const odd = (field: string | { column: string; size: number }, changes: Partial<ConfigInput> = {}): ConfigInput =>
      config({ sources: { odd: { uri: workspace.path('odd/'), fields: { x: field } } }, batch: { size: 1 }, shuffle: false, ...changes });
    await expect(collect(odd('image'))).rejects.toMatchObject({
      code: 'BAD_ROW',
      message: expect.stringMatching(/row 3 of .* field x that is null/),
    });
    await expect(collect(odd('emb'))).rejects.toMatchObject({ code: 'COLUMN_TYPE', hint: expect.stringContaining('size: 512') });
    const served = async (field: string | { column: string; size: number }): Promise<number[]> =>
      (await collect(odd(field, { badRows: 'skip' }))).map(({ segments }) => segments[2]);
    expect(await served('image')).toEqual([0, 1, 2, 4, 5, 6, 7, 8, 9]);
    expect(await served({ column: 'emb', size: 4 })).toEqual([0, 2, 3, 5, 7, 8]); // null, short, long, and one with a null in it are not
    expect(await served('image.bytes').catch((error: unknown) => (error as { code: string }).code)).toBe('COLUMN_MISSING');
    const [first] = await collect(odd({ column: 'emb', size: 4 }, { badRows: 'skip' }));
    expect(fieldOfRow(first.fields!.x, 0)).toEqual(Float32Array.of(0, 1, 2, 3));
  });

  it('a damaged page of a field is read again once, then fails the run, or its rows are left out', async () => {
    const file = workspace.path('damaged', 'part-0.parquet');
    await mkdir(workspace.path('damaged'), { recursive: true });
    const bytes = await readFile(workspace.path('data', 'part-2.parquet'));
    const image = Buffer.from(reference.get('2:73')!.fields.image, 'base64');
    const at = bytes.indexOf(image);
    expect(at).toBeGreaterThan(0);
    bytes[at + 40] ^= 1;
    await writeFile(file, bytes);
    const damaged = config({ sources: { d: { uri: workspace.path('damaged/'), fields: { image: 'jpg', caption: 'txt' } } } });
    await expect(collect(damaged)).rejects.toMatchObject({
      code: 'SHARD_INVALID',
      message: expect.stringMatching(/column jpg of .* is damaged/),
    });
    const rows = (await collect({ ...damaged, badBlocks: 'skip' })).filter(({ tokens }) => tokens > 0);
    expect(rows.flatMap(rowsOf).some(({ row }) => row === 73)).toBe(false);
  });

  it.each<[Partial<ConfigInput>, string, RegExp]>([
    [{ sequence: { length: 8 } }, 'CONFIG_INVALID', /fields are of samples/],
    [{ sources: { a: { uri: 'x/', text: 'txt', fields: { i: 'jpg' } } } }, 'CONFIG_INVALID', /has text, and sequence is none/],
    [{ sources: { a: { uri: 'x/' } } }, 'CONFIG_INVALID', /neither fields nor text/],
    [{ sources: { a: { uri: 'x/', fields: { i: 'jpg' }, maxTokens: 5 } } }, 'CONFIG_INVALID', /counts tokens/],
    [
      { sources: { a: { uri: 'x/', fields: { i: 'jpg' } }, b: { uri: 'x/', fields: { i: 'jpg', c: 'txt' } } } },
      'CONFIG_INVALID',
      /a has no tokens and the fields \[i\], b has no tokens and \[c, i\]/,
    ],
  ])('%o is refused', async (changes, code, message) => {
    await expect(collect(config(changes))).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it('fields that differ in type are served as one that holds both, where the configuration says it', async () => {
    const uri = workspace.path('data/');
    const sources = {
      a: { uri, fields: { x: { column: 'label', type: 'int64' } } },
      b: { uri, fields: { x: { column: 'big', type: 'int64' } } },
    } as const;
    const batches = await collect(config({ sources }));
    const values = batches.flatMap(({ rows, fields }) => Array.from({ length: rows }, (_, row) => fieldOfRow(fields!.x, row)));
    // as samples.py writes them
    const ofReference = [150, 101, 149].flatMap((rows) =>
      Array.from({ length: rows }, (_, row) => [BigInt((row % 10) - 3), 2n ** 40n + BigInt(row)]).flat(),
    );
    const ascending = (list: readonly unknown[]): bigint[] => (list as bigint[]).toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    expect(ascending(values)).toEqual(ascending(ofReference));
  });

  it('fields that differ in type between sources, that no column is, or that none can be, are refused by name', async () => {
    const uri = workspace.path('data/');
    const differing = { a: { uri, fields: { x: 'jpg' } }, b: { uri, fields: { x: 'txt' } } };
    await expect(collect(config({ sources: differing }))).rejects.toMatchObject({
      code: 'COLUMN_TYPE',
      message: expect.stringMatching(/x is bytes in .* text in/),
      hint: expect.not.stringContaining('declare'),
    });
    const widths = { a: { uri, fields: { x: 'label' } }, b: { uri, fields: { x: 'big' } } };
    await expect(collect(config({ sources: widths }))).rejects.toMatchObject({ hint: expect.stringContaining('`type: int64`') });
    const one = (column: string | { column: string; size: number }): Promise<unknown> =>
      collect(config({ sources: { a: { uri, fields: { x: column } } } }));
    await expect(one('jpgs')).rejects.toMatchObject({ code: 'COLUMN_MISSING', hint: expect.stringContaining('jpg') });
    await expect(one('nested.byte')).rejects.toMatchObject({ code: 'COLUMN_MISSING' });
    await expect(one('nested')).rejects.toMatchObject({ code: 'COLUMN_TYPE' });
    await expect(one({ column: 'emb', size: 5 })).rejects.toMatchObject({
      code: 'BAD_ROW',
      message: expect.stringMatching(/field x that is null, or no list of 5 numbers/),
    });
  });
});
