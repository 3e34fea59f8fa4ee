/** Values of fields as JavaScript has them, and as the bytes that are served: what a transform is given, and what it answers. */
import { bytesOfNumbers, numbersOf, type FieldDtype, type FieldNumbers, type FieldType } from './fields.js';

/** Bytes, text, a number (of int64 a bigint), or the numbers of a list. */
export type FieldValue = Uint8Array | string | number | bigint | FieldNumbers;

/** In memory of its own. */
export function valueOfField(type: FieldType, bytes: Uint8Array): FieldValue {
  if (type.kind === 'text') return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const own = Uint8Array.from(bytes);
  if (type.kind !== 'numbers') return own;
  const numbers = numbersOf(type.dtype, own.buffer);
  return type.size === null ? numbers[0] : numbers;
}

/**
 * The bytes of a value, in memory of their own; `undefined`: the type does not hold it. Numbers are exact, but that floats are rounded to what their type
 * holds; text must be one that UTF-8 holds.
 */
export function bytesOfValue(type: FieldType, value: unknown): Uint8Array | undefined {
  switch (type.kind) {
    case 'bytes':
      return value instanceof Uint8Array ? Uint8Array.from(value) : undefined;
    case 'text':
      return typeof value === 'string' && isWellFormed(value) ? Buffer.from(value, 'utf8') : undefined;
    case 'numbers':
      return bytesOfNumber(type, value);
  }
}

function bytesOfNumber(type: Extract<FieldType, { kind: 'numbers' }>, value: unknown): Uint8Array | undefined {
  const { dtype, size } = type;
  const list = size === null ? [value] : isListOfValues(value) ? value : [];
  if (list.length !== (size ?? 1)) return undefined;
  const numbers = numbersOf(dtype, new ArrayBuffer(bytesOfNumbers(type)));
  for (let i = 0; i < list.length; i++) if (!putNumber(list[i], dtype, numbers, i)) return undefined;
  return new Uint8Array(numbers.buffer);
}

/** Whether the value is one that the type holds: exactly, but that floats are rounded. */
export function putNumber(value: unknown, dtype: FieldDtype, numbers: FieldNumbers, at: number): boolean {
  if (numbers instanceof BigInt64Array) {
    const whole = typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value;
    if (typeof whole !== 'bigint' || BigInt.asIntN(64, whole) !== whole) return false;
    numbers[at] = whole;
    return true;
  }
  if (dtype === 'uint8' && typeof value === 'boolean') {
    numbers[at] = Number(value);
    return true;
  }
  if (typeof value !== 'number' && typeof value !== 'bigint') return false;
  const number = Number(value);
  numbers[at] = number;
  return dtype === 'float32' || dtype === 'float64' ? Number.isFinite(numbers[at]) : numbers[at] === number;
}

/** A list, or a typed array. */
export function isListOfValues(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}

/** Many times as fast as a regular expression; the types of ES2024 would bring what Node 20 does not have. */
export function isWellFormed(text: string): boolean {
  return (text as string & { readonly isWellFormed: () => boolean }).isWellFormed();
}
