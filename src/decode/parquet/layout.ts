/** What the manifest keeps of a Parquet file: enough to fetch and decode the projected column without its footer. Plain JSON. */
import type { SchemaElement } from 'hyparquet';
import * as z from 'zod';
import type { JsonValue } from '../../core/canonical-json.js';
import type { ColumnType } from '../../core/filter/operand.js';
import { comparableSchema, fieldDtypeSchema, recordLeafSchema, type RecordLeaf } from '../layout-types.js';

const byte = z.int().min(0);

/** A column's part of the schema, root first, without logical types: they would change how parquet-wasm presents the values. */
const columnSchema = z.array(z.record(z.string(), z.union([z.string(), z.number()])));

const idTypeSchema = z.enum(['string', 'integer', 'unsigned']);

const fieldTypeSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('bytes') }),
  z.object({ kind: z.literal('text') }),
  z.object({
    kind: z.literal('numbers'),
    dtype: fieldDtypeSchema,
    /** As the file has them. */
    stored: z.enum(['FLOAT', 'DOUBLE', 'HALF', 'BOOLEAN', 'INT32', 'UINT32', 'INT64']),
    /** Of lists; null: no list. */
    size: z.int().min(0).nullable(),
  }),
]);

const shardLayoutSchema = z.object({
  /** Of the projected column. */
  schema: columnSchema,
  /** Lists: their pages need not say how many rows they hold. */
  nested: z.boolean(),
  /** Of the column of ids, where one is configured. */
  id: z.object({ schema: columnSchema, type: idTypeSchema }).optional(),
  /** Of the fields, where some are configured, in order of name. */
  fields: z.array(z.object({ name: z.string(), schema: columnSchema, type: fieldTypeSchema })).optional(),
  /** The projected column is that of the first field, and nobody reads it as another. */
  fieldsOnly: z.literal(true).optional(),
  /** Of the columns that a filter reads, where there is one. */
  filter: z.array(z.object({ column: z.string(), type: comparableSchema, schema: columnSchema })).optional(),
  /** Of records: the leaves of their columns, the projected one first. `repetitions`: repeated fields above its values. */
  leaves: z.array(z.object({ schema: columnSchema, repetitions: z.int().min(0), type: recordLeafSchema })).optional(),
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
  /** Those of the fields. */
  fields: z.array(chunkLayoutSchema).optional(),
  /** Those of the filter's columns, in the shard's order; absent where the filter takes every row. */
  filter: z.array(chunkLayoutSchema).optional(),
  /** The column chunks of the leaves of records, the projected one's again. */
  leaves: z.array(chunkLayoutSchema).optional(),
});

export type ParquetIdType = z.output<typeof idTypeSchema>;
export type ParquetLeafType = RecordLeaf;

export type ParquetFieldType = Readonly<z.output<typeof fieldTypeSchema>>;

export interface ParquetFieldLayout {
  readonly name: string;
  readonly schema: readonly SchemaElement[];
  readonly type: ParquetFieldType;
}

export interface ParquetShardLayout {
  readonly schema: readonly SchemaElement[];
  readonly nested: boolean;
  readonly id?: { readonly schema: readonly SchemaElement[]; readonly type: ParquetIdType };
  readonly fields?: readonly ParquetFieldLayout[];
  readonly fieldsOnly?: true;
  readonly filter?: readonly ParquetFilterColumn[];
  readonly leaves?: readonly ParquetLeafLayout[];
}

/** A column that a filter reads. */
export interface ParquetFilterColumn {
  /** As the filter has it: of a nested field, with dots. */
  readonly column: string;
  readonly type: ColumnType;
  /** Root, then the groups that the field is in, then the field. */
  readonly schema: readonly SchemaElement[];
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

export const parquetShardLayout = remembered((layout) => shardLayoutSchema.parse(layout) as unknown as ParquetShardLayout);

export const parquetUnitLayout = remembered((layout): ParquetUnitLayout => unitLayoutSchema.parse(layout));

/** The blocks of a shard are opened one by one, each with the shard's layout: what was parsed is kept as long as that is. */
function remembered<T>(parse: (layout: JsonValue) => T): (layout: JsonValue) => T {
  const known = new WeakMap<object, T>();
  return (layout) => {
    if (typeof layout !== 'object' || layout === null) return parse(layout);
    let parsed = known.get(layout);
    if (parsed === undefined) known.set(layout, (parsed = parse(layout)));
    return parsed;
  };
}
