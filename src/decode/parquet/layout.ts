/** What the manifest keeps of a Parquet file: enough to fetch and decode the projected column without its footer. Plain JSON. */
import type { SchemaElement } from 'hyparquet';
import { z } from 'zod';
import type { JsonValue } from '../../core/canonical-json.js';

const byte = z.int().min(0);

/** A column's part of the schema, root first, without logical types: they would change how parquet-wasm presents the values. */
const columnSchema = z.array(z.record(z.string(), z.union([z.string(), z.number()])));

const idTypeSchema = z.enum(['string', 'integer', 'unsigned']);

const shardLayoutSchema = z.object({
  /** Of the projected column. */
  schema: columnSchema,
  /** Lists: their pages need not say how many rows they hold. */
  nested: z.boolean(),
  /** Of the column of ids, where one is configured. */
  id: z.object({ schema: columnSchema, type: idTypeSchema }).optional(),
});

const chunkLayoutSchema = z.object({
  startByte: byte,
  endByte: byte,
  codec: z.string(),
  encodings: z.array(z.string()),
  type: z.string(),
  path: z.array(z.string()),
  /** Nulls and the places of empty lists included, as the footer says; older indexes do not. */
  values: byte.optional(),
  /** Offset index of the column chunk: where each page is, and its first row. */
  offsetIndex: z.object({ startByte: byte, endByte: byte }).optional(),
  /** Where the data pages start, if the footer says that a dictionary page comes before. */
  dataStartByte: byte,
});

const unitLayoutSchema = chunkLayoutSchema.extend({
  /** The column chunk of the ids. */
  id: chunkLayoutSchema.optional(),
});

export type ParquetIdType = z.output<typeof idTypeSchema>;

export interface ParquetShardLayout {
  readonly schema: readonly SchemaElement[];
  readonly nested: boolean;
  readonly id?: { readonly schema: readonly SchemaElement[]; readonly type: ParquetIdType };
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
