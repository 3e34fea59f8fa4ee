import { expect, it } from 'vitest';
import { scanBytes } from '../../src/decode/scan.js';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import { parquetUnitLayout } from '../../src/decode/parquet/layout.js';
import { memoryStore } from '../../src/store/memory.js';
import type { ByteRange } from '../../src/store/store.js';
import { indexShard, valuesOf } from '../support/read-shard.js';
import { decodeSlice, sliceOf } from '../support/slices.js';
import { tokenRows } from '../support/token-rows.js';

it('blocks of one row group, of lists without a page index, ask for one range: what one has read, the cache has for the others', async () => {
  const rows = Array.from({ length: 6000 }, (_, row) =>
    Array.from({ length: 80 + (row % 80) }, (_token, i) => (row * 7919 + i * 104_729) % 50_000),
  );
  const store = memoryStore('memory://lists/', { a: tokenRows(rows, rows.length) });
  const reads: ByteRange[] = [];
  const recorder = {
    ...store,
    read: (...[path, range, options]: Parameters<typeof store.read>) => {
      reads.push(range);
      return store.read(path, range, options);
    },
  };
  const decoder = createParquetDecoder(scanBytes);
  const indexed = await indexShard(decoder, store, 'a', { column: 'ids', kind: 'tokens' });
  const { startByte, endByte } = parquetUnitLayout(indexed.units[0].layout);
  // as pyarrow and Spark write by default
  const layout = Object.fromEntries(Object.entries(parquetUnitLayout(indexed.units[0].layout)).filter(([name]) => name !== 'offsetIndex'));
  const shard = { ...indexed, units: [{ ...indexed.units[0], layout }] };
  const bounds = [0, 1500, 3000, 4500, 6000];
  for (const block of [2, 0, 3, 1]) {
    const [startRow, endRow] = [bounds[block], bounds[block + 1]];
    const reader = decoder.openBlock(recorder, 'a', shard, { shard: 0, unit: 0, startRow, endRow, decodedBytes: 0 });
    const middle = startRow + 700;
    const found = [await sliceOf(reader, startRow, middle), await sliceOf(reader, middle, endRow)].flatMap((slice) =>
      valuesOf(decodeSlice(slice)),
    );
    expect(found).toEqual(rows.slice(startRow, endRow));
  }
  expect(reads).toEqual(Array(4).fill({ startByte, endByte }));
});
