import { parquetWriteBuffer } from 'hyparquet-writer';
import { expect, it, vi } from 'vitest';
import { cannotLoad } from '../../src/core/errors.js';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import { decodeParquetSlice } from '../../src/decode/parquet/decode-slice.js';
import type { EncodedParquetSlice } from '../../src/decode/parquet/encoded-slice.js';
import { scanHere } from '../../src/decode/scan.js';
import { memoryStore } from '../../src/store/memory.js';

vi.mock('../../src/core/kernel.js', async (original) => ({
  ...(await original<object>()),
  kernelRuns: () => true,
  loadKernel: (name: string) => {
    throw cannotLoad(`${name}.wasm`, new Error('it is gone'));
  },
}));

it('a kernel that is gone is no damage of a column', async () => {
  const signal = new AbortController().signal;
  const columnData = [{ name: 'text', data: ['one', 'two'], type: 'STRING' as const, encoding: 'PLAIN' as const }];
  const file = new Uint8Array(parquetWriteBuffer({ columnData, codec: 'SNAPPY' }));
  const store = memoryStore('memory://gone/', { 'a.parquet': file });
  const decoder = createParquetDecoder(scanHere);
  const object = { uri: 'memory://gone/a.parquet', ...(await store.head('a.parquet')) };
  const shard = { ...object, ...(await decoder.index(store, object, { column: 'text', kind: 'text' }, signal)) };
  const block = { shard: 0, unit: 0, startRow: 0, endRow: 2, decodedBytes: 6 };
  const wanted = { rows: true, ids: false, fields: false, filter: false };
  const { slice } = await decoder.openBlock(store, 'a.parquet', shard, block).read(0, 2, wanted, signal);
  expect(() => decodeParquetSlice(slice as EncodedParquetSlice)).toThrow(
    expect.objectContaining({ code: 'INTERNAL', message: expect.stringContaining('cannot load parquet-lists.wasm') }),
  );
});
