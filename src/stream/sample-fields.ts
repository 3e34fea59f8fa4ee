/**
 * The fields of the rows of a window, in a worker: the bytes that are served of a sample, or why its row is a bad one; and the row as a transform has it,
 * with what the transform made of it in place of what it had.
 */
import { valueOfField } from '../core/field-values.js';
import type { FieldRows } from '../decode/decoder.js';
import { valueOfRow } from '../decode/field-rows.js';
import type { MadeField, MadeFields, RowOfValues } from '../transform/transform.js';
import type { WindowPayload } from './messages.js';
import type { DecodeFacts } from './row-fates.js';

const PRESENT = Uint8Array.of(1);
const ABSENT = Uint8Array.of(0);
const NO_FIELDS: readonly FieldRows[] = [];

export class SampleFields {
  /** By slice. */
  readonly #slices: readonly (readonly FieldRows[])[];
  readonly #optional: ReadonlySet<string>;

  /** `optional`: fields that a row may be without. Each is followed by whether the row has it. */
  constructor({ slices }: WindowPayload, { decodeBeside }: Pick<DecodeFacts, 'decodeBeside'>, optional: readonly string[]) {
    this.#slices = slices.map(({ beside }) => (beside && decodeBeside(beside).fields) ?? NO_FIELDS);
    this.#optional = new Set(optional);
  }

  /** Why the row is a bad one: the rest of a sentence about it. `undefined`: it is not. */
  problemOf(slice: number, index: number): string | undefined {
    const bad = this.#slices[slice].find((field) => field.valid?.[index] === 0 && !this.#isAbsent(field, index));
    return bad && (bad.problems?.get(index) ?? `has a field ${bad.name} that ${bad.problem}`);
  }

  /** Of a row that is none, in order of name, with whether it has them. `made`: in place of the row's own. Views. */
  bytesOf(slice: number, index: number, made: MadeFields = {}): Uint8Array[] {
    return this.#slices[slice].flatMap((field): readonly Uint8Array[] => {
      const { name, rowBytes } = field;
      const own = Object.hasOwn(made, name) ? made[name] : this.#isAbsent(field, index) ? null : valueOfRow(field, index);
      if (own === null) return [new Uint8Array(rowBytes), ABSENT];
      return this.#optional.has(name) ? [own, PRESENT] : [own];
    });
  }

  /** `row` with the values of its fields, made anew. Bytes are made when they are asked for: most of a sample, and often of no use to the transform. */
  rowOf(slice: number, index: number, types: readonly MadeField[] = [], row: RowOfValues = {}): RowOfValues {
    const whole: Record<string, RowOfValues[string]> = { ...row };
    for (const field of this.#slices[slice]) {
      const { name } = field;
      const type = types.find((own) => own.name === name)?.type;
      if (type === undefined) throw new Error(`the field ${name} of a sample has no type`);
      const valueOf = (): RowOfValues[string] => valueOfField(type, valueOfRow(field, index));
      if (this.#isAbsent(field, index)) whole[name] = null;
      else if (type.kind === 'bytes') defineLazily(whole, name, valueOf);
      else whole[name] = valueOf();
    }
    return whole;
  }

  #isAbsent({ name, nulls }: FieldRows, index: number): boolean {
    return nulls?.[index] === 1 && this.#optional.has(name);
  }
}

/** It is a value like any other once it was asked for, or set. */
function defineLazily(row: Record<string, unknown>, name: string, valueOf: () => unknown): void {
  const settle = (value: unknown): unknown => {
    Object.defineProperty(row, name, { value, enumerable: true, configurable: true, writable: true });
    return value;
  };
  Object.defineProperty(row, name, { get: () => settle(valueOf()), set: settle, enumerable: true, configurable: true });
}
