import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Block, Shard } from '../../src/core/shard.js';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import { scanHere } from '../../src/decode/scan.js';
import { fileStore } from '../../src/store/file.js';
import { besideOf } from '../support/slices.js';

const PYTHON = process.env.HEADRACE_PYTHON;
const ROWS = 2000;
const SLICE_ROWS = 150;
/** Pages without an index, which do not say how many rows they hold. */
const SCRIPT = `
import sys, pyarrow as pa, pyarrow.parquet as pq
rows = [[i + j / 4 for j in range(4)] for i in range(${ROWS})]
pq.write_table(pa.table({"a": pa.array(rows, pa.list_(pa.float32()))}), sys.argv[1], use_dictionary=False, data_page_size=512, write_batch_size=16)
`;

describe.skipIf(PYTHON === undefined)('fields of Parquet, written by pyarrow', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'headrace-test-'));
    execFileSync(PYTHON!, ['-c', SCRIPT, path.join(dir, 'f.parquet')]);
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  it('lists are counted by their rows where they are the only column that is read', async () => {
    const store = fileStore();
    const decoder = createParquetDecoder(scanHere);
    const file = path.join(dir, 'f.parquet');
    const object = await store.head(file);
    const fields = [{ name: 'a', column: 'a', size: 4 }];
    const index = await decoder.index(store, object, { column: '', kind: 'none', fields });
    const shard: Shard = { path: file, uri: store.uri + file, size: object.size, etag: object.etag, ...index };
    const block: Block = { shard: 0, unit: 0, startRow: 0, endRow: ROWS, decodedBytes: 1 };
    const reader = decoder.openBlock(store, file, shard, block);
    const values: number[] = [];
    for (let row = 0; row < ROWS; row += SLICE_ROWS) {
      const { fields: decoded } = await besideOf(reader, row, Math.min(ROWS, row + SLICE_ROWS), { fields: true });
      const [{ bytes }] = decoded!;
      values.push(...new Float32Array(bytes.slice().buffer));
    }
    expect(values).toEqual(Array.from({ length: 4 * ROWS }, (_, i) => Math.floor(i / 4) + (i % 4) / 4));
  });
});
