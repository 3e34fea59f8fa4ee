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
import { cannotLoad } from '../../core/errors.js';
import type { ColumnType, ColumnValue } from '../../core/filter/operand.js';
import type { DocumentIds, FilterColumn, Rows } from '../decoder.js';
import type {
  EncodedChunk,
  EncodedParquetFilterColumn,
  EncodedParquetIds,
  EncodedParquetLeaf,
  EncodedParquetSlice,
} from './encoded-slice.js';
import { pagesOf } from './pages.js';
import type { DecodedLeaf } from './records.js';
import { signedOf } from './statistics.js';

/** `PAR1`, little-endian. */
const MAGIC = 0x31524150;

/** Both libraries are loaded when they are first needed: that takes half a second, and columns of tokens seldom need them. */
const load = createRequire(import.meta.url);

/** Throws what parquet-wasm throws, or an Error that says what is wrong. */
export function decodeWithArrow(slice: EncodedParquetSlice): Rows {
  const chain = structsAbove(arrowColumn(slice));
  const column = chain[chain.length - 1];
  const { skipRows: start, rows: count } = slice;
  if (slice.kind === 'text') {
    const bounds = boundsOf(column, start, count);
    return { kind: 'text', count, bounds, bytes: column.values as Uint8Array, valid: validity(chain, [], bounds, start, count) };
  }
  const bounds = (column.valueOffsets as Int32Array).subarray(start, start + count + 1);
  const elements = structsAbove(column.children[0]);
  const ids = elements[elements.length - 1].values as Int32Array | BigInt64Array;
  checkEntries(slice, column.valueOffsets as Int32Array);
  return { kind: 'tokens', count, bounds, ids, valid: validity(chain, elements, bounds, start, count), idsBelow: undefined };
}

/** Each element of a list has an entry in the pages, and so has a list without any: a damaged one that Arrow left out would move the others. */
function checkEntries({ dictionary, pages, unit, pageRows }: EncodedChunk, bounds: Int32Array): void {
  let entries = bounds[pageRows] - bounds[0];
  for (let row = 0; row < pageRows; row++) if (bounds[row] === bounds[row + 1]) entries++;
  const values = countValues([dictionary, pages], unit.codec);
  if (entries !== values) throw new Error(`the lists have ${entries} entries where the pages say ${values}`);
}

/** A column after the structs of one field that it lies in, outermost first. Arrow gives each as many rows. */
export function structsAbove(column: Arrow.Data): Arrow.Data[] {
  const { DataType } = loadLibrary('apache-arrow') as typeof Arrow;
  const chain = [column];
  for (let own = column; DataType.isStruct(own.type) && own.children.length === 1; chain.push(own)) [own] = own.children;
  return chain;
}

/** Of bytes of one length Arrow keeps the length only. */
export function boundsOf(column: Arrow.Data, start: number, count: number): Int32Array {
  const { DataType } = loadLibrary('apache-arrow') as typeof Arrow;
  const { type } = column;
  if (DataType.isFixedSizeBinary(type)) return Int32Array.from({ length: count + 1 }, (_, i) => (start + i) * type.byteWidth);
  return (column.valueOffsets as Int32Array).subarray(start, start + count + 1);
}

/** As `decodeWithArrow`. */
export function decodeIdsWithArrow({ kind, ...chunk }: EncodedParquetIds): DocumentIds {
  const chain = structsAbove(arrowColumn(chunk));
  const column = chain[chain.length - 1];
  const idOf = kind === 'string' ? stringAt(column) : integerAt(column.values as Int32Array | BigInt64Array, kind === 'unsigned');
  const isThere = (row: number): boolean => chain.every((level) => level.getValid(row));
  return Array.from({ length: chunk.rows }, (_, i) => (isThere(chunk.skipRows + i) ? idOf(chunk.skipRows + i) : null));
}

/** As `decodeWithArrow`. A field of a group that is null is null. */
export function decodeFilterColumnWithArrow({ column, type, ...chunk }: EncodedParquetFilterColumn): FilterColumn {
  const levels = structsAbove(arrowColumn(chunk));
  const leaf = levels[levels.length - 1];
  const valueOf = valueAt(leaf, type);
  return {
    column,
    type,
    valueAt: (index) => {
      const row = chunk.skipRows + index;
      return levels.every((level) => level.getValid(row)) ? valueOf(row) : null;
    },
  };
}

/** Without logical types, a column has the type that its values are stored as. */
function valueAt(leaf: Arrow.Data, type: ColumnType): (row: number) => ColumnValue {
  switch (type.kind) {
    case 'text':
      return bytesAt(leaf);
    case 'boolean': {
      const bits = leaf.values as Uint8Array;
      return (row) => ((bits[(leaf.offset + row) >> 3] >> ((leaf.offset + row) & 7)) & 1) === 1;
    }
    case 'float': {
      const values = leaf.values as Float32Array | Float64Array;
      return (row) => values[row];
    }
    case 'integer': {
      const values = integersOf(leaf.values as Int32Array | BigInt64Array, type.unsigned);
      return (row) => values[row];
    }
    case 'decimal':
      if (leaf.values instanceof Uint8Array) {
        const bytes = bytesAt(leaf);
        return (row) => signedOf(bytes(row));
      }
      break;
    default:
  }
  const values = leaf.values as Int32Array | BigInt64Array;
  return (row) => values[row];
}

function bytesAt(column: Arrow.Data): (row: number) => Uint8Array {
  const bounds = boundsOf(column, 0, column.length);
  const bytes = column.values as Uint8Array;
  return (row) => bytes.subarray(bounds[row], bounds[row + 1]);
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

function integerAt(values: Int32Array | BigInt64Array, unsigned: boolean): (row: number) => string {
  const own = integersOf(values, unsigned);
  return (row) => String(own[row]);
}

/** Without their annotation, integers without a sign come with one. */
export function integersOf(
  values: Int32Array | BigInt64Array,
  unsigned: boolean,
): Int32Array | Uint32Array | BigInt64Array | BigUint64Array {
  if (!unsigned) return values;
  return values instanceof Int32Array
    ? new Uint32Array(values.buffer, values.byteOffset, values.length)
    : new BigUint64Array(values.buffer, values.byteOffset, values.length);
}

function loadLibrary(name: string): unknown {
  try {
    return load(name);
  } catch (error) {
    throw cannotLoad(name, error);
  }
}

/** The one column of the pages, of `pageRows` rows. */
export function arrowColumn(slice: EncodedChunk): Arrow.Data {
  const { readParquet } = loadLibrary('parquet-wasm') as typeof ParquetWasm;
  const { tableFromIPC } = loadLibrary('apache-arrow') as typeof Arrow;
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

/** 0 where a row is null at any level, or is a list that holds a null: neither is a row of tokens or text. */
function validity(
  chain: readonly Arrow.Data[],
  elements: readonly Arrow.Data[],
  bounds: Int32Array,
  start: number,
  count: number,
): Uint8Array | undefined {
  const own = chain.filter((level) => level.nullCount > 0);
  const inner = elements.filter((level) => level.nullCount > 0);
  if (own.length === 0 && inner.length === 0) return undefined;
  const valid = new Uint8Array(count).fill(1);
  for (const level of own) {
    for (let row = 0; row < count; row++) if (!level.getValid(start + row)) valid[row] = 0;
  }
  for (const level of inner) {
    for (let row = 0; row < count; row++) {
      for (let i = bounds[row]; i < bounds[row + 1] && valid[row] === 1; i++) valid[row] = level.getValid(i) ? 1 : 0;
    }
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
