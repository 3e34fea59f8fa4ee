/** What a worker gives back of a decoded slice: its rows must not be read from there. Other pages of Parquet: own-pages.test.ts. */
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, it } from 'vitest';
import { releaseStored } from '../../src/decode/buffers.js';
import type { ColumnRequest, Decoder, EncodedSlice, FetchedBeside, FetchedSlice, Rows } from '../../src/decode/decoder.js';
import { createParquetDecoder } from '../../src/decode/parquet/block-reader.js';
import { scanHere } from '../../src/decode/scan.js';
import { createWebDatasetDecoder } from '../../src/decode/webdataset/block-reader.js';
import { memoryStore } from '../../src/store/memory.js';
import { indexShard, valuesOf } from '../support/read-shard.js';
import { decodeBeside, decodeSlice, readSlices } from '../support/slices.js';
import { tarOf } from '../support/tar.js';

const parquet = createParquetDecoder(scanHere);
const webdataset = createWebDatasetDecoder(scanHere);
const TEXTS = Array.from({ length: 40 }, (_, i) => (i % 3 === 0 ? 'the same' : `text ${i} `.repeat(i)));
const IDS = TEXTS.map((_, i) => [i, 7, i * i]);
const TAR = tarOf(
  TEXTS.flatMap((text, i) => [
    { name: `${i}.txt`, body: text },
    { name: `${i}.json`, body: JSON.stringify({ ids: IDS[i], text }) },
  ]),
);

const PARQUET = new Uint8Array(
  parquetWriteBuffer({ columnData: [{ name: 'text', data: TEXTS, encoding: 'PLAIN' }], codec: 'UNCOMPRESSED' }),
);

interface Case {
  readonly decoder: Decoder;
  readonly bytes: Uint8Array;
  readonly request: ColumnRequest;
}

const CASES: Readonly<Record<string, Case>> = {
  'plain pages': { decoder: parquet, bytes: PARQUET, request: { column: 'text', kind: 'text' } },
  'members of a tar': { decoder: webdataset, bytes: TAR, request: { column: 'txt', kind: 'text' } },
  'values in members of a tar': { decoder: webdataset, bytes: TAR, request: { column: 'json.text', kind: 'text' } },
  'ids in members of a tar': { decoder: webdataset, bytes: TAR, request: { column: 'json.ids', kind: 'tokens' } },
};

async function open(
  { decoder, bytes, request }: Case,
  ids = false,
): Promise<{ readonly slice: FetchedSlice; readonly beside: FetchedBeside | undefined }> {
  const store = memoryStore('memory://stored/', { a: bytes });
  const shard = await indexShard(decoder, store, 'a', request);
  const rows = TEXTS.length;
  const reader = decoder.openBlock(store, 'a', shard, { shard: 0, unit: 0, startRow: 0, endRow: rows, decodedBytes: 1 });
  const { slice, beside } = structuredClone(await readSlices(reader, 0, rows, { rows: true, ids }));
  return { slice: slice!, beside };
}

function storedBytes(slice: EncodedSlice): number {
  if (slice.format === 'parquet' && slice.kind !== 'records') return slice.pages.length;
  return slice.format === 'webdataset' ? slice.runs.reduce((sum, { bytes }) => sum + bytes.length, 0) : -1;
}

describe('the stored bytes of a slice', () => {
  it.each(Object.entries(CASES))('%s are given back, and the rows stay', async (_name, own) => {
    const { slice } = await open(own);
    expect(storedBytes(slice)).toBeGreaterThan(0);
    const rows = decodeSlice(slice) as Rows;
    releaseStored(slice, undefined);
    expect(storedBytes(slice)).toBe(0);
    new Uint8Array(2 ** 20).fill(0xaa); // what comes next may have the same memory
    expect(valuesOf(rows)).toEqual(own.request.kind === 'text' ? TEXTS : IDS);
  });

  it('of samples with something beside them stay: it is read where it lies', async () => {
    const { slice, beside } = await open({ ...CASES['members of a tar'], request: { column: 'txt', kind: 'text', id: 'json.text' } }, true);
    decodeSlice(slice);
    releaseStored(slice, beside);
    expect(decodeBeside(beside!).ids).toEqual(TEXTS);
  });

  it('of records stay', async () => {
    const { slice } = await open({
      decoder: webdataset,
      bytes: TAR,
      request: { column: 'json', kind: 'records', columns: ['json'] },
    });
    const rows = decodeSlice(slice);
    releaseStored(slice, undefined);
    expect(rows.kind === 'records' && rows.at(3)).toMatchObject({ row: { json: { ids: IDS[3], text: TEXTS[3] } } });
  });
});
