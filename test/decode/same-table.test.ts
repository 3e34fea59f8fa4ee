import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { whereSchema } from '../../src/config/where.js';
import type { JsonValue } from '../../src/core/canonical-json.js';
import { describeField, numbersOf, type FieldDtype, type FieldRequest } from '../../src/core/fields.js';
import type { Filter } from '../../src/core/filter/filter.js';
import type { Shard } from '../../src/core/shard.js';
import { createArrowDecoder } from '../../src/decode/arrow/block-reader.js';
import type { BlockReader, ColumnRequest, Decoder, FieldRows } from '../../src/decode/decoder.js';
import { valueOfRow } from '../../src/decode/field-rows.js';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import { scanHere } from '../../src/decode/scan.js';
import { fatesOf, ROW_TAKEN, type RowSelection } from '../../src/select/selection.js';
import { fileStore } from '../../src/store/file.js';
import { besideOf, decodeSlice, sliceOf } from '../support/slices.js';
import { wheres, type Operands } from '../support/wheres.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('../support/same_table.py', import.meta.url));
const SEED = Number(process.env.HEADRACE_WHERE_SEED ?? 20260101);
const ROWS = 260;
const FILTERS = 200;
const FILES = ['plain.arrow', 'lz4.arrow', 'zstd.arrow', 'plain.arrows', 'lz4.arrows', 'zstd.arrows'];

const field = (column: string, size?: number): FieldRequest => ({ name: column, column, size });
const FIELDS = [
  ...['f_bytes', 'f_large_bytes', 'f_bytes_view', 'f_key', 'f_text', 'f_large_text', 'f_text_view', 'f_words'],
  ...['f_struct.image.bytes', 'f_struct.image.n', 'f_struct.caption'],
  ...['f_int8', 'f_uint8', 'f_int16', 'f_uint16', 'f_int32', 'f_int64', 'f_uint32', 'f_half', 'f_float', 'f_double', 'f_bool'],
  ...['l_fixed', 'l_half', 'l_double', 'l_bool', 'l_int'],
]
  .map((column) => field(column))
  .concat(field('l_some', 3), field('l_some_fixed', 3));

const never = new AbortController().signal;

describe.skipIf(PYTHON === undefined)(`one table as Parquet and as Arrow, by pyarrow, seed ${SEED}`, () => {
  let dir: string;
  let operands: Operands;
  const store = fileStore();

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-same-'));
    operands = JSON.parse(
      execFileSync(PYTHON!, [SCRIPT, 'write', dir, String(SEED)], { encoding: 'utf8', maxBuffer: 2 ** 28 }),
    ) as Operands;
  }, 60_000);
  afterAll(() => rm(dir, { recursive: true }));

  const decoderOf = (file: string): Decoder => (file.endsWith('.parquet') ? createParquetDecoder(scanHere) : createArrowDecoder());

  async function index(decoder: Decoder, file: string, request: ColumnRequest, filter?: Filter): Promise<Shard> {
    const place = path.join(dir, file);
    const object = await store.head(place);
    // as a saved manifest has it
    const kept = JSON.parse(JSON.stringify(await decoder.index(store, object, request, never, filter))) as Omit<
      Shard,
      'path' | 'uri' | 'size' | 'etag'
    >;
    return { path: place, uri: store.uri + place, size: object.size, etag: object.etag, ...kept };
  }

  /** In blocks and slices of any size. */
  async function slices<T>(
    decoder: Decoder,
    shard: Shard,
    [blockRows, sliceRows]: readonly [number, number],
    read: (reader: BlockReader, startRow: number, endRow: number) => Promise<T>,
  ): Promise<T[]> {
    const found: T[] = [];
    for (const [unit, { startRow, rows }] of shard.units.entries()) {
      for (let start = startRow; start < startRow + rows; start += blockRows) {
        const endRow = Math.min(startRow + rows, start + blockRows);
        const reader = decoder.openBlock(store, shard.path, shard, { shard: 0, unit, startRow: start, endRow, decodedBytes: 1 });
        for (let row = start; row < endRow; row += sliceRows) found.push(await read(reader, row, Math.min(endRow, row + sliceRows)));
      }
    }
    return found;
  }

  /** By field, of each row the bytes that are served. */
  async function fieldsOf(file: string, cut: readonly [number, number], fields = FIELDS): Promise<Record<string, (string | null)[]>> {
    const decoder = decoderOf(file);
    const shard = await index(decoder, file, { column: '', kind: 'none', fields });
    const found: Record<string, (string | null)[]> = {};
    const types = decoder.fieldTypes?.(shard)?.map(describeField);
    found.types = types ?? [];
    const parts = await slices(decoder, shard, cut, async (reader, start, end) =>
      (await besideOf(reader, start, end, { fields: true })).fields!.map((own) => [own.name, rowsOf(own, end - start)] as const),
    );
    for (const [name, rows] of parts.flat()) (found[name] ??= []).push(...rows);
    return found;
  }

  function rowsOf(field: FieldRows, rows: number): (string | null)[] {
    const { valid, problem } = field;
    return Array.from({ length: rows }, (_, row) =>
      valid?.[row] === 0 ? `null: ${problem}` : Buffer.from(valueOfRow(field, row)).toString('hex'),
    );
  }

  it('fields have the same types and bytes', async () => {
    const expected = await fieldsOf('table.parquet', [1000, 77]);
    expect(Object.values(expected).every((rows, i) => i === 0 || rows.length === ROWS)).toBe(true);
    expect(expected.types).toMatchInlineSnapshot(`
      [
        "bytes",
        "bytes",
        "bytes",
        "bytes",
        "text",
        "text",
        "text",
        "text",
        "bytes",
        "int32",
        "text",
        "int32",
        "int32",
        "int32",
        "int32",
        "int32",
        "int64",
        "int64",
        "float32",
        "float32",
        "float64",
        "uint8",
        "float32 × 4",
        "float32 × 3",
        "float32 × 2",
        "uint8 × 3",
        "int64 × 2",
        "float32 × 3",
        "float32 × 3",
      ]
    `);
    for (const file of FILES) {
      for (const cut of [
        [1000, 1000],
        [70, 31],
      ] as const)
        expect(await fieldsOf(file, cut), `${file} in ${cut.join('/')}`).toEqual(expected);
    }
  });

  it('numbers are served as a declared type that holds all of them', async () => {
    const own = await fieldsOf('table.parquet', [1000, 77]);
    const dtypes = new Map(FIELDS.map(({ name }, i) => [name, own.types[i]!]));
    const numbersIn = (dtype: string, hex: string): (number | bigint)[] => {
      const bytes = new Uint8Array(Buffer.from(hex, 'hex'));
      return Array.from(numbersOf(dtype.split(' ')[0] as FieldDtype, bytes.buffer) as ArrayLike<number | bigint>);
    };
    for (const [column, wide] of [
      ['f_int8', 'int64'],
      ['f_uint16', 'float64'],
      ['f_int32', 'int64'],
      ['f_int32', 'float64'],
      ['f_half', 'float64'],
      ['f_float', 'float64'],
      ['f_bool', 'int32'],
      ['f_bool', 'int64'],
      ['l_bool', 'float32'],
      ['l_half', 'float64'],
    ] as const) {
      for (const file of ['table.parquet', ...FILES]) {
        const found = await fieldsOf(file, [70, 31], [{ ...field(column), type: wide }]);
        expect(found.types[0]).toBe(dtypes.get(column)!.replace(/^\w+/, wide));
        for (const [row, hex] of own[column].entries()) {
          if (hex!.startsWith('null')) expect(found[column][row]).toBe(hex);
          else expect(numbersIn(wide, found[column][row]!).map(Number)).toEqual(numbersIn(dtypes.get(column)!, hex!).map(Number));
        }
      }
    }
    for (const [column, narrow] of [
      ['f_int64', 'int32'],
      ['f_int32', 'float32'],
      ['f_int64', 'float64'],
      ['f_float', 'int32'],
      ['f_double', 'float32'],
    ] as const)
      // prettier-ignore
      for (const file of ['table.parquet', 'plain.arrow'])
        await expect(fieldsOf(file, [70, 31], [{ ...field(column), type: narrow }])).rejects.toMatchObject({ code: 'COLUMN_TYPE' });
  });

  const request: ColumnRequest = { column: 'id', kind: 'text' };

  async function taken(file: string, filter: Filter, cut: readonly [number, number]): Promise<number[]> {
    const decoder = decoderOf(file);
    const shard = await index(decoder, file, request, filter);
    const selection: RowSelection = { source: 's', split: 'train', excluded: undefined, heldOut: undefined, where: filter };
    const rows = await slices(decoder, shard, cut, async (reader, startRow, endRow) => {
      const unit = shard.units.find((own) => startRow >= own.startRow && startRow < own.startRow + own.rows)!;
      const all = Array.from({ length: endRow - startRow }, (_, i) => startRow + i);
      if (decoder.storedFilterBytes?.(unit) === undefined) return all;
      const { filter: columns } = await besideOf(reader, startRow, endRow, { filter: true });
      const fates = fatesOf(selection, { shard: 0, path: '', startRow, rows: endRow - startRow }, undefined, columns);
      return all.filter((_, i) => fates[i] === ROW_TAKEN);
    });
    return rows.flat();
  }

  it('filters take the same rows', async () => {
    let rows = 0;
    for (const [at, where] of fc.sample(wheres(operands), { numRuns: FILTERS, seed: SEED }).entries()) {
      const filter = whereSchema.parse(where);
      const expected = await taken('table.parquet', filter, [1000, 1000]);
      rows += expected.length;
      for (const file of [FILES[at % 6]])
        expect(
          await taken(file, filter, at % 3 === 0 ? [33, 7] : [1000, 1000]),
          `${JSON.stringify(where)} of ${file}, seed ${SEED}`,
        ).toEqual(expected);
    }
    expect(rows).toBeGreaterThan(10 * FILTERS);
  }, 120_000);

  async function recordsOf(file: string, columns: readonly string[], cut: readonly [number, number]): Promise<JsonValue[]> {
    const decoder = decoderOf(file);
    const shard = await index(decoder, file, { column: columns[0], kind: 'records', columns });
    const parts = await slices(decoder, shard, cut, async (reader, start, end) => {
      const rows = decodeSlice(structuredClone(await sliceOf(reader, start, end)));
      if (rows.kind !== 'records') throw new Error(rows.kind);
      return Array.from({ length: rows.count }, (_, row) => {
        const record = rows.at(row);
        if ('problem' in record) throw new Error(record.problem);
        return record.row;
      });
    });
    return parts.flat();
  }

  it('records have the same values', async () => {
    const columns = ['messages', 'large', 'json', 'name', 'about', 'tags', 'b', 'f_double', 'l_some_fixed'];
    const expected = await recordsOf('table.parquet', columns, [1000, 1000]);
    expect(expected).toHaveLength(ROWS);
    for (const file of FILES) {
      for (const cut of [
        [1000, 1000],
        [70, 31],
      ] as const)
        expect(await recordsOf(file, columns, cut), `${file} in ${cut.join('/')}`).toEqual(expected);
    }
  });

  it('what one format refuses, the other does', async () => {
    const problem = async (file: string, own: ColumnRequest, where?: object): Promise<unknown> =>
      index(decoderOf(file), file, own, where && whereSchema.parse(where)).then(
        () => 'read',
        (error: unknown) => (error as { code: string }).code,
      );
    const none = (one: FieldRequest): ColumnRequest => ({ column: '', kind: 'none', fields: [one] });
    const cases: [ColumnRequest, object?][] = [
      [none(field('u64'))],
      [none(field('d'))],
      [none(field('dec'))],
      [none(field('l_some'))],
      [none(field('f_struct'))],
      [none(field('tags'))],
      [none(field('nothing'))],
      [request, { f_half: 1 }],
      [request, { l_fixed: 1 }],
      [request, { i32: 'ten' }],
      [request, { ns: '2026-01-01T00:00:00Z' }],
      [request, { 'meta.lnag': 'x' }],
      [{ column: 'messages', kind: 'records', columns: ['messages', 'd'] }],
      [{ column: 'messages', kind: 'records', columns: ['messages', 'f_bytes'] }],
      [{ column: 'about.who', kind: 'records', columns: ['about.who'] }],
    ];
    for (const [own, where] of cases) {
      const expected = await problem('table.parquet', own, where);
      expect(expected, JSON.stringify([own, where])).toMatch(/^COLUMN_/);
      expect(await problem('plain.arrow', own, where), JSON.stringify([own, where])).toBe(expected);
    }
  });
});
