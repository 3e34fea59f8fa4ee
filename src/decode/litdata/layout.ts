/** What the manifest keeps of a chunk of litData. Plain JSON. */
import * as z from 'zod';
import type { JsonValue } from '../../core/canonical-json.js';
import { integerSchema } from '../integers.js';
import { comparableSchema, fieldTypeSchema } from '../layout-types.js';
import { STORED_DTYPES } from '../stored-numbers.js';
import { leafFormSchema } from './leaf.js';

const byte = z.int().min(0);

/**
 * `plain`: as it is. `chunk`: all of it is compressed. `frames`: groups of samples are. `samples`: each sample is.
 */
const storedSchema = z.enum(['plain', 'chunk', 'frames', 'samples']);

/** A leaf of the samples, and how it is read. */
const columnSchema = z.object({ name: z.string(), leaf: z.int().min(0), form: leafFormSchema });

/** An integer of 64 bits, or text. */
const idSchema = z.object({ leaf: z.int().min(0), isInteger: z.boolean() });

/** Where and how a field's values are. */
const fieldSourceSchema = z.discriminatedUnion('form', [
  z.object({ form: z.literal('bytes') }),
  z.object({ form: z.enum(['number', 'list']), dtype: z.enum(STORED_DTYPES) }),
  z.object({ form: z.literal('array'), of: z.enum(['tensor', 'numpy']) }),
  z.object({ form: z.literal('nested') }),
]);

const fieldSchema = z.object({ name: z.string(), leaf: z.int().min(0), source: fieldSourceSchema, type: fieldTypeSchema });

/** A column of the rows that are objects: one leaf, whose path is empty, or several of a dict or a tuple. */
const recordSchema = z.object({
  name: z.string(),
  leaves: z.array(
    z.object({
      path: z.array(z.union([z.string(), z.int().min(0)])),
      leaf: z.int().min(0),
      form: z.enum(['text', 'integer', 'float', 'boolean', 'nested']),
    }),
  ),
});

const shardSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('samples'),
    stored: storedSchema,
    /** Where the offset of the first sample is. */
    tableByte: byte,
    leaves: z.int().min(0),
    use: z.enum(['text', 'tokens', 'records', 'none']),
    /** Of text and tokens. */
    column: columnSchema.optional(),
    id: idSchema.optional(),
    records: z.array(recordSchema).optional(),
    fields: z.array(fieldSchema).optional(),
    filter: z.array(z.object({ column: z.string(), leaf: z.int().min(0), type: comparableSchema })).optional(),
  }),
  /** Items that are token ids. */
  z.object({ kind: z.literal('tokens'), stored: storedSchema, tableByte: byte, item: integerSchema }),
  /** The samples are rows of an Arrow file, which is a part of the chunk. */
  z.object({ kind: z.literal('arrow'), startByte: byte, endByte: byte, arrow: z.custom<JsonValue>((value) => value !== undefined) }),
]);

const unitSchema = z.object({
  /** What is read of the object. */
  startByte: byte,
  endByte: byte,
  /** Its items, as the table counts bytes. */
  firstByte: byte,
  lastByte: byte,
});

export type LitdataStored = z.output<typeof storedSchema>;
export type LitdataColumn = Readonly<z.output<typeof columnSchema>>;
export type LitdataField = Readonly<z.output<typeof fieldSchema>>;
export type LitdataRecord = Readonly<z.output<typeof recordSchema>>;
export type LitdataId = Readonly<z.output<typeof idSchema>>;
export type LitdataShardLayout = Readonly<z.output<typeof shardSchema>>;
export type LitdataSamplesLayout = Extract<LitdataShardLayout, { readonly kind: 'samples' }>;
export type LitdataUnitLayout = Readonly<z.output<typeof unitSchema>>;

export function litdataShardLayout(layout: JsonValue): LitdataShardLayout {
  return shardSchema.parse(layout);
}

export function litdataUnitLayout(layout: JsonValue): LitdataUnitLayout {
  return unitSchema.parse(layout);
}
