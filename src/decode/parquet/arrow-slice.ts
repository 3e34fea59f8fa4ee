/**
 * Decodes a slice of any column that Parquet knows: the pages become a small Parquet file of their own, with one column and one row group,
 * which parquet-wasm decodes without knowing the file that they came from.
 *
 *   PAR1 [dictionary][page][page] footer length PAR1 ──parquet-wasm──▶ Arrow IPC ──▶ typed arrays
 */
import { createRequire } from 'node:module';
import type * as Arrow from 'apache-arrow';
import type * as ParquetWasm from 'parquet-wasm';
import type { CompressionCodec, Encoding, ParquetType } from 'hyparquet';
import { ByteWriter } from 'hyparquet-writer';
import { writeMetadata } from 'hyparquet-writer/src/metadata.js';
import { LIMITS } from '../../config/limits.js';
import type { DocumentIds, Rows } from '../decoder.js';
import type { EncodedChunk, EncodedParquetIds, EncodedParquetLeaf, EncodedParquetSlice } from './encoded-slice.js';
import { pagesOf } from './pages.js';
import type { DecodedLeaf } from './records.js';

/** `PAR1`, little-endian. */
const MAGIC = 0x31524150;

/** Both libraries are loaded when they are first needed: that takes half a second, and columns of tokens seldom need them. */
const load = createRequire(import.meta.url);

/** Throws what parquet-wasm throws, or an Error that says what is wrong. */
export function decodeWithArrow(slice: EncodedParquetSlice): Rows {
  const column = arrowColumn(slice);
  const { skipRows: start, rows: count } = slice;
  const bounds = (column.valueOffsets as Int32Array).subarray(start, start + count + 1);
  const valid = validity(column, bounds, start, count);
  if (slice.kind === 'text') return { kind: 'text', count, bounds, bytes: column.values as Uint8Array, valid };
  return { kind: 'tokens', count, bounds, ids: column.children[0].values as Int32Array | BigInt64Array, valid, idsBelow: undefined };
}

/** As `decodeWithArrow`. */
export function decodeIdsWithArrow({ kind, ...chunk }: EncodedParquetIds): DocumentIds {
  const column = arrowColumn(chunk);
  const idOf = kind === 'string' ? stringAt(column) : integerAt(column.values as Int32Array | BigInt64Array, kind === 'unsigned');
  return Array.from({ length: chunk.rows }, (_, i) => (column.getValid(chunk.skipRows + i) ? idOf(chunk.skipRows + i) : null));
}

/** As `decodeWithArrow`. */
export function decodeLeafWithArrow(leaf: EncodedParquetLeaf): DecodedLeaf {
  return { data: arrowColumn(leaf), skipRows: leaf.skipRows, type: leaf.type, column: leaf.unit.path[0] };
}

function stringAt(column: Arrow.Data): (row: number) => string {
  const bounds = column.valueOffsets as Int32Array;
  const bytes = column.values as Uint8Array;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return (row) => text.toString('utf8', bounds[row], bounds[row + 1]);
}

/** Without their annotation, integers without a sign come with one. */
function integerAt(values: Int32Array | BigInt64Array, unsigned: boolean): (row: number) => string {
  const own: Int32Array | Uint32Array | BigInt64Array | BigUint64Array = !unsigned
    ? values
    : values instanceof Int32Array
      ? new Uint32Array(values.buffer, values.byteOffset, values.length)
      : new BigUint64Array(values.buffer, values.byteOffset, values.length);
  return (row) => String(own[row]);
}

/** The one column of the pages, of `pageRows` rows. */
function arrowColumn(slice: EncodedChunk): Arrow.Data {
  const { readParquet } = load('parquet-wasm') as typeof ParquetWasm;
  const { tableFromIPC } = load('apache-arrow') as typeof Arrow;
  const file = toParquetFile(slice);
  let stream: Uint8Array;
  try {
    stream = readParquet(file, { batchSize: Math.max(1, slice.pageRows) }).intoIPCStream();
  } catch (error) {
    // a trap leaves its memory as it was in the middle of something: the next slice gets another instance
    if (error instanceof Error && error.name === 'RuntimeError') Reflect.deleteProperty(load.cache, load.resolve('parquet-wasm'));
    throw error;
  }
  const arrow = tableFromIPC(stream);
  if (arrow.numRows !== slice.pageRows || arrow.batches.length !== 1) {
    throw new Error(`${arrow.numRows} rows in ${arrow.batches.length} batches where the metadata says ${slice.pageRows} rows`);
  }
  return arrow.batches[0].data.children[0];
}

/** 0 where a row is null, or is a list that holds a null: neither is a row of tokens or text. */
function validity(column: Arrow.Data, bounds: Int32Array, start: number, count: number): Uint8Array | undefined {
  const element = column.children.at(0);
  if (column.nullCount === 0 && (element === undefined || element.nullCount === 0)) return undefined;
  const valid = new Uint8Array(count);
  for (let row = 0; row < count; row++) valid[row] = column.getValid(start + row) ? 1 : 0;
  if (element === undefined || element.nullCount === 0) return valid;
  for (let row = 0; row < count; row++) {
    for (let i = bounds[row]; i < bounds[row + 1] && valid[row] === 1; i++) valid[row] = element.getValid(i) ? 1 : 0;
  }
  return valid;
}

function toParquetFile(slice: EncodedChunk): Uint8Array {
  const { dictionary, pages, unit, schema, pageRows } = slice;
  const values = countValues([dictionary, pages], unit.codec);
  // a row has a value or a level of its own, so more rows than values are none, and nothing is allocated for them
  if (pageRows > values) throw new Error(`the pages hold ${values} values where the metadata says ${pageRows} rows`);
  const writer = new ByteWriter(dictionary.length + pages.length + 1024);
  writer.appendUint32(MAGIC);
  writer.appendBytes(dictionary);
  const dataPageOffset = BigInt(writer.offset);
  writer.appendBytes(pages);
  const size = BigInt(dictionary.length + pages.length);
  writeMetadata(writer, {
    version: 2,
    schema: [...schema],
    num_rows: BigInt(pageRows),
    metadata_length: 0,
    row_groups: [
      {
        num_rows: BigInt(pageRows),
        total_byte_size: size,
        columns: [
          {
            file_offset: 0n,
            meta_data: {
              type: unit.type as ParquetType,
              encodings: unit.encodings as Encoding[],
              path_in_schema: [...unit.path],
              codec: unit.codec as CompressionCodec,
              num_values: BigInt(values),
              total_uncompressed_size: size,
              total_compressed_size: size,
              data_page_offset: dataPageOffset,
              ...(dictionary.length > 0 && { dictionary_page_offset: 4n }),
            },
          },
        ],
      },
    ],
  });
  writer.appendUint32(MAGIC);
  return writer.getBytes();
}

/** Values of all data pages: of lists only the page headers know it. What claims absurdly many is refused before anything is allocated for it. */
function countValues(parts: readonly Uint8Array[], codec: string): number {
  let values = 0;
  for (const part of parts) {
    for (const { header } of pagesOf(part, codec))
      values += header.data_page_header?.num_values ?? header.data_page_header_v2?.num_values ?? 0;
  }
  // each takes 4 bytes, of itself or of where it begins
  if (!(4 * values <= LIMITS.pageBytesMax)) throw new Error(`the pages claim ${values} values`);
  return values;
}
