/**
 * What the footer says of all values of a column chunk: bounds and nulls, from the bytes as they are stored. Used only where it is certain: the older
 * fields `min` and `max` are in an order of signed numbers, whatever the type, and the newer ones in the type's own, where the footer says so.
 */
import type { SchemaElement } from 'hyparquet';
import type { ColumnRange } from '../../core/filter/column-range.js';
import type { ColumnType, ColumnValue } from '../../core/filter/operand.js';

/** As Thrift has them (parquet.thrift, struct Statistics). */
export interface RawStatistics {
  readonly max: Uint8Array | undefined;
  readonly min: Uint8Array | undefined;
  readonly nullCount: bigint | undefined;
  readonly maxValue: Uint8Array | undefined;
  readonly minValue: Uint8Array | undefined;
}

export interface ColumnFacts {
  readonly type: ColumnType;
  /** Of the column itself, with its physical type. */
  readonly leaf: SchemaElement;
  /** Whether the footer says that the newer bounds are in the order of the type. */
  readonly hasTypeOrder: boolean;
}

/** `undefined` statistics: there are none. */
export function rangeOf(statistics: RawStatistics | undefined, { type, leaf, hasTypeOrder }: ColumnFacts, rows: number): ColumnRange {
  if (statistics === undefined) return { rows, nulls: undefined, bounds: undefined };
  const { max, min, nullCount, maxValue, minValue } = statistics;
  const nulls = nullCount === undefined ? undefined : Number(nullCount);
  // whoever counts more nulls than rows counts something else
  if (nulls !== undefined && !(nulls >= 0 && nulls <= rows)) return { rows, nulls: undefined, bounds: undefined };
  const isSigned = hasSignedOrder(type, leaf);
  const newer = hasTypeOrder || isSigned ? boundsOf(minValue, maxValue, type, leaf) : undefined;
  return { rows, nulls, bounds: newer ?? (isSigned ? boundsOf(min, max, type, leaf) : undefined) };
}

/** Whether the order of signed numbers is that of the type. */
function hasSignedOrder(type: ColumnType, leaf: SchemaElement): boolean {
  if (leaf.type === 'INT96') return false;
  if (type.kind === 'decimal') return leaf.type === 'INT32' || leaf.type === 'INT64';
  return type.kind !== 'text' && !(type.kind === 'integer' && type.unsigned);
}

function boundsOf(min: Uint8Array | undefined, max: Uint8Array | undefined, type: ColumnType, leaf: SchemaElement): ColumnRange['bounds'] {
  const [low, high] = [min, max].map((bytes) => (bytes === undefined ? undefined : plainValue(bytes, type, leaf)));
  if (low === undefined || high === undefined) return undefined;
  const isAscending = low instanceof Uint8Array && high instanceof Uint8Array ? Buffer.compare(low, high) <= 0 : low <= high;
  return isAscending ? { min: low, max: high } : undefined; // false for NaN as well
}

/** A value in PLAIN encoding, without the length of a byte array. Undefined where it is none of the type. */
function plainValue(bytes: Uint8Array, type: ColumnType, leaf: SchemaElement): Exclude<ColumnValue, null> | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const unsigned = type.kind === 'integer' && type.unsigned;
  switch (leaf.type) {
    case 'BOOLEAN':
      return bytes.length === 1 ? bytes[0] !== 0 : undefined;
    case 'INT32':
      if (bytes.length !== 4) return undefined;
      return unsigned ? view.getUint32(0, true) : view.getInt32(0, true);
    case 'INT64':
      if (bytes.length !== 8) return undefined;
      return unsigned ? view.getBigUint64(0, true) : view.getBigInt64(0, true);
    case 'FLOAT':
      return bytes.length === 4 ? view.getFloat32(0, true) : undefined;
    case 'DOUBLE':
      return bytes.length === 8 ? view.getFloat64(0, true) : undefined;
    case 'BYTE_ARRAY':
    case 'FIXED_LEN_BYTE_ARRAY':
      if (type.kind === 'decimal') return bytes.length > 0 ? signedOf(bytes) : undefined;
      return type.kind === 'text' ? bytes : undefined;
    default:
      return undefined;
  }
}

/** A whole number in two's complement, its first byte the highest. */
export function signedOf(bytes: Uint8Array): bigint {
  if (bytes.length === 0) return 0n;
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
  return BigInt.asIntN(8 * bytes.length, BigInt(`0x${hex}`));
}
