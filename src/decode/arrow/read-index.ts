/** Reads the metadata of an Arrow file or stream, and keeps where the buffers of the wanted columns are: of each record batch, and of their dictionaries. */
import { LIMITS } from '../../config/limits.js';
import { HeadraceError, messageOf } from '../../core/errors.js';
import { nearestNames } from '../../core/nearest-name.js';
import type { Unit } from '../../core/shard.js';
import type { ObjectInfo, Store } from '../../store/store.js';
import type { PlainRequest, ShardIndex } from '../decoder.js';
import { bitmapBytes, columnTypeOf, describeField, findField, itemBytes, mainBytes, placesOf, type ArrowPath } from './column.js';
import type { ArrowCodec } from './encoded-slice.js';
import {
  storedBytesOf,
  type ArrowBufferPlace,
  type ArrowColumnLayout,
  type ArrowColumnType,
  type ArrowDictionaryLayout,
  type ArrowShardLayout,
  type ArrowUnitLayout,
} from './layout.js';
import { visitMessages, type FoundMessage, type ReadBytes } from './messages.js';
import { ArrowMetadataError, ArrowUnsupported, type ArrowBatch, type ArrowSchema } from './metadata.js';

/**
 * Decoded bytes that a stored byte can stand for: a match grows by 255 a byte (LZ4), a block of 128 KiB takes 4 (RFC 8878).
 */
const RATIO_MAX: Readonly<Record<ArrowCodec, number>> = { none: 1, lz4: 255, zstd: 32_768 };
/** A compressed buffer starts with its decoded length; −1: it is stored as it is. */
const LENGTH_BYTES = 8;
const NO_BUFFER: ArrowBufferPlace = [0, 0];

/** Errors: those of `Store.read`, `SHARD_INVALID`, `SHARD_UNSUPPORTED`, `COLUMN_MISSING`, `COLUMN_TYPE`. */
export async function readArrowIndex(
  store: Store,
  object: ObjectInfo,
  request: PlainRequest,
  signal: AbortSignal = new AbortController().signal,
): Promise<ShardIndex> {
  const uri = store.uri + object.path;
  const builder = new IndexBuilder(request, uri);
  try {
    const contentId = await visitMessages({ store, path: object.path, etag: object.etag }, object.size, builder, signal);
    return builder.finish(contentId);
  } catch (error) {
    if (error instanceof ArrowMetadataError) {
      throw new HeadraceError('SHARD_INVALID', `${uri} is not a readable Arrow file: ${messageOf(error)}`, {
        detail: { uri },
        hint: 'Write the file again, or take it out of the source.',
        cause: error,
      });
    }
    if (!(error instanceof ArrowUnsupported)) throw error;
    throw new HeadraceError('SHARD_UNSUPPORTED', `${uri} cannot be read: ${error.message}`, {
      detail: { uri },
      hint: 'Write it anew with pyarrow, from columns of strings, or of lists of integers.',
    });
  }
}

/** A wanted column, and what is known of it so far. */
interface WantedColumn {
  readonly name: string;
  readonly path: ArrowPath;
  readonly type: ArrowColumnType;
  readonly dictionary: ArrowDictionaryLayout[];
  /** The first part of the dictionary that holds now. */
  dictionaryStart: number;
  /** Of one value of it. */
  dictionaryValueBytes: number;
}

class IndexBuilder {
  readonly #request: PlainRequest;
  readonly #uri: string;
  #schema: ArrowSchema | undefined;
  #column: WantedColumn | undefined;
  #id: WantedColumn | undefined;
  readonly #units: { readonly unit: Unit; readonly layout: ArrowUnitLayout }[] = [];
  #rows = 0;

  constructor(request: PlainRequest, uri: string) {
    this.#request = request;
    this.#uri = uri;
  }

  schema(schema: ArrowSchema): void {
    const { column, kind, id } = this.#request;
    this.#schema = schema;
    this.#column = wantedColumn(schema, column, kind, this.#uri);
    this.#id = id === undefined ? undefined : wantedColumn(schema, id, 'id', this.#uri);
  }

  async message({ message, bodyByte }: FoundMessage, read: ReadBytes): Promise<void> {
    const body: Body = { batch: message.batch, bodyByte, bodyBytes: message.bodyBytes, read };
    const wanted = [this.#column, this.#id].filter((column) => column !== undefined);
    if (message.kind === 'dictionary') {
      for (const column of wanted) {
        if (column.path.at(-1)?.dictionary?.id === message.id) await addDictionary(column, body, message.isDelta);
      }
      return;
    }
    await this.#addBatch(body);
  }

  finish(contentId: string): ShardIndex {
    const column = this.#column as WantedColumn;
    const id = this.#id;
    const shift = column.dictionary.length;
    const layout: ArrowShardLayout = {
      name: column.name,
      type: column.type,
      ...(id && { id: { name: id.name, type: id.type } }),
      dictionaries: [...column.dictionary, ...(id?.dictionary ?? [])],
    };
    const units = this.#units.map(({ unit, layout }): Unit => {
      if (layout.id === undefined) return { ...unit, layout: { ...layout } };
      const [first, end] = layout.id.dictionary;
      return { ...unit, layout: { ...layout, id: { ...layout.id, dictionary: [first + shift, end + shift] } } };
    });
    return { contentId, rows: this.#rows, units, layout: { ...layout } };
  }

  async #addBatch(body: Body): Promise<void> {
    const schema = this.#schema as ArrowSchema;
    const { rows } = body.batch;
    if (rows > LIMITS.arrowBatchRowsMax) throw new ArrowMetadataError(`a record batch claims ${rows} rows`);
    const { layout: column, decodedBytes } = await columnOf(schema, this.#column as WantedColumn, body);
    const id = this.#id && (await columnOf(schema, this.#id, body)).layout;
    if (this.#units.length >= LIMITS.arrowBatchesMax)
      throw new ArrowUnsupported(`it has more than ${LIMITS.arrowBatchesMax} record batches`);
    const isWhole = column.codec !== 'none' || (this.#column as WantedColumn).type.kind === 'view';
    this.#units.push({
      unit: { startRow: this.#rows, rows, decodedBytes, storedBytes: storedBytesOf(column), isWhole, layout: null },
      layout: { column, ...(id && { id }) },
    });
    this.#rows += rows;
  }
}

/** Errors: `COLUMN_MISSING`, `COLUMN_TYPE`. */
function wantedColumn({ fields }: ArrowSchema, name: string, kind: PlainRequest['kind'] | 'id', uri: string): WantedColumn {
  const path = findField(fields, name);
  if (path === undefined) {
    const names = fields.map((field) => field.name);
    const near = nearestNames(name, names);
    throw new HeadraceError('COLUMN_MISSING', `${uri} has no column ${name}`, {
      detail: { uri, column: name, columns: names.slice(0, 50).join(', ') },
      hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `Its columns are ${names.slice(0, 20).join(', ')}.`,
    });
  }
  const field = path[path.length - 1];
  const type = columnTypeOf(field, kind);
  if (type !== undefined) return { name, path, type, dictionary: [], dictionaryStart: 0, dictionaryValueBytes: 0 };
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

/** A record batch, and where its body is. */
interface Body {
  readonly batch: ArrowBatch;
  readonly bodyByte: number;
  readonly bodyBytes: number;
  readonly read: ReadBytes;
}

async function columnOf(
  schema: ArrowSchema,
  { path, type, dictionary, dictionaryStart, dictionaryValueBytes }: WantedColumn,
  body: Body,
): Promise<{ readonly layout: ArrowColumnLayout; readonly decodedBytes: number }> {
  const { batch } = body;
  const { rows, codec } = batch;
  const places = placesOf(schema, path, batch);
  const fields = places.slice(0, path.length);
  const leaf = fields[path.length - 1];
  const valid: ArrowBufferPlace[] = [];
  for (const { node, buffer } of fields) {
    const [values, nulls] = batch.nodes[node];
    if (values !== rows) throw new ArrowMetadataError(`a column has ${values} values in a record batch of ${rows} rows`);
    if (nulls > 0) valid.push(await bufferOf(body, buffer, bitmapBytes(rows)));
  }
  const empty = { codec, valid, main: NO_BUFFER, values: NO_BUFFER, items: 0, data: [], dictionary: [0, 0] as [number, number] };
  const main = type.kind === 'fixed' ? NO_BUFFER : await bufferOf(body, leaf.buffer + 1, mainBytes(type, rows));
  switch (type.kind) {
    case 'text': {
      const values = await bufferOf(body, leaf.buffer + 2, 0);
      const bytes = await decodedLength(body, values);
      return { layout: { ...empty, main, values }, decodedBytes: bytes + 4 * rows };
    }
    case 'integer':
      return { layout: { ...empty, main }, decodedBytes: type.item.bytes * rows };
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
      const items = places[path.length];
      const [count, nulls] = batch.nodes[items.node];
      if (type.kind === 'fixed' && count < rows * type.size)
        throw new ArrowMetadataError(`${rows} lists of ${type.size} have ${count} items`);
      const values = await bufferOf(body, items.buffer + 1, count * itemBytes(type));
      const itemsValid = nulls > 0 ? await bufferOf(body, items.buffer, bitmapBytes(count)) : undefined;
      const layout: ArrowColumnLayout = { ...empty, main, values, items: count, ...(itemsValid && { itemsValid }) };
      return { layout, decodedBytes: 4 * (count + rows) };
    }
  }
}

async function addDictionary(column: WantedColumn, body: Body, isDelta: boolean): Promise<void> {
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

/** Where a buffer is; it has at least so many bytes when it is decoded, so that nothing is allocated for rows that are not there. */
async function bufferOf(body: Body, index: number, bytesMin: number): Promise<ArrowBufferPlace> {
  const { batch, bodyByte, bodyBytes } = body;
  const [startByte, bytes] = batch.buffers[index];
  if (startByte + bytes > bodyBytes)
    throw new ArrowMetadataError(`a buffer claims bytes ${startByte} to ${startByte + bytes} of ${bodyBytes}`);
  const place: ArrowBufferPlace = [bodyByte + startByte, bytes];
  if (bytesMin > 0 || batch.codec !== 'none') {
    const decoded = await decodedLength(body, place);
    if (decoded < bytesMin) throw new ArrowMetadataError(`a buffer has ${decoded} bytes, and its rows need ${bytesMin}`);
  }
  return place;
}

async function decodedLength({ batch: { codec }, read }: Body, [startByte, bytes]: ArrowBufferPlace): Promise<number> {
  if (codec === 'none' || bytes === 0) return bytes;
  if (bytes < LENGTH_BYTES) throw new ArrowMetadataError(`a compressed buffer has ${bytes} bytes`);
  const prefix = await read(startByte, startByte + LENGTH_BYTES);
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES).getBigInt64(0, true));
  if (length === -1) return bytes - LENGTH_BYTES;
  if (!(length >= 0 && length <= (bytes - LENGTH_BYTES) * RATIO_MAX[codec]))
    throw new ArrowMetadataError(`a buffer of ${bytes} bytes claims ${length} decoded bytes`);
  if (length > LIMITS.pageBytesMax)
    throw new ArrowUnsupported(`a compressed buffer has ${length} decoded bytes: write smaller record batches`);
  return length;
}
