/** What a source could serve of a column as a field, and what it has to say of it, where no metadata says its type but values that were looked at. */
import { LIMITS } from '../config/limits.js';
import type { JsonValue } from '../core/canonical-json.js';
import { describeField, type FieldType, type FieldTypeName } from '../core/fields.js';

export interface OfferedField {
  readonly name: string;
  /** As a sample has it then: `text`, `float32 × 512`. */
  readonly type: string;
  /** What has to be said beside the column: nothing, where a format's own reading of it is this. `N`: lists of which nothing says how long they are. */
  readonly said?: { readonly type?: FieldTypeName; readonly size?: number | 'N'; readonly missing?: null } | undefined;
}

/** `isWithout`: some rows are without it. */
export function offeredField(name: string, type: FieldType, said: NonNullable<OfferedField['said']>, isWithout: boolean): OfferedField {
  const all = { ...said, ...(isWithout && { missing: null }) };
  return { name, type: describeField(type), ...(Object.keys(all).length > 0 && { said: all }) };
}

/** The numbers of a column of JSON: how long its lists are, and how large the largest is. */
export class SeenNumbers {
  /** `null`: several. */
  #size: number | null | undefined;
  #largest = 0;

  add(value: JsonValue): void {
    if (Array.isArray(value)) {
      const { length } = value as readonly JsonValue[];
      this.#size = this.#size === undefined || this.#size === length ? length : null;
      for (const item of value as readonly JsonValue[]) this.#addNumber(item);
    } else this.#addNumber(value);
  }

  #addNumber(value: JsonValue): void {
    if (typeof value === 'number') this.#largest = Math.max(this.#largest, Math.abs(value));
  }

  /** `types`: as `settledTypes` has them. `undefined`: no type holds all of them. */
  field(name: string, types: readonly string[], isWithout: boolean): OfferedField | undefined {
    if (types.length !== 1) return undefined;
    const [type] = types;
    const isList = type.startsWith('list<');
    if (type === 'string') return offeredField(name, { kind: 'text' }, {}, isWithout);
    const dtype = this.#dtypeOf(isList ? type.slice('list<'.length, -1) : type, isList);
    if (dtype === undefined) return undefined;
    if (!isList) return offeredField(name, { kind: 'numbers', dtype, size: null }, { type: dtype }, isWithout);
    const size = this.#size ?? 0; // lists of several sizes are no field
    if (size === 0 || size > LIMITS.fieldSizeMax) return undefined;
    return offeredField(name, { kind: 'numbers', dtype, size }, { type: dtype, size }, isWithout);
  }

  #dtypeOf(one: string, isList: boolean): 'uint8' | 'int64' | 'float32' | 'float64' | undefined {
    switch (one) {
      case 'boolean':
        return 'uint8';
      case 'integer':
        return this.#largest < 2 ** 63 ? 'int64' : 'float64';
      case 'float': // lists are what models take; a number by itself keeps its digits
        return isList && this.#largest <= FLOAT32_MAX ? 'float32' : 'float64';
      default:
        return undefined;
    }
  }
}

const FLOAT32_MAX = (2 - 2 ** -23) * 2 ** 127;
