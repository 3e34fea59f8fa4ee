import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HeadraceError } from '../../src/core/errors.js';
import { createNpyDecoder, createTokensDecoder } from '../../src/decode/array/array-decoder.js';
import { createMegatronDecoder } from '../../src/decode/array/megatron-decoder.js';
import type { ColumnRequest, Decoder } from '../../src/decode/decoder.js';
import { scanHere } from '../../src/decode/scan.js';
import { fileStore } from '../../src/store/file.js';
import { memoryStore } from '../../src/store/memory.js';
import { indexShard, readShard, type Value } from './read-shard.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('../support/arrays.py', import.meta.url));

const npy = (): Decoder => createNpyDecoder(scanHere);
const raw = (): Decoder => createTokensDecoder(scanHere);
const megatron = (): Decoder => createMegatronDecoder(scanHere);

describe.skipIf(PYTHON === undefined)('files of token ids', () => {
  let dir: string;
  let expected: { readonly stream: number[]; readonly square: number[][]; readonly documents: number[][] };
  const store = fileStore();
  const place = (name: string): string => path.join(dir, name);

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-arrays-'));
    expected = JSON.parse(execFileSync(PYTHON!, [SCRIPT, 'arrays', dir], { encoding: 'utf8', maxBuffer: 2 ** 28 })) as typeof expected;
  });
  afterAll(() => rm(dir, { recursive: true }));

  const request = (options: Readonly<Record<string, string | number | boolean>> = {}): ColumnRequest => ({
    column: '',
    kind: 'tokens',
    options: { rowTokens: 64, wholeRows: false, ...options },
  });

  async function valuesOf(name: string, decoder: Decoder, own: ColumnRequest): Promise<Value[][]> {
    const shard = await indexShard(store, place(name), decoder, own);
    const reads = [];
    for (const [sliceRows, blockRows] of [
      [100_000, Infinity],
      [7, 50],
    ]) {
      const { values } = await readShard(store, shard, decoder, { sliceRows, blockRows });
      expect(values).toHaveLength(shard.rows);
      reads.push(values);
    }
    return reads;
  }

  const cut = (ids: readonly number[], length: number): number[][] =>
    Array.from({ length: Math.ceil(ids.length / length) }, (_, i) => ids.slice(i * length, (i + 1) * length));

  function split(ids: readonly number[], end: number): number[][] {
    const documents: number[][] = [[]];
    for (const id of ids) {
      documents[documents.length - 1].push(id);
      if (id === end) documents.push([]);
    }
    return documents.filter(({ length }) => length > 0);
  }

  const DTYPES = ['uint8', 'int8', 'uint16', 'int16', 'uint32', 'int32', 'uint64', 'int64'];

  it.each(DTYPES)('%s: .npy and .bin have the ids that NumPy wrote', async (dtype) => {
    const stream = expected.stream.map((id) => id % 120);
    for (const values of await valuesOf(`${dtype}-rows.npy`, npy(), request())) expect(values).toEqual(expected.square);
    for (const values of await valuesOf(`${dtype}.npy`, npy(), request())) expect(values).toEqual(cut(stream, 64));
    for (const values of await valuesOf(`${dtype}.bin`, raw(), request({ dtype }))) expect(values).toEqual(cut(stream, 64));
    for (const values of await valuesOf(`${dtype}.bin`, raw(), request({ dtype, eosId: 7 }))) expect(values).toEqual(split(stream, 7));
  });

  it('versions 2 and 3 of .npy, and an empty array', async () => {
    for (const name of ['v2.npy', 'v3.npy']) expect((await valuesOf(name, npy(), request()))[1]).toEqual(expected.square);
    expect(await indexShard(store, place('none.npy'), npy(), request())).toMatchObject({ rows: 0, units: [] });
  });

  it('headers of llm.c say what follows, and a header of any length is passed over', async () => {
    for (const name of ['llmc.bin', 'llama3.bin']) expect((await valuesOf(name, raw(), request()))[1]).toEqual(cut(expected.stream, 64));
    expect((await valuesOf('llmc.bin', raw(), request({ dtype: 'uint16', header: 1024 })))[1]).toEqual(cut(expected.stream, 64));
    await expect(indexShard(store, place('llmc.bin'), raw(), request({ dtype: 'int32' }))).rejects.toMatchObject({
      code: 'SHARD_UNSUPPORTED',
    });
  });

  it('documents end with their id; what follows the last one is a document; a rest that is no whole row can be left out', async () => {
    for (const [name, decoder, options] of [
      ['stream.npy', npy(), {}],
      ['stream.bin', raw(), { dtype: 'uint16' }],
    ] as const) {
      for (const values of await valuesOf(name, decoder, request({ ...options, eosId: 0 })))
        expect(values).toEqual(split(expected.stream, 0));
      const whole = cut(expected.stream, 64).filter(({ length }) => length === 64);
      expect((await valuesOf(name, decoder, request({ ...options, wholeRows: true })))[0]).toEqual(whole);
    }
  });

  it('ids over 2^31 and below 0 keep their values, for the message that refuses them', async () => {
    expect((await valuesOf('negative.npy', npy(), request()))[0]).toEqual([
      [1, 2],
      [3, -4],
    ]);
    expect((await valuesOf('wide.npy', npy(), request()))[0]).toEqual([
      [1, 2],
      [3, 2n ** 40n],
      [2n ** 31n + 1n, 5],
    ]);
  });

  it.each(['uint8', 'int8', 'int16', 'int32', 'int64', 'uint16'])(
    'Megatron, %s: rows are documents, of several sequences or none',
    async (dtype) => {
      for (const name of [`megatron-${dtype}.idx`, `megatron-${dtype}.bin`]) {
        for (const values of await valuesOf(name, megatron(), request())) expect(values).toEqual(expected.documents);
      }
    },
  );

  it('a Megatron data set without documents has no rows', async () => {
    expect(await indexShard(store, place('megatron-none.idx'), megatron(), request())).toMatchObject({ rows: 0, units: [] });
  });

  it.each([
    ['fortran.npy', npy, {}, 'SHARD_UNSUPPORTED', /Fortran/],
    ['big.npy', npy, {}, 'SHARD_UNSUPPORTED', /big-endian/],
    ['floats.npy', npy, {}, 'SHARD_UNSUPPORTED', /<f4/],
    ['cube.npy', npy, {}, 'SHARD_UNSUPPORTED', /3 dimensions/],
    ['records.npy', npy, {}, 'SHARD_UNSUPPORTED', /records/],
    ['uint16.bin', npy, {}, 'SHARD_INVALID', /NUMPY/],
    ['uint16.bin', raw, {}, 'CONFIG_INVALID', /what the ids/],
    ['uint16.bin', raw, { dtype: 'int32' }, 'SHARD_INVALID', /no whole number of int32/],
    ['uint16.bin', raw, { dtype: 'uint16', header: 2 ** 20 }, 'SHARD_INVALID', /header/],
    ['old.idx', megatron, {}, 'SHARD_UNSUPPORTED', /TNTIDX/],
    ['megatron-float.idx', megatron, {}, 'SHARD_UNSUPPORTED', /type 7/],
  ] as const)('%s is told as what it is (%#)', async (name, decoder, options, code, message) => {
    await expect(indexShard(store, place(name), decoder(), request(options))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });

  it.each([
    ["'<u2'", "'<u2", 'SHARD_INVALID'],
    ['(5003,)', '(5003) ', 'SHARD_INVALID'],
    ["'descr'", "'descs'", 'SHARD_INVALID'],
    ['{', ' ', 'SHARD_INVALID'],
    [', }', ', "', 'SHARD_INVALID'],
    ['  \n', '  \0', 'SHARD_INVALID'],
    ["'fortran_order': False, ", "'shape': (5003,),       ", 'SHARD_INVALID'],
    ['\x01\0v', '\x01\x95v', 'SHARD_UNSUPPORTED'],
  ])('a header in which %j is %j is refused, as NumPy refuses it', async (right, wrong, code) => {
    const bytes = readFileSync(place('stream.npy'));
    const header = bytes.toString('latin1', 0, 128);
    expect(header).toContain(right);
    const damaged = Buffer.concat([Buffer.from(header.replace(right, wrong.padEnd(right.length)), 'latin1'), bytes.subarray(128)]);
    await expect(indexShard(memoryStore('memory://m/', { 'a.npy': damaged }), 'a.npy', npy(), request())).rejects.toMatchObject({ code });
  });

  it('a source that expects text, or names a column, is told what to write', async () => {
    for (const [name, decoder] of [
      ['stream.npy', npy()],
      ['stream.bin', raw()],
      ['megatron-int32.idx', megatron()],
    ] as const) {
      for (const own of [
        { column: 'text', kind: 'text' },
        { column: 'ids', kind: 'tokens' },
      ] as const) {
        await expect(indexShard(store, place(name), decoder, own)).rejects.toMatchObject({
          code: 'COLUMN_TYPE',
          hint: expect.stringContaining('format: '),
        });
      }
    }
  });

  it('a Megatron index that has lost its ids is told by the name of what is missing', async () => {
    const own = memoryStore('memory://m/', { 'x.idx': readFileSync(place('megatron-int32.idx')) });
    await expect(indexShard(own, 'x.idx', megatron(), request())).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
  });

  it('a document that never ends is a wrong id, and no endless wait', async () => {
    const own = memoryStore('memory://m/', { f: new Uint8Array(2 ** 26 + 2 ** 24) });
    await expect(indexShard(own, 'f', raw(), request({ dtype: 'uint8', eosId: 9 }))).rejects.toMatchObject({
      code: 'SHARD_UNSUPPORTED',
      hint: expect.stringContaining('eosId'),
    });
  });

  it.each([
    ['uint16-rows.npy', npy, {}],
    ['stream.npy', npy, { eosId: 0 }],
    ['llmc.bin', raw, {}],
    ['megatron-uint16.idx', megatron, {}],
  ] as const)(
    '%s cut off, or with changed bytes, ends in an error of its kind or in as many rows as it says',
    async (name, decoderOf, options) => {
      const bytes = readFileSync(place(name));
      const beside = name.endsWith('.idx') ? { 'f.bin': readFileSync(place(name.replace('.idx', '.bin'))) } : {};
      const outcomes = { rows: 0, refused: 0 };
      await fc.assert(
        fc.asyncProperty(
          fc.oneof({ weight: 4, arbitrary: fc.constant(bytes.length) }, fc.nat(bytes.length)),
          fc.array(fc.tuple(fc.nat(300), fc.nat(255)), { maxLength: 5 }),
          async (length, changes) => {
            const mutated = Uint8Array.from(bytes).subarray(0, length);
            for (const [at, value] of changes) if (at < length) mutated[at] = value;
            const own = memoryStore('memory://m/', { 'f.idx': mutated, ...beside });
            try {
              const decoder = decoderOf();
              const shard = await indexShard(own, 'f.idx', decoder, request(options));
              expect((await readShard(own, shard, decoder, { sliceRows: 50 })).values).toHaveLength(shard.rows);
              outcomes.rows++;
            } catch (error) {
              if (!(error instanceof HeadraceError)) throw error;
              expect(error.code).toMatch(/^(SHARD_INVALID|SHARD_UNSUPPORTED|CONFIG_INVALID)$/);
              outcomes.refused++;
            }
          },
        ),
        { numRuns: 300 },
      );
      expect(outcomes.refused).toBeGreaterThan(0);
      expect(outcomes.rows).toBeGreaterThan(0);
    },
  );
});
