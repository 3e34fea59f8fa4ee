import fc from 'fast-check';
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { ColumnRequest, Decoder } from '../../../dist/src/decode/decoder.js';
import { createLitdataDecoder } from '../../../dist/src/decode/litdata/litdata-decoder.js';
import { scanHere } from '../../../dist/src/decode/scan.js';
import { memoryStore, type MemoryStore } from '../../../dist/src/store/memory.js';
import type { Store } from '../../../dist/src/store/store.js';
import { whereSchema, type WhereInput } from '../../../src/config/where.js';
import { describeField, numbersOf, type FieldType, type FieldTypeName } from '../../../src/core/fields.js';
import type { Shard } from '../../../src/core/shard.js';
import type { BlockReader, FieldRows } from '../../../src/decode/decoder.js';
import { nestedValue } from '../../../src/decode/litdata/nested.js';
import { fatesOf, ROW_TAKEN, type RowSelection } from '../../../src/select/selection.js';
import { besideOf, decodeSlice, sliceOf } from '../../support/slices.js';
import { indexShard, readShard, type Value } from '../read-shard.js';

/** What litData's own writer made of 40 rows, and its own reader of that: see write-fixtures.py. */
const FIXTURES = fileURLToPath(new URL('fixtures/', import.meta.url));
const expected = JSON.parse(readFileSync(`${FIXTURES}expected.json`, 'utf8')) as Readonly<Record<string, unknown[] | string>>;

function expectedOf(set: string): readonly unknown[] {
  const rows = expected[set];
  return typeof rows === 'string' ? expectedOf(rows) : rows;
}

const chunksOf = (set: string): string[] => readdirSync(FIXTURES + set).filter((name) => name.endsWith('.bin'));
const fileOf = (name: string): Uint8Array => new Uint8Array(readFileSync(FIXTURES + name));
const storeOf = (set: string): MemoryStore =>
  memoryStore(
    'memory://sets/',
    Object.fromEntries(readdirSync(FIXTURES + set).map((name) => [`${set}/${name}`, fileOf(`${set}/${name}`)])),
  );
const decoder = (): Decoder => createLitdataDecoder(scanHere);
const text = (column: string): ColumnRequest => ({ column, kind: 'text' });
const tokens = (column: string): ColumnRequest => ({ column, kind: 'tokens' });

async function valuesOf(
  set: string,
  request: ColumnRequest,
  { store = storeOf(set), sliceRows = 5, blockRows = Infinity }: { store?: Store; sliceRows?: number; blockRows?: number } = {},
): Promise<Value[]> {
  const values: Value[] = [];
  const own = decoder();
  for (const chunk of chunksOf(set)) {
    const shard = await indexShard(store, `${set}/${chunk}`, own, request);
    const read = (await readShard(store, shard, own, { sliceRows, blockRows })).values;
    expect(read).toHaveLength(shard.rows);
    values.push(...read);
  }
  return values;
}

type Row = Readonly<Record<string, unknown>>;
const column = (set: string, name: string | number): unknown[] => expectedOf(set).map((row) => (row as Row)[name]);
const first = (lists: readonly unknown[]): unknown[] => lists.map((list) => (list as readonly unknown[])[0]);

const CASES: readonly (readonly [set: string, what: string, request: ColumnRequest, expected: () => readonly unknown[]])[] = [
  ['bare', 'a text that is all of a sample', text('text'), () => expectedOf('bare')],
  ['bare', 'the same by the name of such values', text('value'), () => expectedOf('bare')],
  ['samples-zstd', 'samples that are compressed one by one', text('text'), () => expectedOf('samples-zstd')],
  ['positions', 'text of a tuple', text('0'), () => column('positions', 0)],
  ['positions', 'a NumPy array', tokens('5'), () => column('positions', 5)],
  ['positions', 'a tensor', tokens('6'), () => column('positions', 6)],
  ['positions', 'a tensor of two dimensions, of which one is 1', tokens('7'), () => first(column('positions', 7))],
  ['positions', 'the same of NumPy', tokens('8'), () => first(column('positions', 8))],
  ['frames', 'groups of samples that are compressed', text('0'), () => column('frames', 0)],
  ['frames', 'the same, of token ids', tokens('8'), () => first(column('frames', 8))],
  ['rows', 'dicts, which are kept in Arrow', text('text'), () => column('rows', 'text')],
  ['rows', 'a dict in a dict', text('meta.body'), () => column('rows', 'meta').map((meta) => (meta as Row).body)],
  ['rows', 'a list of ids in Arrow', tokens('ids'), () => column('rows', 'ids')],
  ['rows-zstd', 'Arrow compressed', text('text'), () => column('rows', 'text')],
  ['mixed', 'text beside an image', text('text'), () => column('mixed', 'text')],
  ['mixed', 'a nested list of ids beside an image', tokens('ids'), () => column('mixed', 'ids')],
  ['chunk-zstd', 'chunks that are compressed', text('text'), () => column('chunk-zstd', 'text')],
  ['tokens', 'documents of token ids', tokens('tokens'), () => expectedOf('tokens')],
  ['tokens16-zstd', 'the same compressed', tokens('value'), () => expectedOf('tokens16-zstd')],
];

describe('litData', () => {
  it.each(CASES)('%s: %s, as its own reader reads them', async (set, _what, request, rows) => {
    expect(await valuesOf(set, request)).toEqual(rows());
    expect(await valuesOf(set, request, { sliceRows: 3, blockRows: 7 })).toEqual(rows());
  });

  it('a slice of a plain chunk reads the places of its block, and the bytes of its own rows', async () => {
    const store = storeOf('positions');
    const own = decoder();
    const shard = await indexShard(store, 'positions/chunk-0-0.bin', own, text('0'));
    const reads: [number, number][] = [];
    const counted: Store = {
      ...store,
      read: (path, range, options) => {
        reads.push([range.startByte, range.endByte]);
        return store.read(path, range, options);
      },
    };
    const block = { shard: 0, unit: 0, startRow: 4, endRow: 6, decodedBytes: 1 };
    const reader = own.openBlock(counted, 'positions/chunk-0-0.bin', shard, block);
    await reader.read(4, 6, { rows: true, ids: false, fields: false, filter: false }, new AbortController().signal);
    const offsets = new Uint32Array(fileOf('positions/chunk-0-0.bin').slice(4, 4 + 4 * 17).buffer);
    expect(reads).toEqual([
      [4 + 4 * 4, 4 + 4 * 7],
      [offsets[4], offsets[6]],
    ]);
  });

  it.each([
    ['mixed', text('text'), 'meta.n', () => Array.from({ length: 16 }, (_, i) => String(i))],
    ['rows', text('text'), 'n', () => Array.from({ length: 16 }, (_, i) => String(i))],
    ['frames', tokens('6'), '1', () => Array.from({ length: 16 }, (_, i) => String(i * 10 ** 10))],
    ['samples-zstd', text('text'), 'value', () => expectedOf('samples-zstd').slice(0, 16)],
  ])('%s: ids come with the rows', async (set, request, id, ids) => {
    const own = decoder();
    const shard = await indexShard(storeOf(set), `${set}/chunk-0-0.bin`, own, { ...request, id });
    expect((await readShard(storeOf(set), shard, own, { sliceRows: 5, withIds: true })).ids).toEqual(ids());
  });

  describe('columns beside the rows', () => {
    type Field = readonly [column: string, size?: number | undefined, type?: FieldTypeName];
    const fieldsOf = (fields: readonly Field[]): ColumnRequest => ({
      column: '',
      kind: 'none',
      fields: fields.map(([column, size, type], i) => ({ name: `f${i}`, column, size, type })),
    });

    /** Of all rows of a set, in slices: the fields, by row. A bad row has null. */
    async function readFields(set: string, fields: readonly Field[], sliceRows = 5): Promise<{ types: string[]; values: unknown[][] }> {
      const values: unknown[][] = fields.map(() => []);
      let types: string[] = [];
      const store = storeOf(set);
      const own = decoder();
      for (const chunk of chunksOf(set)) {
        const shard = await indexShard(store, `${set}/${chunk}`, own, fieldsOf(fields));
        const served = own.fieldTypes?.(shard) ?? [];
        types = served.map(describeField);
        await eachSlice(shard, own, store, sliceRows, async (reader, start, end) => {
          const { fields: found = [] } = await besideOf(reader, start, end, { fields: true });
          for (const [i, field] of found.entries()) values[i].push(...fieldValues(field, served[i], end - start));
        });
      }
      return { types, values };
    }

    async function eachSlice(
      shard: Shard,
      own: Decoder,
      store: Store,
      sliceRows: number,
      read: (reader: BlockReader, start: number, end: number) => Promise<void>,
    ): Promise<void> {
      for (const [unit, { startRow, rows }] of shard.units.entries()) {
        const block = { shard: 0, unit, startRow, endRow: startRow + rows, decodedBytes: 1 };
        const reader = own.openBlock(store, shard.path, shard, block);
        for (let row = startRow; row < block.endRow; row += sliceRows) await read(reader, row, Math.min(block.endRow, row + sliceRows));
      }
    }

    function fieldValues({ bytes, bounds, rowBytes, valid }: FieldRows, type: FieldType, rows: number): unknown[] {
      return Array.from({ length: rows }, (_, row) => {
        if (valid?.[row] === 0) return null;
        const [start, end] = bounds === undefined ? [row * rowBytes, (row + 1) * rowBytes] : [bounds[row], bounds[row + 1]];
        const value = bytes.slice(start, end);
        if (type.kind !== 'numbers') return Buffer.from(value).toString(type.kind === 'text' ? 'utf8' : 'base64');
        const numbers = numbersOf(type.dtype, value.buffer);
        return type.size === null ? numbers[0] : Array.from<number | bigint, number>(numbers, Number);
      });
    }

    const FIELDS: readonly (readonly [Field, string, ((value: never, row: number) => unknown)?])[] = [
      [['image'], 'bytes'],
      [['text'], 'text'],
      [['raw'], 'bytes'],
      // JSON holds them as doubles
      [['n'], 'int64', (_value, row) => BigInt(row) * 10n ** 17n - 5n],
      [['score'], 'float64'],
      [['good'], 'uint8', Number],
      [['embedding', 4], 'float32 × 4'],
      [['half', 2], 'float32 × 2'],
      [['mask', 3], 'uint8 × 3', (mask: boolean[]) => mask.map(Number)],
      [['wide', 2], 'int64 × 2'],
      [['square', 4, 'int64'], 'int64 × 4', (square: number[][]) => square.flat()],
      [['grid', 2, 'float32'], 'float32 × 2', (grid: number[][]) => grid.flat().map(Math.fround)],
      [['list', 3], 'float32 × 3', (list: number[]) => list.map(Math.fround)],
      [['pair', 2], 'int64 × 2'],
      [['notes.deep.flag'], 'uint8', Number],
    ];

    it('fields are what its own reader gives, as the types that are served', async () => {
      const { types, values } = await readFields(
        'samples',
        FIELDS.map(([field]) => field),
      );
      expect(types).toEqual(FIELDS.map(([, type]) => type));
      for (const [i, [[name], , asServed]] of FIELDS.entries()) {
        const path = name.split('.');
        const own = expectedOf('samples').map((row) => path.reduce<unknown>((value, key) => (value as Row)[key], row));
        expect(values[i], name).toEqual(asServed === undefined ? own : own.map((value, row) => asServed(value as never, row)));
      }
      // the names of fields and the size of slices move nothing
      const [again] = (await readFields('samples', [['half', 2]], 16)).values;
      expect(again).toEqual(column('samples', 'half'));
    });

    it('lists and arrays of another size, or of another type, are bad rows', async () => {
      const { values } = await readFields('samples', [
        ['ids', 3],
        ['grid', 2, 'int64'],
        ['mixed', 4, 'float32'],
      ]);
      expect(values[0]).toEqual((column('samples', 'ids') as number[][]).map((ids) => (ids.length === 3 ? ids : null)));
      expect(values[0].filter((value) => value !== null)).not.toEqual([]);
      expect([...values[1], ...values[2]].every((value) => value === null)).toBe(true);
    });

    it('rows in Arrow serve them alike', async () => {
      const { types, values } = await readFields('rows', [['text'], ['n'], ['score'], ['meta.body'], ['ids', 2]]);
      expect(types).toEqual(['text', 'int64', 'float64', 'text', 'int64 × 2']);
      expect(values.slice(0, 4)).toEqual([
        column('rows', 'text'),
        (column('rows', 'n') as number[]).map(BigInt),
        column('rows', 'score'),
        column('rows', 'meta').map((meta) => (meta as Row).body),
      ]);
      expect(values[4]).toEqual((column('rows', 'ids') as number[][]).map((ids) => (ids.length === 2 ? ids : null)));
    });

    it.each<[string, Field, RegExp]>([
      ['samples', ['pixels'], /have no pixels/],
      ['samples', ['embedding'], /no one size that its metadata tells/],
      ['samples', ['square', 4], /whose type only its samples tell/],
      ['samples', ['messages', 2], /whose type only its samples tell/],
      ['samples', ['gone'], /is pickled/],
      ['samples', ['text', undefined, 'bytes'], /is served as text, and the field f0 is declared bytes/],
      ['tokens', ['value', 4], /its samples are token ids, and nothing lies beside them/],
    ])('%s: the field %j is refused', async (set, field, message) => {
      await expect(readFields(set, [field])).rejects.toThrow(message);
    });

    it.each<[string, WhereInput, string, (value: never, row: Row) => boolean]>([
      ['samples', { good: true }, 'good', (value: boolean) => value],
      ['samples', { n: { gte: 2_000_000_000_000_000 } }, 'n', (value: number) => value >= 2e15],
      ['samples', { score: { between: [1, 2] } }, 'score', (value: number) => value >= 1 && value <= 2],
      ['samples', { text: { startsWith: 'wheel' } }, 'text', (value: string) => value.startsWith('wheel')],
      ['samples', { 'notes.deep.flag': { not: true } }, 'notes', (value: { deep: { flag: boolean } }) => !value.deep.flag],
      [
        'rows',
        { n: { lt: 7 }, 'meta.body': { startsWith: 'w' } },
        'n',
        (n: number, { meta }) => n < 7 && /^w/.test(String((meta as Row).body)),
      ],
    ])('%s: where %j takes the rows that it says', async (set, input, name, takes) => {
      const where = whereSchema.parse(input);
      const selection: RowSelection = { source: 's', split: 'train', excluded: undefined, heldOut: undefined, where };
      const store = storeOf(set);
      const own = decoder();
      const taken: boolean[] = [];
      for (const chunk of chunksOf(set)) {
        const object = await store.head(`${set}/${chunk}`);
        const index = await own.index(store, object, text('text'), new AbortController().signal, where);
        const shard = { ...object, uri: store.uri + object.path, ...(JSON.parse(JSON.stringify(index)) as typeof index) };
        expect(own.storedFilterBytes?.(shard.units[0])).toBeGreaterThanOrEqual(0);
        await eachSlice(shard, own, store, 6, async (reader, startRow, end) => {
          const { filter = [] } = await besideOf(reader, startRow, end, { filter: true });
          const fates = fatesOf(selection, { shard: 0, path: chunk, startRow, rows: end - startRow }, undefined, filter);
          taken.push(...Array.from(fates, (fate) => fate === ROW_TAKEN));
        });
      }
      expect(taken).toEqual(expectedOf(set).map((row) => takes((row as Row)[name] as never, row as Row)));
      expect(new Set(taken).size).toBe(2);
    });

    it.each([
      [{ n: 'five' }, 'COLUMN_TYPE', /cannot be compared/],
      [{ embedding: 1 }, 'COLUMN_TYPE', /no_header_numpy:9, which `where` cannot compare/],
      [{ lang: 'de' }, 'COLUMN_MISSING', /have no lang/],
    ])('where %j is refused', async (where, code, message) => {
      const store = storeOf('samples');
      const object = await store.head('samples/chunk-0-0.bin');
      const indexing = decoder().index(store, object, text('text'), new AbortController().signal, whereSchema.parse(where));
      await expect(indexing).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string });
    });

    it.each([
      ['samples', ['messages', 'text', 'score', 'good', 'notes', 'mixed']],
      ['chats', ['messages', 'n', 'lang']],
    ])('%s: rows of several columns are what its own reader gives', async (set, columns) => {
      const store = storeOf(set);
      const own = decoder();
      const rows: unknown[] = [];
      for (const chunk of chunksOf(set)) {
        const shard = await indexShard(store, `${set}/${chunk}`, own, { column: columns[0], kind: 'records', columns });
        await eachSlice(shard, own, store, 7, async (reader, start, end) => {
          const found = decodeSlice(structuredClone(await sliceOf(reader, start, end)));
          if (found.kind !== 'records') throw new Error(found.kind);
          rows.push(...Array.from({ length: found.count }, (_, row) => found.at(row)));
        });
      }
      const expectedRows = expectedOf(set).map((row, i) => {
        const own = { ...(row as Row) };
        // an integer that no number holds is its digits
        if (set === 'samples')
          own.notes = { ...(own.notes as Row), deep: { ...((own.notes as Row).deep as Row), big: String(2n ** 60n + BigInt(i)) } };
        return { row: Object.fromEntries(columns.map((name) => [name, own[name]])), isValidUtf8: true };
      });
      expect(rows).toEqual(expectedRows);
    });

    it.each([
      [['image'], 'COLUMN_TYPE', /image of .* is jpeg/],
      [['gone'], 'SHARD_UNSUPPORTED', /gone is pickled/],
      [['talk'], 'COLUMN_MISSING', /have no talk/],
    ])('rows of %j are refused', async (columns, code, message) => {
      const indexing = indexShard(storeOf('samples'), 'samples/chunk-0-0.bin', decoder(), { column: columns[0], kind: 'records', columns });
      await expect(indexing).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string });
    });
  });

  describe('lists and objects within samples', () => {
    /** As text: JSON of JavaScript has no large integers. */
    const written = JSON.parse(
      readFileSync(`${FIXTURES}nested.json`, 'utf8').replaceAll(/([[,:])(-?\d{17,})(?=[,\]}])/g, '$1"$2"'),
    ) as readonly (readonly [hex: string, value: unknown])[];

    it.each(written)('%s is what its own reader gives', (hex, expectedValue) => {
      const bytes = Buffer.from(hex, 'hex');
      const found = nestedValue(bytes);
      // what it writes as JSON is read as JSON
      const value = JSON.stringify(expectedValue).includes(String(2n ** 70n))
        ? (JSON.parse(bytes.subarray(5).toString()) as unknown)
        : expectedValue;
      expect(found).toEqual({ value, isValidUtf8: true });
      for (let end = 0; end < bytes.length; end++) expect(nestedValue(bytes.subarray(0, end)), `${end} bytes`).toHaveProperty('problem');
      expect(nestedValue(Buffer.concat([bytes, Buffer.alloc(1)]))).toHaveProperty('problem');
    });

    it('older versions wrote JSON', () => {
      expect(nestedValue(Buffer.from('{"__proto__": [1, {"a": "水"}]}'))).toEqual({
        value: JSON.parse('{"__proto__": [1, {"a": "水"}]}') as unknown,
        isValidUtf8: true,
      });
    });

    it('damaged ones are bad rows, in little memory', () => {
      fc.assert(
        fc.property(fc.constantFrom(...written), fc.nat(200), fc.integer({ min: 1, max: 255 }), ([hex], at, value) => {
          const bytes = Buffer.from(hex, 'hex');
          bytes[at % bytes.length] ^= value;
          const found = nestedValue(bytes);
          expect('problem' in found || 'value' in found).toBe(true);
        }),
        { numRuns: 400 },
      );
      // a large count, nothing behind it
      for (const tag of [1, 2, 3, 4, 5, 6]) expect(nestedValue(Uint8Array.of(tag, 255, 255, 255, 255, 0))).toHaveProperty('problem');
      // objects without keys have no bytes: as many as one likes
      expect(nestedValue(Uint8Array.of(6, 255, 255, 255, 255, 0, 0, 0, 0))).toHaveProperty('problem');
      expect(nestedValue(Buffer.concat(Array.from({ length: 999 }, () => Uint8Array.of(5, 1, 0, 0, 0, 0, 0, 0, 0))))).toHaveProperty(
        'problem',
      );
    });
  });

  it('describes the values of its samples', async () => {
    const store = storeOf('mixed');
    const found = await decoder().describe!(store, await store.head('mixed/chunk-0-0.bin'));
    expect(found.columns.map(({ name, type, use }) => [name, type, use])).toEqual([
      ['image', 'jpeg', undefined],
      ['text', 'str', 'text'],
      ['ids', 'json', 'tokens'],
      ['meta.n', 'int', undefined],
    ]);
    expect(found.rows).toBe(16);
  });

  interface Refusal {
    readonly set: string;
    readonly request?: ColumnRequest;
    readonly change?: (index: Record<string, unknown> & { config: Row; chunks: Row[] }) => void;
    readonly code: string;
    readonly message: RegExp;
  }
  const config =
    (changes: Row): NonNullable<Refusal['change']> =>
    (index) =>
      void (index.config = { ...index.config, ...changes });

  it.each<[string, Refusal]>([
    [
      'an encrypted data set',
      {
        set: 'bare',
        change: config({ encryption: { algorithm: 'fernet', level: 'sample' } }),
        code: 'SHARD_UNSUPPORTED',
        message: /encrypted/,
      },
    ],
    ['Parquet', { set: 'bare', change: config({ item_loader: 'ParquetLoader' }), code: 'SHARD_UNSUPPORTED', message: /ParquetLoader/ }],
    ['MDS', { set: 'bare', change: config({ format: 'mds' }), code: 'SHARD_UNSUPPORTED', message: /MosaicML/ }],
    ['another compression', { set: 'bare', change: config({ compression: 'lz9' }), code: 'SHARD_UNSUPPORTED', message: /lz9/ }],
    ['pickled values', { set: 'bare', change: config({ data_format: ['pickle'] }), code: 'SHARD_UNSUPPORTED', message: /pickled/ }],
    ['a serializer of its own', { set: 'bare', change: config({ data_format: ['mine'] }), code: 'SHARD_UNSUPPORTED', message: /mine/ }],
    [
      'values without names for all',
      { set: 'bare', change: config({ data_format: ['str', 'str'] }), code: 'SHARD_INVALID', message: /1 leaves, and data_format 2/ },
    ],
    [
      'a chunk that the index does not name',
      { set: 'bare', change: (index) => void index.chunks.shift(), code: 'SHARD_INVALID', message: /none of the chunks/ },
    ],
    [
      'a chunk of another data set',
      {
        set: 'bare',
        change: (index) => void (index.chunks[0] = { ...index.chunks[0], chunk_size: 17 }),
        code: 'SHARD_INVALID',
        message: /16 samples, and index.json says 17/,
      },
    ],
    ['a value that is not there', { set: 'mixed', request: text('txt'), code: 'COLUMN_MISSING', message: /no txt/ }],
    ['text that is a number', { set: 'mixed', request: text('meta.n'), code: 'COLUMN_TYPE', message: /is int, not text/ }],
    ['tokens that are text', { set: 'mixed', request: tokens('text'), code: 'COLUMN_TYPE', message: /is str, not a list/ }],
    ['token ids as text', { set: 'tokens', request: text('text'), code: 'COLUMN_TYPE', message: /not text/ }],
    ['tokens that are fractions', { set: 'positions', request: tokens('9'), code: 'COLUMN_TYPE', message: /not a list of integers/ }],
    [
      'an index that is none',
      {
        set: 'bare',
        change: (index) => {
          delete (index as Partial<typeof index>).chunks;
        },
        code: 'SHARD_INVALID',
        message: /no index of litData/,
      },
    ],
  ])('%s is refused', async (_what, { set, request = text('text'), change, code, message }) => {
    const store = storeOf(set);
    const index = JSON.parse(Buffer.from(fileOf(`${set}/index.json`)).toString()) as Parameters<NonNullable<typeof change>>[0];
    change?.(index);
    store.put(`${set}/index.json`, Buffer.from(JSON.stringify(index)));
    await expect(valuesOf(set, request, { store })).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string });
  });

  it('a chunk without its index says so', async () => {
    const store = storeOf('bare');
    store.delete('bare/index.json');
    await expect(valuesOf('bare', text('text'), { store })).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
  });

  it('the index is read once a directory, and decides with the chunk about the identity of its content', async () => {
    const store = storeOf('bare');
    let heads = 0;
    const counted: Store = { ...store, head: (path, options) => (path.endsWith('index.json') && heads++, store.head(path, options)) };
    const own = decoder();
    const idOf = async (from: Decoder, chunk: string): Promise<string> =>
      (await indexShard(counted, `bare/${chunk}`, from, text('text'))).contentId;
    const ids = [await idOf(own, 'chunk-0-0.bin'), await idOf(own, 'chunk-0-1.bin'), await idOf(own, 'chunk-0-2.bin')];
    expect(new Set(ids).size).toBe(3);
    expect(heads).toBe(1);
    store.put('bare/index.json', Buffer.from(Buffer.from(fileOf('bare/index.json')).toString().replace('"str"', '"bytes"')));
    expect(await idOf(decoder(), 'chunk-0-0.bin')).not.toBe(ids[0]);
    store.put('bare/index.json', Buffer.from(Buffer.from(fileOf('bare/index.json')).toString().replace('updated_at', 'at')));
    expect(await idOf(decoder(), 'chunk-0-0.bin')).toBe(ids[0]);
  });

  it('chunks of any samples, cut into units of any size, have the rows that were written', async () => {
    const sample = fc.tuple(
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.array(fc.integer({ min: 0, max: 2 ** 31 - 1 }), { maxLength: 9 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(sample, { minLength: 1, maxLength: 30 }), fc.integer({ min: 1, max: 9 }), async (samples, sliceRows) => {
        const store = memoryStore('memory://made/', {
          'index.json': Buffer.from(indexOf(samples.length)),
          'chunk-0-0.bin': chunkOf(samples),
        });
        const own = decoder();
        const read = async (request: ColumnRequest): Promise<Value[]> =>
          (await readShard(store, await indexShard(store, 'chunk-0-0.bin', own, request), own, { sliceRows, blockRows: 7 })).values;
        expect(await read(text('text'))).toEqual(samples.map(([own]) => Buffer.from(own).toString('utf8')));
        expect(await read(tokens('ids'))).toEqual(samples.map(([, ids]) => ids));
      }),
      { numRuns: 60 },
    );
  });

  it.each(['positions', 'frames', 'rows', 'mixed', 'samples-zstd', 'tokens'])(
    '%s: a damaged chunk gives a typed error, or as many rows as it has',
    async (set) => {
      const [chunk] = chunksOf(set);
      const whole = fileOf(`${set}/${chunk}`);
      const request = set === 'tokens' ? tokens('tokens') : text({ positions: '0', frames: '0' }[set] ?? 'text');
      const damage = fc.record({
        at: fc.nat(whole.length - 1),
        value: fc.integer({ min: 1, max: 255 }),
        length: fc.option(fc.nat(whole.length - 1), { freq: 4 }),
      });
      // most of what matters is at the start
      const near = fc.record({ at: fc.nat(120), value: fc.integer({ min: 1, max: 255 }), length: fc.constant(null) });
      await fc.assert(
        fc.asyncProperty(fc.oneof(damage, near), async ({ at, value, length }) => {
          const bytes = whole.slice(0, length ?? whole.length);
          if (at < bytes.length) bytes[at] ^= value;
          const store = memoryStore('memory://sets/', { [`${set}/index.json`]: fileOf(`${set}/index.json`), [`${set}/${chunk}`]: bytes });
          const own = decoder();
          try {
            const shard = await indexShard(store, `${set}/${chunk}`, own, request);
            const { values } = await readShard(store, shard, own, { sliceRows: 5 });
            expect(values).toHaveLength(shard.rows);
          } catch (error) {
            const { code } = error as { readonly code?: string };
            expect(['SHARD_INVALID', 'SHARD_UNSUPPORTED', 'COLUMN_MISSING', 'COLUMN_TYPE']).toContain(code);
          }
        }),
        { numRuns: 80 },
      );
    },
  );
});

type Sample = readonly [string, readonly number[]];

/** As the writer lays out tuples of a text and an array of int32. */
function chunkOf(samples: readonly Sample[]): Uint8Array {
  const u32 = (...values: number[]): Buffer => Buffer.from(Uint32Array.from(values).buffer);
  const items = samples.map(([own, ids]) => {
    const leaves = [Buffer.from(own), Buffer.from(Int32Array.from(ids).buffer)];
    return Buffer.concat([u32(...leaves.map(({ length }) => length)), ...leaves]);
  });
  let at = 4 + 4 * (items.length + 1);
  const offsets = [at, ...items.map(({ length }) => (at += length))];
  return new Uint8Array(Buffer.concat([u32(items.length, ...offsets), ...items]));
}

function indexOf(samples: number): string {
  const leaf = { type: null, context: null, children_spec: [] };
  const spec = JSON.stringify([1, { type: 'builtins.dict', context: '["text", "ids"]', children_spec: [leaf, leaf] }]);
  const config = {
    compression: null,
    data_format: ['str', 'no_header_numpy:2'],
    data_spec: spec,
    encryption: null,
    item_loader: 'PyTreeLoader',
  };
  return JSON.stringify({ chunks: [{ chunk_bytes: 1, chunk_size: samples, dim: null, filename: 'chunk-0-0.bin' }], config });
}
