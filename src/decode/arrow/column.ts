/**
 * Where the buffers of one column are in a record batch. Arrays are stored depth first, and each type has its own number of buffers, so that a column is
 * found by walking past those before it.
 */
import { Type } from 'apache-arrow/fb/type';
import type { PlainRequest } from '../decoder.js';
import type { IntegerType } from '../integers.js';
import type { ArrowColumnType } from './layout.js';
import { ArrowMetadataError, ArrowUnsupported, type ArrowBatch, type ArrowField, type ArrowSchema } from './metadata.js';

/** A column by its path: fields from the outermost struct in. */
export type ArrowPath = readonly ArrowField[];

/** By a top-level name, or by the names of nested structs joined with dots; `undefined`: there is none. */
export function findField(fields: readonly ArrowField[], name: string): ArrowPath | undefined {
  const own = fields.find((field) => field.name === name);
  if (own !== undefined) return [own];
  for (const field of fields) {
    if (field.type !== Type.Struct_ || !name.startsWith(`${field.name}.`)) continue;
    const below = findField(field.children, name.slice(field.name.length + 1));
    if (below !== undefined) return [field, ...below];
  }
  return undefined;
}

/** What a column is read as; `undefined`: it is of no such kind. */
export function columnTypeOf(field: ArrowField, kind: PlainRequest['kind'] | 'id'): ArrowColumnType | undefined {
  const { type, dictionary, integer, children, listSize } = field;
  if (kind === 'tokens') {
    const [item] = children;
    if (dictionary !== undefined || children.length !== 1 || item.integer === undefined || item.dictionary !== undefined) return undefined;
    if (type === Type.List) return { kind: 'list', offsetBytes: 4, item: item.integer };
    if (type === Type.LargeList) return { kind: 'list', offsetBytes: 8, item: item.integer };
    return type === Type.FixedSizeList ? { kind: 'fixed', size: listSize, item: item.integer } : undefined;
  }
  const offsetBytes = type === Type.Utf8 ? 4 : type === Type.LargeUtf8 ? 8 : undefined;
  if (dictionary !== undefined) return offsetBytes === undefined ? undefined : { kind: 'dictionary', index: dictionary.index, offsetBytes };
  if (offsetBytes !== undefined) return { kind: 'text', offsetBytes };
  if (type === Type.Utf8View) return { kind: 'view' };
  return kind === 'id' && integer !== undefined ? { kind: 'integer', item: integer } : undefined;
}

export function describeField({ type, dictionary, integer, children }: ArrowField): string {
  const name =
    integer === undefined
      ? (type in Type ? Type[type] : 'unknown').replace(/_$/, '').toLowerCase()
      : `${integer.signed ? '' : 'u'}int${8 * integer.bytes}`;
  const own = children.length === 0 ? name : `${name} of ${children.map(describeField).join(', ')}`;
  return dictionary === undefined ? own : `a dictionary of ${own}`;
}

/** An array of a record batch: index of its node, of its first buffer, and how many of these it has. */
export interface ArrayPlace {
  readonly node: number;
  readonly buffer: number;
  readonly buffers: number;
}

/** Of each field of the path, and of the items of a list at its end. Throws `ArrowMetadataError`, `ArrowUnsupported`. */
export function placesOf({ fields, unionsHaveBitmaps }: ArrowSchema, path: ArrowPath, batch: ArrowBatch): ArrayPlace[] {
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
  const leaf = path[path.length - 1];
  const wanted = leaf.dictionary === undefined && leaf.children.length === 1 ? [...path, leaf.children[0]] : path;
  return wanted.map((field) => places.get(field) as ArrayPlace);
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
      return rows === 0 ? 0 : (rows + 1) * type.offsetBytes;
    case 'view':
      return 16 * rows;
    case 'fixed':
      return 0;
    case 'integer':
      return rows * type.item.bytes;
    case 'dictionary':
      return rows * type.index.bytes;
  }
}

export function itemBytes(type: ArrowColumnType): number {
  const item: IntegerType | undefined = type.kind === 'list' || type.kind === 'fixed' ? type.item : undefined;
  return item?.bytes ?? 1;
}
