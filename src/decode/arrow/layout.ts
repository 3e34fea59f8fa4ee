/** What the manifest keeps of an Arrow file: where each buffer of the wanted columns is, so that no metadata is read again. Plain JSON. */
import { z } from 'zod';
import type { JsonValue } from '../../core/canonical-json.js';
import { integerSchema } from '../integers.js';

const count = z.int().min(0);
const codecSchema = z.enum(['none', 'lz4', 'zstd']);
/** First byte in the object, and length. */
const bufferSchema = z.tuple([count, count]).readonly();

const columnTypeSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('text'), offsetBytes: z.union([z.literal(4), z.literal(8)]) }),
  z.object({ kind: z.literal('view') }),
  z.object({ kind: z.literal('list'), offsetBytes: z.union([z.literal(4), z.literal(8)]), item: integerSchema }),
  z.object({ kind: z.literal('fixed'), size: count, item: integerSchema }),
  z.object({ kind: z.literal('integer'), item: integerSchema }),
  /** Of text. */
  z.object({ kind: z.literal('dictionary'), index: integerSchema, offsetBytes: z.union([z.literal(4), z.literal(8)]) }),
]);

/** A column of one record batch. */
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

const shardSchema = z.object({
  name: z.string(),
  type: columnTypeSchema,
  id: z.object({ name: z.string(), type: columnTypeSchema }).optional(),
  dictionaries: z.array(dictionarySchema).readonly(),
});

const unitSchema = z.object({ column: columnSchema, id: columnSchema.optional() });

export type ArrowColumnType = Readonly<z.output<typeof columnTypeSchema>>;
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
