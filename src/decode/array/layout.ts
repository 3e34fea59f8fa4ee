/** What the manifest keeps of files of token ids. Plain JSON. */
import * as z from 'zod';
import type { JsonValue } from '../../core/canonical-json.js';
import { integerSchema } from '../integers.js';

const byte = z.int().min(0);

const arrayShardSchema = z.object({
  type: integerSchema,
  /** Ids in each row, but for the last one; `undefined`: documents end with `endId`. */
  rowIds: z.int().min(1).optional(),
  endId: z.int().min(0).optional(),
});

const arrayUnitSchema = z.object({ startByte: byte, endByte: byte });

const megatronShardSchema = z.object({
  type: integerSchema,
  /** The version of the two objects: one of them is the shard. */
  binEtag: z.string(),
  indexEtag: z.string(),
  /** Where the index has the places of its sequences, and its documents. */
  pointersByte: byte,
  documentsByte: byte,
});

const megatronUnitSchema = z.object({
  /** In the file of ids. */
  startByte: byte,
  endByte: byte,
  /** The sequences of its documents. */
  startSequence: byte,
  endSequence: byte,
});

export type ArrayShardLayout = Readonly<z.output<typeof arrayShardSchema>>;
export type ArrayUnitLayout = Readonly<z.output<typeof arrayUnitSchema>>;
export type MegatronShardLayout = Readonly<z.output<typeof megatronShardSchema>>;
export type MegatronUnitLayout = Readonly<z.output<typeof megatronUnitSchema>>;

export function arrayShardLayout(layout: JsonValue): ArrayShardLayout {
  return arrayShardSchema.parse(layout);
}

export function arrayUnitLayout(layout: JsonValue): ArrayUnitLayout {
  return arrayUnitSchema.parse(layout);
}

export function megatronShardLayout(layout: JsonValue): MegatronShardLayout {
  return megatronShardSchema.parse(layout);
}

export function megatronUnitLayout(layout: JsonValue): MegatronUnitLayout {
  return megatronUnitSchema.parse(layout);
}
