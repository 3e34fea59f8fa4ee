import fc from 'fast-check';
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openDecoders as openBuiltDecoders } from '../../../dist/src/decode/open-decoders.js';
import { whereSchema, type WhereInput } from '../../../src/config/where.js';
import { describeField, numbersOf, type FieldType } from '../../../src/core/fields.js';
import type { Shard } from '../../../src/core/shard.js';
import type { BlockReader, ColumnRequest, Decoder, FieldRows } from '../../../src/decode/decoder.js';
import { openDecoders } from '../../../src/decode/open-decoders.js';
import { scanHere } from '../../../src/decode/scan.js';
import { listShards } from '../../../src/manifest/list-shards.js';
import { fatesOf, ROW_TAKEN, type RowSelection } from '../../../src/select/selection.js';
import { memoryStore } from '../../../src/store/memory.js';
import type { ByteRange, Store } from '../../../src/store/store.js';
import { besideOf, decodeSlice, sliceOf } from '../../support/slices.js';
import { indexShard, readShard, type Value } from '../read-shard.js';
import { mdsShard, type TestColumn } from './shard.js';

const FIXTURES = fileURLToPath(new URL('fixtures/', import.meta.url));

/** What the format's own reader gives for its own writer's files (write-fixtures.py). */
interface ReferenceSet {
  readonly shards: readonly number[];
  readonly columns: Readonly<Record<string, readonly unknown[]>>;
}
const REFERENCE = JSON.parse(readFileSync(`${FIXTURES}rows.json`, 'utf8')) as Readonly<Record<string, ReferenceSet>>;

const shardsOf = (set: string): string[] =>
  readdirSync(FIXTURES + set)
    .filter((name) => name.includes('.mds'))
    .sort();
const bytesOf = (set: string, name: string): Buffer => readFileSync(`${FIXTURES}${set}/${name}`);
const storeOf = (objects: Readonly<Record<string, Uint8Array>>): Store => memoryStore('memory://m/', objects);

const request = (column: string, kind: 'text' | 'tokens', rest: Partial<ColumnRequest> = {}): ColumnRequest => ({ column, kind, ...rest });
const decoder = await openDecoders(scanHere).load('mds');
// built: zstd is decompressed in a thread, which is a file of its own
const built: Decoder = await openBuiltDecoders(scanHere).load('mds');
const decoderOf = (name: string): Decoder => (name.endsWith('.zstd') ? built : decoder);

async function readSet(
  set: string,
  wanted: ColumnRequest,
  sizes: { readonly sliceRows: number; readonly blockRows?: number; readonly withIds?: boolean },
): Promise<{ readonly values: Value[]; readonly ids: (string | null)[] }> {
  const values: Value[] = [];
  const ids: (string | null)[] = [];
  for (const [i, name] of shardsOf(set).entries()) {
    const store = storeOf({ [name]: bytesOf(set, name) });
    const shard = await indexShard(store, name, decoderOf(name), wanted);
    expect(shard.rows, name).toBe(REFERENCE[set].shards[i]);
    const read = await readShard(store, shard, decoderOf(name), sizes);
    values.push(...read.values);
    ids.push(...read.ids);
  }
  return { values, ids };
}

describe('MDS as its own writer wrote it', () => {
  const { columns } = REFERENCE.plain;
  const SIZES = [{ sliceRows: 1000 }, { sliceRows: 2, blockRows: 5 }];

  it.each(['text', 'body'])('the column %s is text', async (column) => {
    const expected = columns[column].map((value) => (column === 'body' ? Buffer.from(value as string, 'hex').toString('utf8') : value));
    for (const sizes of SIZES) expect((await readSet('plain', request(column, 'text'), sizes)).values).toEqual(expected);
  });

  it.each(['dynamic', 'typed', 'row', 'fixed'])('the column %s is token ids', async (column) => {
    for (const sizes of SIZES) expect((await readSet('plain', request(column, 'tokens'), sizes)).values).toEqual(columns[column]);
  });

  it('a column of bytes is token ids of the type that the source says', async () => {
    const expected = columns.raw.map((value) =>
      [...new BigInt64Array(new Uint8Array(Buffer.from(value as string, 'hex')).buffer)].map(Number),
    );
    const options = { array: { dtype: 'int64' } };
    expect((await readSet('plain', request('raw', 'tokens', { options }), { sliceRows: 4 })).values).toEqual(expected);
    const wrong = await readSet('plain', request('price', 'tokens', { options: { array: { dtype: 'int64' } } }), { sliceRows: 4 }).catch(
      (error: unknown) => error,
    );
    expect(wrong).toMatchObject({ code: 'COLUMN_TYPE', message: expect.stringMatching(/str_decimal/) });
  });

  it.each(['id', 'int', 'int8', 'uint16', 'uint32', 'uint64', 'digits'])('the column %s names documents', async (id) => {
    const { ids } = await readSet('plain', request('typed', 'tokens', { id }), { sliceRows: 3, withIds: true });
    // Python's integers beyond 2⁵³ are text in the reference
    expect(ids).toEqual(columns[id].map(String));
  });

  it.each(['zstd', 'gz'])('shards that are compressed with %s are one unit each, read from its start', async (set) => {
    const own = REFERENCE[set].columns;
    for (const sliceRows of [1000, 7]) {
      expect((await readSet(set, request('text', 'text'), { sliceRows })).values).toEqual(own.text);
      expect((await readSet(set, request('tokens', 'tokens'), { sliceRows })).values).toEqual(own.tokens);
    }
    const [name] = shardsOf(set);
    const bytes = bytesOf(set, name);
    const shard = await indexShard(storeOf({ [name]: bytes }), name, decoderOf(name), request('text', 'text'));
    expect(shard.units).toMatchObject([{ startRow: 0, rows: shard.rows, storedBytes: bytes.length, isWhole: true }]);
    const estimate = decoder.estimateBlock(shard, { shard: 0, unit: 0, startRow: 0, endRow: shard.rows, decodedBytes: 1 });
    const parts = [estimate(0, 10), estimate(10, shard.rows)];
    expect(parts.reduce((sum, part) => sum + part.bytes, 0)).toBe(bytes.length);
  });

  it.each([
    ['plain', 'txt', 'text', {}, 'COLUMN_MISSING', /no column txt/],
    ['plain', 'typed', 'text', {}, 'COLUMN_TYPE', /typed .* is ndarray:uint16, not text/],
    ['plain', 'meta', 'text', {}, 'COLUMN_TYPE', /is json, not text/],
    ['plain', 'text', 'tokens', {}, 'COLUMN_TYPE', /is str, not an array of integers/],
    ['plain', 'raw', 'tokens', {}, 'COLUMN_TYPE', /nothing says what integers the bytes are/],
    ['plain', 'floats', 'tokens', {}, 'COLUMN_TYPE', /ndarray:float64, not an array of integers/],
    ['plain', 'square', 'tokens', {}, 'COLUMN_TYPE', /ndarray:uint8:2,2, an array of several dimensions/],
    ['plain', 'text', 'text', { id: 'float32' }, 'COLUMN_TYPE', /float32, neither text nor an integer/],
    ['plain', 'secret', 'text', {}, 'SHARD_UNSUPPORTED', /secret is pickled, which nothing can read without executing/],
    ['br', 'text', 'text', {}, 'SHARD_UNSUPPORTED', /compressed with br/],
  ] as const)('%s: %s as %s %j is %s', async (set, column, kind, rest, code, message) => {
    await expect(readSet(set, request(column, kind, rest), { sliceRows: 9 })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });

  it('copies of a shard have one content id, and no two shards', async () => {
    const idOf = async (bytes: Uint8Array): Promise<string> =>
      (await indexShard(storeOf({ 'x.mds': bytes }), 'x.mds', decoder, request('text', 'text'))).contentId;
    const all = shardsOf('plain').map((name) => bytesOf('plain', name));
    expect(new Set([...(await Promise.all(all.map(idOf))), await idOf(all[0])]).size).toBe(all.length);
    const changed = Uint8Array.from(all[0]);
    changed[changed.length - 1] ^= 1;
    expect(await idOf(changed)).not.toBe(await idOf(all[0]));
    const idAs = async (dtype: string): Promise<string> => {
      const wanted = request('raw', 'tokens', { options: { array: { dtype } } });
      return (await indexShard(storeOf({ 'x.mds': all[0] }), 'x.mds', decoder, wanted)).contentId;
    };
    expect(await idAs('int64')).not.toBe(await idAs('int32'));
  });
});

describe('columns beside the rows', () => {
  const { columns } = REFERENCE.plain;
  const NAME = 'shard.00001.mds';
  const [before, count] = REFERENCE.plain.shards;
  const own = (column: string): unknown[] => columns[column].slice(before, before + count);

  async function openShard(wanted: ColumnRequest, where?: WhereInput): Promise<{ shard: Shard; reader: BlockReader }> {
    const store = storeOf({ [NAME]: bytesOf('plain', NAME) });
    const object = await store.head(NAME);
    const filter = where && whereSchema.parse(where);
    const index = await decoder.index(store, object, wanted, new AbortController().signal, filter);
    const kept = JSON.parse(JSON.stringify(index)) as typeof index;
    const shard: Shard = { path: NAME, uri: store.uri + NAME, size: object.size, etag: object.etag, ...kept };
    return { shard, reader: decoder.openBlock(store, NAME, shard, { shard: 0, unit: 0, startRow: 0, endRow: count, decodedBytes: 1 }) };
  }

  const fieldsOf = (columnsWanted: Readonly<Record<string, number | undefined>>): ColumnRequest => ({
    column: '',
    kind: 'none',
    fields: Object.entries(columnsWanted).map(([column, size]) => ({ name: `f_${column}`, column, size })),
  });

  function valuesOf({ bytes, bounds, rowBytes, valid }: FieldRows, type: FieldType): unknown[] {
    return Array.from({ length: count }, (_, row) => {
      if (valid?.[row] === 0) return null;
      const [start, end] = bounds === undefined ? [row * rowBytes, (row + 1) * rowBytes] : [bounds[row], bounds[row + 1]];
      const value = bytes.slice(start, end);
      if (type.kind !== 'numbers') return type.kind === 'text' ? Buffer.from(value).toString('utf8') : Buffer.from(value).toString('hex');
      const numbers = Array.from<number | bigint, number>(numbersOf(type.dtype, value.buffer), Number);
      return type.size === null ? numbers[0] : numbers;
    });
  }

  it('fields are what the package reads, as the types that are served', async () => {
    const wanted = {
      text: 0,
      body: 0,
      digits: 0,
      price: 0,
      raw: 0,
      int: 0,
      int8: 0,
      uint16: 0,
      uint32: 0,
      float16: 0,
      float32: 0,
      float64: 0,
    };
    const request = fieldsOf({
      ...Object.fromEntries(Object.keys(wanted).map((name) => [name, undefined])),
      embedding: 2,
      fixed: undefined,
      square: undefined,
    });
    const { shard, reader } = await openShard(request);
    const types = decoder.fieldTypes?.(shard) ?? [];
    expect(types.map(describeField)).toEqual([
      ...['text', 'bytes', 'text', 'text', 'bytes', 'int64', 'int32', 'int32', 'int64', 'float32', 'float32', 'float64'],
      ...['float32 × 2', 'int64 × 3', 'uint8 × 4'],
    ]);
    const { fields = [] } = await besideOf(reader, 0, count, { fields: true });
    expect(fields.map(({ name }) => name)).toEqual(request.fields?.map(({ name }) => name));
    for (const [i, { column }] of (request.fields ?? []).entries()) {
      const expected = own(column);
      expect(valuesOf(fields[i], types[i]), column).toEqual(types[i].kind === 'text' ? expected.map(String) : expected);
    }
  });

  it('JSON is served as its text, images as their bytes, and arrays of another size are bad rows', async () => {
    const wanted = fieldsOf({ meta: undefined, png: undefined, typed: 3 });
    const again = { name: 'again', column: 'meta', size: undefined };
    const { shard, reader } = await openShard({ ...wanted, fields: [...(wanted.fields ?? []), again] });
    const types = decoder.fieldTypes?.(shard) ?? [];
    const { fields = [] } = await besideOf(reader, 0, count, { fields: true });
    const [meta, png, typed, same] = fields.map((field, i) => valuesOf(field, types[i]));
    expect(same).toEqual(meta);
    expect(meta.map((text) => JSON.parse(text as string) as unknown)).toEqual(own('meta'));
    for (const bytes of png) expect(bytes).toMatch(/^89504e470d0a1a0a/);
    expect(typed).toEqual((own('typed') as number[][]).map((ids) => (ids.length === 3 ? ids : null)));
    expect(typed).toContain(null);
  });

  it.each([
    ['uint64', undefined, /uint64, which no field holds/],
    ['dynamic', 3, /ndarray, which says its type in each row/],
    ['typed', undefined, /of which no size is known/],
    ['embedding', 3, /of 2 numbers, and not 3/],
  ] as const)('the field %s of size %s is refused', async (column, size, message) => {
    await expect(openShard(fieldsOf({ [column]: size }))).rejects.toMatchObject({
      code: 'COLUMN_TYPE',
      message: expect.stringMatching(message),
    });
  });

  it.each<[WhereInput, string, (value: never) => boolean]>([
    [{ int: { gte: 10 } }, 'int', (value: number) => value >= 10],
    [{ uint32: { lt: 4294967280 } }, 'uint32', (value: number) => value < 4294967280],
    [{ digits: { lt: 0 } }, 'digits', (value: string | number) => BigInt(value) < 0n],
    [{ float32: { between: [1.5, 2] } }, 'float32', (value: number) => value >= 1.5 && value <= 2],
    [{ id: ['doc-12', 'doc-99'] }, 'id', (value: string) => value === 'doc-12'],
    [{ text: { startsWith: 'once' } }, 'text', (value: string) => value.startsWith('once')],
  ])('where %j takes the rows that it says', async (where, column, takes) => {
    const { reader } = await openShard({ column: 'text', kind: 'text' }, where);
    const { filter = [] } = await besideOf(reader, 0, count, { filter: true });
    const selection: RowSelection = {
      source: 's',
      split: 'train',
      excluded: undefined,
      heldOut: undefined,
      where: whereSchema.parse(where),
    };
    const fates = fatesOf(selection, { shard: 0, path: NAME, startRow: 0, rows: count }, undefined, filter);
    const taken = Array.from(fates, (fate) => fate === ROW_TAKEN);
    expect(taken).toEqual(own(column).map((value) => takes(value as never)));
    expect(new Set(taken).size).toBe(2);
  });

  it.each([
    [{ meta: 'de' }, /meta .* is json, which `where` cannot compare/],
    [{ int: 'five' }, /cannot be compared/],
  ] as const)('where %j is refused', async (where, message) => {
    await expect(openShard({ column: 'text', kind: 'text' }, where)).rejects.toMatchObject({
      code: 'COLUMN_TYPE',
      message: expect.stringMatching(message),
    });
  });

  it('rows of several columns have JSON, text and numbers as they are', async () => {
    const names = ['meta', 'text', 'int', 'uint64', 'float32'];
    const { reader } = await openShard({ column: 'meta', kind: 'records', columns: names });
    const rows = decodeSlice(await sliceOf(reader, 2, count));
    if (rows.kind !== 'records') throw new Error(rows.kind);
    const expected = own('text').map((_text, row) => Object.fromEntries(names.map((name) => [name, own(name)[row]])));
    expect(Array.from({ length: rows.count }, (_, row) => rows.at(row))).toEqual(
      expected.slice(2).map((row) => ({ row, isValidUtf8: true })),
    );
    await expect(openShard({ column: 'raw', kind: 'records', columns: ['raw'] })).rejects.toMatchObject({ code: 'COLUMN_TYPE' });
  });
});

describe('what a source of MDS consists of', () => {
  const list = async (names: readonly string[], uri: string, format?: 'mds'): Promise<{ paths: string[]; warnings: string[] }> => {
    const store = storeOf(Object.fromEntries(names.map((name) => [name, new Uint8Array(1)])));
    const warnings: string[] = [];
    const listed = await listShards([uri], {
      sourceName: 's',
      format,
      openStore: (own) => ({ store, path: own.slice('memory://m/'.length) }),
      warn: (message) => void warnings.push(message),
    });
    return { paths: listed.map(({ path }) => path), warnings };
  };

  it('the shards below its directory, also those of its parts; index.json names the directory', async () => {
    const names = [
      'd/index.json',
      'd/a/index.json',
      'd/a/shard.00000.mds',
      'd/b/shard.00000.mds.zstd',
      'd/b/shard.00001.mds.gz',
      'd/README.md',
    ];
    const paths = ['a/shard.00000.mds', 'b/shard.00000.mds.zstd', 'b/shard.00001.mds.gz'];
    expect(await list(names, 'memory://m/d/')).toEqual({ paths, warnings: [] });
    expect(await list(names, 'memory://m/d/index.json', 'mds')).toEqual({ paths, warnings: [] });
  });

  it('a shard that lies there twice, compressed and not, counts once, with a word', async () => {
    const names = ['d/shard.00000.mds', 'd/shard.00000.mds.zstd', 'd/shard.00001.mds.zstd'];
    const { paths, warnings } = await list(names, 'memory://m/d/');
    expect(paths).toEqual(['shard.00000.mds', 'shard.00001.mds.zstd']);
    expect(warnings).toEqual([expect.stringMatching(/leaving out 1 compressed shard/)]);
  });
});

const u32 = (...numbers: readonly number[]): Buffer => Buffer.from(Uint32Array.from(numbers).buffer);
const TEXT: TestColumn = { name: 'text', encoding: 'str', bytes: null };

describe('what is read of a shard', () => {
  /** Notes what is read. */
  function recorded(bytes: Uint8Array): { readonly store: Store; readonly reads: ByteRange[]; readonly readBytes: () => number } {
    const inner = storeOf({ 'f.mds': bytes });
    const reads: ByteRange[] = [];
    return {
      reads,
      readBytes: () => reads.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0),
      store: {
        ...inner,
        read: (file, range, options) => {
          reads.push(range);
          return inner.read(file, range, options);
        },
      },
    };
  }

  const ROWS = 40_000;
  const COLUMNS = [{ name: 'image', encoding: 'jpeg', bytes: null }, TEXT];
  const large = mdsShard(
    COLUMNS,
    Array.from({ length: ROWS }, (_, row) => [Buffer.alloc(200, row), Buffer.from(`row ${row}`)]),
  );

  it('of its samples nothing but a part at the start and at the end, for the index', async () => {
    const { store, reads, readBytes } = recorded(large);
    const shard = await indexShard(store, 'f.mds', decoder, request('text', 'text'));
    expect(shard.rows).toBe(ROWS);
    expect(reads.length).toBeLessThanOrEqual(4);
    expect(readBytes()).toBeLessThan(5 * ROWS + 4 * 65_536);
    expect(shard.units.length).toBe(3);
    for (const { decodedBytes } of shard.units) expect(decodedBytes).toBeLessThanOrEqual(4 * 2 ** 20);
    // a second look at a small one takes one request
    const small = recorded(mdsShard([TEXT], [[Buffer.from('a')]]));
    await indexShard(small.store, 'f.mds', decoder, request('text', 'text'));
    expect(small.reads.length).toBe(2);
  });

  it('only the samples of a slice, each byte once, and where they are', async () => {
    const { store, reads, readBytes } = recorded(large);
    const shard = await indexShard(store, 'f.mds', decoder, request('text', 'text'));
    const { startRow, rows, storedBytes } = shard.units[1];
    reads.length = 0;
    const reader = decoder.openBlock(store, 'f.mds', shard, { shard: 0, unit: 1, startRow, endRow: startRow + rows, decodedBytes: 1 });
    for (let row = startRow; row < startRow + rows; row += 500) {
      await sliceOf(reader, row, Math.min(startRow + rows, row + 500));
    }
    expect(readBytes()).toBe(storedBytes + 4 * (rows + 1));
    reads.length = 0;
    const [from, to] = [startRow + 100, startRow + 110];
    await sliceOf(decoder.openBlock(store, 'f.mds', shard, { shard: 0, unit: 1, startRow: from, endRow: to, decodedBytes: 1 }), from, to);
    expect(reads.map(({ startByte, endByte }) => endByte - startByte)).toEqual([4 * 11, 10 * (4 + 4 + 200) + 10 * `row ${from}`.length]);
  });

  it('a million samples are looked at in parts', async () => {
    const rows = 1_100_000;
    const bytes = mdsShard([{ name: 'id', encoding: 'ndarray:uint8:1', bytes: 1 }], []);
    const config = bytes.subarray(8);
    const start = 4 * (rows + 2) + config.length;
    const places = Uint32Array.from({ length: rows + 2 }, (_, i) => (i === 0 ? rows : start + i - 1));
    const own = Buffer.concat([Buffer.from(places.buffer), config, Buffer.from(Uint8Array.from({ length: rows }, (_, row) => row % 251))]);
    const store = storeOf({ 'f.mds': own });
    const shard = await indexShard(store, 'f.mds', decoder, request('id', 'tokens'));
    expect(shard.rows).toBe(rows);
    expect(shard.units.map((unit) => unit.rows)).toEqual([2 ** 18, 2 ** 18, 2 ** 18, 2 ** 18, rows - 2 ** 20]);
    const few: Shard = { ...shard, units: [{ ...shard.units[4] }] };
    const { values } = await readShard(store, few, decoder, { sliceRows: 20_000 });
    expect(values.map((value) => (value as number[])[0])).toEqual(Array.from({ length: rows - 2 ** 20 }, (_, i) => (i + 2 ** 20) % 251));
  });
});

describe('rows that are not as they should be', () => {
  it.each([
    ['ndarray', [0x41, 4, 3, 1, 0, 0], /ends early|bytes, and with its shape/],
    ['ndarray', [99, 4, 1, 0], /unknown type 99/],
    ['ndarray', [], /ends early/],
    ['ndarray', [34, 4, 1, 0, 0, 0, 0], /array of float32/],
    ['ndarray:uint8', [8, 2, 2, 1, 2, 3, 4], /the shape 2, 2/],
    ['ndarray:uint8', [4 + 3, 255, 255, 255, 255, 255, 255, 255, 255], /bytes, and with its shape/],
    ['ndarray:uint8', [0xff], /ends early/],
  ])('%s of %j is a bad row, and no other is touched', async (encoding, bytes, message) => {
    const good = encoding === 'ndarray' ? [8, 4, 2, 7, 9] : [4, 2, 7, 9];
    const own = mdsShard(
      [{ name: 't', encoding, bytes: null }],
      [good, bytes, good].map((row) => [Uint8Array.from(row)]),
    );
    const store = storeOf({ 'f.mds': own });
    const shard = await indexShard(store, 'f.mds', decoder, request('t', 'tokens'));
    expect((await readShard(store, shard, decoder, { sliceRows: 9 })).values).toEqual([[7, 9], null, [7, 9]]);
    const block = { shard: 0, unit: 0, startRow: 0, endRow: 3, decodedBytes: 1 };
    const rows = decodeSlice(await sliceOf(decoder.openBlock(store, 'f.mds', shard, block), 0, 3));
    expect(rows.kind === 'tokens' && rows.problems?.get(1)).toMatch(message);
  });
});

const DATA_CODES = ['SHARD_INVALID', 'SHARD_UNSUPPORTED', 'COLUMN_MISSING', 'COLUMN_TYPE'];

/** An error that says that the data is not as it should be; a failed expectation is none. */
function expectTyped(error: unknown, name: string): void {
  const { code, message } = error as { readonly code?: string; readonly message: string };
  if (code === undefined || !DATA_CODES.includes(code)) throw error;
  expect(message).toContain(name);
}

async function read(bytes: Uint8Array, name: string, wanted: ColumnRequest, sliceRows = 4): Promise<Value[]> {
  const store = storeOf({ [name]: bytes });
  return (await readShard(store, await indexShard(store, name, decoderOf(name), wanted), decoderOf(name), { sliceRows })).values;
}

describe('damaged shards', () => {
  const whole = mdsShard([TEXT], [[Buffer.from('one')], [Buffer.from('two')]]);
  const rest = whole.subarray(16);

  it.each([
    ['nothing', new Uint8Array(0), /ends before it has begun/],
    ['a page of a login', Buffer.from('<!doctype html><html>sign in</html>'), /seems to be an HTML page/],
    ['a Parquet file', Buffer.from('PAR1 and so on, for a while'), /seems to be a Parquet file/],
    ['a claim of 4 billion samples', u32(0xfffffff0, 20, 20, 20), /claims 4294967280 samples, and has 16 bytes/],
    ['a first sample within the places', Buffer.concat([u32(2, 8, 9, whole.length), rest]), /the first of which starts at byte 8/],
    [
      'samples that do not ascend',
      Buffer.concat([u32(2, whole.readUInt32LE(4), 4, whole.length), rest]),
      /sample 0 is said to be bytes \d+ to 4 of \d+ \(row 0/,
    ],
    ['bytes behind the end', Buffer.concat([whole, Buffer.from('x')]), /samples end at byte/],
    [
      'a sample that is too short',
      mdsShard([TEXT, { name: 'n', encoding: 'int64', bytes: 8 }], [[]]),
      /has 0 bytes, and with these columns each has 12/,
    ],
    [
      'sizes that contradict encodings',
      mdsShard([{ name: 'n', encoding: 'int64', bytes: 4 }], []),
      /column n \(int64\) has values of 4 bytes/,
    ],
    ['a column twice', mdsShard([TEXT, TEXT], []), /a column twice/],
    ['no JSON', Buffer.concat([u32(0, 12), Buffer.from('{"a"')]), /is no JSON/],
  ] as const)('%s is SHARD_INVALID', async (_name, bytes, message) => {
    await expect(read(bytes, 'f.mds', request('text', 'text'))).rejects.toMatchObject({
      code: 'SHARD_INVALID',
      message: expect.stringMatching(message),
      detail: { uri: 'memory://m/f.mds' },
    });
  });

  it.each([
    [{ version: 3 }, /version 3, and 2 is read/],
    [{ format: 'json' }, /its format is "json"/],
  ])('%j is not read', async (changes, message) => {
    await expect(read(mdsShard([TEXT], [], changes), 'f.mds', request('text', 'text'))).rejects.toMatchObject({
      code: 'SHARD_UNSUPPORTED',
      message: expect.stringMatching(message),
    });
  });

  it('a sample of more than 256 MiB is refused before it is fetched', async () => {
    const store = storeOf({ 'f.mds.gz': gzipSync(Buffer.concat([u32(1, 12 + rest.length, 2 ** 29), rest])) });
    await expect(indexShard(store, 'f.mds.gz', decoder, request('text', 'text'))).rejects.toMatchObject({
      code: 'SHARD_UNSUPPORTED',
      message: expect.stringMatching(/sample 0 has \d+ bytes, and at most/),
    });
  });

  it('a shard that is cut off anywhere is damaged, whole or compressed', async () => {
    const files = [
      ['f.mds', bytesOf('plain', 'shard.00000.mds')],
      ['f.mds.gz', bytesOf('gz', 'shard.00000.mds.gz')],
      ['f.mds.zstd', bytesOf('zstd', 'shard.00000.mds.zstd')],
    ] as const;
    for (const [name, bytes] of files) {
      for (let i = 0; i < 25; i++) {
        const cut = bytes.subarray(0, Math.floor((bytes.length * i) / 25));
        await expect(read(cut, name, request('text', 'text')), `${name} ${i}`).rejects.toMatchObject({ code: 'SHARD_INVALID' });
      }
    }
  });

  it('compressed content that is longer or shorter than its places say is damaged', async () => {
    for (const content of [Buffer.concat([whole, Buffer.from('more')]), whole.subarray(0, whole.length - 1)]) {
      await expect(read(gzipSync(content), 'f.mds.gz', request('text', 'text'))).rejects.toMatchObject({ code: 'SHARD_INVALID' });
    }
  });

  it.each(['text', 'typed', 'dynamic'])('changed bytes: a typed error, or every row of %s that they are not in', async (column) => {
    const bytes = bytesOf('plain', 'shard.00001.mds');
    const wanted = request(column, column === 'text' ? 'text' : 'tokens');
    const original = await read(bytes, 'f.mds', wanted);
    const places = Array.from({ length: original.length + 1 }, (_, row) => bytes.readUInt32LE(4 + 4 * row));
    const outcomes = { rows: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(60, 1000, bytes.length),
        fc.array(fc.tuple(fc.nat(2 ** 31), fc.oneof(fc.constantFrom(0, 1, 127, 128, 255), fc.nat(255))), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 12 }),
        async (reach, changes, sliceRows) => {
          const mutated = Uint8Array.from(bytes);
          for (const [at, value] of changes) mutated[at % reach] = value;
          try {
            const values = await read(mutated, 'f.mds', wanted, sliceRows);
            expect(values).toHaveLength(original.length);
            for (const [row, value] of values.entries()) {
              const isSame = bytes.subarray(places[row], places[row + 1]).equals(mutated.subarray(places[row], places[row + 1]));
              if (isSame) expect(value, `row ${row}`).toEqual(original[row]);
            }
            outcomes.rows++;
          } catch (error) {
            expectTyped(error, 'memory://m/f.mds');
            outcomes.refused++;
          }
        },
      ),
      { numRuns: 250 },
    );
    expect(Math.min(outcomes.rows, outcomes.refused)).toBeGreaterThan(20);
  });

  it.each(['gz', 'zstd'])('changed bytes of %s: a typed error, or as many rows', async (set) => {
    const [file] = shardsOf(set);
    const bytes = bytesOf(set, file);
    const original = await read(bytes, file, request('text', 'text'));
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.nat(255), async (at, value) => {
        const mutated = Uint8Array.from(bytes);
        mutated[at] = value;
        try {
          const values = await read(mutated, file, request('text', 'text'));
          // gzip has a checksum
          if (set === 'gz') expect(values).toEqual(original);
          else expect(values).toHaveLength(original.length);
        } catch (error) {
          expectTyped(error, file);
        }
      }),
      { numRuns: 120 },
    );
  });
});

describe('shards of any columns', () => {
  const numbers = fc.array(fc.nat(2 ** 16 - 1), { minLength: 1, maxLength: 8 });
  const bytesOfNumbers = (values: readonly number[]): Buffer => Buffer.from(Uint16Array.from(values).buffer);

  it('give the rows that were written, in blocks and slices of any size', async () => {
    const other = fc.constantFrom<TestColumn>(
      { name: 'a', encoding: 'bytes', bytes: null },
      { name: 'b', encoding: 'int', bytes: 8 },
      { name: 'c', encoding: 'uint8', bytes: 1 },
      { name: 'd', encoding: 'pkl', bytes: null },
      { name: 'e', encoding: 'ndarray:int16:2,3', bytes: 12 },
      { name: 'f', encoding: 'of-tomorrow', bytes: 3 },
      { name: 'g', encoding: 'of-tomorrow:too', bytes: null },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(other, { selector: ({ name }) => name, maxLength: 7 }),
        fc.nat(7),
        fc.array(fc.tuple(fc.string({ unit: 'binary', maxLength: 20 }), numbers, fc.nat(30)), { maxLength: 40 }),
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 50 }),
        fc.constantFrom('f.mds', 'f.mds.gz'),
        async (others, at, rows, sliceRows, blockRows, name) => {
          const columns = [...others];
          columns.splice(at, 0, TEXT, { name: 'tokens', encoding: 'ndarray:uint16', bytes: null });
          const shard = mdsShard(
            columns,
            rows.map(([text, ids, size]) =>
              columns.map(({ name: own, bytes }) => {
                if (own === 'text') return Buffer.from(text);
                if (own === 'tokens') return Buffer.concat([Buffer.from([4, ids.length]), bytesOfNumbers(ids)]);
                return Buffer.alloc(bytes ?? size, size);
              }),
            ),
          );
          const store = storeOf({ [name]: name.endsWith('gz') ? gzipSync(shard, { level: 1 }) : shard });
          for (const [wanted, expected] of [
            [request('text', 'text'), rows.map(([text]) => Buffer.from(text).toString('utf8'))],
            [request('tokens', 'tokens'), rows.map(([, ids]) => ids)],
          ] as const) {
            const own = await indexShard(store, name, decoder, wanted);
            expect(own.rows).toBe(rows.length);
            expect((await readShard(store, own, decoder, { sliceRows, blockRows })).values).toEqual(expected);
          }
        },
      ),
      { numRuns: 150 },
    );
  });
});
