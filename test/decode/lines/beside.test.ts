import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { whereSchema, type ColumnWhere, type WhereInput } from '../../../src/config/where.js';
import type { FieldRequest, FieldTypeName } from '../../../src/core/fields.js';
import { formatOfPath } from '../../../src/core/format.js';
import type { Filter } from '../../../src/core/filter/filter.js';
import type { Shard } from '../../../src/core/shard.js';
import type { ColumnRequest, FieldRows } from '../../../src/decode/decoder.js';
import { decodeLineBeside } from '../../../src/decode/lines/decode-beside.js';
import { decodeLineSlice } from '../../../src/decode/lines/decode-slice.js';
import type { EncodedLineSlice } from '../../../src/decode/lines/encoded-slice.js';
import { openDecoders } from '../../../src/decode/open-decoders.js';
import { scanHere } from '../../../src/decode/scan.js';
import { fatesOf, ROW_TAKEN } from '../../../src/select/selection.js';
import { memoryStore } from '../../../src/store/memory.js';
import { sliceOf } from '../../support/slices.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('../../support/lines_beside.py', import.meta.url));
const SEED = Number(process.env.HEADRACE_WHERE_SEED ?? 20260102);
const FILTERS = 150;
const SLICE_ROWS = 100;
const decoders = openDecoders(scanHere);
const { signal } = new AbortController();

interface Opened {
  readonly shard: Shard;
  readonly slices: readonly EncodedLineSlice[];
}

async function open(name: string, content: Uint8Array | string, request: Partial<ColumnRequest> = {}, filter?: Filter): Promise<Opened> {
  const store = memoryStore('memory:///', { [name]: Buffer.from(content) });
  const object = await store.head(name);
  const decoder = await decoders.load(formatOfPath(name)!);
  const index = await decoder.index(store, object, { column: '', kind: 'none', ...request }, signal, filter);
  const shard: Shard = { path: name, uri: `memory:///${name}`, size: object.size, etag: object.etag, ...index };
  const slices: EncodedLineSlice[] = [];
  for (const [unit, { startRow, rows }] of shard.units.entries()) {
    const reader = decoder.openBlock(store, name, shard, { shard: 0, unit, startRow, endRow: startRow + rows, decodedBytes: 1 });
    for (let row = startRow; row < startRow + rows; row += SLICE_ROWS) {
      slices.push((await sliceOf(reader, row, Math.min(startRow + rows, row + SLICE_ROWS))) as EncodedLineSlice);
    }
  }
  return { shard, slices };
}

const fieldsOf = ({ slices }: Opened): (readonly FieldRows[])[] =>
  slices.map((slice) => decodeLineBeside(slice, { ids: false, fields: true, filter: false }).fields ?? []);

/** In base64; null where the row is a bad one. */
function servedOf({ bytes, bounds, rowBytes, valid }: FieldRows, row: number): string | null {
  if (valid?.[row] === 0) return null;
  const [start, end] = bounds === undefined ? [row * rowBytes, (row + 1) * rowBytes] : [bounds[row], bounds[row + 1]];
  return Buffer.from(bytes.subarray(start, end)).toString('base64');
}

function taken({ slices }: Opened, where: Filter): number[] {
  const selection = { source: 's', split: 'train' as const, excluded: undefined, heldOut: undefined, where };
  return slices.flatMap((slice, at) => {
    const { filter } = decodeLineBeside(slice, { ids: false, fields: false, filter: true });
    const fates = fatesOf(selection, { shard: 0, path: '', startRow: 0, rows: slice.rows }, undefined, filter);
    return [...fates].flatMap((fate, row) => (fate === ROW_TAKEN ? [at * SLICE_ROWS + row] : []));
  });
}

interface Expected {
  readonly fields: Readonly<Record<string, { column: string; type: FieldTypeName; size: number | null; values: (string | null)[] }>>;
  readonly records: readonly object[];
}

const OPERANDS = {
  s: fc.constantFrom('', 'a', 'aa', 'en', 'é', 'e\u{1f642}', '1'),
  n: fc.constantFrom(0, 1, -1, 2.5, 255, 0.1, 1000, 2 ** 31, 2 ** 53 - 1),
  b: fc.boolean(),
  'meta.lang': fc.constantFrom('', 'a', 'en', 'eng', 'ｅ'),
} as const;

function columnWhere(column: keyof typeof OPERANDS): fc.Arbitrary<ColumnWhere> {
  const operand: fc.Arbitrary<string | number | boolean> = OPERANDS[column];
  const isText = column === 's' || column === 'meta.lang';
  const conditions: fc.Arbitrary<ColumnWhere>[] = [
    operand,
    fc.uniqueArray(operand, { minLength: 1, maxLength: 3 }),
    fc.tuple(fc.constantFrom('eq', 'gt', 'gte', 'lt', 'lte'), operand).map(([op, value]) => ({ [op]: value })),
    operand.map((value) => ({ not: value })),
    fc.boolean().map((isNull) => ({ isNull })),
    ...(isText ? [fc.constantFrom('', 'e', 'en').map((startsWith) => ({ startsWith }))] : []),
    fc.tuple(operand, operand).map(([low, high]) => ({ between: [low, high] as const })),
  ];
  return fc.oneof(...conditions);
}

const { where: wheres } = fc.letrec<{ where: WhereInput }>((tie) => ({
  where: fc.oneof(
    { depthSize: 'small' },
    {
      weight: 3,
      arbitrary: fc
        .uniqueArray(fc.constantFrom(...(Object.keys(OPERANDS) as (keyof typeof OPERANDS)[])), { minLength: 1, maxLength: 2 })
        .chain((columns) => fc.record(Object.fromEntries(columns.map((column) => [column, columnWhere(column)])))),
    },
    { weight: 1, arbitrary: tie('where').map((not) => ({ not })) },
    { weight: 1, arbitrary: fc.array(tie('where'), { minLength: 1, maxLength: 2 }).map((any) => ({ any })) },
    { weight: 1, arbitrary: fc.array(tie('where'), { minLength: 1, maxLength: 2 }).map((all) => ({ all })) },
  ),
}));

describe.skipIf(PYTHON === undefined)(`columns of lines by Python, seed ${SEED}`, () => {
  let dir: string;
  const contentOf = (name: string): Buffer => readFileSync(path.join(dir, name));
  const expectedOf = (name: string): Expected => JSON.parse(readFileSync(path.join(dir, `${name}.json`), 'utf8')) as Expected;
  const python = (...args: string[]): string => execFileSync(PYTHON!, [SCRIPT, ...args], { encoding: 'utf8', maxBuffer: 2 ** 28 });

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-test-'));
    python('write', dir, String(SEED));
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  it.each(['rows.jsonl', 'rows.csv'])('%s: fields are the values that Python reads, or their row is a bad one', async (name) => {
    const expected = expectedOf(name);
    const fields: FieldRequest[] = Object.entries(expected.fields).map(([field, { column, type, size }]) => ({
      ...{ name: field, column, type, size: size ?? undefined },
    }));
    const opened = await open(name, contentOf(name), { fields });
    expect(opened.slices.length).toBeGreaterThan(2);
    expect(decoders.of(formatOfPath(name)!).fieldTypes?.(opened.shard)).toHaveLength(fields.length);
    const served = fieldsOf(opened).flatMap((own, at) =>
      Array.from({ length: opened.slices[at].rows }, (_, row) => own.map((field) => servedOf(field, row))),
    );
    for (const [at, { name: field }] of fields.entries()) {
      const values = served.map((row) => row[at]);
      expect(values, field).toEqual(expected.fields[field].values);
      expect(values.filter((value) => value !== null).length, field).toBeGreaterThan(20);
    }
  });

  it.each(['rows.jsonl', 'rows.csv'])('%s: records are the rows that Python reads', async (name) => {
    const { records } = expectedOf(name);
    const columns = Object.keys(records[0]);
    const { slices } = await open(name, contentOf(name), { column: columns[0], kind: 'records', columns });
    const rows = slices.flatMap((slice) => {
      const decoded = decodeLineSlice(slice);
      if (decoded.kind !== 'records') throw new Error('no records');
      return Array.from({ length: decoded.count }, (_, row) => decoded.at(row));
    });
    expect(rows).toEqual(records.map((row) => ({ row, isValidUtf8: true })));
  });

  it('filters take what Python takes', async () => {
    const filters = fc.sample(wheres, { numRuns: FILTERS, seed: SEED });
    writeFileSync(path.join(dir, 'filters.json'), JSON.stringify(filters));
    const expected = JSON.parse(python('filter', dir, path.join(dir, 'filters.json'))) as number[][][];
    let some = 0;
    for (const [file, name] of ['rows.jsonl', 'rows.csv'].entries()) {
      const content = contentOf(name);
      for (const [at, where] of filters.entries()) {
        const filter = whereSchema.parse(where);
        const rows = taken(await open(name, content, {}, filter), filter);
        expect(rows, `${name}, ${JSON.stringify(where)}, seed ${SEED}`).toEqual(expected[at][file]);
        if (rows.length > 0 && rows.length < 240) some++;
      }
    }
    expect(some).toBeGreaterThan(FILTERS);
  });
});

describe('lines that cannot be read', () => {
  const content = '{"s":"a","n":1}\n\n{"s":"b"\n[1]\n{"s":"c","n":"x"}\n{"s":"\\ud800","n":2}\n{"n":3,"s":"\xff"}\n';
  const bytes = Buffer.from(content, 'latin1');

  it('are bad rows of fields, by the line', async () => {
    const fields: FieldRequest[] = [{ name: 'n', column: 'n', size: undefined, type: 'int32' }];
    const [[{ valid, problems, problem }]] = fieldsOf(await open('a.jsonl', bytes, { fields }));
    expect([...valid!]).toEqual([1, 0, 0, 0, 1, 1]);
    expect([...problems!]).toEqual([
      [1, '(line 3) is not valid JSON at byte 8'],
      [2, '(line 4) is not a JSON object'],
      [3, '(line 5) has a field n that is missing, null, or no int32'],
    ]);
    expect(problem).toBe('is missing, null, or no int32');
  });

  it('are bad rows of records, and what is not UTF-8 is said', async () => {
    const { slices } = await open('a.jsonl', bytes, { column: 's', kind: 'records', columns: ['s', 'x'] });
    const rows = decodeLineSlice(slices[0]);
    expect(rows.kind === 'records' && Array.from({ length: rows.count }, (_, row) => rows.at(row))).toEqual([
      { row: { s: 'a', x: null }, isValidUtf8: true },
      { problem: '(line 3) is not valid JSON at byte 8' },
      { problem: '(line 4) is not a JSON object' },
      { row: { s: 'c', x: null }, isValidUtf8: true },
      { row: { s: '\ufffd', x: null }, isValidUtf8: false },
      { row: { s: '\ufffd', x: null }, isValidUtf8: false },
    ]);
    const csv = await open('a.csv', 'a,b\n1,2\n3\n"4"x,5\n', { column: 'b', kind: 'records', columns: ['b'] });
    const records = decodeLineSlice(csv.slices[0]);
    expect(records.kind === 'records' && [0, 1, 2].map((row) => records.at(row))).toEqual([
      { row: { b: '2' }, isValidUtf8: true },
      { problem: '(line 3) has 1 values, and there are 2 columns' },
      { problem: '(line 4) has something after the quote that ends value 1' },
    ]);
  });

  it('are taken by every filter, so that they are told of', async () => {
    const filter = whereSchema.parse({ n: { gt: 1 } });
    expect(taken(await open('a.jsonl', bytes, {}, filter), filter)).toEqual([1, 2, 4, 5]);
  });

  it('a column that separated values do not have, and lists in them, are refused', async () => {
    const fields: FieldRequest[] = [{ name: 'n', column: 'nn', size: undefined }];
    await expect(open('a.csv', 'n,s\n1,2\n', { fields })).rejects.toMatchObject({ code: 'COLUMN_MISSING' });
    const lists: FieldRequest[] = [{ name: 'n', column: 'n', size: 3, type: 'float32' }];
    await expect(open('a.csv', 'n,s\n1,2\n', { fields: lists })).rejects.toMatchObject({ code: 'COLUMN_TYPE' });
    await expect(open('a.csv', 'n,s\n1,2\n', {}, whereSchema.parse({ x: 1 }))).rejects.toMatchObject({ code: 'COLUMN_MISSING' });
    await expect(open('a.jsonl', '{}\n', {}, whereSchema.parse({ x: ['a', 1] }))).rejects.toMatchObject({ code: 'COLUMN_TYPE' });
  });
});
