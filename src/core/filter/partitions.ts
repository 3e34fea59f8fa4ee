/**
 * Columns that the path of a shard holds, as Hive writes them: `date=2026-01-01/lang=en/part-0.parquet`. Their values are text, and are compared as what
 * the operand is.
 */
import { FALSE, TRUE, UNKNOWN, type Condition, type Operand, type Truths } from './filter.js';
import { compareTo, holds, OperandError, parseInstant, ratioOf, type Bound } from './operand.js';

/** Null where Hive had none. */
export type Partitions = ReadonlyMap<string, string | null>;

const NULL_PARTITION = '__HIVE_DEFAULT_PARTITION__';

/** `path`: of the shard, below the source's root. Of two of one name, the inner one. */
export function partitionsOf(path: string): Partitions {
  const partitions = new Map<string, string | null>();
  for (const segment of path.split('/').slice(0, -1)) {
    const at = segment.indexOf('=');
    if (at <= 0) continue;
    const value = decoded(segment.slice(at + 1));
    partitions.set(decoded(segment.slice(0, at)), value === NULL_PARTITION ? null : value);
  }
  return partitions;
}

/** What is no percent encoding stands for itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** What a condition says of a shard; undefined where its column is none of the path's. Throws `OperandError`. */
export function partitionTruth(condition: Condition, partitions: Partitions): Truths | undefined {
  const value = partitions.get(condition.column);
  if (value === undefined) return undefined;
  if (condition.kind === 'isNull') return value === null ? TRUE : FALSE;
  if (value === null) return UNKNOWN;
  return holdsOf(condition, value) ? TRUE : FALSE;
}

function holdsOf(condition: Exclude<Condition, { kind: 'isNull' }>, value: string): boolean {
  if (condition.kind === 'in') return condition.values.some((operand) => orderOf(value, operand) === 0);
  if (condition.op === 'startsWith') return value.startsWith(String(condition.value));
  return holds(condition.op, orderOf(value, condition.value));
}

function orderOf(value: string, operand: Operand): number {
  if (typeof operand === 'boolean') {
    const text = value.toLowerCase();
    if (text === 'true' || text === 'false') return Number(text === 'true') - Number(operand);
    throw new OperandError(`its value ${value} is not true or false, which ${operand} is`);
  }
  if (typeof operand === 'number') {
    const [own, other] = [ratioOf(value), ratioOf(String(operand))];
    if (own === undefined || other === undefined) throw new OperandError(`its value ${value} is no number, and ${operand} is one`);
    return sign(own.numerator * other.denominator - other.numerator * own.denominator);
  }
  const [own, other] = [parseInstant(value), parseInstant(operand)];
  if (own !== undefined && other !== undefined) return sign(own.nanos - other.nanos);
  const bound: Bound = { kind: 'bytes', bytes: Buffer.from(operand) };
  return compareTo(Buffer.from(value), bound);
}

function sign(difference: bigint): number {
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}
