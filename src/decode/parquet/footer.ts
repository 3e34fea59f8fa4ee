/** Reads the footer of a Parquet file and keeps what the plan and the block reader need of the projected column, and of that of the ids. */
import { createHash } from 'node:crypto';
import { parquetMetadata, type ColumnChunk, type FileMetaData, type RowGroup, type SchemaElement } from 'hyparquet';
import { LIMITS } from '../../config/limits.js';
import { HeadraceError, messageOf } from '../../core/errors.js';
import { nearestNames } from '../../core/nearest-name.js';
import type { Unit } from '../../core/shard.js';
import type { ObjectInfo, Store } from '../../store/store.js';
import type { ColumnRequest, ShardIndex } from '../decoder.js';
import type { FooterSize } from './footer-size.js';
import type { ParquetChunkLayout, ParquetIdType, ParquetUnitLayout } from './layout.js';
import { leavesOf, type LeafColumn } from './leaves.js';

/** `PAR1`, at both ends of a file; `PARE` where the footer is encrypted. */
const MAGIC = 'PAR1';
const MAGIC_ENCRYPTED = 'PARE';
/** Footer length and magic. */
const TRAILER_BYTES = 8;

const CODECS = new Set(['UNCOMPRESSED', 'SNAPPY', 'GZIP', 'BROTLI', 'ZSTD', 'LZ4', 'LZ4_RAW']);
const TEXT_TYPES = new Set(['UTF8', 'JSON', 'ENUM']);
const INTEGER_TYPES = new Set(['INT32', 'INT64']);
/** INT32 and INT64 are also dates, times and decimals, which are no ids. */
const INTEGER_ANNOTATION = /^U?INT_(8|16|32|64)$/;

/** Errors: those of `Store.read`, `SHARD_INVALID`, `SHARD_UNSUPPORTED`, `COLUMN_MISSING`, `COLUMN_TYPE`. */
export async function readParquetIndex(
  store: Store,
  object: ObjectInfo,
  request: ColumnRequest,
  size: FooterSize,
  signal?: AbortSignal,
): Promise<ShardIndex> {
  const uri = store.uri + object.path;
  const footer = await readFooter(store, object, uri, size, signal);
  let metadata: FileMetaData;
  try {
    // hyparquet parses a whole file's end: the footer, its length and the magic
    metadata = parquetMetadata(footer.buffer);
  } catch (error) {
    throw invalid(uri, `its footer cannot be parsed (${messageOf(error)})`, error);
  }
  const leaves = request.kind === 'records' ? findLeaves(metadata.schema, request, uri) : undefined;
  const column = leaves?.[0] ?? findColumn(metadata.schema, request, uri);
  const id = request.id === undefined ? undefined : findIdColumn(metadata.schema, request.id, uri);
  const units: Unit[] = [];
  let startRow = 0;
  for (const [index, rowGroup] of metadata.row_groups.entries()) {
    const unit = unitOf(rowGroup, index, startRow, { column, leaves, id, object, uri });
    units.push(unit);
    startRow += unit.rows;
  }
  return {
    contentId: createHash('sha256').update(footer).digest('hex'),
    rows: startRow,
    units,
    layout: {
      schema: column.schema.map(plainElement),
      nested: request.kind === 'tokens',
      ...(id && { id: { schema: id.schema.map(plainElement), type: id.type } }),
      ...(leaves && {
        leaves: leaves.map(({ schema, repetitions, type }) => ({ schema: schema.map(plainElement), repetitions, type })),
      }),
    },
  };
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
  if (object.size < TRAILER_BYTES + MAGIC.length) throw invalid(uri, `it has only ${object.size} bytes`);
  const guess = Math.min(object.size, size.guessBytes);
  const tail = await store.read(object.path, { startByte: object.size - guess, endByte: object.size }, options);
  const magic = Buffer.from(tail.subarray(guess - MAGIC.length)).toString('latin1');
  if (magic === MAGIC_ENCRYPTED) {
    throw new HeadraceError('SHARD_UNSUPPORTED', `${uri} has an encrypted footer`, {
      detail: { uri },
      hint: 'Write the data without encryption.',
    });
  }
  if (magic !== MAGIC) throw invalid(uri, 'it does not end with PAR1');
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

interface Column {
  /** Root, then the column's elements. */
  readonly schema: readonly SchemaElement[];
  readonly name: string;
  /** Of a leaf beside others. */
  readonly path?: readonly string[];
}

interface IdColumn extends Column {
  readonly type: ParquetIdType;
}

function findColumn(schema: readonly SchemaElement[], request: ColumnRequest, uri: string): Column {
  const elements = elementsOf(schema, request.column, uri);
  const leaves = elements.filter((element) => element.type !== undefined);
  const leaf = leaves.at(0);
  const fits =
    leaves.length === 1 && leaf !== undefined && (request.kind === 'text' ? isText(elements, leaf) : isTokenList(elements, leaf));
  if (!fits) {
    throw new HeadraceError(
      'COLUMN_TYPE',
      `column ${request.column} of ${uri} is ${describe(elements)}, not ${request.kind === 'text' ? 'text' : 'a list of integers'}`,
      {
        detail: { uri, column: request.column, type: describe(elements) },
        hint:
          request.kind === 'text'
            ? 'Name a string column in `text`, or a column of token ids in `tokens`.'
            : 'Name a column of list<int32 | uint16 | uint32 | int64> in `tokens`, or a string column in `text`.',
      },
    );
  }
  return columnOf(elements, request.column);
}

/** Of all columns of the records, in the order of the request. */
function findLeaves(schema: readonly SchemaElement[], { column, columns = [column] }: ColumnRequest, uri: string): LeafColumn[] {
  const leaves = columns.flatMap((name) => leavesOf(elementsOf(schema, name, uri), name, uri));
  if (leaves.length <= LIMITS.recordLeavesMax) return leaves;
  throw new HeadraceError('SHARD_UNSUPPORTED', `the columns of ${uri} that are asked for have ${leaves.length} leaves`, {
    detail: { uri, leaves: leaves.length, leavesMax: LIMITS.recordLeavesMax },
    hint: 'Name fewer columns, or keep what is nested deeply as a column of JSON text.',
  });
}

function findIdColumn(schema: readonly SchemaElement[], name: string, uri: string): IdColumn {
  const elements = elementsOf(schema, name, uri);
  const type = idTypeOf(elements);
  if (type !== undefined) return { ...columnOf(elements, name), type };
  throw new HeadraceError('COLUMN_TYPE', `column ${name} of ${uri} is ${describe(elements)}, not text or an integer`, {
    detail: { uri, column: name, type: describe(elements) },
    hint: 'Name a column of strings or integers in `id`.',
  });
}

/** A column's elements, in the depth-first order of the footer. */
function elementsOf(schema: readonly SchemaElement[], name: string, uri: string): SchemaElement[] {
  const columns = topLevelColumns(schema);
  const elements = columns.get(name);
  if (elements !== undefined) return elements;
  const near = nearestNames(name, [...columns.keys()]);
  const suggestion =
    near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `Its columns are ${[...columns.keys()].slice(0, 20).join(', ')}.`;
  throw new HeadraceError('COLUMN_MISSING', `${uri} has no column ${name}`, {
    detail: { uri, column: name, columns: [...columns.keys()].slice(0, 50).join(', ') },
    hint: suggestion,
  });
}

function columnOf(elements: readonly SchemaElement[], name: string): Column {
  return { schema: [{ name: 'schema', num_children: 1 }, ...elements.map(withoutLogicalType)], name };
}

/** Undefined: no column of ids. */
function idTypeOf(elements: readonly SchemaElement[]): ParquetIdType | undefined {
  const [leaf] = elements;
  if (isText(elements, leaf)) return 'string';
  const { type, converted_type: converted, logical_type: logical } = leaf;
  if (elements.length > 1 || leaf.repetition_type === 'REPEATED' || type === undefined || !INTEGER_TYPES.has(type)) return undefined;
  if (logical !== undefined && logical.type !== 'INTEGER') return undefined;
  if (converted !== undefined && !INTEGER_ANNOTATION.test(converted)) return undefined;
  return converted?.startsWith('U') === true || (logical?.type === 'INTEGER' && !logical.isSigned) ? 'unsigned' : 'integer';
}

/** Each top-level column's elements, in the depth-first order of the footer. */
function topLevelColumns(schema: readonly SchemaElement[]): Map<string, SchemaElement[]> {
  const columns = new Map<string, SchemaElement[]>();
  let index = 1;
  while (index < schema.length) {
    const start = index;
    let open = 1;
    while (open > 0 && index < schema.length) open += (schema[index++].num_children ?? 0) - 1;
    columns.set(schema[start].name, schema.slice(start, index));
  }
  return columns;
}

function isText(elements: readonly SchemaElement[], leaf: SchemaElement): boolean {
  const text = leaf.logical_type?.type === 'STRING' || (leaf.converted_type !== undefined && TEXT_TYPES.has(leaf.converted_type));
  return elements.length === 1 && leaf.type === 'BYTE_ARRAY' && leaf.repetition_type !== 'REPEATED' && text;
}

/** One repeated level above an integer leaf: LIST in three levels, in two (legacy), or a bare repeated field. */
function isTokenList(elements: readonly SchemaElement[], leaf: SchemaElement): boolean {
  const repeated = elements.filter((element) => element.repetition_type === 'REPEATED').length;
  return (
    repeated === 1 && elements.length <= 3 && leaf.type !== undefined && INTEGER_TYPES.has(leaf.type) && leaf.converted_type !== 'DECIMAL'
  );
}

/** Values then come as plain bytes and integers, whatever they are annotated with; the LIST annotation stays, it is structure. */
function withoutLogicalType(element: SchemaElement): SchemaElement {
  const { logical_type, converted_type, ...rest } = element;
  return converted_type === 'LIST' ? { ...rest, converted_type } : rest;
}

function plainElement(element: SchemaElement): Record<string, string | number> {
  return Object.fromEntries(Object.entries(element).filter((entry): entry is [string, string | number] => entry[1] !== undefined));
}

interface IndexedFile {
  readonly column: Column;
  readonly leaves: readonly LeafColumn[] | undefined;
  readonly id: IdColumn | undefined;
  readonly object: ObjectInfo;
  readonly uri: string;
}

function unitOf(rowGroup: RowGroup, index: number, startRow: number, { column, leaves, id, object, uri }: IndexedFile): Unit {
  const rows = Number(rowGroup.num_rows);
  if (!(Number.isSafeInteger(rows) && rows >= 0)) throw invalid(uri, `row group ${index} claims ${rows} rows`);
  const found = (leaves ?? [column]).map((leaf) => chunkOf(rowGroup, index, leaf, object, uri));
  const layout: ParquetUnitLayout = {
    ...found[0].chunk,
    ...(id && { id: chunkOf(rowGroup, index, id, object, uri).chunk }),
    ...(leaves && { leaves: found.map(({ chunk }) => chunk) }),
  };
  const decodedBytes = found.reduce((sum, chunk) => sum + chunk.decodedBytes, 0);
  const storedBytes = found.reduce((sum, { chunk }) => sum + chunk.endByte - chunk.startByte, 0);
  return { startRow, rows, decodedBytes, storedBytes, layout: { ...layout } };
}

interface FoundChunk {
  readonly chunk: ParquetChunkLayout;
  readonly decodedBytes: number;
}

function chunkOf(rowGroup: RowGroup, index: number, column: Column, object: ObjectInfo, uri: string): FoundChunk {
  const chunk = rowGroup.columns.find(({ meta_data: meta }) =>
    column.path === undefined ? meta?.path_in_schema[0] === column.name : meta?.path_in_schema.join('\0') === column.path.join('\0'),
  );
  const meta = chunk?.meta_data;
  if (chunk === undefined || meta === undefined) throw invalid(uri, `row group ${index} has no column chunk for ${column.name}`);
  if (chunk.file_path !== undefined) {
    throw new HeadraceError('SHARD_UNSUPPORTED', `${uri} keeps its columns in another file (${chunk.file_path})`, {
      detail: { uri },
      hint: 'Point the source at the files that hold the data, not at a _metadata file.',
    });
  }
  if (!CODECS.has(meta.codec)) {
    throw new HeadraceError('SHARD_UNSUPPORTED', `${uri} is compressed with ${meta.codec}`, {
      detail: { uri, codec: meta.codec },
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
  const layout: ParquetChunkLayout = {
    startByte,
    endByte,
    codec: meta.codec,
    encodings: meta.encodings,
    type: meta.type,
    path: meta.path_in_schema,
    dataStartByte,
    ...offsetIndexOf(chunk, object.size),
  };
  return { chunk: layout, decodedBytes: Number(meta.total_uncompressed_size) };
}

function offsetIndexOf(chunk: ColumnChunk, objectSize: number): Pick<ParquetChunkLayout, 'offsetIndex'> {
  const startByte = Number(chunk.offset_index_offset ?? 0);
  const endByte = startByte + (chunk.offset_index_length ?? 0);
  return startByte > 0 && endByte > startByte && endByte <= objectSize ? { offsetIndex: { startByte, endByte } } : {};
}

function describe(elements: readonly SchemaElement[]): string {
  const [top] = elements;
  const name = (element: SchemaElement): string =>
    (element.logical_type?.type ?? element.converted_type ?? element.type ?? 'group').toLowerCase();
  return elements.length === 1 ? name(top) : `${name(top)} of ${elements.slice(1).map(name).join(', ')}`;
}

function invalid(uri: string, problem: string, cause?: unknown): HeadraceError {
  return new HeadraceError('SHARD_INVALID', `${uri} is not a readable Parquet file: ${problem}`, {
    detail: { uri },
    hint: 'Write the file again, or take it out of the source.',
    cause,
  });
}
