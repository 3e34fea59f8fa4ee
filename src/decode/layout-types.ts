/** What the manifests of several formats keep of their columns in the same words. Plain JSON. */
import * as z from 'zod';
import type { FieldDtype, FieldType } from '../core/fields.js';
import type { ColumnType } from '../core/filter/operand.js';

/** Of a column that a filter reads. */
export const comparableSchema: z.ZodType<ColumnType> = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('text') }),
  z.object({ kind: z.literal('boolean') }),
  z.object({ kind: z.literal('integer'), unsigned: z.boolean() }),
  z.object({ kind: z.literal('decimal'), scale: z.int() }),
  z.object({ kind: z.literal('date') }),
  z.object({ kind: z.literal('timestamp'), unitsPerSecond: z.int(), utc: z.boolean() }),
  z.object({ kind: z.literal('float'), bits: z.literal([32, 64]) }),
]);

export const fieldDtypeSchema = z.enum(['uint8', 'int32', 'int64', 'float32', 'float64']) satisfies z.ZodType<FieldDtype>;

export const fieldTypeSchema: z.ZodType<FieldType> = z.discriminatedUnion('kind', [
  z.object({ kind: z.enum(['text', 'bytes']) }),
  z.object({ kind: z.literal('numbers'), dtype: fieldDtypeSchema, size: z.int().min(1).nullable() }),
]);

/** What records have at the ends of their lists and structs. */
export const recordLeafSchema = z.enum(['string', 'integer', 'unsigned', 'number', 'boolean']);
export type RecordLeaf = z.output<typeof recordLeafSchema>;
