import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, it } from 'vitest';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import { createFooterSize } from '../../src/decode/parquet/footer-size.js';
import { memoryStore } from '../../src/store/memory.js';
import type { ByteRange, Store } from '../../src/store/store.js';

const KIB = 1024;

/** A file whose footer has about so many bytes more than a small one, in metadata of its own. */
function fileWithFooter(bytes: number): Uint8Array {
  const data = Array.from({ length: 2000 }, (_, i) => `row ${i} ${String(i * 7919).repeat(20)}`);
  return new Uint8Array(
    parquetWriteBuffer({
      columnData: [{ name: 'text', data, type: 'STRING' }],
      codec: 'UNCOMPRESSED',
      kvMetadata: [{ key: 'k', value: 'x'.repeat(bytes) }],
    }),
  );
}

async function indexAll(
  files: readonly Uint8Array[],
): Promise<{ readonly reads: readonly ByteRange[][]; readonly sizes: readonly number[] }> {
  const inner = memoryStore('memory://f/', Object.fromEntries(files.map((bytes, i) => [`${i}.parquet`, bytes])));
  let own: ByteRange[] = [];
  const store: Store = {
    ...inner,
    read: (path, range, options) => {
      own.push(range);
      return inner.read(path, range, options);
    },
  };
  const decoder = createParquetDecoder(() => Promise.reject(new Error('no page is read')));
  const request = { column: 'text', kind: 'text' } as const;
  const reads: ByteRange[][] = [];
  for (const i of files.keys()) {
    own = [];
    const object = await inner.head(`${i}.parquet`);
    expect((await decoder.index(store, object, request)).rows).toBe(2000);
    reads.push(own);
  }
  return { reads, sizes: files.map((bytes) => bytes.length) };
}

describe('the size of footers is learnt from shard to shard', () => {
  it('large ones take one request each after the first, which takes two that do not overlap', async () => {
    const { reads, sizes } = await indexAll([200, 210, 190, 220].map((kib) => fileWithFooter(kib * KIB)));
    expect(reads.map((own) => own.length)).toEqual([2, 1, 1, 1]);
    const [tail, front] = reads[0];
    expect([tail.endByte - tail.startByte, tail.endByte, front.endByte]).toEqual([64 * KIB, sizes[0], tail.startByte]);
    for (const [{ startByte, endByte }] of reads.slice(1)) expect(endByte - startByte).toBeLessThan(290 * KIB);
  });

  it('small ones are not read with what lies before them', async () => {
    const { reads } = await indexAll([0, 0, 0].map(fileWithFooter));
    const bytes = reads.map((own) => own.map(({ startByte, endByte }) => endByte - startByte));
    expect(bytes).toEqual([[64 * KIB], [16 * KIB], [16 * KIB]]);
  });

  it('keeps its bounds, and forgets the only large one', () => {
    const size = createFooterSize();
    expect(size.guessBytes).toBe(64 * KIB);
    size.learn(200 * KIB * KIB);
    expect(size.guessBytes).toBe(4 * KIB * KIB);
    for (let i = 0; i < 63; i++) size.learn(2 * KIB);
    expect(size.guessBytes).toBe(4 * KIB * KIB);
    size.learn(2 * KIB);
    expect(size.guessBytes).toBe(16 * KIB);
  });
});
