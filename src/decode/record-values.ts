/** Decoded arrays as JSON values, row by row: what records are made of, whatever format they come from. */
import { isUtf8 } from 'node:buffer';
import { LIMITS } from '../config/limits.js';
import type { JsonValue } from '../core/canonical-json.js';
import type { DecodedRecord, Row } from './decoder.js';

/** Told of text that is no valid UTF-8. */
export type OnInvalidUtf8 = () => void;

/** The value at an index of an array. */
export type Values = (index: number, onInvalidUtf8: OnInvalidUtf8) => JsonValue;

/** A text that no document may be as long as, and that may be longer than any string. Its message is the rest of a sentence about the row. */
class TextTooLong extends Error {
  override readonly name = 'TextTooLong';
}

/** A record that is made of such values: a bad one where a text in it is too long. */
export function decodedRecord(make: (onInvalidUtf8: OnInvalidUtf8) => Row): DecodedRecord {
  let isValidUtf8 = true;
  try {
    const row = make(() => (isValidUtf8 = false));
    return { row, isValidUtf8 };
  } catch (error) {
    if (error instanceof TextTooLong) return { problem: error.message };
    throw error;
  }
}

export function orNull(isValid: (index: number) => boolean, values: Values): Values {
  return (index, onInvalidUtf8) => (isValid(index) ? values(index, onInvalidUtf8) : null);
}

export function structValues(fields: readonly { readonly name: string; readonly values: Values }[]): Values {
  return (index, onInvalidUtf8) => {
    const value: Record<string, JsonValue> = {};
    for (const { name, values } of fields) put(value, name, values(index, onInvalidUtf8));
    return value;
  };
}

/** `bounds`: of each list, positions of its items. */
export function listValues(bounds: Int32Array, items: Values): Values {
  return (index, onInvalidUtf8) =>
    Array.from({ length: bounds[index + 1] - bounds[index] }, (_, i) => items(bounds[index] + i, onInvalidUtf8));
}

/** Throws what `decodedRecord` makes a bad row of. */
export function textValues(bounds: Int32Array, bytes: Uint8Array): Values {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return (index, onInvalidUtf8) => {
    const own = text.subarray(bounds[index], bounds[index + 1]);
    if (own.length > LIMITS.documentBytesMax)
      throw new TextTooLong(`has ${own.length} bytes of text; a document has at most ${LIMITS.documentBytesMax}`);
    if (!isUtf8(own)) onInvalidUtf8();
    return own.toString('utf8');
  };
}

/** `firstBit`: of the value at index 0. */
export function booleanValues(bits: Uint8Array, firstBit: number): Values {
  return (index) => ((bits[(firstBit + index) >> 3] >> ((firstBit + index) & 7)) & 1) === 1;
}

/** Of 64 bits: a number where it is exact, its digits where it is not. */
export function numberValues(values: ArrayLike<number> | ArrayLike<bigint>): Values {
  return (index) => {
    const value = values[index];
    if (typeof value === 'number') return value;
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  };
}

/** Of one number: its digits where no number is exact; what is no number in JSON is null. */
export function exactValue(value: number | bigint): JsonValue {
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
}

/** A column's name is data: `__proto__` is one like any other. */
export function put(object: Record<string, JsonValue>, key: string, value: JsonValue): void {
  if (key === '__proto__') Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  else object[key] = value;
}
