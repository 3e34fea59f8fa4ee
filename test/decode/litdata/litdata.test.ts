import fc from 'fast-check';
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { ColumnRequest, Decoder } from '../../../dist/src/decode/decoder.js';
import { createLitdataDecoder } from '../../../dist/src/decode/litdata/litdata-decoder.js';
import { scanHere } from '../../../dist/src/decode/scan.js';
import { memoryStore, type MemoryStore } from '../../../dist/src/store/memory.js';
import type { Store } from '../../../dist/src/store/store.js';
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
