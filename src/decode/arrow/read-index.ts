/** Reads the metadata of an Arrow file or stream, and keeps where the buffers of the wanted columns are: of each record batch, and of their dictionaries. */
import { LIMITS } from '../../config/limits.js';
import { HeadraceError } from '../../core/errors.js';
import { checkDeclaredType, type FieldRequest } from '../../core/fields.js';
import { columnsOf, type Filter } from '../../core/filter/filter.js';
import type { ColumnType } from '../../core/filter/operand.js';
import { nearestNames } from '../../core/nearest-name.js';
import type { Unit } from '../../core/shard.js';
import type { ByteRange, ObjectInfo, Store } from '../../store/store.js';
import { checkComparable } from '../comparable.js';
import type { ColumnRequest, ShardIndex } from '../decoder.js';
import { sizeNotKnown, sizeOfLists, type ListCount } from '../field-types.js';
import type { RecordLeaf } from '../layout-types.js';
import { partOfStruct, tooManyLeaves } from '../record-columns.js';
import { columnTypeOf, fieldTypeOf, filterTypeOf, recordTypeOf } from './column-types.js';
import { bufferOf, decodedLength, lengthPlaces, type Body } from './body.js';
import {
  bitmapBytes,
  bytesOfItems,
  describeField,
  findFields,
  itemOf,
  mainBytes,
  placesOf,
  type ArrayPlace,
  type ArrowPath,
} from './column.js';
import {
  storedBytesOf,
  type ArrowBufferPlace,
  type ArrowColumnLayout,
  type ArrowColumnType,
  type ArrowDictionaryLayout,
  type ArrowRecordArray,
  type ArrowServed,
  type ArrowShardLayout,
  type ArrowUnitLayout,
} from './layout.js';
import type { FoundMessage, ReadBytes } from './messages.js';
import { ArrowMetadataError, ArrowUnsupported, type ArrowField, type ArrowSchema } from './metadata.js';
import { visitArrow } from './visit.js';

const NO_BUFFER: ArrowBufferPlace = [0, 0];

export interface ArrowIndexRequest extends ColumnRequest {
  /** Of the rows that are taken; `undefined`: all. */
  readonly filter?: Filter | undefined;
}

/** Errors: those of `Store.read`, `SHARD_INVALID`, `SHARD_UNSUPPORTED`, `COLUMN_MISSING`, `COLUMN_TYPE`. */
export async function readArrowIndex(
  store: Store,
  object: ObjectInfo,
  request: ArrowIndexRequest,
  signal: AbortSignal = new AbortController().signal,
): Promise<ShardIndex> {
  const builder = new IndexBuilder(request, store.uri + object.path);
  return builder.finish(await visitArrow(store, object, builder, signal));
}

/** A wanted array, and what is known of it so far. */
interface WantedArray {
  readonly name: string;
  /** Down to it, from an array that has as many values: the structs that it is in. */
  readonly path: ArrowPath;
  readonly type: ArrowColumnType;
  readonly dictionary: ArrowDictionaryLayout[];
  /** The first part of the dictionary that holds now. */
  dictionaryStart: number;
  /** Of one value of it. */
  dictionaryValueBytes: number;
}

/** An array of records, with those inside it. */
interface WantedRecord extends WantedArray {
  readonly leaf?: RecordLeaf;
  readonly children: readonly WantedRecord[];
}

interface WantedField extends WantedArray {
  readonly request: FieldRequest;
  readonly served: ArrowServed;
  /** Of each record batch. */
  readonly lists: ListCount[];
}

/** All that a request asks for; each of a file has dictionaries of its own. */
interface Wanted {
  readonly column: WantedArray | undefined;
  readonly id: WantedArray | undefined;
  readonly fields: readonly WantedField[];
  readonly filter: readonly (WantedArray & { readonly compared: ColumnType })[];
  readonly records: readonly WantedRecord[];
  /** All of them, those inside others too, in the order in which the shard has their dictionaries. */
  readonly arrays: readonly WantedArray[];
}

class IndexBuilder {
  readonly #request: ArrowIndexRequest;
  readonly #uri: string;
  #schema: ArrowSchema | undefined;
  #wanted: Wanted | undefined;
  readonly #units: { readonly unit: Unit; readonly layout: ArrowUnitLayout }[] = [];
  #rows = 0;

  constructor(request: ArrowIndexRequest, uri: string) {
    this.#request = request;
    this.#uri = uri;
  }

  schema(schema: ArrowSchema): void {
    this.#schema = schema;
    this.#wanted = wantedOf(schema, this.#request, this.#uri);
  }

  peeks({ message, bodyByte }: FoundMessage): ByteRange[] {
    const { batch } = message;
    if (batch.codec === 'none' || message.kind !== 'batch') return [];
    const places = placesOf(this.#schema as ArrowSchema, batch);
    const wanted = (this.#wanted as Wanted).arrays.flatMap(({ path, type }) => {
      const leaf = path[path.length - 1];
      return itemOf(type) === undefined ? path : [...path, leaf.children[0]];
    });
    return wanted.flatMap((field) => {
      const { buffer, buffers } = places.get(field) as ArrayPlace;
      return lengthPlaces(batch.buffers.slice(buffer, buffer + buffers), bodyByte, message.bodyBytes);
    });
  }

  async message({ message, bodyByte }: FoundMessage, read: ReadBytes): Promise<void> {
    const body: Body = { batch: message.batch, bodyByte, bodyBytes: message.bodyBytes, read };
    if (message.kind === 'dictionary') {
      // what says so may be a record batch that is read as one
      if (!hasDictionary((this.#schema as ArrowSchema).fields, message.id))
        throw new ArrowMetadataError(`it has a dictionary ${message.id}, which its schema has not`);
      for (const array of (this.#wanted as Wanted).arrays) {
        if (array.path.at(-1)?.dictionary?.id === message.id) await addDictionary(array, body, message.isDelta);
      }
      return;
    }
    await this.#addBatch(body);
  }

  finish(contentId: string): ShardIndex {
    const { column, id, fields, filter, records, arrays } = this.#wanted as Wanted;
    const layout: ArrowShardLayout = {
      ...(column && { name: column.name, type: column.type }),
      ...(id && { id: { name: id.name, type: id.type } }),
      ...(fields.length > 0 && { fields: fields.map((field) => this.#fieldLayout(field)) }),
      ...(filter.length > 0 && { filter: filter.map(({ name, type, compared }) => ({ column: name, type, compared: { ...compared } })) }),
      ...(records.length > 0 && { records: records.map(recordLayout) }),
      dictionaries: arrays.flatMap(({ dictionary }) => dictionary),
    };
    const starts = new Map<WantedArray, number>();
    let start = 0;
    for (const array of arrays) {
      starts.set(array, start);
      start += array.dictionary.length;
    }
    const shifted = (array: WantedArray, own: ArrowColumnLayout): ArrowColumnLayout => {
      const shift = starts.get(array) ?? 0;
      return { ...own, dictionary: [own.dictionary[0] + shift, own.dictionary[1] + shift] };
    };
    const units = this.#units.map(({ unit, layout: own }): Unit => {
      const each = (group: readonly WantedArray[], layouts: readonly ArrowColumnLayout[] = []): ArrowColumnLayout[] =>
        layouts.map((layout, i) => shifted(group[i], layout));
      const moved: ArrowUnitLayout = {
        ...(column && own.column && { column: shifted(column, own.column) }),
        ...(id && own.id && { id: shifted(id, own.id) }),
        ...(own.fields && { fields: each(fields, own.fields) }),
        ...(own.filter && { filter: each(filter, own.filter) }),
        ...(own.records && { records: each(records.flatMap(arraysOf), own.records) }),
      };
      return { ...unit, layout: { ...moved } };
    });
    return { contentId, rows: this.#rows, units, layout: { ...layout } };
  }

  /** Errors: `COLUMN_TYPE` where nothing says how long lists are. */
  #fieldLayout({ request, type, served, lists, path }: WantedField): NonNullable<ArrowShardLayout['fields']>[number] {
    const { name, column } = request;
    if (served.kind !== 'numbers' || served.size !== UNKNOWN_SIZE) return { name, column, type, served };
    const size = sizeOfLists(lists) ?? UNKNOWN_SIZE;
    if (size === UNKNOWN_SIZE && this.#rows > 0) throw sizeNotKnown(request, describeField(path[path.length - 1]), this.#uri);
    return { name, column, type, served: { ...served, size } };
  }

  async #addBatch(body: Body): Promise<void> {
    const schema = this.#schema as ArrowSchema;
    const { column, id, fields, filter, records } = this.#wanted as Wanted;
    const { rows, codec } = body.batch;
    if (rows > LIMITS.arrowBatchRowsMax) throw new ArrowMetadataError(`a record batch claims ${rows} rows`);
    const places = placesOf(schema, body.batch);
    const found = async (arrays: readonly WantedArray[]): Promise<FoundColumn[]> => {
      const columns: FoundColumn[] = [];
      // one after the other, as they lie in a stream
      for (const array of arrays) columns.push(await columnOf(places, array, body, rows));
      return columns;
    };
    const own = column && (await columnOf(places, column, body, rows));
    const beside = await found(fields);
    for (const [i, { layout }] of beside.entries()) fields[i].lists.push({ rows, values: layout.items });
    const filtering = await found(filter);
    const ids = id && (await columnOf(places, id, body, rows));
    const parts: FoundColumn[] = [];
    for (const record of records) parts.push(...(await recordOf(places, record, body, rows)));
    if (this.#units.length >= LIMITS.arrowBatchesMax)
      throw new ArrowUnsupported(`it has more than ${LIMITS.arrowBatchesMax} record batches`);
    const layouts = (columns: readonly FoundColumn[]): ArrowColumnLayout[] => columns.map(({ layout }) => layout);
    const layout: ArrowUnitLayout = {
      ...(own && { column: own.layout }),
      ...(ids && { id: ids.layout }),
      ...(fields.length > 0 && { fields: layouts(beside) }),
      ...(filter.length > 0 && { filter: layouts(filtering) }),
      ...(records.length > 0 && { records: layouts(parts) }),
    };
    const read = [...(own ? [own] : []), ...beside, ...parts];
    // filters and ids do not count: a stream has the same units with and without them
    const isView = [...(column ? [column] : []), ...fields, ...records.flatMap(arraysOf)].some(({ type }) => type.kind === 'view');
    const decodedBytes = read.reduce((sum, one) => sum + one.decodedBytes, 0);
    const storedBytes = read.reduce((sum, one) => sum + storedBytesOf(one.layout), 0);
    this.#units.push({
      unit: { startRow: this.#rows, rows, decodedBytes, storedBytes, isWhole: codec !== 'none' || isView, layout: null },
      layout,
    });
    this.#rows += rows;
  }
}

function hasDictionary(fields: readonly ArrowField[], id: bigint): boolean {
  return fields.some(({ dictionary, children }) => dictionary?.id === id || hasDictionary(children, id));
}

/** Of lists, until the last record batch is known. */
const UNKNOWN_SIZE = 0;

/** Errors: `COLUMN_MISSING`, `COLUMN_TYPE`, `SHARD_UNSUPPORTED`. */
function wantedOf(schema: ArrowSchema, request: ArrowIndexRequest, uri: string): Wanted {
  const { column: name, kind, columns = [name], filter } = request;
  const column = kind === 'text' || kind === 'tokens' ? wantedColumn(schema, name, kind, uri) : undefined;
  const id = request.id === undefined ? undefined : wantedColumn(schema, request.id, 'id', uri);
  const fields = (request.fields ?? []).map((field): WantedField => {
    const path = pathOf(schema, field.column, uri);
    const { type, served } = fieldTypeOf(path[path.length - 1], field, uri);
    checkDeclaredType(field, served, uri);
    return { ...wantedArray(field.column, path, type), request: field, served, lists: [] };
  });
  const filterColumns = (filter === undefined ? [] : columnsOf(filter)).map((own) => {
    const path = pathOf(schema, own, uri);
    const { type, compared } = filterTypeOf(path[path.length - 1], own, uri);
    return { ...wantedArray(own, path, type), compared };
  });
  if (filter !== undefined) checkComparable(filter, new Map(filterColumns.map((own) => [own.name, own.compared])), uri);
  const records = kind === 'records' ? columns.map((own) => wantedRecord(schema, own, uri)) : [];
  const inRecords = records.flatMap(arraysOf);
  const leaves = inRecords.filter(({ leaf }) => leaf !== undefined).length;
  if (leaves > LIMITS.recordLeavesMax) throw tooManyLeaves(leaves, uri);
  const arrays = [...(column ? [column] : []), ...(id ? [id] : []), ...fields, ...filterColumns, ...inRecords];
  return { column, id, fields, filter: filterColumns, records, arrays };
}

function wantedArray(name: string, path: ArrowPath, type: ArrowColumnType): WantedArray {
  return { name, path, type, dictionary: [], dictionaryStart: 0, dictionaryValueBytes: 0 };
}

/** Errors: `COLUMN_MISSING`, `SHARD_UNSUPPORTED`. */
function pathOf({ fields }: ArrowSchema, name: string, uri: string): ArrowPath {
  const paths = findFields(fields, name);
  if (paths.length === 1) return paths[0];
  if (paths.length > 1) {
    throw new HeadraceError('SHARD_UNSUPPORTED', `${uri} has ${paths.length} columns of the name ${name}`, {
      detail: { uri, column: name },
      hint: 'Write the file with names that differ.',
    });
  }
  const names = fields.map((field) => field.name);
  const near = nearestNames(name, names);
  throw new HeadraceError('COLUMN_MISSING', `${uri} has no column ${name}`, {
    detail: { uri, column: name, columns: names.slice(0, 50).join(', ') },
    hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `Its columns are ${names.slice(0, 20).join(', ')}.`,
  });
}

/** Errors: `COLUMN_MISSING`, `COLUMN_TYPE`, `SHARD_UNSUPPORTED`. */
function wantedColumn(schema: ArrowSchema, name: string, kind: 'text' | 'tokens' | 'id', uri: string): WantedArray {
  const path = pathOf(schema, name, uri);
  const field = path[path.length - 1];
  const type = columnTypeOf(field, kind);
  if (type !== undefined) return wantedArray(name, path, type);
  const [expected, hint] = {
    text: ['text', 'Name a string column in `text`, or a column of token ids in `tokens`.'],
    tokens: ['a list of integers', 'Name a column of lists of integers in `tokens`, or a string column in `text`.'],
    id: ['text or an integer', 'Name a column of strings or integers in `id`.'],
  }[kind];
  throw new HeadraceError('COLUMN_TYPE', `column ${name} of ${uri} is ${describeField(field)}, not ${expected}`, {
    detail: { uri, column: name, type: describeField(field) },
    hint,
  });
}

/** Errors: as of `wantedColumn`. */
function wantedRecord(schema: ArrowSchema, name: string, uri: string): WantedRecord {
  const path = pathOf(schema, name, uri);
  if (path.length > 1) throw partOfStruct(name, uri);
  const visit = (field: ArrowField, above: readonly string[]): WantedRecord => {
    const names = [...above, field.name];
    const { type, leaf } = recordTypeOf(field, names, uri);
    const children = leaf === undefined ? field.children.map((child) => visit(child, names)) : [];
    return { ...wantedArray(field.name, [field], type), ...(leaf && { leaf }), children };
  };
  return visit(path[0], []);
}

/** Depth first. */
function arraysOf(record: WantedRecord): WantedRecord[] {
  return [record, ...record.children.flatMap(arraysOf)];
}

function recordLayout({ name, type, leaf, children }: WantedRecord): ArrowRecordArray {
  return { name, type, ...(leaf && { leaf }), children: children.map(recordLayout) };
}

interface FoundColumn {
  readonly layout: ArrowColumnLayout;
  readonly decodedBytes: number;
}

/** Of an array of records and those inside it, depth first. `rows`: its values. */
async function recordOf(
  places: ReadonlyMap<ArrowField, ArrayPlace>,
  record: WantedRecord,
  body: Body,
  rows: number,
): Promise<FoundColumn[]> {
  const own = await columnOf(places, record, body, rows);
  const found = [own];
  const { type } = record;
  for (const child of record.children) {
    const { items } = own.layout;
    found.push(...(await recordOf(places, child, body, type.kind === 'struct' ? rows : items)));
  }
  return found;
}

/** `rows`: what each array of the path has. */
async function columnOf(
  places: ReadonlyMap<ArrowField, ArrayPlace>,
  { path, type, dictionary, dictionaryStart, dictionaryValueBytes }: WantedArray,
  body: Body,
  rows: number,
): Promise<FoundColumn> {
  const { batch } = body;
  const { codec } = batch;
  const placeOf = (field: ArrowField): ArrayPlace => places.get(field) as ArrayPlace;
  const field = path[path.length - 1];
  const leaf = placeOf(field);
  const valid: ArrowBufferPlace[] = [];
  for (const { node, buffer } of path.map(placeOf)) {
    const [values, nulls] = batch.nodes[node];
    if (values !== rows) throw new ArrowMetadataError(`a column has ${values} values where its record batch has ${rows}`);
    if (nulls > 0) valid.push(await bufferOf(body, buffer, bitmapBytes(rows)));
  }
  const empty = { codec, valid, main: NO_BUFFER, values: NO_BUFFER, items: 0, data: [], dictionary: [0, 0] as [number, number] };
  const hasMain = type.kind !== 'fixed' && type.kind !== 'struct' && type.kind !== 'groups';
  const main = hasMain ? await bufferOf(body, leaf.buffer + 1, mainBytes(type, rows)) : NO_BUFFER;
  switch (type.kind) {
    case 'text': {
      const values = await bufferOf(body, leaf.buffer + 2, 0);
      const bytes = await decodedLength(body, values);
      return { layout: { ...empty, main, values }, decodedBytes: bytes + 4 * rows };
    }
    case 'integer':
    case 'number':
    case 'bytes':
      return { layout: { ...empty, main }, decodedBytes: mainBytes(type, rows) };
    case 'struct':
      return { layout: empty, decodedBytes: 0 };
    case 'lists':
    case 'groups': {
      const [items] = batch.nodes[placeOf(field.children[0]).node];
      if (items > LIMITS.arrowBatchRowsMax) throw new ArrowMetadataError(`a column claims ${items} items`);
      if (type.kind === 'groups' && items < rows * type.size)
        throw new ArrowMetadataError(`${rows} lists of ${type.size} have ${items} items`);
      return { layout: { ...empty, main, items }, decodedBytes: type.kind === 'lists' ? 4 * rows : 0 };
    }
    case 'view': {
      const data: ArrowBufferPlace[] = [];
      let bytes = 16 * rows;
      for (let i = 2; i < leaf.buffers; i++) {
        const own = await bufferOf(body, leaf.buffer + i, 0);
        bytes += await decodedLength(body, own);
        data.push(own);
      }
      if (bytes > LIMITS.pageBytesMax)
        throw new ArrowUnsupported(`a record batch has ${bytes} bytes of string_view, which is read as a whole: write smaller ones`);
      return { layout: { ...empty, main, data }, decodedBytes: bytes };
    }
    case 'dictionary': {
      if (dictionary.length === dictionaryStart && rows > 0) throw new ArrowMetadataError('a record batch comes before its dictionary');
      const bytes = rows * (4 + dictionaryValueBytes);
      return { layout: { ...empty, main, dictionary: [dictionaryStart, dictionary.length] }, decodedBytes: Math.ceil(bytes) };
    }
    case 'list':
    case 'fixed': {
      const items = placeOf(field.children[0]);
      const [count, nulls] = batch.nodes[items.node];
      if (type.kind === 'fixed' && count < rows * type.size)
        throw new ArrowMetadataError(`${rows} lists of ${type.size} have ${count} items`);
      const values = await bufferOf(body, items.buffer + 1, bytesOfItems(type.item, count));
      const itemsValid = nulls > 0 ? await bufferOf(body, items.buffer, bitmapBytes(count)) : undefined;
      const layout: ArrowColumnLayout = { ...empty, main, values, items: count, ...(itemsValid && { itemsValid }) };
      // as token ids, or as the numbers that are served
      const bytes = 'float' in type.item && type.item.float === 2 ? 4 : 'bytes' in type.item ? 4 : bytesOfItems(type.item, 1);
      return { layout, decodedBytes: bytes * count + 4 * rows };
    }
  }
}

async function addDictionary(column: WantedArray, body: Body, isDelta: boolean): Promise<void> {
  const { batch } = body;
  if (batch.nodes.length !== 1 || batch.buffers.length !== 3)
    throw new ArrowMetadataError('a dictionary of text has not the buffers of text');
  const { type, dictionary } = column;
  if (type.kind !== 'dictionary') return;
  const [[rows, nulls]] = batch.nodes;
  if (rows > LIMITS.arrowBatchRowsMax) throw new ArrowMetadataError(`a dictionary claims ${rows} values`);
  const offsets = await bufferOf(body, 1, rows === 0 ? 0 : (rows + 1) * type.offsetBytes);
  const values = await bufferOf(body, 2, 0);
  const valid = nulls > 0 ? await bufferOf(body, 0, bitmapBytes(rows)) : undefined;
  const bytes = await decodedLength(body, values);
  if (bytes > LIMITS.pageBytesMax) throw new ArrowUnsupported(`a dictionary has ${bytes} bytes`);
  if (!isDelta) column.dictionaryStart = dictionary.length;
  dictionary.push({ codec: batch.codec, rows, ...(valid && { valid }), offsets, values });
  column.dictionaryValueBytes = rows === 0 ? 0 : bytes / rows;
}
