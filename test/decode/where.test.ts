import fc from 'fast-check';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { whereSchema, type WhereInput } from '../../src/config/where.js';
import type { Block, Shard } from '../../src/core/shard.js';
import type { ColumnRequest, Decoder, RuledOutUnits } from '../../src/decode/decoder.js';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import { scanHere } from '../../src/decode/scan.js';
import { fatesOf, ROW_TAKEN, type RowSelection } from '../../src/select/selection.js';
import { fileStore } from '../../src/store/file.js';
import type { Store } from '../../src/store/store.js';
import { wheres, type Operands } from '../support/wheres.js';
import { makeWorkspace, type Workspace } from '../support/workspace.js';
import { besideOf } from '../support/slices.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('../support/where.py', import.meta.url));
const FILES = 6;
/** Of the files and the filters: another one by HEADRACE_WHERE_SEED. */
const SEED = Number(process.env.HEADRACE_WHERE_SEED ?? 20260101);
const FILTERS = Number(process.env.HEADRACE_WHERE_FILTERS ?? 60);

const python = async (...args: string[]): Promise<string> =>
  (await promisify(execFile)(PYTHON ?? '', [SCRIPT, ...args], { maxBuffer: 2 ** 30 })).stdout;

const never = new AbortController().signal;
const request: ColumnRequest = { column: 'text', kind: 'text' };

interface Taken {
  readonly rows: readonly number[];
  readonly ruledOut: RuledOutUnits | undefined;
  /** Units of which metadata says that every row is taken. */
  readonly whole: number;
}

/** The rows that a run would deliver: of units that are left, by the columns that are read for them. */
async function take(decoder: Decoder, store: Store, file: string, where: WhereInput): Promise<Taken> {
  const filter = whereSchema.parse(where);
  const object = await store.head(file);
  const index = await decoder.index(store, object, request, never, filter);
  const shard: Shard = { path: file, uri: store.uri + file, size: object.size, etag: object.etag, ...index };
  const selection: RowSelection = { source: 's', split: 'train', excluded: undefined, heldOut: undefined, where: filter };
  const rows: number[] = [];
  let whole = 0;
  for (const [unit, { startRow, rows: count, decodedBytes, layout }] of shard.units.entries()) {
    const own = Array.from({ length: count }, (_, i) => startRow + i);
    const bytes = decoder.storedFilterBytes?.({ ...shard.units[unit], layout }) ?? 0;
    if (bytes === 0) {
      whole++;
      rows.push(...own);
      continue;
    }
    const block: Block = { shard: 0, unit, startRow, endRow: startRow + count, decodedBytes };
    const reader = decoder.openBlock(store, file, shard, block);
    // in two slices, so that what is held from one to the next is right as well
    const middle = startRow + Math.ceil(count / 2);
    for (const [start, end] of [
      [startRow, middle],
      [middle, startRow + count],
    ]) {
      if (start === end) continue;
      const { filter: columns } = await besideOf(reader, start, end, { filter: true });
      const fates = fatesOf(selection, { shard: 0, path: '', startRow: start, rows: end - start }, undefined, columns);
      fates.forEach((fate, i) => fate === ROW_TAKEN && rows.push(start + i));
    }
  }
  return { rows, ruledOut: index.ruledOut, whole };
}

describe.skipIf(PYTHON === undefined)(`filters over files by pyarrow, seed ${SEED}`, () => {
  let workspace: Workspace;
  let operands: Operands;
  const file = (index: number): string => workspace.path('data', `${index}.parquet`);
  const expected = async (filters: readonly WhereInput[]): Promise<number[][][]> => {
    await writeFile(workspace.path('filters.json'), JSON.stringify(filters));
    return JSON.parse(await python('filter', workspace.path('data'), workspace.path('filters.json'))) as number[][][];
  };

  beforeAll(async () => {
    workspace = await makeWorkspace();
    operands = JSON.parse(await python('write', workspace.path('data'), String(SEED))) as Operands;
  }, 60_000);
  afterAll(() => workspace.remove());

  it('take what pyarrow takes, whatever statistics and bloom filters rule out before a row is read', async () => {
    const filters = fc.sample(wheres(operands), { numRuns: FILTERS, seed: SEED });
    const rows = await expected(filters);
    const decoder = createParquetDecoder(scanHere);
    const store = fileStore();
    const seen = { byStatistics: 0, byBloom: 0, whole: 0, rows: 0 };
    for (const [at, where] of filters.entries()) {
      for (let index = 0; index < FILES; index++) {
        const taken = await take(decoder, store, file(index), where);
        expect(taken.rows, `${JSON.stringify(where)} of file ${index}, seed ${SEED}`).toEqual(rows[at][index]);
        seen.byStatistics += taken.ruledOut?.byStatistics ?? 0;
        seen.byBloom += taken.ruledOut?.byBloom ?? 0;
        seen.whole += taken.whole;
        seen.rows += taken.rows.length;
      }
    }
    // each way is taken often enough to be tested
    expect(Math.min(seen.byStatistics, seen.whole, seen.rows), JSON.stringify(seen)).toBeGreaterThan(FILTERS);
    expect(seen.byBloom, JSON.stringify(seen)).toBeGreaterThan(FILTERS / 20);
  }, 300_000);

  it('read a bloom filter only where statistics leave it open and it could rule the row group out', async () => {
    const reads: number[] = [];
    const files = fileStore();
    const store: Store = {
      ...files,
      read: (path, range, options) => {
        reads.push(range.endByte - range.startByte);
        return files.read(path, range, options);
      },
    };
    const requests = async (index: number, where: WhereInput): Promise<{ readonly count: number; readonly byBloom: number }> => {
      reads.length = 0;
      const object = await store.head(file(index));
      const { ruledOut } = await createParquetDecoder(scanHere).index(store, object, request, never, whereSchema.parse(where));
      return { count: reads.length, byBloom: ruledOut?.byBloom ?? 0 };
    };
    // file 2 has no statistics, and four row groups; the footer is one request
    expect(await requests(2, { i64: '9007199254741993' })).toEqual({ count: 5, byBloom: 4 });
    expect(await requests(2, { i64: { gt: 5 } })).toEqual({ count: 1, byBloom: 0 });
    expect(await requests(2, { any: [{ i64: '9007199254741993' }, { b: true }] })).toEqual({ count: 1, byBloom: 0 });
    // what statistics rule out needs none
    expect((await requests(1, { i64: '9107199254741993' })).count).toBe(1);
    // and where there is none, there is nothing to read
    expect((await requests(0, { i64: '9007199254740993' })).count).toBe(1);
  });

  it('name the shard, the column and the types that cannot be compared', async () => {
    const decoder = createParquetDecoder(scanHere);
    const store = fileStore();
    const problem = async (where: WhereInput): Promise<unknown> => take(decoder, store, file(0), where).catch((error: unknown) => error);
    expect(await problem({ i32: 'ten' })).toMatchObject({ code: 'COLUMN_TYPE', detail: { column: 'i32', type: 'integer' } });
    expect(await problem({ s: 1 })).toMatchObject({
      code: 'COLUMN_TYPE',
      message: expect.stringContaining('write it in quotes') as string,
    });
    expect(await problem({ meta: 'x' })).toMatchObject({ code: 'COLUMN_TYPE' });
    expect(await problem({ 'meta.lnag': 'x' })).toMatchObject({
      code: 'COLUMN_MISSING',
      hint: expect.stringContaining('meta.lang') as string,
    });
    expect(await problem({ ns: '2026-01-01T00:00:00Z' })).toMatchObject({ code: 'COLUMN_TYPE' });
  });
});
