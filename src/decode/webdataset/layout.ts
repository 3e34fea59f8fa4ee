/** What the manifest keeps of a tar: where whole samples lie, in stretches that are read alone. Plain JSON. */
import * as z from 'zod';
import type { JsonValue } from '../../core/canonical-json.js';
import type { FieldType } from '../../core/fields.js';
import type { ComparedColumn } from '../value-columns.js';

const whole = z.int().min(0);

const fieldTypeSchema: z.ZodType<FieldType> = z.discriminatedUnion('kind', [
  z.object({ kind: z.enum(['bytes', 'text']) }),
  z.object({
    kind: z.literal('numbers'),
    dtype: z.enum(['uint8', 'int32', 'int64', 'float32', 'float64']),
    size: z.int().min(1).nullable(),
  }),
]);

const comparedSchema: z.ZodType<ComparedColumn> = z.object({ column: z.string(), as: z.enum(['text', 'number', 'boolean', 'any']) });

/** What was asked for: an archive says nothing of what its members are. */
const shardLayoutSchema = z.object({
  column: z.string(),
  kind: z.enum(['text', 'tokens', 'records', 'none']),
  id: z.string().optional(),
  /** Of records. */
  columns: z.array(z.string()).optional(),
  /** In order of name. */
  fields: z.array(z.object({ name: z.string(), column: z.string(), type: fieldTypeSchema })).optional(),
  /** What a filter reads. */
  filter: z.array(comparedSchema).optional(),
});

const unitLayoutSchema = z.object({
  startByte: whole,
  /** The length of a stretch, and that of the gap after it, in turns: the unit's stretches, in ascending order. */
  spans: z.array(whole),
  /** Samples that start in each stretch. */
  starts: z.array(whole),
  /** 1 where a stretch begins within a sample. */
  within: z.array(whole),
  /** Of a compressed archive, where places are those in its content: the stored bytes that have the unit's, what content begins there, and where it is read to. */
  stored: z.object({ startByte: whole, endByte: whole, contentByte: whole, contentEnd: whole }).optional(),
});

export type TarShardLayout = Readonly<z.output<typeof shardLayoutSchema>>;
export type TarUnitLayout = z.output<typeof unitLayoutSchema>;

/** Entries of a tar, headers and bodies, one after the other; of the last one maybe the header only. */
export interface TarStretch {
  readonly startByte: number;
  readonly endByte: number;
  /** Samples of the unit that start before it. */
  readonly startRow: number;
  /** Samples that start in it. */
  readonly rows: number;
  readonly beginsWithin: boolean;
}

export function tarShardLayout(layout: JsonValue): TarShardLayout {
  return shardLayoutSchema.parse(layout);
}

export function tarUnitLayout(layout: JsonValue): TarUnitLayout {
  return unitLayoutSchema.parse(layout);
}

export function tarStretches(layout: JsonValue): TarStretch[] {
  const { startByte, spans, starts, within } = tarUnitLayout(layout);
  let byte = startByte;
  let startRow = 0;
  return starts.map((rows, index) => {
    const stretch = { startByte: byte, endByte: byte + spans[2 * index], startRow, rows, beginsWithin: within[index] === 1 };
    byte = stretch.endByte + (spans[2 * index + 1] ?? 0);
    startRow += rows;
    return stretch;
  });
}
