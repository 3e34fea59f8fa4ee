/**
 * The worker's half of the Parquet decoder: pages in, rows out. The pages become a small Parquet file of their own, with one column and one row group,
 * which parquet-wasm decodes without knowing the file that they came from.
 *
 *   PAR1 [dictionary][page][page] footer length PAR1 ──parquet-wasm──▶ Arrow IPC ──▶ typed arrays
 */
import { tableFromIPC, type Data } from 'apache-arrow';
import type { CompressionCodec, Encoding, ParquetType } from 'hyparquet';
import { decompressPage } from 'hyparquet/src/datapage.js';
import { parquetHeader } from 'hyparquet/src/column.js';
import { compressors } from 'hyparquet-compressors';
import { ByteWriter } from 'hyparquet-writer';
import { writeMetadata } from 'hyparquet-writer/src/metadata.js';
import { readParquet } from 'parquet-wasm';
import { LIMITS } from '../../config/limits.js';
import { HeadraceError, messageOf } from '../../core/errors.js';
import type { PageRowRequest, PageRows, Rows } from '../decoder.js';
import { snappyPrefix } from './snappy-prefix.js';
import type { EncodedParquetSlice } from './encoded-slice.js';

/** `PAR1`, little-endian. */
const MAGIC = 0x31524150;

/** Errors: `SHARD_INVALID`. */
export function decodeParquetSlice(slice: EncodedParquetSlice): Rows {
  let column: Data;
  try {
    const table = readParquet(toParquetFile(slice), { batchSize: Math.max(1, slice.pageRows) });
    const arrow = tableFromIPC(table.intoIPCStream());
    if (arrow.numRows !== slice.pageRows || arrow.batches.length !== 1) {
      throw new Error(`${arrow.numRows} rows in ${arrow.batches.length} batches where the metadata says ${slice.pageRows} rows`);
    }
    column = arrow.batches[0].data.children[0];
  } catch (error) {
    throw new HeadraceError('SHARD_INVALID', `cannot decode column ${slice.unit.path[0]} of ${slice.uri}: ${messageOf(error)}`, {
      detail: { uri: slice.uri, column: slice.unit.path[0] },
      hint: 'Write the file again, or take it out of the source.',
      cause: error,
    });
  }
  const { skipRows: start, rows: count } = slice;
  const bounds = (column.valueOffsets as Int32Array).subarray(start, start + count + 1);
  const valid = validity(column, bounds, start, count);
  if (slice.kind === 'text') return { kind: 'text', count, bounds, bytes: column.values as Uint8Array, valid };
  return { kind: 'tokens', count, bounds, ids: column.children[0].values as Int32Array | BigInt64Array, valid };
}

/** 0 where a row is null, or is a list that holds a null: neither is a row of tokens or text. */
function validity(column: Data, bounds: Int32Array, start: number, count: number): Uint8Array | undefined {
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

function toParquetFile(slice: EncodedParquetSlice): Uint8Array {
  const { dictionary, pages, unit, schema, pageRows } = slice;
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
              num_values: BigInt(countValues(pages)),
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

/** Values of all pages: of lists only the page headers know it. A page that claims an absurd size is refused before anything is allocated for it. */
function countValues(pages: Uint8Array): number {
  let values = 0;
  for (const { header } of pageHeaders(pages)) {
    values += header.data_page_header?.num_values ?? header.data_page_header_v2?.num_values ?? 0;
    if (!(header.uncompressed_page_size <= LIMITS.pageBytesMax))
      throw new Error(`a page claims ${header.uncompressed_page_size} decoded bytes`);
  }
  return values;
}

/** The headers of consecutive pages, and where their bodies are. */
function* pageHeaders(pages: Uint8Array): Generator<{ readonly header: ReturnType<typeof parquetHeader>; readonly body: Uint8Array }> {
  const reader = { view: new DataView(pages.buffer, pages.byteOffset, pages.byteLength), offset: 0 };
  while (reader.offset < pages.length) {
    const header = parquetHeader(reader);
    const start = reader.offset;
    reader.offset += header.compressed_page_size;
    if (!(header.compressed_page_size >= 0 && reader.offset <= pages.length)) throw new Error('a page ends beyond its column chunk');
    yield { header, body: pages.subarray(start, reader.offset) };
  }
}

/**
 * Counts the rows that start in each data page (version 1) of a list column, from its repetition levels: 0 starts a row.
 * Source: Apache Parquet format, "Nested Encoding" and "Run Length Encoding / Bit-Packing Hybrid". Errors: `SHARD_INVALID`.
 */
export function countPageRows(request: PageRowRequest): PageRows {
  const rows: number[] = [];
  const continued: number[] = [];
  try {
    for (const { header, body } of pageHeaders(request.bytes)) {
      if (header.data_page_header === undefined) {
        rows.push(header.data_page_header_v2?.num_rows ?? 0);
        continued.push(0);
        continue;
      }
      const levels = countZeroLevels(startOfPage(body, header.uncompressed_page_size, request.codec), header.data_page_header.num_values);
      rows.push(levels.zeros);
      continued.push(levels.first === 0 ? 0 : 1);
    }
  } catch (error) {
    throw new HeadraceError('SHARD_INVALID', `cannot read the pages of a list column: ${messageOf(error)}`, { cause: error });
  }
  return { rows: Int32Array.from(rows), continued: Uint8Array.from(continued) };
}

/** The decoded page as far as its repetition levels go, which come first, after their length in 4 bytes; or more of it. */
function startOfPage(body: Uint8Array, pageBytes: number, codec: string): Uint8Array {
  if (codec !== 'SNAPPY') return decompressPage(body, pageBytes, codec as CompressionCodec, compressors);
  const start = snappyPrefix(body, 4);
  const levelBytes = new DataView(start.buffer, start.byteOffset, start.byteLength).getUint32(0, true);
  return snappyPrefix(body, Math.min(pageBytes, 4 + levelBytes));
}

/** Repetition levels of one repeated field are one bit wide: runs (a varint with its lowest bit 0: count × 2, then the value) and bit-packed groups of 8 (lowest bit 1). */
function countZeroLevels(page: Uint8Array, values: number): { readonly zeros: number; readonly first: number } {
  const end = 4 + new DataView(page.buffer, page.byteOffset, 4).getUint32(0, true);
  let at = 4;
  let seen = 0;
  let zeros = 0;
  let first = -1;
  while (seen < values && at < end) {
    let header = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = page[at++];
      header |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    if ((header & 1) === 0) {
      const count = Math.min(header >>> 1, values - seen);
      const value = page[at++];
      if (first < 0) first = value;
      if (value === 0) zeros += count;
      seen += count;
      continue;
    }
    for (let group = header >>> 1; group > 0; group--) {
      const byte = page[at++];
      if (first < 0) first = byte & 1;
      const bits = Math.min(8, values - seen);
      for (let bit = 0; bit < bits; bit++) zeros += ((byte >>> bit) & 1) ^ 1;
      seen += bits;
    }
  }
  if (seen !== values) throw new Error(`${seen} repetition levels where ${values} were expected`);
  return { zeros, first };
}
