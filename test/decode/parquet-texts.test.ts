import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { BlockReader, Rows } from '../../src/decode/decoder.js';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import { scanHere } from '../../src/decode/scan.js';
import { fileStore } from '../../src/store/file.js';
import { randomOf } from '../fuzz/mutate.js';
import { decodeSlice, sliceOf } from '../support/slices.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const SCRIPT = fileURLToPath(new URL('../support/parquet_texts.py', import.meta.url));
const SEED = Number(process.env.HEADRACE_TEXTS_SEED ?? 1);
/** More by `HEADRACE_TEXTS_FILES`. */
const FILES = Number(process.env.HEADRACE_TEXTS_FILES ?? 60);

/** By column, in base64. */
type Expected = Readonly<Record<string, readonly (string | null)[]>>;

/** A block that is read on, slice by slice. */
interface Open {
  readonly name: string;
  readonly reader: BlockReader;
  readonly expected: readonly (string | null)[];
  row: number;
  readonly endRow: number;
}

describe.skipIf(PYTHON === undefined)('text columns that pyarrow wrote', () => {
  it(`are read as it reads them, in slices of any size, whose blocks take turns (seed ${SEED})`, async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'headrace-texts-'));
    const below = randomOf(SEED);
    const open: Open[] = [];
    let slices = 0;
    const readOn = async (atMost: number): Promise<void> => {
      while (open.length > atMost) {
        const index = below(open.length);
        const { name, reader, expected, row, endRow } = open[index];
        const end = Math.min(endRow, row + 1 + below(Math.max(1, (endRow - row) * 2)));
        expect(textsOf(decodeSlice(await sliceOf(reader, row, end)) as Rows), `${name}, rows ${row} to ${end}`).toEqual(
          expected.slice(row, end),
        );
        slices++;
        open[index].row = end;
        if (end === endRow) open.splice(index, 1);
      }
    };
    try {
      const args = [SCRIPT, dir, String(SEED), String(FILES)];
      const files = JSON.parse(execFileSync(PYTHON!, args, { encoding: 'utf8', maxBuffer: 2 ** 30 })) as Expected[];
      for (const [i, columns] of files.entries()) {
        for (const [column, expected] of Object.entries(columns)) {
          open.push(...(await blocksOf(path.join(dir, `${i}.parquet`), column, expected, below)));
        }
        await readOn(below(40));
      }
      await readOn(0);
    } finally {
      await rm(dir, { recursive: true });
    }
    expect(slices).toBeGreaterThan(10 * FILES);
  });
});

/** One or two of each row group. */
async function blocksOf(
  file: string,
  column: string,
  expected: readonly (string | null)[],
  below: (end: number) => number,
): Promise<readonly Open[]> {
  const store = fileStore();
  const decoder = createParquetDecoder(scanHere);
  const object = await store.head(file);
  const index = await decoder.index(store, object, { column, kind: 'text' });
  const shard = { path: file, uri: file, size: object.size, etag: object.etag, ...index };
  return shard.units.flatMap(({ startRow, rows, decodedBytes }, unit) => {
    const cut = startRow + below(rows);
    const bounds = cut === startRow ? [startRow, startRow + rows] : [startRow, cut, startRow + rows];
    return bounds.slice(1).map((endRow, i) => {
      const block = { shard: 0, unit, startRow: bounds[i], endRow, decodedBytes };
      return { name: `${file}, ${column}`, reader: decoder.openBlock(store, file, shard, block), expected, row: bounds[i], endRow };
    });
  });
}

function textsOf(rows: Rows): (string | null)[] {
  if (rows.kind !== 'text') throw new Error('not text');
  const texts = Array.from({ length: rows.count }, (_, i) =>
    rows.valid?.[i] === 0 ? null : Buffer.from(rows.bytes.subarray(rows.bounds[i], rows.bounds[i + 1])).toString('base64'),
  );
  rows.release?.();
  return texts;
}
