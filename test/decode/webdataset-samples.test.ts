import fc from 'fast-check';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/config/limits.js';
import { whereSchema, type WhereInput } from '../../src/config/where.js';
import { HeadraceError } from '../../src/core/errors.js';
import { describeField, type FieldRequest } from '../../src/core/fields.js';
import type { Block, Shard } from '../../src/core/shard.js';
import type { ColumnRequest, FieldRows, RecordRows } from '../../src/decode/decoder.js';
import { valueOfRow } from '../../src/decode/field-rows.js';
import { scanHere } from '../../src/decode/scan.js';
import { createWebDatasetDecoder } from '../../src/decode/webdataset/block-reader.js';
import { decodeTarFields, decodeTarFilter, decodeTarSlice } from '../../src/decode/webdataset/decode-slice.js';
import type { EncodedTarSlice } from '../../src/decode/webdataset/encoded-slice.js';
import { fatesOf, ROW_TAKEN } from '../../src/select/selection.js';
import { memoryStore, type MemoryStore } from '../../src/store/memory.js';
import type { ByteRange, Store } from '../../src/store/store.js';
import { PYTHON, runScript } from '../support/python.js';
import { TAR_SAMPLE_FIELDS } from '../support/samples.js';
import { sliceOf } from '../support/slices.js';
import { tarOf, type TarMember } from '../support/tar.js';

const signal = new AbortController().signal;
const decoder = createWebDatasetDecoder(scanHere);

const NO_TOKENS = { column: '', kind: 'none' } as const;

function fieldsOf(fields: Readonly<Record<string, string | Partial<FieldRequest>>>): FieldRequest[] {
  return Object.entries(fields).map(([name, field]) => ({
    name,
    size: undefined,
    type: undefined,
    column: '',
    ...(typeof field === 'string' ? { column: field } : field),
  }));
}

const FIELDS = fieldsOf(TAR_SAMPLE_FIELDS);

function filterOf(where: WhereInput): NonNullable<Parameters<typeof decoder.index>[4]> {
  return whereSchema.parse(where);
}

async function openShard(store: Store, file: string, request: ColumnRequest, where?: WhereInput): Promise<Shard> {
  const object = await store.head(file);
  const index = await decoder.index(store, object, request, signal, where && filterOf(where));
  return { path: file, uri: store.uri + file, size: object.size, etag: object.etag, ...index };
}

async function slicesOf(store: Store, shard: Shard, sliceRows: number): Promise<{ startRow: number; slice: EncodedTarSlice }[]> {
  const slices: { startRow: number; slice: EncodedTarSlice }[] = [];
  for (const [unit, { startRow, rows }] of shard.units.entries()) {
    const block: Block = { shard: 0, unit, startRow, endRow: startRow + rows, decodedBytes: 1 };
    const reader = decoder.openBlock(store, shard.path, shard, block);
    for (let row = startRow; row < block.endRow; row += sliceRows) {
      const slice = await sliceOf(reader, row, Math.min(block.endRow, row + sliceRows));
      slices.push({ startRow: row, slice: slice as EncodedTarSlice });
    }
  }
  return slices;
}

function valueOf(field: FieldRows, row: number): string | null {
  return field.valid?.[row] === 0 ? null : Buffer.from(valueOfRow(field, row)).toString('base64');
}

/** By row the values of its fields, in base64; null where it has none. */
async function rowsOf(store: Store, shard: Shard, sliceRows = 1000): Promise<Record<string, string | null>[]> {
  const rows: Record<string, string | null>[] = [];
  for (const { slice } of await slicesOf(store, shard, sliceRows)) {
    const fields = decodeTarFields(slice);
    for (let row = 0; row < slice.rows; row++) rows.push(Object.fromEntries(fields.map((field) => [field.name, valueOf(field, row)])));
  }
  return rows;
}

async function taken(store: Store, shard: Shard, where: WhereInput): Promise<number[]> {
  const selection = { source: 's', split: 'train', excluded: undefined, heldOut: undefined, where: filterOf(where) } as const;
  const rows: number[] = [];
  for (const { startRow, slice } of await slicesOf(store, shard, 7)) {
    const fates = fatesOf(selection, { shard: 0, path: shard.path, startRow, rows: slice.rows }, undefined, decodeTarFilter(slice));
    for (const [i, fate] of fates.entries()) if (fate === ROW_TAKEN) rows.push(startRow + i);
  }
  return rows;
}

interface Sample {
  readonly shard: number;
  readonly row: number;
  readonly fields: Readonly<Record<string, string>>;
  readonly where: { width: number; lang: string | null; safe: boolean; cls: number; txt: string };
}

describe.skipIf(PYTHON === undefined)('samples that webdataset and tarfile wrote, as webdataset decodes them', () => {
  let dir: string;
  let store: MemoryStore;
  let samples: Sample[];
  const files = ['shard-000000.tar', 'shard-000001.tar', 'shard-000002.tar.gz', 'shard-000003.tar'];
  const ofShard = (shard: number): Sample[] => samples.filter((sample) => sample.shard === shard);

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-tar-'));
    runScript('tar_samples.py', 'write', dir);
    const lines = runScript('tar_samples.py', 'rows', dir);
    samples = lines
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Sample);
    store = memoryStore('memory://samples/');
    for (const file of files) store.put(file, new Uint8Array(await readFile(path.join(dir, file))));
  }, 60_000);
  afterAll(() => rm(dir, { recursive: true }));

  it.each(files.map((file, shard) => [shard, file] as const))('%i %s: every field of every sample is the same', async (shard, file) => {
    const opened = await openShard(store, file, { ...NO_TOKENS, fields: FIELDS });
    expect(decoder.fieldTypes?.(opened)?.map(describeField)).toEqual([
      'bytes',
      'text',
      'int64',
      'float32 × 8',
      'int64 × 5',
      'float64',
      'float32',
      'int32',
      'uint8',
      'int64',
      'float32 × 3',
      'text',
      'text',
    ]);
    const expected = ofShard(shard).map(({ fields }) => fields);
    expect(expected.length).toBeGreaterThan(30);
    expect(await rowsOf(store, opened, 11)).toEqual(expected);
  });

  it.each<[WhereInput, (sample: Sample['where']) => boolean]>([
    [{ 'json.width': { gte: 256 } }, ({ width }) => width >= 256],
    [{ 'json.lang': ['en', 'fr'] }, ({ lang }) => lang === 'en'],
    [{ not: { 'json.lang': 'en' } }, ({ lang }) => lang === 'de'], // of null nothing is said
    [{ 'json.lang': { isNull: true } }, ({ lang }) => lang === null],
    [{ 'json.safe': true, cls: { lt: 0 } }, ({ safe, cls }) => safe && cls < 0],
    [
      { any: [{ cls: [2, 5] }, { txt: { startsWith: 'caption 1/7 ' } }] },
      ({ cls, txt }) => cls === 2 || cls === 5 || txt.startsWith('caption 1/7 '),
    ],
    [{ cls: '4' }, ({ cls }) => cls === 4],
    [{ 'json.nothing': { lt: 5 } }, () => false],
    [{ 'other.json': { isNull: true } }, () => true],
    [{ 'json.lang': { gt: 3 } }, () => false], // text is no number
    [{ __key__: { startsWith: '1/img0000' } }, () => true],
  ])('where %j takes the rows that it says', async (where, isTaken) => {
    for (const kind of ['none', 'text'] as const) {
      const request: ColumnRequest = kind === 'none' ? { ...NO_TOKENS, fields: FIELDS } : { column: 'txt', kind };
      const shard = await openShard(store, files[1], request, where);
      const rows = ofShard(1).filter((sample) => isTaken(sample.where) && (where.__key__ === undefined || sample.row < 10));
      expect(await taken(store, shard, where)).toEqual(rows.map(({ row }) => row));
    }
  });

  it('records have the values of their JSON members, and texts', async () => {
    const chats = JSON.parse(runScript('tar_samples.py', 'chats', dir)) as Record<string, unknown>[];
    store.put('chats.tar', new Uint8Array(await readFile(path.join(dir, 'chats.tar'))));
    const read = async (column: string, columns: readonly string[]): Promise<unknown[]> => {
      const shard = await openShard(store, 'chats.tar', { column, kind: 'records', columns: [column, ...columns] });
      return (await slicesOf(store, shard, 9)).flatMap(({ slice }) => {
        const { at, count } = decodeTarSlice(slice) as RecordRows;
        return Array.from({ length: count }, (_, row) => at(row));
      });
    };
    expect(await read('json.data.conversations', ['json.tools', 'system.txt', 'json.none', 'missing.json'])).toEqual(
      chats.map(({ conversations, tools, system }) => ({
        row: {
          'json.data.conversations': conversations,
          'json.tools': tools,
          'system.txt': system,
          'json.none': null,
          'missing.json': null,
        },
        isValidUtf8: true,
      })),
    );
    expect(await read('messages.json', [])).toEqual(
      chats.map(({ messages }) => ({ row: { 'messages.json': messages }, isValidUtf8: true })),
    );
  });
});

const bytesRead = (reads: readonly ByteRange[]): number => reads.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0);

describe('samples that are not as they should be', () => {
  const storeOf = (members: readonly TarMember[]): MemoryStore => memoryStore('memory://odd/', { 'a.tar': tarOf(members) });

  /** Of each row what is wrong with its first bad field, or null. */
  async function problemsOf(members: readonly TarMember[], fields: Parameters<typeof fieldsOf>[0]): Promise<(string | null)[]> {
    const store = storeOf(members);
    const shard = await openShard(store, 'a.tar', { ...NO_TOKENS, fields: fieldsOf(fields) });
    const [{ slice }] = await slicesOf(store, shard, 1000);
    const decoded = decodeTarFields(slice);
    return Array.from({ length: slice.rows }, (_, row) => {
      const bad = decoded.find(({ valid }) => valid?.[row] === 0);
      return bad === undefined ? null : (bad.problems?.get(row) ?? bad.problem);
    });
  }

  it('a row says with its key what it has not, and what cannot be served', async () => {
    const image = { name: 'a.jpg', body: 'x' };
    expect(
      await problemsOf(
        [
          image,
          { name: 'a.cls', body: ' +7\n' },
          { name: 'b.cls', body: '1' },
          { name: 'c.png', body: 'y' },
          { name: 'c.cls', body: '1.5' },
        ],
        {
          image: 'jpg;png',
          label: 'cls',
        },
      ),
    ).toEqual([null, 'has no member jpg or png (sample b)', 'has a field label in cls (sample c) that is missing, null, or no int64']);
    expect(
      await problemsOf(
        ['{"s": 1}', '{"s": "1"}', '{', '{}', '[[[1]]]', '{"s": 1e999}'].map((body, i) => ({ name: `${i}.json`, body })),
        {
          s: { column: 'json.s', type: 'float32' },
        },
      ),
    ).toEqual([
      null,
      expect.stringMatching(/json\.s \(sample 1\) that is missing, null, or no float32/),
      expect.stringMatching(/no valid JSON in its member json \(sample 2\)/),
      expect.stringMatching(/json\.s \(sample 3\) that is missing/),
      expect.stringMatching(/json\.s \(sample 4\) that is missing/),
      expect.stringMatching(/no float32/),
    ]);
    expect(
      await problemsOf(
        [
          { name: 'a.txt', body: 'x' },
          { name: 'a.txt', body: 'y' },
          { name: 'a.jpg', body: 'z' },
        ],
        { image: 'jpg' },
      ),
    ).toEqual(['has two members txt (sample a)']);
  });

  it('arrays are of the declared type and size, and nothing is guessed', async () => {
    const npy = (descr: string, shape: string, values: ArrayBufferView, fortran = 'False'): string => {
      const header = `{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': ${shape}, }`.padEnd(117) + '\n';
      return Buffer.concat([
        Buffer.from('\x93NUMPY\x01\0', 'latin1'),
        Buffer.from([118, 0]),
        Buffer.from(header, 'latin1'),
        Buffer.from(values.buffer, values.byteOffset, values.byteLength),
      ]).toString('latin1');
    };
    const bodies = [
      npy('<f4', '(2,)', Float32Array.of(1, 2)),
      npy('<i4', '(2,)', Int32Array.of(1, 2)),
      npy('<f4', '(3,)', Float32Array.of(1, 2, 3)),
      npy('<f4', '(2,)', Float32Array.of(1, 2, 3)),
      npy('<f4', '(1, 2)', Float32Array.of(1, 2), 'True'),
      npy('>f4', '(2,)', Float32Array.of(1, 2)),
      'no array',
      npy('<f4', '(999999999999999999,)', Float32Array.of(1)),
      npy('<f8', '(2, 1)', Float64Array.of(1, 2)),
    ];
    const members = bodies.map((body, i) => ({ name: `${i}.emb.npy`, latin1: body }));
    expect(await problemsOf(members, { emb: { column: 'emb.npy', size: 2 } })).toEqual([
      null,
      'has a member emb.npy (sample 1) that is a NumPy array of <i4, and is served as float32',
      'has a member emb.npy (sample 2) that is a NumPy array of shape (3), which are 3 values, and not 2',
      'has a member emb.npy (sample 3) that is a NumPy array whose (2) values take other than its 12 bytes',
      'has a member emb.npy (sample 4) that is a NumPy array in Fortran order',
      'has a member emb.npy (sample 5) that is a NumPy array of >f4; little-endian integers and floats are read',
      expect.stringMatching(/emb\.npy \(sample 6\) that is no NumPy array that is read: it does not start with/),
      expect.stringMatching(/take other than its 4 bytes/),
      null,
    ]);
  });

  it('what the names of members do not say must be said, and what no sample has is told of with what they have', async () => {
    const refused = (fields: Parameters<typeof fieldsOf>[0]): Promise<unknown> =>
      openShard(
        storeOf([
          { name: 'a.jpg', body: 'x' },
          { name: 'a.emb.npy', body: 'x' },
        ]),
        'a.tar',
        { ...NO_TOKENS, fields: fieldsOf(fields) },
      );
    await expect(refused({ emb: 'emb.npy' })).rejects.toMatchObject({ code: 'COLUMN_TYPE', hint: expect.stringContaining('size: 512') });
    await expect(refused({ x: 'jpg;cls' })).rejects.toMatchObject({ code: 'COLUMN_TYPE', hint: expect.stringContaining('type: bytes') });
    await expect(refused({ image: 'jpg', other: 'jpeg;webp' })).rejects.toMatchObject({
      code: 'COLUMN_MISSING',
      message: expect.stringContaining('jpeg;webp'),
      hint: expect.stringContaining('jpg, emb.npy'),
    });
  });

  it('a row whose member a filter cannot read is a bad one, and no other row', async () => {
    const store = storeOf([
      { name: 'a.txt', body: 'first' },
      { name: 'a.json', body: '{"w": 1}' },
      { name: 'b.txt', body: 'second' },
      { name: 'b.json', body: '{"w": ' },
      { name: 'c.txt', body: 'third' },
    ]);
    const where = { 'json.w': { gte: 1 } };
    const shard = await openShard(store, 'a.tar', { column: 'txt', kind: 'text' }, where);
    expect(await taken(store, shard, where)).toEqual([0, 1]);
    const [{ slice }] = await slicesOf(store, shard, 10);
    const rows = decodeTarSlice(slice);
    expect('problems' in rows && [...(rows.problems ?? [])]).toEqual([
      [1, expect.stringMatching(/no valid JSON in its member json \(sample b\)/)],
    ]);
  });

  it('records say where JSON has half a character, and of a member that is none why', async () => {
    const bodies = ['["\\ud83d\\ude42 \\\\ud83d"]', '["\\ud83d"]', '[', '"\xff"'];
    const store = storeOf(bodies.map((latin1, i) => ({ name: `${i}.json`, latin1 })).concat({ name: '4.txt', latin1: 'x' }));
    const shard = await openShard(store, 'a.tar', { column: 'json', kind: 'records', columns: ['json'] });
    const [{ slice }] = await slicesOf(store, shard, 10);
    const { at } = decodeTarSlice(slice) as RecordRows;
    expect([0, 1, 2, 3, 4].map(at)).toEqual([
      { row: { json: ['\u{1f642} \\ud83d'] }, isValidUtf8: true },
      { row: { json: ['\ud83d'] }, isValidUtf8: false },
      { problem: expect.stringMatching(/^has no valid JSON in its member json \(sample 2\)/) },
      { row: { json: '\ufffd' }, isValidUtf8: false },
      { problem: 'has no member json (sample 4)' },
    ]);
  });

  it('long members are read where they are wanted, each byte once and together with their neighbours; else only what is', async () => {
    const long = 'x'.repeat(LIMITS.tarJumpBytes + 1);
    const store = storeOf(
      Array.from({ length: 6 }, (_, i) => [
        { name: `${i}.mp4`, body: long },
        { name: `${i}.txt`, body: `text ${i}` },
        { name: `${i}.wav`, body: long },
      ]).flat(),
    );
    const reads: ByteRange[] = [];
    const recorder: Store = {
      ...store,
      read: (file, range, options) => {
        reads.push(range);
        return store.read(file, range, options);
      },
    };
    const asked = async (fields: Parameters<typeof fieldsOf>[0]): Promise<{ bytes: number; requests: number }> => {
      const shard = await openShard(recorder, 'a.tar', { ...NO_TOKENS, fields: fieldsOf(fields) });
      reads.length = 0;
      const rows = await rowsOf(recorder, shard);
      expect(rows.map(({ text }) => Buffer.from(text ?? '', 'base64').toString())).toEqual([0, 1, 2, 3, 4, 5].map((i) => `text ${i}`));
      return { bytes: bytesRead(reads), requests: reads.length };
    };
    const padded = Math.ceil(long.length / 512) * 512;
    expect((await asked({ text: 'txt' })).bytes).toBe(6 * 4 * 512);
    expect((await asked({ text: 'txt', sound: 'wav' })).bytes).toBe(6 * (4 * 512 + padded));
    const all = await asked({ text: 'txt', sound: 'wav', film: 'mp4' });
    expect(all.bytes).toBe(6 * (4 * 512 + 2 * padded));
    expect(all.requests).toBeLessThanOrEqual(3);
  });

  it('mutated archives give a typed error, or rows whose fields are whole', async () => {
    const good = tarOf(
      Array.from({ length: 6 }, (_, i) => [
        { name: `${i}.jpg`, body: 'image'.repeat(i) },
        { name: `${i}.json`, body: `{"w": ${i}, "e": [1, 2]}` },
        { name: `${i}.cls`, body: String(i) },
      ]).flat(),
    );
    const fields = fieldsOf({
      image: 'jpg',
      w: { column: 'json.w', type: 'int64' },
      e: { column: 'json.e', type: 'float32', size: 2 },
      label: 'cls',
    });
    const where = { 'json.w': { gte: 0 } };
    const mutation = fc.record({ at: fc.nat({ max: good.length - 1 }), value: fc.nat({ max: 255 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 3 }), async (mutations) => {
        const bytes = Uint8Array.from(good);
        for (const { at, value } of mutations) bytes[at] = value;
        const store = memoryStore('memory://odd/', { 'a.tar': bytes });
        try {
          const shard = await openShard(store, 'a.tar', { ...NO_TOKENS, fields }, where);
          for (const row of await rowsOf(store, shard, 4)) {
            for (const [name, length] of [
              ['w', 8],
              ['e', 8],
              ['label', 8],
            ] as const) {
              if (row[name] !== null) expect(Buffer.from(row[name] ?? '', 'base64')).toHaveLength(length);
            }
          }
          await taken(store, shard, where);
        } catch (error) {
          if (!(error instanceof HeadraceError)) throw error;
          expect(['SHARD_INVALID', 'SHARD_UNSUPPORTED', 'COLUMN_MISSING']).toContain(error.code);
        }
      }),
      { numRuns: 400 },
    );
  });
});
