import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, it } from 'vitest';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import type { EncodedParquetSlice } from '../../src/decode/parquet/encoded-slice.js';
import { inflateOf, type Inflate } from '../../src/decode/parquet/inflate.js';
import { TextDictionary } from '../../src/decode/parquet/text-dictionary.js';
import { decodeTexts } from '../../src/decode/parquet/text-pages.js';
import { scanHere } from '../../src/decode/scan.js';
import { memoryStore } from '../../src/store/memory.js';
import { sliceOf } from '../support/slices.js';

const signal = new AbortController().signal;
const CODECS = ['UNCOMPRESSED', 'SNAPPY', 'GZIP'] as const;
/** As many of them are no small dictionary. */
const TEXT_BYTES = 1000;
let files = 0;

function textOf(value: number): string {
  return `${value} `.repeat(TEXT_BYTES).slice(0, TEXT_BYTES + (value % 7));
}

/** Slices of one row group, with a dictionary, that end before `ends`. */
async function slicesOf(
  texts: readonly (string | null)[],
  ends: readonly number[],
  codec: (typeof CODECS)[number],
): Promise<EncodedParquetSlice[]> {
  const columnData = [
    { name: 'text', data: [...texts], type: 'STRING' as const, nullable: texts.includes(null), encoding: 'RLE_DICTIONARY' as const },
  ];
  const file = new Uint8Array(parquetWriteBuffer({ columnData, codec, compressors: { GZIP: (bytes) => gzipSync(bytes) } }));
  const root = `memory://${files++}/`;
  const store = memoryStore(root, { 'a.parquet': file });
  const decoder = createParquetDecoder(scanHere);
  const object = await store.head('a.parquet');
  const index = await decoder.index(store, object, { column: 'text', kind: 'text' });
  const shard = { path: 'a.parquet', uri: `${root}a.parquet`, size: object.size, etag: object.etag, ...index };
  const slices: EncodedParquetSlice[] = [];
  const reader = decoder.openBlock(store, 'a.parquet', shard, { shard: 0, unit: 0, startRow: 0, endRow: texts.length, decodedBytes: 1 });
  for (const [i, end] of ends.entries()) {
    slices.push((await sliceOf(reader, i === 0 ? 0 : ends[i - 1], end, signal)) as EncodedParquetSlice);
  }
  return slices;
}

function textsOf(slice: EncodedParquetSlice): (string | null)[] {
  const rows = decodeTexts(slice)!;
  const texts = Array.from({ length: rows.count }, (_, row) =>
    rows.valid?.[row] === 0 ? null : Buffer.from(rows.bytes.subarray(rows.bounds[row], rows.bounds[row + 1])).toString(),
  );
  rows.release?.();
  return texts;
}

/** What a dictionary is asked for, and how often it was decompressed for that. */
function counted(slice: EncodedParquetSlice): { readonly dictionary: TextDictionary; readonly times: () => number } {
  let times = 0;
  const inflate: Inflate = (body, size) => {
    times++;
    return inflateOf(slice.unit.codec)!(body, size);
  };
  return { dictionary: new TextDictionary(slice, inflate), times: () => times };
}

function asked(dictionary: TextDictionary, ...indices: number[]): string[] {
  const { bytes, starts, ends } = dictionary.valuesOf(Int32Array.from(indices));
  return indices.map((index) => Buffer.from(bytes.subarray(starts[index], ends[index])).toString());
}

describe('a dictionary of texts', () => {
  const distinct = Array.from({ length: 300 }, (_, i) => textOf(i));

  it.each(CODECS)('is decompressed once for all slices, where texts are all different (%s)', async (codec) => {
    const slices = await slicesOf(distinct, [100, 200, 300], codec);
    const times = slices.map((slice, i) => {
      const { dictionary, times } = counted(slice);
      expect(asked(dictionary, 100 * i, 100 * i + 99)).toEqual([textOf(100 * i), textOf(100 * i + 99)]);
      expect(asked(dictionary, 100 * i + 50)).toEqual([textOf(100 * i + 50)]);
      dictionary.close();
      return times();
    });
    expect(times).toEqual([1, 0, 0]);
    // nothing was left to keep
    const again = counted(slices[2]);
    expect(asked(again.dictionary, 299)).toEqual([textOf(299)]);
    expect(again.times()).toBe(1);
  });

  it('is decompressed again where a row has an early value, and kept whole from then on', async () => {
    const slices = await slicesOf(distinct, [100, 200, 300], 'SNAPPY');
    const times = [[0, 99], [100, 5], [200], [7]].map((indices, i) => {
      const { dictionary, times } = counted(slices[Math.min(i, 2)]);
      expect(asked(dictionary, ...indices)).toEqual(indices.map(textOf));
      dictionary.close();
      return times();
    });
    expect(times).toEqual([1, 1, 0, 0]);
  });

  it('that is small is kept whole', async () => {
    const few = distinct.slice(0, 20);
    const slices = await slicesOf([...few, ...few], [20, 40], 'GZIP');
    const times = slices.map((slice) => {
      const { dictionary, times } = counted(slice);
      expect(asked(dictionary, 0, 19)).toEqual([textOf(0), textOf(19)]);
      dictionary.close();
      return times();
    });
    expect(times).toEqual([1, 0]);
  });

  it('has its bounds: at most 64 MiB are kept, what came first stays, and what nobody asks for gives way', async () => {
    const large = Array.from({ length: 16 }, (_, i) => String.fromCharCode(97 + i).repeat(2 ** 20));
    const groups = await Promise.all(Array.from({ length: 6 }, () => slicesOf(large, [1, 16], 'UNCOMPRESSED')));
    const timesOf = (slice: EncodedParquetSlice, ...indices: number[]): number => {
      const { dictionary, times } = counted(slice);
      expect(asked(dictionary, ...indices)).toEqual(indices.map((index) => large[index]));
      dictionary.close();
      return times();
    };
    // rests of 15 MiB: four of them
    expect(groups.map(([first]) => timesOf(first, 0))).toEqual([1, 1, 1, 1, 1, 1]);
    expect(groups.map(([, second]) => timesOf(second, 1))).toEqual([0, 0, 0, 0, 1, 1]);
    // the four are kept again, until they are old
    const [small] = await slicesOf(distinct, [100, 200], 'UNCOMPRESSED');
    for (let i = 0; i < 300; i++) {
      const { dictionary } = counted(small);
      asked(dictionary, 0);
      dictionary.close();
    }
    expect(timesOf(groups[4][0], 0)).toBe(1);
    expect(timesOf(groups[4][1], 1)).toBe(0);
  });

  it('is another one where its bytes are others, in the same place of the same object', async () => {
    const [first, second] = await slicesOf(distinct, [100, 300], 'UNCOMPRESSED');
    const { dictionary } = counted(first);
    asked(dictionary, 99);
    dictionary.close();
    const bytes = new Uint8Array(second.dictionary);
    bytes[bytes.length - 1] = 'x'.charCodeAt(0);
    expect(asked(counted({ ...second, dictionary: bytes }).dictionary, 299)).toEqual([`${textOf(299).slice(0, -1)}x`]);
    expect(asked(counted(second).dictionary, 299)).toEqual([textOf(299)]);
  });

  it('says what is damaged: an index outside of it, or no dictionary', async () => {
    const [slice] = await slicesOf(distinct, [100], 'SNAPPY');
    expect(() => asked(counted(slice).dictionary, 300)).toThrow('a value points outside its dictionary');
    expect(() => asked(counted(slice).dictionary, -1)).toThrow('a value points outside its dictionary');
    expect(() => asked(counted({ ...slice, dictionary: new Uint8Array(0) }).dictionary, 0)).toThrow('a page without its dictionary');
  });

  it('gives each slice its texts, whatever they are, and in whatever order slices of many row groups come', async () => {
    const text = fc.option(fc.nat(199).map(textOf), { freq: 8, nil: null });
    const group = fc.record({
      // mostly new ones, as they come; and some again
      texts: fc.oneof(
        fc.array(text, { minLength: 1, maxLength: 200 }),
        fc.nat(199).map((length) => distinct.slice(0, length + 1)),
      ),
      cuts: fc.array(fc.nat(200), { maxLength: 3 }),
      codec: fc.constantFrom(...CODECS),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(group, { minLength: 1, maxLength: 4 }), fc.infiniteStream(fc.nat(1000)), async (groups, choices) => {
        const waiting = await Promise.all(
          groups.map(async ({ texts, cuts, codec }) => {
            const ends = [...new Set([...cuts.filter((cut) => cut > 0 && cut < texts.length), texts.length])].sort((a, b) => a - b);
            const slices = await slicesOf(texts, ends, codec);
            return slices.map((slice, i) => ({ slice, texts: texts.slice(i === 0 ? 0 : ends[i - 1], ends[i]) }));
          }),
        );
        for (const choice of choices) {
          const open = waiting.filter((slices) => slices.length > 0);
          if (open.length === 0) break;
          const { slice, texts } = open[choice % open.length].shift()!;
          expect(textsOf(slice)).toEqual(texts);
        }
      }),
      { numRuns: 60, seed: 20261123 },
    );
  });
});
