/** What the operand of a condition is in the values of a column: a comparison is then exact, whatever the column's unit, scale and width. */
import type { Comparison, Condition, Operand, Truths } from './filter.js';
import { FALSE, TRUE, UNKNOWN } from './filter.js';

/** Of a column that a filter reads; plain JSON. */
export type ColumnType =
  | { readonly kind: 'text' }
  | { readonly kind: 'boolean' }
  | { readonly kind: 'integer'; readonly unsigned: boolean }
  /** A whole number of 10^−scale. */
  | { readonly kind: 'decimal'; readonly scale: number }
  /** Days since 1970-01-01. */
  | { readonly kind: 'date' }
  /** A whole number of units since 1970-01-01, in UTC, or without a zone. */
  | { readonly kind: 'timestamp'; readonly unitsPerSecond: number; readonly utc: boolean }
  | { readonly kind: 'float'; readonly bits: 32 | 64 };

/** Of a row: text as UTF-8; whole numbers, also those of decimals, dates and timestamps, as either kind of number. */
export type ColumnValue = Uint8Array | number | bigint | boolean | null;

/** An operand, in the values of a column. */
export type Bound =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'float'; readonly value: number }
  /** The largest whole number that is not above it, and whether that is it. */
  | { readonly kind: 'integer'; readonly floor: bigint; readonly isExact: boolean };

/** An operand that a column cannot be compared with. */
export class OperandError extends Error {
  override readonly name = 'OperandError';
}

const NANOS_PER_SECOND = 1_000_000_000n;
const NANOS_PER_DAY = 86_400n * NANOS_PER_SECOND;

/** Throws `OperandError`. */
export function boundOf(operand: Operand, type: ColumnType): Bound {
  switch (type.kind) {
    case 'text':
      if (typeof operand === 'string') return { kind: 'bytes', bytes: Buffer.from(operand) };
      throw new OperandError(`it is text, and ${operand} is a ${typeof operand}: write it in quotes`);
    case 'boolean':
      if (typeof operand === 'boolean') return { kind: 'boolean', value: operand };
      throw new OperandError(`it is boolean, and ${shown(operand)} is not`);
    case 'float': {
      numberOf(operand);
      const value = Number(operand);
      // what was written into a column of 32 bits is found again by what it was written as
      return { kind: 'float', value: type.bits === 32 ? Math.fround(value) : value };
    }
    case 'integer':
      return wholeOf(numberOf(operand), 1n);
    case 'decimal':
      return wholeOf(numberOf(operand), 10n ** BigInt(type.scale));
    case 'date': {
      const { nanos, isZoned } = instantOf(operand);
      if (isZoned) throw new OperandError(`it is a date, and ${shown(operand)} has a time zone`);
      return wholeOf({ numerator: nanos, denominator: NANOS_PER_DAY }, 1n);
    }
    case 'timestamp': {
      const { nanos, isZoned } = instantOf(operand);
      if (isZoned && !type.utc) throw new OperandError(`it has times without a time zone, and ${shown(operand)} has one`);
      return wholeOf({ numerator: nanos, denominator: NANOS_PER_SECOND }, BigInt(type.unitsPerSecond));
    }
  }
}

/** Below 0, 0, or above 0; NaN where neither is smaller and they are not equal. The value is one of the column that the bound was made for. */
export function compareTo(value: Exclude<ColumnValue, null>, bound: Bound): number {
  switch (bound.kind) {
    case 'bytes':
      return Buffer.compare(value as Uint8Array, bound.bytes);
    case 'boolean':
      return Number(value) - Number(bound.value);
    case 'float': {
      const number = value as number;
      return number < bound.value ? -1 : number > bound.value ? 1 : number === bound.value ? 0 : NaN;
    }
    case 'integer': {
      const number = value as number | bigint;
      return number < bound.floor ? -1 : number > bound.floor ? 1 : bound.isExact ? 0 : -1;
    }
  }
}

/** What a comparison says of the order of two values. */
export function holds(op: Exclude<Comparison, 'startsWith'>, order: number): boolean {
  switch (op) {
    case 'eq':
      return order === 0;
    case 'lt':
      return order < 0;
    case 'lte':
      return order <= 0;
    case 'gt':
      return order > 0;
    case 'gte':
      return order >= 0;
  }
}

/** A condition, ready for the values of a column of the type. Throws `OperandError`. */
export function conditionTest(condition: Condition, type: ColumnType): (value: ColumnValue) => Truths {
  if (condition.kind === 'isNull') return (value) => (value === null ? TRUE : FALSE);
  const test = valueTest(condition, type);
  return (value) => (value === null ? UNKNOWN : test(value) ? TRUE : FALSE);
}

function valueTest(condition: Exclude<Condition, { kind: 'isNull' }>, type: ColumnType): (value: Exclude<ColumnValue, null>) => boolean {
  if (condition.kind === 'in') {
    const bounds = condition.values.map((value) => boundOf(value, type));
    if (type.kind !== 'text') return (value) => bounds.some((bound) => compareTo(value, bound) === 0);
    const texts = new Set(bounds.map((bound) => (bound.kind === 'bytes' ? latin1(bound.bytes) : '')));
    return (value) => texts.has(latin1(value as Uint8Array));
  }
  const { op } = condition;
  if (op === 'startsWith') {
    const prefix = prefixOf(condition.value, type);
    return (value) => startsWith(value as Uint8Array, prefix);
  }
  const bound = boundOf(condition.value, type);
  return (value) => holds(op, compareTo(value, bound));
}

/** Throws `OperandError`. */
export function prefixOf(operand: Operand, type: ColumnType): Uint8Array {
  if (type.kind !== 'text') throw new OperandError('startsWith is for text, and it is not');
  const bound = boundOf(operand, type);
  return bound.kind === 'bytes' ? bound.bytes : new Uint8Array(0);
}

export function startsWith(value: Uint8Array, prefix: Uint8Array): boolean {
  return value.length >= prefix.length && Buffer.compare(value.subarray(0, prefix.length), prefix) === 0;
}

/** A character a byte: whatever the bytes are, equal bytes are equal text. */
function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** An exact number. */
interface Ratio {
  readonly numerator: bigint;
  /** Above 0. */
  readonly denominator: bigint;
}

const DECIMAL = /^([+-]?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3}))?$/;

/** A number as it is written in decimal; undefined where the text is none. */
export function ratioOf(text: string): Ratio | undefined {
  const match = DECIMAL.exec(text);
  if (match === null) return undefined;
  const [, sign, whole, fraction = '', exponent = '0'] = match;
  const digits = BigInt(`${whole}${fraction}`) * (sign === '-' ? -1n : 1n);
  const power = Number(exponent) - fraction.length;
  return power >= 0
    ? { numerator: digits * 10n ** BigInt(power), denominator: 1n }
    : { numerator: digits, denominator: 10n ** BigInt(-power) };
}

/** A double is what it is written as: 0.1 is a tenth. */
function numberOf(operand: Operand): Ratio {
  const ratio = typeof operand === 'boolean' ? undefined : ratioOf(String(operand));
  if (ratio === undefined) throw new OperandError(`it is a number, and ${shown(operand)} is not`);
  return ratio;
}

function wholeOf({ numerator, denominator }: Ratio, units: bigint): Bound {
  const scaled = numerator * units;
  const quotient = scaled / denominator; // towards zero
  const rest = scaled % denominator;
  return { kind: 'integer', floor: rest < 0n ? quotient - 1n : quotient, isExact: rest === 0n };
}

/** A time, in nanoseconds since 1970-01-01. */
interface Instant {
  readonly nanos: bigint;
  readonly isZoned: boolean;
}

const ISO_TIME = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(Z|[+-]\d{2}:\d{2})?)?$/;

/** Of a date, or a date and a time, as ISO 8601 writes them; without a zone it counts as UTC. Undefined where the text is neither. */
export function parseInstant(text: string): Instant | undefined {
  const match = ISO_TIME.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', zone] = match;
  const [y, mo, d, h, mi, s] = [year, month, day, hour, minute, second].map(Number);
  const date = new Date(0);
  date.setUTCFullYear(y, mo - 1, d);
  const exists = date.getUTCMonth() === mo - 1 && date.getUTCDate() === d && h < 24 && mi < 60 && s < 60;
  if (!exists) return undefined;
  const seconds = BigInt(date.getTime() / 1000 + 3600 * h + 60 * mi + s - 60 * zoneMinutes(zone));
  return { nanos: seconds * NANOS_PER_SECOND + BigInt(fraction.padEnd(9, '0')), isZoned: (zone as string | undefined) !== undefined };
}

function zoneMinutes(zone: string | undefined): number {
  if (zone === undefined || zone === 'Z') return 0;
  const minutes = 60 * Number(zone.slice(1, 3)) + Number(zone.slice(4, 6));
  return zone.startsWith('-') ? -minutes : minutes;
}

function instantOf(operand: Operand): Instant {
  const instant = typeof operand === 'string' ? parseInstant(operand) : undefined;
  if (instant !== undefined) return instant;
  throw new OperandError(`it is a date or time, and ${shown(operand)} is not one such as 2026-01-31 or 2026-01-31T12:00:00Z`);
}

function shown(operand: Operand): string {
  return JSON.stringify(operand);
}
