/** A field of the samples of a slice: of each row the bytes that are served, or why it is a bad one, with its key. */
import type { FieldType } from '../../core/fields.js';
import { bytesOfNumbers } from '../../core/fields.js';
import type { FieldRows } from '../decoder.js';
import { fieldRowsOf, type RowValue } from '../value-columns.js';
import type { TarShardLayout } from './layout.js';
import { fieldMembers, type MemberChoice } from './member-choice.js';
import type { TarSamples } from './members.js';
import { readNpyNumbers } from './npy.js';
import { placeOf, rowValue, sampleValue, type SampleValue } from './sample-values.js';

type TarField = NonNullable<TarShardLayout['fields']>[number];
type NumbersType = Extract<FieldType, { kind: 'numbers' }>;

export function decodeFieldRows(samples: TarSamples, { name, column, type }: TarField): FieldRows {
  const choices = fieldMembers(column);
  const valueAt = (row: number): SampleValue => sampleValue(samples, choices, row);
  const field =
    type.kind === 'numbers' && choices.every(({ form }) => form === 'npy')
      ? arrayRows(name, type, samples, valueAt)
      : fieldRowsOf(name, type, samples.count, (row) => fieldValue(valueAt(row), type, samples, row), { areViews: true });
  return withKeys(field, samples, choices);
}

function fieldValue(value: SampleValue, type: FieldType, samples: TarSamples, row: number): RowValue {
  if (value.kind === 'missing') return { kind: 'bad', problem: value.problem };
  if (type.kind !== 'numbers') return rowValue(value, 'text');
  if (value.kind !== 'bytes' || value.choice.form !== 'npy') return truth(rowValue(value, 'number'), value, type);
  const numbers = readNpyNumbers(value.bytes, type);
  if ('problem' in numbers) return badArray(numbers.problem, value.choice, samples, row);
  return type.size === null ? numbers.values[0] : Array.from(numbers.values as ArrayLike<number | bigint>);
}

/** `true` and `false` may be written for 1 and 0. */
function truth(number: RowValue, value: SampleValue, { dtype }: NumbersType): RowValue {
  return number === undefined && dtype === 'uint8' && value.kind === 'bytes' ? rowValue(value, 'boolean') : number;
}

function badArray(problem: string, choice: MemberChoice, samples: TarSamples, row: number): Extract<RowValue, { kind: 'bad' }> {
  return { kind: 'bad', problem: `has a member ${placeOf(samples, choice, row)} that ${problem}` };
}

/** Arrays as they lie: no number is looked at by itself where they are stored as they are served. */
function arrayRows(name: string, type: NumbersType, samples: TarSamples, valueAt: (row: number) => SampleValue): FieldRows {
  const { count } = samples;
  const rowBytes = bytesOfNumbers(type);
  const problems = new Map<number, string>();
  const parts: Uint8Array[] = [];
  const bounds = new Int32Array(count + 1);
  for (let row = 0; row < count; row++) {
    const value = valueAt(row);
    bounds[row + 1] = bounds[row];
    if (value.kind === 'json') continue; // none of the members is JSON
    if (value.kind !== 'bytes') {
      problems.set(row, value.problem);
      continue;
    }
    const numbers = readNpyNumbers(value.bytes, type);
    if ('problem' in numbers) problems.set(row, badArray(numbers.problem, value.choice, samples, row).problem);
    else {
      const { buffer, byteOffset, byteLength } = numbers.values;
      parts.push(new Uint8Array(buffer, byteOffset, byteLength));
      bounds[row + 1] += byteLength;
    }
  }
  const bytes = new Uint8Array(bounds[count]);
  for (const [i, part] of parts.entries()) bytes.set(part, i * rowBytes);
  const field = { name, bytes, rowBytes, problem: 'is no array that is served' };
  if (problems.size === 0) return { ...field, bounds: undefined, valid: undefined };
  const valid = Uint8Array.from({ length: count }, (_, row) => (problems.has(row) ? 0 : 1));
  return { ...field, bounds, valid, problems };
}

/** Every bad row is told of with the key of its sample. */
function withKeys(field: FieldRows, samples: TarSamples, choices: readonly MemberChoice[]): FieldRows {
  const { name, valid, problem } = field;
  if (valid === undefined) return field;
  const problems = new Map(field.problems);
  const nulls = new Uint8Array(valid.length);
  for (const [row, isValid] of valid.entries()) {
    if (isValid === 1) continue;
    const value = sampleValue(samples, choices, row);
    nulls[row] = isNull(value) ? 1 : 0;
    if (problems.has(row)) continue;
    const where = 'choice' in value ? ` in ${placeOf(samples, value.choice, row)}` : '';
    problems.set(row, `has a field ${name}${where} that ${problem}`);
  }
  return { ...field, nulls, problems };
}

/** No member, or one of JSON with null or nothing in that place. */
function isNull(value: SampleValue): boolean {
  return value.kind === 'missing' || (value.kind === 'json' && (value.json ?? null) === null);
}
