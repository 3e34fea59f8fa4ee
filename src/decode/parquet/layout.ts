/** What the manifest keeps of a Parquet file: enough to fetch and decode the projected column without its footer. Plain JSON. */
import type { SchemaElement } from 'hyparquet';
import { z } from 'zod';
import type { JsonValue } from '../../core/canonical-json.js';

const byte = z.int().min(0);

/** A column's part of the schema, root first, without logical types: they would change how parquet-wasm presents the values. */
const columnSchema = z.array(z.record(z.string(), z.union([z.string(), z.number()])));

const idTypeSchema = z.enum(['string', 'integer', 'unsigned']);

const leafTypeSchema = z.enum(['string', 'integer', 'unsigned', 'number', 'boolean']);

const shardLayoutSchema = z.object({
  /** Of the projected column. */
  schema: columnSchema,
  /** Lists: their pages need not say how many rows they hold. */
  nested: z.boolean(),
  /** Of the column of ids, where one is configured. */
  id: z.object({ schema: columnSchema, type: idTypeSchema }).optional(),
  /** Of records: the leaves of their columns, the projected one first. `repetitions`: repeated fields above its values. */
  leaves: z.array(z.object({ schema: columnSchema, repetitions: z.int().min(0), type: leafTypeSchema })).optional(),
});

const chunkLayoutSchema = z.object({
  startByte: byte,
  endByte: byte,
  codec: z.string(),
  encodings: z.array(z.string()),
  type: z.string(),
  path: z.array(z.string()),
  /** Offset index of the column chunk: where each page is, and its first row. */
  offsetIndex: z.object({ startByte: byte, endByte: byte }).optional(),
  /** Where the data pages start, if the footer says that a dictionary page comes before. */
  dataStartByte: byte,
});

const unitLayoutSchema = chunkLayoutSchema.extend({
  /** The column chunk of the ids. */
  id: chunkLayoutSchema.optional(),
  /** The column chunks of the leaves of records, the projected one's again. */
  leaves: z.array(chunkLayoutSchema).optional(),
});

export type ParquetIdType = z.output<typeof idTypeSchema>;
export type ParquetLeafType = z.output<typeof leafTypeSchema>;

export interface ParquetShardLayout {
  readonly schema: readonly SchemaElement[];
  readonly nested: boolean;
  readonly id?: { readonly schema: readonly SchemaElement[]; readonly type: ParquetIdType };
  readonly leaves?: readonly ParquetLeafLayout[];
}

/** One leaf of a column, as if the column had no other. */
export interface ParquetLeafLayout {
  readonly schema: readonly SchemaElement[];
  readonly repetitions: number;
  readonly type: ParquetLeafType;
}

/** Where a column chunk is, and how it is stored. */
export type ParquetChunkLayout = Readonly<z.output<typeof chunkLayoutSchema>>;
export type ParquetUnitLayout = Readonly<z.output<typeof unitLayoutSchema>>;

export function parquetShardLayout(layout: JsonValue): ParquetShardLayout {
  return shardLayoutSchema.parse(layout) as unknown as ParquetShardLayout;
}

export function parquetUnitLayout(layout: JsonValue): ParquetUnitLayout {
  return unitLayoutSchema.parse(layout);
}
