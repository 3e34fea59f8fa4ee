/**
 * Lists and objects within a sample, in a form of litData's own, or as the JSON that older versions wrote. Pure.
 *
 *   tag │ what the tag says:   JSON                length │ text               (a length or a count: uint32)
 *                              texts               count │ length │ text │ …
 *                              numbers, truths     count │ int64, float64, or a byte, each
 *                              an object           count │ length │ key │ value │ …
 *                              objects alike       count │ keys │ length │ key │ … │ tag │ value │ …
 *                              one value           as of its kind
 *
 * Source of the layout: `_nested_dumps`, `_enc_recs` in `litdata/streaming/serializers.py`.
 */
import { isUtf8 } from 'node:buffer';
import type { JsonValue } from '../../core/canonical-json.js';
import { exactValue, put } from '../record-values.js';
import { viewOf, type StoredNumbers } from '../stored-numbers.js';

const TAG = {
  json: 0,
  texts: 1,
  integers: 2,
  floats: 3,
  truths: 4,
  object: 5,
  objects: 6,
  text: 7,
  integer: 8,
  float: 9,
  truth: 10,
  none: 11,
} as const;

/** Of the values of objects that are alike. */
const RECORD_TAG: Readonly<Record<number, number | undefined>> = {
  0x10: TAG.none,
  0x11: TAG.text,
  0x12: TAG.integer,
  0x13: TAG.float,
  0x14: TAG.truth,
};

/** What is no tag begins JSON. */
const TAG_MAX = 0x20;

/** Nested deeper than what anybody writes: what is, is damage. */
const DEPTH_MAX = 64;

/** The value, or what is wrong with the row, in words that follow it. */
export type NestedValue = { readonly value: JsonValue; readonly isValidUtf8: boolean } | { readonly problem: string };

/** Integers that a number does not hold are their digits, those of JSON as exact as JSON is read. */
export function nestedValue(bytes: Uint8Array): NestedValue {
  const reader = new NestedReader(bytes);
  try {
    const value = reader.whole();
    return { value, isValidUtf8: reader.isValidUtf8 };
  } catch (error) {
    if (error instanceof NestedError) return { problem: error.message };
    throw error;
  }
}

/** The numbers or truths of a list; or what is wrong with the row, in words that follow it. */
export function nestedNumbers(bytes: Uint8Array): StoredNumbers | string {
  const [tag] = bytes;
  const width = tag === TAG.truths ? 1 : tag === TAG.integers || tag === TAG.floats ? 8 : undefined;
  if (width === undefined || bytes.length < 5) return numbersOfValue(bytes);
  const count = viewOf(bytes).getUint32(1, true);
  const values = bytes.subarray(5);
  if (values.length !== width * count) return `has ${count} numbers in ${values.length} bytes`;
  return { dtype: tag === TAG.truths ? 'uint8' : tag === TAG.integers ? 'int64' : 'float64', bytes: values };
}

/** Of lists of mixed numbers, and of empty ones. */
function numbersOfValue(bytes: Uint8Array): StoredNumbers | string {
  const nested = nestedValue(bytes);
  if ('problem' in nested) return nested.problem;
  const { value } = nested;
  if (!isNumbers(value)) return 'has no list of numbers';
  const isWhole = value.every(Number.isSafeInteger);
  const numbers = isWhole ? BigInt64Array.from(value, BigInt) : Float64Array.from(value);
  return { dtype: isWhole ? 'int64' : 'float64', bytes: new Uint8Array(numbers.buffer) };
}

function isNumbers(value: JsonValue): value is number[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'number');
}

class NestedError extends Error {
  override readonly name = 'NestedError';
}

class NestedReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  isValidUtf8 = true;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
  }

  whole(): JsonValue {
    if (this.#bytes.length === 0 || this.#bytes[0] > TAG_MAX) return this.#json(this.#bytes.length);
    const value = this.#value(this.#byte(), 0);
    if (this.#at < this.#bytes.length) throw new NestedError('has a nested value that ends early');
    return value;
  }

  #value(tag: number, depth: number): JsonValue {
    switch (tag) {
      case TAG.json:
        return this.#json(this.#uint32());
      case TAG.texts:
        return this.#list(4, () => this.#text());
      case TAG.integers:
        return this.#list(8, () => this.#integer());
      case TAG.floats:
        return this.#list(8, () => this.#float());
      case TAG.truths:
        return this.#list(1, () => this.#truth());
      case TAG.object:
        return this.#object(depth);
      case TAG.objects:
        return this.#objects(depth);
      case TAG.text:
        return this.#text();
      case TAG.integer:
        return this.#integer();
      case TAG.float:
        return this.#float();
      case TAG.truth:
        return this.#truth();
      case TAG.none:
        return null;
      default:
        throw new NestedError(`has a nested value of the unknown kind ${tag}`);
    }
  }

  #object(depth: number): JsonValue {
    if (depth > DEPTH_MAX) throw new NestedError(`has values nested more than ${DEPTH_MAX} times`);
    const object: Record<string, JsonValue> = {};
    for (let rest = this.#count(5); rest > 0; rest--) put(object, this.#text(), this.#value(this.#byte(), depth + 1));
    return object;
  }

  #objects(depth: number): JsonValue {
    const count = this.#uint32();
    const keys = this.#list(4, () => this.#text());
    this.#check(count * Math.max(1, keys.length));
    return Array.from({ length: count }, () => {
      const object: Record<string, JsonValue> = {};
      for (const key of keys) {
        const tag = this.#byte();
        put(object, key, this.#value(RECORD_TAG[tag] ?? TAG_MAX + tag, depth));
      }
      return object;
    });
  }

  #list<T extends JsonValue>(itemBytes: number, read: () => T): T[] {
    return Array.from({ length: this.#count(itemBytes) }, read);
  }

  /** Of items that have at least so many bytes each: as many as there can be. */
  #count(itemBytes: number): number {
    const count = this.#uint32();
    this.#check(count * itemBytes);
    return count;
  }

  #json(length: number): JsonValue {
    const text = this.#utf8(length);
    try {
      return JSON.parse(text) as JsonValue;
    } catch {
      throw new NestedError('has JSON that cannot be read');
    }
  }

  #text(): string {
    return this.#utf8(this.#uint32());
  }

  #utf8(length: number): string {
    const start = this.#next(length);
    const own = this.#bytes.subarray(start, start + length);
    if (!isUtf8(own)) this.isValidUtf8 = false;
    return Buffer.from(own.buffer, own.byteOffset, own.length).toString('utf8');
  }

  #integer(): JsonValue {
    return exactValue(this.#view.getBigInt64(this.#next(8), true));
  }

  #float(): JsonValue {
    return exactValue(this.#view.getFloat64(this.#next(8), true));
  }

  #truth(): boolean {
    return this.#byte() !== 0;
  }

  #uint32(): number {
    return this.#view.getUint32(this.#next(4), true);
  }

  #byte(): number {
    return this.#bytes[this.#next(1)];
  }

  #next(bytes: number): number {
    this.#check(bytes);
    const start = this.#at;
    this.#at += bytes;
    return start;
  }

  #check(bytes: number): void {
    const rest = this.#bytes.length - this.#at;
    if (bytes > rest) throw new NestedError(`has a nested value that goes on for ${bytes} bytes, where ${rest} are left`);
  }
}
