/** What the manifest keeps of an Arrow file: where each buffer of the wanted columns is, so that no metadata is read again. Plain JSON. */
import * as z from 'zod';
import type { JsonValue } from '../../core/canonical-json.js';
import { integerSchema } from '../integers.js';
import { comparableSchema, fieldDtypeSchema, recordLeafSchema } from '../layout-types.js';

const count = z.int().min(0);
const codecSchema = z.enum(['none', 'lz4', 'zstd']);
/** First byte in the object, and length. */
const bufferSchema = z.tuple([count, count]).readonly();

const offsetBytesSchema = z.union([z.literal(4), z.literal(8)]);
/** Little-endian IEEE 754, or one bit. */
const otherNumberSchema = z.union([
  z.object({ float: z.union([z.literal(2), z.literal(4), z.literal(8)]) }),
  z.object({ boolean: z.literal(true) }),
]);
const itemSchema = z.union([integerSchema, otherNumberSchema]);

const columnTypeSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('text'), offsetBytes: offsetBytesSchema }),
  z.object({ kind: z.literal('view') }),
  z.object({ kind: z.literal('list'), offsetBytes: offsetBytesSchema, item: itemSchema }),
  z.object({ kind: z.literal('fixed'), size: count, item: itemSchema }),
  z.object({ kind: z.literal('integer'), item: integerSchema }),
  z.object({ kind: z.literal('number'), item: otherNumberSchema }),
  /** As many bytes in every row. */
  z.object({ kind: z.literal('bytes'), bytes: count }),
  /** Of text. */
  z.object({ kind: z.literal('dictionary'), index: integerSchema, offsetBytes: offsetBytesSchema }),
  /** Arrays around others, whose buffers are theirs: structs, lists, and lists of one size. */
  z.object({ kind: z.literal('struct') }),
  z.object({ kind: z.literal('lists'), offsetBytes: offsetBytesSchema }),
  z.object({ kind: z.literal('groups'), size: count }),
]);

/** A column of one record batch, or an array inside it. */
const columnSchema = z.object({
  codec: codecSchema,
  /** Where something is null: of the column, and of the structs that it is in. */
  valid: z.array(bufferSchema).readonly(),
  main: bufferSchema,
  values: bufferSchema,
  /** Items of lists; where some are null. */
  items: count,
  itemsValid: bufferSchema.optional(),
  data: z.array(bufferSchema).readonly(),
  /** The parts of its dictionary: [first, end) of the shard's. */
  dictionary: z.tuple([count, count]).readonly(),
});

const dictionarySchema = z.object({
  codec: codecSchema,
  rows: count,
  valid: bufferSchema.optional(),
  offsets: bufferSchema,
  values: bufferSchema,
});

/** As fields are served. */
const servedSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('bytes') }),
  z.object({ kind: z.literal('text') }),
  z.object({ kind: z.literal('numbers'), dtype: fieldDtypeSchema, size: count.nullable() }),
]);

/** An array of records: what it is, and the arrays inside it. */
const recordArraySchema = z.object({
  name: z.string(),
  type: columnTypeSchema,
  /** Where there is nothing inside it. */
  leaf: recordLeafSchema.optional(),
  get children() {
    return z.array(recordArraySchema).readonly();
  },
});

const shardSchema = z.object({
  /** The column of text or tokens; records have several, and where only fields are served there is none. */
  name: z.string().optional(),
  type: columnTypeSchema.optional(),
  id: z.object({ name: z.string(), type: columnTypeSchema }).optional(),
  /** In order of name. */
  fields: z
    .array(z.object({ name: z.string(), column: z.string(), type: columnTypeSchema, served: servedSchema }))
    .readonly()
    .optional(),
  /** The columns that a filter reads. */
  filter: z
    .array(z.object({ column: z.string(), type: columnTypeSchema, compared: comparableSchema }))
    .readonly()
    .optional(),
  /** The columns of records. */
  records: z.array(recordArraySchema).readonly().optional(),
  dictionaries: z.array(dictionarySchema).readonly(),
});

/** In the shard's order; the arrays of records depth first. */
const unitSchema = z.object({
  column: columnSchema.optional(),
  id: columnSchema.optional(),
  fields: z.array(columnSchema).readonly().optional(),
  filter: z.array(columnSchema).readonly().optional(),
  records: z.array(columnSchema).readonly().optional(),
});

export type ArrowColumnType = Readonly<z.output<typeof columnTypeSchema>>;
export type ArrowItem = Readonly<z.output<typeof itemSchema>>;
export type ArrowServed = Readonly<z.output<typeof servedSchema>>;
export type ArrowRecordArray = Readonly<z.output<typeof recordArraySchema>>;
export type ArrowBufferPlace = Readonly<z.output<typeof bufferSchema>>;
export type ArrowColumnLayout = Readonly<z.output<typeof columnSchema>>;
export type ArrowDictionaryLayout = Readonly<z.output<typeof dictionarySchema>>;
export type ArrowShardLayout = Readonly<z.output<typeof shardSchema>>;
export type ArrowUnitLayout = Readonly<z.output<typeof unitSchema>>;

export function arrowShardLayout(layout: JsonValue): ArrowShardLayout {
  return shardSchema.parse(layout);
}

export function arrowUnitLayout(layout: JsonValue): ArrowUnitLayout {
  return unitSchema.parse(layout);
}

/** Bytes of all buffers of a column, its dictionary left out: that is read once for many. */
export function storedBytesOf({ valid, main, values, itemsValid, data }: ArrowColumnLayout): number {
  return [...valid, main, values, ...(itemsValid === undefined ? [] : [itemsValid]), ...data].reduce((sum, [, length]) => sum + length, 0);
}
