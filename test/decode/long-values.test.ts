import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/config/limits.js';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import type { EncodedParquetSlice } from '../../src/decode/parquet/encoded-slice.js';
import { inflateOf } from '../../src/decode/parquet/inflate.js';
import { decodeTexts } from '../../src/decode/parquet/text-pages.js';
import { decodedRecord, textValues } from '../../src/decode/record-values.js';
import { scanHere } from '../../src/decode/scan.js';
import { decompressZstd } from '../../src/decode/zstd.js';
import { memoryStore } from '../../src/store/memory.js';
import { sliceOf } from '../support/slices.js';

const signal = new AbortController().signal;
const CAP = 1000;
const LARGE = LIMITS.keptPageBytesMax + 1000;

/** Of one page. */
async function pageOf(texts: readonly (string | null)[], codec: 'UNCOMPRESSED' | 'SNAPPY'): Promise<EncodedParquetSlice> {
  const columnData = [{ name: 'text', data: [...texts], type: 'STRING' as const, nullable: texts.includes(null) }];
  const file = new Uint8Array(parquetWriteBuffer({ columnData, codec, pageSize: 2 ** 30 }));
  const store = memoryStore('memory://x/', { 'a.parquet': file });
  const decoder = createParquetDecoder(scanHere);
  const object = await store.head('a.parquet');
  const index = await decoder.index(store, object, { column: 'text', kind: 'text' });
  const shard = { path: 'a.parquet', uri: 'memory://x/a.parquet', size: object.size, etag: object.etag, ...index };
  const reader = decoder.openBlock(store, 'a.parquet', shard, { shard: 0, unit: 0, startRow: 0, endRow: texts.length, decodedBytes: 1 });
  return (await sliceOf(reader, 0, texts.length, signal)) as EncodedParquetSlice;
}

function textsOf(slice: EncodedParquetSlice): (string | null)[] {
  const rows = decodeTexts(slice, CAP)!;
  return Array.from({ length: rows.count }, (_, row) =>
    rows.valid?.[row] === 0
      ? (rows.problems?.get(row) ?? null)
      : Buffer.from(rows.bytes.subarray(rows.bounds[row], rows.bounds[row + 1])).toString(),
  );
}

describe('a value longer than any document', () => {
  it.each(['UNCOMPRESSED', 'SNAPPY'] as const)('among others of a page is left where it is, and they are read (%s)', async (codec) => {
    const long = Array.from({ length: 1500 }, (_, i) => String.fromCharCode(97 + ((i * i) % 26))).join('');
    const slice = await pageOf(['a', long, null, 'b', 'x'.repeat(CAP), `${long}c`], codec);
    expect(textsOf(slice)).toEqual([
      'a',
      `has 1500 bytes of text; a document has at most ${CAP}`,
      null,
      'b',
      'x'.repeat(CAP),
      `has 1501 bytes of text; a document has at most ${CAP}`,
    ]);
    expect(decodeTexts(slice, CAP)!.bytes.buffer.byteLength).toBe(2 + CAP);
    expect(decodeTexts(slice)!.bytes.length).toBe(2 + CAP + 3001);
  });

  it.each(['UNCOMPRESSED', 'SNAPPY'] as const)('with a page to itself is not even decompressed (%s)', async (codec) => {
    const slice = await pageOf(['y'.repeat(5000)], codec);
    slice.pages.fill(0xff, slice.pages.length - 50); // where nobody looks
    expect(textsOf(slice)).toEqual([
      expect.stringMatching(new RegExp(`^lies in a page of 50\\d\\d bytes by itself; a document has at most ${CAP}$`)),
    ]);
  });

  it.each(['UNCOMPRESSED', 'SNAPPY'] as const)(
    'in a page that the footer has no room for is looked at, because its header may be damaged (%s)',
    async (codec) => {
      const slice = await pageOf(['y'.repeat(5000)], codec);
      expect(textsOf({ ...slice, decodedBytes: 4000 })).toEqual([`has 5000 bytes of text; a document has at most ${CAP}`]);
    },
  );

  it('is a bad row of records', () => {
    const values = textValues(Int32Array.of(0, 1, LIMITS.documentBytesMax + 2), new Uint8Array(LIMITS.documentBytesMax + 2).fill(97));
    expect(decodedRecord((onInvalidUtf8) => ({ text: values(0, onInvalidUtf8) }))).toEqual({ row: { text: 'a' }, isValidUtf8: true });
    expect(decodedRecord((onInvalidUtf8) => ({ text: values(1, onInvalidUtf8) }))).toEqual({
      problem: `has ${LIMITS.documentBytesMax + 1} bytes of text; a document has at most ${LIMITS.documentBytesMax}`,
    });
  });
});

describe('a page larger than what WebAssembly should keep room for', () => {
  /** One byte, again and again: a block of 128 KiB takes 4 bytes (RFC 8878, section 3.1.1.2). */
  const zstdRuns = (size: number): Uint8Array => {
    const blocks: number[] = [];
    for (let rest = size; rest > 0; rest -= 2 ** 17) {
      const header = (Math.min(rest, 2 ** 17) << 3) | (1 << 1) | (rest <= 2 ** 17 ? 1 : 0);
      blocks.push(header & 0xff, (header >> 8) & 0xff, header >> 16, 97);
    }
    return Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x48, ...blocks); // a window of 512 KiB
  };

  it('is decompressed to the same bytes (zstd)', () => {
    const bytes = decompressZstd(zstdRuns(LARGE), LARGE);
    expect(bytes.length).toBe(LARGE);
    expect(bytes.every((byte) => byte === 97)).toBe(true);
    expect(() => decompressZstd(zstdRuns(LARGE), LARGE - 1)).toThrow();
    expect(() => decompressZstd(zstdRuns(LARGE), LARGE + 1)).toThrow(/bytes where \d+ were expected/);
    expect(() => decompressZstd(zstdRuns(LARGE).subarray(0, 1000), LARGE)).toThrow();
  });

  it('is decompressed to the same bytes (Snappy)', () => {
    const inflate = inflateOf('SNAPPY')!;
    const copies = Math.ceil((LARGE - 4) / 64);
    const size = 4 + 64 * copies;
    // the length, a literal of 4 bytes, and copies of 64 from 4 bytes before
    const length = [0, 7, 14, 21].map((shift) => ((size >>> shift) & 0x7f) | (shift < 21 ? 0x80 : 0));
    const block = Uint8Array.of(...length, 3 << 2, 1, 2, 3, 4);
    const whole = new Uint8Array(block.length + 3 * copies);
    whole.set(block);
    for (let at = block.length; at < whole.length; at += 3) whole.set([(63 << 2) | 2, 4, 0], at);
    const bytes = inflate(whole, size);
    expect(bytes.length).toBe(size);
    expect(bytes.every((byte, i) => byte === 1 + (i % 4))).toBe(true);
    expect(() => inflate(whole, size - 64)).toThrow(/bytes where its header says/);
    expect(() => inflate(whole, size + 64)).toThrow(/bytes where its header says/);
    expect(() => inflate(whole.subarray(0, whole.length - 3), size)).toThrow();
  });
});
