import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { releaseStored } from '../../src/decode/buffers.js';
import { decodeWithArrow } from '../../src/decode/parquet/arrow-slice.js';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import { scanHere } from '../../src/decode/scan.js';
import type { EncodedParquetSlice } from '../../src/decode/parquet/encoded-slice.js';
import { decodeLists } from '../../src/decode/parquet/list-kernel.js';
import type { Rows } from '../../src/decode/decoder.js';
import { decodeTexts } from '../../src/decode/parquet/text-pages.js';
import { fileStore } from '../../src/store/file.js';
import { expectEqual } from '../support/equal.js';
import { decodeSlice, sliceOf } from '../support/slices.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('../support/reference.py', import.meta.url));
const signal = new AbortController().signal;

async function slicesOf(file: string, column: string, kind: 'text' | 'tokens' = 'tokens'): Promise<EncodedParquetSlice[]> {
  const store = fileStore();
  const decoder = createParquetDecoder(scanHere);
  const object = await store.head(file);
  const shard = {
    path: file,
    uri: file,
    size: object.size,
    etag: object.etag,
    ...(await decoder.index(store, object, { column, kind })),
  };
  const slices: EncodedParquetSlice[] = [];
  for (const [unit, { startRow, rows }] of shard.units.entries()) {
    const reader = decoder.openBlock(store, file, shard, { shard: 0, unit, startRow, endRow: startRow + rows, decodedBytes: 1 });
    for (let row = startRow; row < startRow + rows; row += 400)
      slices.push((await sliceOf(reader, row, Math.min(row + 400, startRow + rows), signal)) as EncodedParquetSlice);
  }
  return slices;
}

const CODECS: readonly string[] = ['UNCOMPRESSED', 'SNAPPY', 'GZIP', 'ZSTD'];

function textsOf(rows: Rows): (string | null)[] {
  if (rows.kind !== 'text') throw new Error('not text');
  return Array.from({ length: rows.count }, (_, i) =>
    rows.valid?.[i] === 0 ? null : Buffer.from(rows.bytes.subarray(rows.bounds[i], rows.bounds[i + 1])).toString('latin1'),
  );
}

function rowsOf(rows: Rows): (number[] | null)[] {
  if (rows.kind !== 'tokens') throw new Error('not tokens');
  return Array.from({ length: rows.count }, (_, i) =>
    rows.valid?.[i] === 0 ? null : Array.from(rows.ids.subarray(rows.bounds[i], rows.bounds[i + 1]), Number),
  );
}

describe.skipIf(PYTHON === undefined)('pages that are decoded without Arrow', () => {
  let dir: string;
  let layouts: string[];

  beforeAll(() => {
    return mkdtemp(path.join(tmpdir(), 'headrace-lists-')).then((made) => {
      dir = made;
      ({ layouts } = JSON.parse(execFileSync(PYTHON!, [SCRIPT, 'columns', dir], { encoding: 'utf8', maxBuffer: 2 ** 28 })) as {
        layouts: string[];
      });
    });
  });
  afterAll(() => rm(dir, { recursive: true }));

  it('decodes what parquet-wasm decodes, for every layout that it takes', async () => {
    let taken = 0;
    for (const layout of layouts) {
      for (const column of ['int32', 'uint16', 'uint32', 'int64', 'holes']) {
        for (const slice of await slicesOf(path.join(dir, `${layout}.parquet`), column)) {
          const own = decodeLists(slice);
          // some columns of the layout with delta encodings have others
          if (layout !== 'delta') expect(own !== undefined, `${layout} ${column}`).toBe(CODECS.includes(slice.unit.codec));
          if (own === undefined) continue;
          taken++;
          expectEqual(rowsOf(own), rowsOf(decodeWithArrow(slice)), `${layout} ${column}`);
          // a bound, not the maximum: rows that were skipped and entries of the dictionary count too
          if (own.kind === 'tokens') expect(own.idsBelow! > Math.max(...Array.from(own.ids, Number)) && own.idsBelow! <= 50_000).toBe(true);
        }
      }
    }
    expect(taken).toBeGreaterThan(50);
  });

  it('text is what parquet-wasm decodes, byte by byte, with dictionaries, nulls, and both versions of pages', async () => {
    let taken = 0;
    for (const layout of layouts) {
      for (const column of ['string', 'large_string', 'binary']) {
        for (const slice of await slicesOf(path.join(dir, `${layout}.parquet`), column, 'text')) {
          const own = decodeTexts(slice);
          if (layout !== 'delta') expect(own !== undefined, `${layout} ${column}`).toBe(CODECS.includes(slice.unit.codec));
          if (own === undefined) continue;
          taken++;
          expect(textsOf(own), `${layout} ${column}`).toEqual(textsOf(decodeWithArrow(slice)));
        }
      }
    }
    expect(taken).toBeGreaterThan(50);
  });

  it('what was stored is given back when it is decoded, by whomever, and the rows stay', async () => {
    let decoded = 0;
    for (const layout of layouts) {
      for (const [column, kind, valuesOf] of [
        ['string', 'text', textsOf],
        ['int32', 'tokens', rowsOf],
      ] as const) {
        for (const slice of await slicesOf(path.join(dir, `${layout}.parquet`), column, kind)) {
          const expected = valuesOf(decodeSlice(structuredClone(slice)) as Rows);
          const rows = decodeSlice(slice) as Rows;
          releaseStored(slice, undefined);
          expect(slice.pages.length).toBe(0);
          expectEqual(valuesOf(rows), expected);
          decoded++;
        }
      }
    }
    expect(decoded).toBeGreaterThan(layouts.length);
  });

  it('damaged pages of text end in an error or in rows, and nothing is allocated for what they claim', async () => {
    const outcomes = { rows: 0, refused: 0 };
    for (const layout of layouts) {
      const [slice] = await slicesOf(path.join(dir, `${layout}.parquet`), 'string', 'text');
      if (decodeTexts(slice) === undefined) continue;
      for (let round = 0; round < 100; round++) {
        const pages = slice.pages.slice();
        const damage = createHash('sha256').update(`${layout} ${round}`).digest();
        for (let i = 0; i < 3; i++)
          pages[damage.readUInt16LE(4 * i) % (i === 0 ? Math.min(64, pages.length) : pages.length)] = damage[4 * i + 2];
        try {
          const rows = decodeTexts({ ...slice, pages });
          if (rows === undefined) continue;
          expect(rows.bounds[rows.count]).toBe(rows.bytes.length);
          outcomes.rows++;
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
          outcomes.refused++;
        }
      }
    }
    expect(outcomes.rows).toBeGreaterThan(20);
    expect(outcomes.refused).toBeGreaterThan(50);
  });

  it('damaged pages end in an error or in rows, never in a hang, whatever is damaged', async () => {
    const outcomes = { rows: 0, refused: 0 };
    for (const layout of layouts.filter((name) => /none|snappy|v2/.test(name))) {
      const [slice] = await slicesOf(path.join(dir, `${layout}.parquet`), 'int32');
      for (let round = 0; round < 300; round++) {
        const pages = slice.pages.slice();
        const damage = createHash('sha256').update(`${layout} ${round}`).digest().subarray(0, 12);
        for (let i = 0; i + 3 <= damage.length; i += 3) {
          // the header and the levels come first, and are hit the most
          const reach = i === 0 ? Math.min(64, pages.length) : pages.length;
          pages[((damage[i] << 8) | damage[i + 1]) % reach] = damage[i + 2];
        }
        try {
          if (decodeLists({ ...slice, pages }) === undefined) continue;
          outcomes.rows++;
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
          outcomes.refused++;
        }
      }
    }
    expect(outcomes.rows).toBeGreaterThan(50);
    expect(outcomes.refused).toBeGreaterThan(50);
  });
});
