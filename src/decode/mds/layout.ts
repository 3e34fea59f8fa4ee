/** What the manifest keeps of an MDS shard: what its samples consist of, and where its units are. Plain JSON. */
import * as z from 'zod';
import type { JsonValue } from '../../core/canonical-json.js';
import { DTYPES } from '../integers.js';
import { fieldTypeSchema } from '../layout-types.js';

const byte = z.int().min(0);

const columnSchema = z.object({
  name: z.string(),
  encoding: z.string(),
  /** Of every value; `null`: each sample says it. */
  bytes: z.int().min(1).nullable(),
});

const fieldSchema = z.object({
  name: z.string(),
  column: z.string(),
  type: fieldTypeSchema,
});

/** What a filter compares. */
const comparedSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('text') }),
  z.object({ kind: z.literal('integer'), unsigned: z.boolean() }),
  z.object({ kind: z.literal('float'), bits: z.union([z.literal(32), z.literal(64)]) }),
]);

const shardLayoutSchema = z.object({
  /** In the order in which a sample has them. */
  columns: z.array(columnSchema),
  kind: z.enum(['text', 'tokens', 'records', 'none']),
  column: z.string(),
  id: z.string().optional(),
  /** What a column of bytes holds, where it is one of token ids. */
  dtype: z.enum(DTYPES).optional(),
  /** The columns of a row, where rows are objects. */
  records: z.array(z.string()).optional(),
  fields: z.array(fieldSchema).optional(),
  /** Columns that a filter reads. */
  filter: z.array(z.object({ column: z.string(), type: comparedSchema })).optional(),
});

/** Of the content, where the shard is compressed. */
const unitLayoutSchema = z.object({ startByte: byte, endByte: byte });

export type MdsColumn = Readonly<z.output<typeof columnSchema>>;
export type MdsCompared = Readonly<z.output<typeof comparedSchema>>;
export type MdsField = Readonly<z.output<typeof fieldSchema>>;
export type MdsShardLayout = Readonly<z.output<typeof shardLayoutSchema>>;
export type MdsUnitLayout = Readonly<z.output<typeof unitLayoutSchema>>;

export function mdsShardLayout(layout: JsonValue): MdsShardLayout {
  return shardLayoutSchema.parse(layout);
}

export function mdsUnitLayout(layout: JsonValue): MdsUnitLayout {
  return unitLayoutSchema.parse(layout);
}
