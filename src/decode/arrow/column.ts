/**
 * Where the buffers of one column are in a record batch. Arrays are stored depth first, and each type has its own number of buffers, so that a column is
 * found by walking past those before it.
 */
import { Type } from 'apache-arrow/fb/type';
import type { ArrowColumnType, ArrowItem } from './layout.js';
import { ArrowMetadataError, ArrowUnsupported, type ArrowBatch, type ArrowField, type ArrowSchema } from './metadata.js';

/** A column by its path: fields from the outermost struct in. */
export type ArrowPath = readonly ArrowField[];

/** By a top-level name, or by the names of nested structs joined with dots: names that have dots themselves come first. All of the name. */
export function findFields(fields: readonly ArrowField[], name: string): ArrowPath[] {
  const own = fields.filter((field) => field.name === name);
  if (own.length > 0) return own.map((field) => [field]);
  const structs = fields
    .filter((field) => field.type === Type.Struct_ && field.dictionary === undefined && name.startsWith(`${field.name}.`))
    .sort((a, b) => b.name.length - a.name.length);
  for (const struct of structs) {
    const below = findFields(struct.children, name.slice(struct.name.length + 1));
    if (below.length > 0) return below.map((path) => [struct, ...path]);
  }
  return [];
}

export function describeField({ type, dictionary, integer, scalar, children }: ArrowField): string {
  const name =
    integer !== undefined
      ? `${integer.signed ? '' : 'u'}int${8 * integer.bytes}`
      : scalar?.kind === 'float'
        ? `float${8 * scalar.bytes}`
        : (type in Type ? Type[type] : 'unknown').replace(/_$/, '').toLowerCase();
  const own = children.length === 0 ? name : `${name} of ${children.map(describeField).join(', ')}`;
  return dictionary === undefined ? own : `a dictionary of ${own}`;
}

/** An array of a record batch: index of its node, of its first buffer, and how many of these it has. */
export interface ArrayPlace {
  readonly node: number;
  readonly buffer: number;
  readonly buffers: number;
}

/** Of all fields of the schema. Throws `ArrowMetadataError`, `ArrowUnsupported`. */
export function placesOf({ fields, unionsHaveBitmaps }: ArrowSchema, batch: ArrowBatch): ReadonlyMap<ArrowField, ArrayPlace> {
  const places = new Map<ArrowField, ArrayPlace>();
  const cursor = { node: 0, buffer: 0, variadic: 0 };
  const walk = (field: ArrowField): void => {
    const children = field.dictionary === undefined ? field.children : [];
    const buffers =
      field.dictionary === undefined ? buffersOf(field, unionsHaveBitmaps, () => batch.variadicCounts.at(cursor.variadic++) ?? -1) : 2;
    places.set(field, { node: cursor.node, buffer: cursor.buffer, buffers });
    cursor.node++;
    cursor.buffer += buffers;
    for (const child of children) walk(child);
  };
  for (const field of fields) walk(field);
  if (cursor.node !== batch.nodes.length || cursor.buffer !== batch.buffers.length) {
    throw new ArrowMetadataError(
      `a record batch has ${batch.nodes.length} arrays and ${batch.buffers.length} buffers where the schema says ${cursor.node} and ${cursor.buffer}`,
    );
  }
  return places;
}

function buffersOf({ type, isDense }: ArrowField, unionsHaveBitmaps: boolean, variadicCount: () => number): number {
  switch (type) {
    case Type.Null:
    case Type.RunEndEncoded:
      return 0;
    case Type.Struct_:
    case Type.FixedSizeList:
      return 1;
    case Type.Int:
    case Type.FloatingPoint:
    case Type.Bool:
    case Type.Decimal:
    case Type.Date:
    case Type.Time:
    case Type.Timestamp:
    case Type.Interval:
    case Type.Duration:
    case Type.FixedSizeBinary:
    case Type.List:
    case Type.LargeList:
    case Type.Map:
      return 2;
    case Type.Binary:
    case Type.Utf8:
    case Type.LargeBinary:
    case Type.LargeUtf8:
    case Type.ListView:
    case Type.LargeListView:
      return 3;
    case Type.Union:
      return (isDense ? 2 : 1) + (unionsHaveBitmaps ? 1 : 0);
    case Type.BinaryView:
    case Type.Utf8View: {
      const count = variadicCount();
      if (count < 0) throw new ArrowMetadataError('a record batch does not say how many buffers a column of views has');
      return 2 + count;
    }
    default:
      throw new ArrowUnsupported(`its schema has a column of type ${type}, which is not known here`);
  }
}

/** Bytes of a bitmap. */
export function bitmapBytes(rows: number): number {
  return Math.ceil(rows / 8);
}

/** Bytes of what there is one of for each row. */
export function mainBytes(type: ArrowColumnType, rows: number): number {
  switch (type.kind) {
    case 'text':
    case 'list':
    case 'lists':
      return rows === 0 ? 0 : (rows + 1) * type.offsetBytes;
    case 'view':
      return 16 * rows;
    case 'fixed':
    case 'struct':
    case 'groups':
      return 0;
    case 'integer':
    case 'number':
      return bytesOfItems(type.item, rows);
    case 'bytes':
      return rows * type.bytes;
    case 'dictionary':
      return rows * type.index.bytes;
  }
}

/** The part of these bytes that rows [first, end) have, from the first row of all on. Bits come in whole bytes. */
export function mainRange(type: ArrowColumnType, first: number, end: number): readonly [startByte: number, endByte: number] {
  if (type.kind === 'number' && 'boolean' in type.item) return [Math.floor(first / 8), bitmapBytes(end)];
  const startByte =
    type.kind === 'text' || type.kind === 'list' || type.kind === 'lists' ? first * type.offsetBytes : mainBytes(type, first);
  return [startByte, startByte + mainBytes(type, end - first)];
}

/** Of what offsets count in bytes: `undefined`. */
export function itemOf(type: ArrowColumnType): ArrowItem | undefined {
  return type.kind === 'list' || type.kind === 'fixed' ? type.item : undefined;
}

export function bytesOfItems(item: ArrowItem | undefined, count: number): number {
  if (item === undefined) return count;
  if ('boolean' in item) return bitmapBytes(count);
  return count * ('float' in item ? item.float : item.bytes);
}

/** Where an item's bytes start, or the byte that its bit is in. */
export function byteOfItem(item: ArrowItem | undefined, index: number): number {
  return item !== undefined && 'boolean' in item ? Math.floor(index / 8) : bytesOfItems(item, index);
}
