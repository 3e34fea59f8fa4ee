/** What the manifest keeps of a chunk of litData. Plain JSON. */
import { z } from 'zod';
import type { JsonValue } from '../../core/canonical-json.js';
import { integerSchema } from '../integers.js';
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

const shardSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('samples'),
    stored: storedSchema,
    /** Where the offset of the first sample is. */
    tableByte: byte,
    leaves: z.int().min(0),
    column: columnSchema,
    use: z.enum(['text', 'tokens']),
    id: idSchema.optional(),
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
export type LitdataId = Readonly<z.output<typeof idSchema>>;
export type LitdataShardLayout = Readonly<z.output<typeof shardSchema>>;
export type LitdataUnitLayout = Readonly<z.output<typeof unitSchema>>;

export function litdataShardLayout(layout: JsonValue): LitdataShardLayout {
  return shardSchema.parse(layout);
}

export function litdataUnitLayout(layout: JsonValue): LitdataUnitLayout {
  return unitSchema.parse(layout);
}
