/** Reads the footer of a Parquet file and keeps what the plan and the block reader need of the projected column, and of that of the ids. */
import { createHash } from 'node:crypto';
import { parquetMetadata, type ColumnChunk, type FileMetaData, type RowGroup, type SchemaElement } from 'hyparquet';
import { LIMITS } from '../../config/limits.js';
import type { Filter } from '../../core/filter/filter.js';
import { HeadraceError, messageOf } from '../../core/errors.js';
import type { Unit } from '../../core/shard.js';
import type { ObjectInfo, Store } from '../../store/store.js';
import type { ColumnRequest, RuledOutUnits, ShardIndex } from '../decoder.js';
import { MAGIC_BYTES, nameOfMagic } from '../magic.js';
import { checkThrift } from './check-thrift.js';
import { findColumn, findIdColumn, type Column, type IdColumn } from './column.js';
import { findField, type FieldColumn } from './field-column.js';
import { findFilterColumns, type FilterColumn } from './filter-columns.js';
import type { FooterSize } from './footer-size.js';
import type { ParquetChunkLayout, ParquetUnitLayout } from './layout.js';
import { findLeaves, type LeafColumn } from './leaves.js';
import { decideRowGroups, type RowGroupFate } from './row-group-filter.js';

/** `PAR1`, at both ends of a file; `PARE` where the footer is encrypted. */
const MAGIC = 'PAR1';
const MAGIC_ENCRYPTED = 'PARE';
/** Footer length and magic. */
const TRAILER_BYTES = 8;

const CODECS = new Set(['UNCOMPRESSED', 'SNAPPY', 'GZIP', 'BROTLI', 'ZSTD', 'LZ4', 'LZ4_RAW']);

export interface ParquetIndexRequest extends ColumnRequest {
  /** Of the rows that are taken; `undefined`: all. */
  readonly filter: Filter | undefined;
}

/** Errors: those of `Store.read`, `SHARD_INVALID`, `SHARD_UNSUPPORTED`, `COLUMN_MISSING`, `COLUMN_TYPE`. */
export async function readParquetIndex(
  store: Store,
  object: ObjectInfo,
  request: ParquetIndexRequest,
  size: FooterSize,
  signal?: AbortSignal,
): Promise<ShardIndex> {
  const uri = store.uri + object.path;
  const { footer, metadata } = await readParquetFooter(store, object, uri, size, signal);
  const fields = (request.fields ?? []).map((field) => findField(metadata, field, uri));
  const fieldsOnly = request.kind === 'none';
  const leaves = request.kind === 'records' ? findLeaves(metadata.schema, request, uri) : undefined;
  const column = leaves?.[0] ?? (fieldsOnly ? fields[0] : findColumn(metadata.schema, request, uri));
  const id = request.id === undefined ? undefined : findIdColumn(metadata.schema, request.id, uri);
  const { filter } = request;
  const filterColumns = filter && findFilterColumns(filter, metadata.schema, uri);
  const fates =
    filter && filterColumns && (await decideRowGroups({ filter, columns: filterColumns, metadata, footer, store, object, uri }, signal));
  const units: Unit[] = [];
  let startRow = 0;
  for (const [index, rowGroup] of metadata.row_groups.entries()) {
    const fate = fates?.[index];
    const unit = unitOf(rowGroup, index, startRow, {
      column,
      leaves,
      id,
      fields,
      fieldsOnly,
      filter: fate === 'by-row' ? filterColumns : undefined,
      object,
      uri,
    });
    if (fate !== 'statistics' && fate !== 'bloom') units.push(unit);
    startRow += unit.rows;
  }
  return {
    contentId: createHash('sha256').update(footer).digest('hex'),
    rows: startRow,
    units,
    ruledOut: fates && ruledOutUnits(fates),
    layout: {
      schema: column.schema.map(plainElement),
      nested: request.kind === 'tokens',
      ...(id && { id: { schema: id.schema.map(plainElement), type: id.type } }),
      ...(fields.length > 0 && {
        fields: fields.map(({ field, schema, type }) => ({ name: field, schema: schema.map(plainElement), type })),
      }),
      ...(fieldsOnly && { fieldsOnly }),
      ...(filterColumns && {
        filter: filterColumns.map(({ name, type, schema }) => ({ column: name, type: { ...type }, schema: schema.map(plainElement) })),
      }),
      ...(leaves && {
        leaves: leaves.map(({ schema, repetitions, type }) => ({ schema: schema.map(plainElement), repetitions, type })),
      }),
    },
  };
}

function ruledOutUnits(fates: readonly RowGroupFate[]): RuledOutUnits {
  const count = (wanted: RowGroupFate): number => fates.filter((fate) => fate === wanted).length;
  return { byStatistics: count('statistics'), byBloom: count('bloom') };
}

export interface ParquetFooter {
  /** With its trailer, in a buffer of its own. */
  readonly footer: Uint8Array<ArrayBuffer>;
  readonly metadata: FileMetaData;
}

/** Errors: those of `Store.read`, `SHARD_INVALID`, `SHARD_UNSUPPORTED`. */
export async function readParquetFooter(
  store: Store,
  object: ObjectInfo,
  uri: string,
  size: FooterSize,
  signal?: AbortSignal,
): Promise<ParquetFooter> {
  const footer = await readFooter(store, object, uri, size, signal);
  try {
    checkThrift(footer.subarray(0, footer.length - TRAILER_BYTES));
    // hyparquet parses a whole file's end: the footer, its length and the magic
    return { footer, metadata: parquetMetadata(footer.buffer, { geoparquet: false }) };
  } catch (error) {
    throw invalid(uri, `its footer cannot be parsed (${messageOf(error)})`, error);
  }
}

/** The footer with its trailer, in a buffer of its own. One request, or two where the footer is larger than those before. */
async function readFooter(
  store: Store,
  object: ObjectInfo,
  uri: string,
  size: FooterSize,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const options = { ifMatch: object.etag, ...(signal && { signal }) };
  if (object.size === 0) throw invalid(uri, 'it is empty');
  if (object.size < TRAILER_BYTES + MAGIC.length) throw invalid(uri, `it has only ${object.size} bytes`);
  const guess = Math.min(object.size, size.guessBytes);
  const tail = await store.read(object.path, { startByte: object.size - guess, endByte: object.size }, options);
  const magic = Buffer.from(tail.subarray(guess - MAGIC.length)).toString('latin1');
  if (magic === MAGIC_ENCRYPTED) {
    throw new HeadraceError('SHARD_UNSUPPORTED', `${uri} has an encrypted footer`, {
      detail: { uri },
      hint: 'Write the data without encryption; encryption of the store is no matter.',
    });
  }
  if (magic !== MAGIC) {
    const start = await store.read(object.path, { startByte: 0, endByte: Math.min(object.size, MAGIC_BYTES) }, options);
    throw invalid(uri, whatItIs(start));
  }
  const view = new DataView(tail.buffer, tail.byteOffset, guess);
  const footerBytes = view.getUint32(guess - TRAILER_BYTES, true) + TRAILER_BYTES;
  if (footerBytes > object.size - MAGIC.length || footerBytes > LIMITS.footerBytesMax) {
    throw invalid(uri, `its footer claims ${footerBytes} bytes of ${object.size}`);
  }
  size.learn(footerBytes);
  if (footerBytes <= guess) return tail.slice(guess - footerBytes);
  const front = await store.read(object.path, { startByte: object.size - footerBytes, endByte: object.size - guess }, options);
  const footer = new Uint8Array(footerBytes);
  footer.set(front);
  footer.set(tail, front.length);
  return footer;
}

/** Of a file whose end is not that of a Parquet file. */
function whatItIs(start: Uint8Array): string {
  if (Buffer.from(start.subarray(0, MAGIC.length)).toString('latin1') === MAGIC) {
    return 'it begins as one, but does not end with PAR1: it was cut off, or something was added to it';
  }
  const name = nameOfMagic(start);
  return name === undefined ? 'it does not end with PAR1' : `it is ${name}`;
}

function plainElement(element: SchemaElement): Record<string, string | number> {
  return Object.fromEntries(Object.entries(element).filter((entry): entry is [string, string | number] => entry[1] !== undefined));
}

interface IndexedFile {
  readonly column: Column;
  readonly leaves: readonly LeafColumn[] | undefined;
  readonly id: IdColumn | undefined;
  readonly fields: readonly FieldColumn[];
  readonly fieldsOnly: boolean;
  /** Those that decide about the rows; `undefined`: nothing does. */
  readonly filter: readonly FilterColumn[] | undefined;
  readonly object: ObjectInfo;
  readonly uri: string;
}

function unitOf(
  rowGroup: RowGroup,
  index: number,
  startRow: number,
  { column, leaves, id, fields, fieldsOnly, filter, object, uri }: IndexedFile,
): Unit {
  const rows = Number(rowGroup.num_rows);
  if (!(Number.isSafeInteger(rows) && rows >= 0)) throw invalid(uri, `row group ${index} claims ${rows} rows`);
  const own = (leaves ?? [column]).map((leaf) => chunkOf(rowGroup, index, leaf, object, uri));
  const beside = fields.map((field) => chunkOf(rowGroup, index, field, object, uri));
  const layout: ParquetUnitLayout = {
    ...own[0].chunk,
    ...(id && { id: chunkOf(rowGroup, index, id, object, uri).chunk }),
    ...(fields.length > 0 && { fields: beside.map(({ chunk }) => chunk) }),
    ...(filter && { filter: filter.map((column) => chunkOf(rowGroup, index, column, object, uri).chunk) }),
    ...(leaves && { leaves: own.map(({ chunk }) => chunk) }),
  };
  const read = fieldsOnly ? beside : [...own, ...beside];
  const decodedBytes = read.reduce((sum, found) => sum + found.decodedBytes, 0);
  const storedBytes = read.reduce((sum, { chunk }) => sum + chunk.endByte - chunk.startByte, 0);
  return { startRow, rows, decodedBytes, storedBytes, layout: { ...layout } };
}

interface FoundChunk {
  readonly chunk: ParquetChunkLayout;
  readonly decodedBytes: number;
}

function chunkOf(rowGroup: RowGroup, index: number, column: Column, object: ObjectInfo, uri: string): FoundChunk {
  const isOwn = ({ meta_data: meta }: ColumnChunk): boolean =>
    meta?.path_in_schema.length === column.path.length && column.path.every((name, level) => meta.path_in_schema[level] === name);
  const chunk = rowGroup.columns.find(isOwn);
  const meta = chunk?.meta_data;
  if (chunk?.crypto_metadata !== undefined || (chunk === undefined && rowGroup.columns.some((other) => other.meta_data === undefined))) {
    throw new HeadraceError('SHARD_UNSUPPORTED', `column ${column.name} of ${uri} is encrypted`, {
      detail: { uri, column: column.name },
      hint: 'Write the data without encryption; encryption of the store is no matter.',
    });
  }
  if (chunk === undefined || meta === undefined) throw invalid(uri, `row group ${index} has no column chunk for ${column.name}`);
  if (chunk.file_path !== undefined) {
    throw new HeadraceError('SHARD_UNSUPPORTED', `${uri} keeps its columns in another file (${chunk.file_path})`, {
      detail: { uri },
      hint: 'Point the source at the files that hold the data, not at a _metadata file.',
    });
  }
  // a number that names no codec is not one of those that hyparquet has words for
  const codec = (meta.codec as string | undefined) ?? 'a codec that is not known';
  if (!CODECS.has(codec)) {
    throw new HeadraceError('SHARD_UNSUPPORTED', `${uri} is compressed with ${codec}`, {
      detail: { uri, codec },
      hint: `Write it with one of ${[...CODECS].join(', ')}.`,
    });
  }
  const dataStartByte = Number(meta.data_page_offset);
  const dictionaryByte = Number(meta.dictionary_page_offset ?? 0);
  const startByte = dictionaryByte > 0 && dictionaryByte < dataStartByte ? dictionaryByte : dataStartByte;
  const endByte = startByte + Number(meta.total_compressed_size);
  if (!(startByte >= 0 && endByte <= object.size && endByte >= startByte)) {
    throw invalid(uri, `row group ${index} claims bytes ${startByte} to ${endByte} of ${object.size}`);
  }
  const decodedBytes = Number(meta.total_uncompressed_size);
  if (!(Number.isSafeInteger(decodedBytes) && decodedBytes >= 0))
    throw invalid(uri, `row group ${index} claims ${decodedBytes} decoded bytes`);
  // readers look at the pages; a damaged list of encodings is none
  const encodings = ((meta.encodings as readonly (string | undefined)[] | undefined) ?? []).filter((encoding) => encoding !== undefined);
  const values = Number(meta.num_values);
  if (!(Number.isSafeInteger(values) && values >= 0)) throw invalid(uri, `row group ${index} claims ${values} values`);
  const { type } = column.schema[column.schema.length - 1];
  if (type === undefined || meta.type !== type) throw invalid(uri, `row group ${index} has another type of ${column.name} than the schema`);
  const layout: ParquetChunkLayout = {
    startByte,
    endByte,
    codec: meta.codec,
    encodings,
    type: meta.type,
    path: meta.path_in_schema,
    values,
    dataStartByte,
    ...offsetIndexOf(chunk, object.size),
  };
  return { chunk: layout, decodedBytes };
}

function offsetIndexOf(chunk: ColumnChunk, objectSize: number): Pick<ParquetChunkLayout, 'offsetIndex'> {
  const startByte = Number(chunk.offset_index_offset ?? 0);
  const endByte = startByte + (chunk.offset_index_length ?? 0);
  return startByte > 0 && endByte > startByte && endByte <= objectSize ? { offsetIndex: { startByte, endByte } } : {};
}

export function invalid(uri: string, problem: string, cause?: unknown): HeadraceError {
  return new HeadraceError('SHARD_INVALID', `${uri} is not a readable Parquet file: ${problem}`, {
    detail: { uri },
    hint: 'Write the file again, or take it out of the source.',
    cause,
  });
}
