/** The fields of a batch, from those of its samples. */
import { bytesOfNumbers, numbersOf, type BatchFields, type Field, type FieldArrays } from '../core/fields.js';
import { rawBuffer } from '../core/raw-memory.js';
import type { Sequence } from '../core/sequence.js';
import type { BatchMemory } from './batch-memory.js';

/** `fields`: in the order in which the samples have them. Each field is copied once, into arrays of its own. */
export function buildFields(samples: readonly Sequence[], fields: readonly Field[], memory?: BatchMemory): BatchFields {
  return Object.fromEntries(fields.map((field, index) => [field.name, buildField(samples, field, index, memory)]));
}

/** What the values of all fields lie in. */
export function buffersOfFields(fields: BatchFields): ArrayBuffer[] {
  return Object.values(fields).map((field) => (field.kind === 'numbers' ? field.values.buffer : field.bytes.buffer));
}

function buildField(samples: readonly Sequence[], field: Field, index: number, memory: BatchMemory | undefined): FieldArrays {
  const parts = samples.map(({ fields = [] }) => fields[index]);
  const total = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const bytes = new Uint8Array(memory?.take(total) ?? rawBuffer(total), 0, total);
  const bounds = new BigInt64Array(parts.length + 1);
  let at = 0;
  for (const [row, part] of parts.entries()) {
    bytes.set(part, at);
    at += part.byteLength;
    bounds[row + 1] = BigInt(at);
  }
  if (field.kind !== 'numbers') return { kind: field.kind, bounds, bytes };
  const { kind, dtype, size } = field;
  if (total !== parts.length * bytesOfNumbers(field)) throw new Error(`samples with other numbers than the field ${field.name} has`);
  return { kind, dtype, size, values: numbersOf(dtype, bytes.buffer, 0, parts.length * (size ?? 1)) };
}
