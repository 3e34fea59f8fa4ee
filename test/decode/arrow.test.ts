import { Footer } from 'apache-arrow/fb/footer';
import { MessageHeader } from 'apache-arrow/fb/message-header';
import fc from 'fast-check';
import { ByteBuffer } from 'flatbuffers';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HeadraceError } from '../../src/core/errors.js';
import { createArrowDecoder } from '../../src/decode/arrow/block-reader.js';
import { arrowUnitLayout } from '../../src/decode/arrow/layout.js';
import type { ColumnRequest } from '../../src/decode/decoder.js';
import { fileStore } from '../../src/store/file.js';
import { memoryStore } from '../../src/store/memory.js';
import type { ByteRange, Store } from '../../src/store/store.js';
import { indexShard, readShard, type Value } from './read-shard.js';
import { sliceOf } from '../support/slices.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('../support/arrays.py', import.meta.url));

const FILES = [
  'file.arrow',
  'lz4.arrow',
  'zstd.arrow',
  'old.arrow',
  'stream.arrows',
  'lz4.arrows',
  'stream.arrow',
  'sliced.arrow',
  'sliced.arrows',
];

const TEXTS: Readonly<Record<string, string>> = {
  string: 'string',
  large_string: 'string',
  views: 'string',
  few: 'few',
  'meta.text': 'meta.text',
  'meta.deep.lang': 'meta.deep.lang',
};
const TOKENS: Readonly<Record<string, string>> = {
  int32: 'int32',
  uint16: 'int32',
  uint32: 'int32',
  int64: 'int32',
  fixed: 'fixed',
  holes: 'holes',
};

describe.skipIf(PYTHON === undefined)('Arrow written by pyarrow', () => {
  let dir: string;
  let expected: Readonly<Record<string, Value[]>>;
  const store = fileStore();
  const place = (name: string): string => path.join(dir, name);

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-arrow-'));
    expected = JSON.parse(execFileSync(PYTHON!, [SCRIPT, 'arrow', dir], { encoding: 'utf8', maxBuffer: 2 ** 28 })) as typeof expected;
    // a list that holds a null is no row of tokens
    expected.holes.forEach((row, i) => (Array.isArray(row) && row.includes(null) ? (expected.holes[i] = null) : undefined));
  });
  afterAll(() => rm(dir, { recursive: true }));

  const request = (column: string, kind: 'text' | 'tokens', id?: string): ColumnRequest => ({
    column,
    kind,
    ...(id !== undefined && { id }),
  });

  it.each(FILES)('%s: every kind of column has the rows that pyarrow wrote, in slices of any size', async (name) => {
    for (const [kind, columns] of [
      ['text', TEXTS],
      ['tokens', TOKENS],
    ] as const) {
      for (const [column, of] of Object.entries(columns)) {
        const decoder = createArrowDecoder();
        const shard = await indexShard(store, place(name), decoder, request(column, kind));
        expect(shard.rows, column).toBe(expected[of].length);
        for (const [sliceRows, blockRows] of [
          [10_000, Infinity],
          [37, 211],
        ]) {
          const { values } = await readShard(store, shard, decoder, { sliceRows, blockRows });
          expect(values, `${column} in slices of ${sliceRows}`).toEqual(expected[of]);
        }
      }
    }
  });

  it.each(['file.arrow', 'lz4.arrow', 'sliced.arrows'])(
    '%s: ids of documents are strings, numbers, or values of a dictionary',
    async (name) => {
      for (const id of ['id', 'number', 'few', 'views']) {
        const decoder = createArrowDecoder();
        const shard = await indexShard(store, place(name), decoder, request('string', 'text', id));
        const { ids } = await readShard(store, shard, decoder, { sliceRows: 77, withIds: true });
        expect(ids, id).toEqual(
          expected[id === 'views' ? 'string' : id].map((value) => (value === null ? null : String(value as unknown))),
        );
        expect(decoder.storedIdBytes(shard.units[0])).toBeGreaterThan(0);
      }
    },
  );

  it.each(['delta.arrow', 'delta.arrows', 'replaced.arrows'])('%s: dictionaries grow, and are replaced', async (name) => {
    const decoder = createArrowDecoder();
    const shard = await indexShard(store, place(name), decoder, request('few', 'text'));
    expect((await readShard(store, shard, decoder, { sliceRows: 123, blockRows: 300 })).values).toEqual(expected[name]);
  });

  it('what write_feather makes is read; files and streams without record batches have no rows', async () => {
    const decoder = createArrowDecoder();
    const shard = await indexShard(store, place('v2.feather'), decoder, request('string', 'text'));
    expect((await readShard(store, shard, decoder, { sliceRows: 500 })).values).toEqual(expected.string);
    for (const name of ['empty.arrow', 'empty.arrows']) {
      expect(await indexShard(store, place(name), decoder, request('string', 'text')), name).toMatchObject({ rows: 0, units: [] });
    }
  });

  it('the copy of a file has its content id, and another file has not', async () => {
    const idOf = async (name: string): Promise<string> =>
      (await indexShard(store, place(name), createArrowDecoder(), request('string', 'text'))).contentId;
    expect(await idOf('stream.arrow')).toBe(await idOf('stream.arrows'));
    expect(new Set(await Promise.all(FILES.map(idOf))).size).toBe(FILES.length - 1);
  });

  /** Notes what is read. */
  function recorded(bytes: Uint8Array): { readonly store: Store; readonly reads: ByteRange[] } {
    const inner = memoryStore('memory://m/', { f: bytes });
    const reads: ByteRange[] = [];
    return {
      reads,
      store: {
        ...inner,
        read: (file, range, options) => {
          reads.push(range);
          return inner.read(file, range, options);
        },
      },
    };
  }

  it('only buffers of the wanted column are fetched, each byte once, and only their part where the rows are', async () => {
    const { store: own, reads } = recorded(readFileSync(place('file.arrow')));
    const decoder = createArrowDecoder();
    const shard = await indexShard(own, 'f', decoder, request('string', 'text'));
    expect(reads.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0)).toBeLessThan(200_000);
    const column = arrowUnitLayout(shard.units[1].layout).column!;
    const buffers = [...column.valid, column.main, column.values];
    const [first, last] = [Math.min(...buffers.map(([start]) => start)), Math.max(...buffers.map(([start, bytes]) => start + bytes))];
    reads.length = 0;
    const { startRow, rows } = shard.units[1];
    const reader = decoder.openBlock(own, 'f', shard, { shard: 0, unit: 1, startRow, endRow: startRow + rows, decodedBytes: 1 });
    for (let row = startRow; row < startRow + rows; row += 50) await sliceOf(reader, row, row + 50, new AbortController().signal);
    expect(reads.every(({ startByte, endByte }) => startByte >= first && endByte <= last)).toBe(true);
    expect(reads.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0)).toBeLessThanOrEqual(last - first);
    reads.length = 0;
    await sliceOf(
      decoder.openBlock(own, 'f', shard, { shard: 0, unit: 1, startRow: startRow + 100, endRow: startRow + 110, decodedBytes: 1 }),
      startRow + 100,
      startRow + 110,
      new AbortController().signal,
    );
    expect(reads.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0)).toBeLessThan((last - first) / 10);
  });

  it.each([
    ['string', 'tokens', 'COLUMN_TYPE', /utf8, not a list of integers/],
    ['int32', 'text', 'COLUMN_TYPE', /list of int32, not text/],
    ['floats', 'tokens', 'COLUMN_TYPE', /list of float64/],
    ['meta', 'text', 'COLUMN_TYPE', /struct of int32, utf8/],
    ['strin', 'text', 'COLUMN_MISSING', /no column strin/],
    ['meta.txt', 'text', 'COLUMN_MISSING', /no column meta.txt/],
  ] as const)('column %s as %s is %s', async (column, kind, code, message) => {
    await expect(indexShard(store, place('file.arrow'), createArrowDecoder(), request(column, kind))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });

  it.each([
    ['nothing', new Uint8Array(0), 'SHARD_INVALID', /is empty/],
    ['other bytes', Buffer.from('PAR1 and so on, for a while'), 'SHARD_INVALID', /neither an Arrow file nor a stream/],
    ['Feather 1', Buffer.from('FEA1\0\0\0\0 and so on'), 'SHARD_UNSUPPORTED', /first version/],
  ] as const)('%s is told as what it is', async (_name, bytes, code, message) => {
    const own = memoryStore('memory://m/', { f: bytes });
    await expect(indexShard(own, 'f', createArrowDecoder(), request('string', 'text'))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });

  it('a file or stream that is cut off anywhere is damaged, and no shorter one', async () => {
    for (const name of ['file.arrow', 'stream.arrows']) {
      const bytes = readFileSync(place(name));
      for (let i = 1; i < 40; i++) {
        const own = memoryStore('memory://m/', { f: bytes.subarray(0, Math.floor((bytes.length * i) / 40)) });
        const outcome = await indexShard(own, 'f', createArrowDecoder(), request('string', 'text')).catch((error: unknown) => error);
        // a stream needs no end: one that is cut between two messages is whole as far as anybody can know
        if (outcome instanceof HeadraceError) expect(outcome.code).toBe('SHARD_INVALID');
        else expect(name).toBe('stream.arrows');
      }
    }
  });

  const read = async (bytes: Uint8Array, column = 'string'): Promise<Value[]> => {
    const own = memoryStore('memory://m/', { f: bytes });
    const shard = await indexShard(own, 'f', createArrowDecoder(), request(column, 'text'));
    return (await readShard(own, shard, createArrowDecoder(), { sliceRows: 300 })).values;
  };

  /** Of each message of a stream, where its metadata starts. */
  const messagesOf = (bytes: Buffer): number[] => {
    const starts: number[] = [];
    for (let at = bytes.indexOf('ffffffff', 0, 'hex'); at >= 0; at = bytes.indexOf('ffffffff', at + 8, 'hex')) {
      const length = bytes.readInt32LE(at + 4);
      if (at % 8 === 0 && length > 0 && length % 8 === 0 && at + length < bytes.length) starts.push(at);
    }
    return starts;
  };

  it('a stream that seems to end before its last byte is damaged, and no shorter one', async () => {
    const bytes = readFileSync(place('stream.arrows'));
    const starts = messagesOf(bytes);
    for (const start of starts.slice(1)) {
      const zeroed = Buffer.from(bytes);
      zeroed.fill(0, start + 4, start + 8);
      await expect(read(zeroed)).rejects.toMatchObject({ code: 'SHARD_INVALID', message: expect.stringContaining('bytes follow') });
    }
    await expect(read(Buffer.concat([bytes, bytes]))).rejects.toMatchObject({ code: 'SHARD_INVALID' });
    expect(await read(Buffer.concat([bytes, Buffer.alloc(4)]))).toEqual(expected.string);
  });

  const RECORD_BATCH: number = MessageHeader.RecordBatch;

  it('a message of another type or version than a stream has is damage, and no message to leave out', async () => {
    const bytes = readFileSync(place('stream.arrows'));
    const start = messagesOf(bytes).at(-1)!;
    const types = Array.from({ length: 64 }, (_, i) => start + 8 + i).filter((at) => bytes[at] === RECORD_BATCH);
    const codes = [];
    for (const at of types) {
      for (const type of [MessageHeader.NONE, MessageHeader.DictionaryBatch, MessageHeader.Tensor]) {
        const changed = Buffer.from(bytes);
        changed[at] = type;
        codes.push(await read(changed).catch((error: unknown) => (error as HeadraceError).code));
      }
    }
    expect(codes.length).toBeGreaterThan(0);
    expect(new Set(codes)).toEqual(new Set(['SHARD_INVALID']));
  });

  it('a footer that names fewer record batches than the file has is damage', async () => {
    const bytes = readFileSync(place('file.arrow'));
    const footerBytes = bytes.readInt32LE(bytes.length - 10);
    const footer = Footer.getRootAsFooter(new ByteBuffer(bytes.subarray(bytes.length - 10 - footerBytes, bytes.length - 10)));
    const batches = footer.recordBatchesLength();
    expect(batches).toBeGreaterThan(1);
    // the vector of blocks, 24 bytes each, begins with its length
    const first = footer.recordBatches(0)!;
    const at = bytes.length - 10 - footerBytes + first.bb_pos - 4;
    expect(bytes.readInt32LE(at)).toBe(batches);
    for (const count of [0, batches - 1]) {
      const changed = Buffer.from(bytes);
      changed.writeInt32LE(count, at);
      await expect(read(changed)).rejects.toMatchObject({ code: 'SHARD_INVALID', message: expect.stringContaining('names no message') });
    }
  });

  it('a view that says other first bytes than its text has is damage', async () => {
    const bytes = readFileSync(place('file.arrow'));
    const text = (expected.string as (string | null)[]).find((own) => own !== null && Buffer.byteLength(own) > 12)!;
    const view = Buffer.alloc(8);
    view.writeInt32LE(Buffer.byteLength(text));
    view.write(text.slice(0, 4), 4);
    const at = bytes.indexOf(view);
    expect(at).toBeGreaterThan(0);
    bytes[at + 4] ^= 1;
    await expect(read(bytes, 'views')).rejects.toMatchObject({
      code: 'SHARD_INVALID',
      message: expect.stringContaining('as its view says'),
    });
  });

  it.each(['file.arrow', 'lz4.arrow', 'zstd.arrow', 'stream.arrows', 'delta.arrows'])(
    '%s with changed bytes ends in an error of its kind or in rows, and soon',
    async (name) => {
      const bytes = readFileSync(place(name));
      const outcomes = { rows: 0, refused: 0 };
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom('front', 'end', 'anywhere'),
          fc.array(fc.tuple(fc.nat(2 ** 31), fc.oneof(fc.constantFrom(0, 1, 127, 128, 255), fc.nat(255))), { minLength: 1, maxLength: 6 }),
          fc.constantFrom<[string, 'text' | 'tokens']>(
            ['string', 'text'],
            ['few', 'text'],
            ['views', 'text'],
            ['int32', 'tokens'],
            ['fixed', 'tokens'],
          ),
          async (where, changes, [column, kind]) => {
            const mutated = Uint8Array.from(bytes);
            const reach = Math.min(mutated.length, where === 'anywhere' ? mutated.length : 4000);
            for (const [at, value] of changes) mutated[where === 'end' ? mutated.length - 1 - (at % reach) : at % reach] = value;
            const own = memoryStore('memory://m/', { f: mutated });
            const decoder = createArrowDecoder();
            try {
              const shard = await indexShard(
                own,
                'f',
                decoder,
                request(name === 'delta.arrows' ? 'few' : column, name === 'delta.arrows' ? 'text' : kind),
              );
              if (shard.rows < 100_000) expect((await readShard(own, shard, decoder, { sliceRows: 300 })).values).toHaveLength(shard.rows);
              outcomes.rows++;
            } catch (error) {
              if (!(error instanceof HeadraceError)) throw error;
              expect(error.code).toMatch(/^(SHARD_INVALID|SHARD_UNSUPPORTED|COLUMN_MISSING|COLUMN_TYPE)$/);
              outcomes.refused++;
            }
          },
        ),
        { numRuns: 120 },
      );
      expect(outcomes.refused).toBeGreaterThan(0);
      expect(outcomes.rows).toBeGreaterThan(0);
    },
    60_000,
  );
});
