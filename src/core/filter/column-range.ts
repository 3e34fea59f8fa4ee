/** What may come of a condition, by what is known of all values of a column in a row group: bounds and a number of nulls. */
import { FALSE, or, TRUE, UNKNOWN, type Condition, type Truths } from './filter.js';
import { boundOf, compareTo, holds, prefixOf, startsWith, type Bound, type ColumnType, type ColumnValue } from './operand.js';

export interface ColumnRange {
  readonly rows: number;
  /** `undefined`: nobody knows. */
  readonly nulls: number | undefined;
  /**
   * No value is below `min` or above `max`; they need not be values themselves. `undefined`: nobody knows. Of floats, NaN is neither below nor above.
   */
  readonly bounds: { readonly min: Exclude<ColumnValue, null>; readonly max: Exclude<ColumnValue, null> } | undefined;
  /** Whether an equal value is certainly not among them; `undefined`: nobody looked. */
  readonly lacks?: ((bound: Bound) => boolean) | undefined;
}

/** Throws `OperandError`. */
export function rangeTruths(condition: Condition, type: ColumnType, range: ColumnRange): Truths {
  const { rows, nulls } = range;
  const mayBeNull = nulls !== 0;
  const mayBeValue = nulls === undefined || nulls < rows;
  // whether or not it can be asked at all
  const ofValues = condition.kind === 'isNull' ? FALSE : valueTruths(condition, type, range);
  return (mayBeNull ? (condition.kind === 'isNull' ? TRUE : UNKNOWN) : 0) | (mayBeValue ? ofValues : 0);
}

function valueTruths(condition: Exclude<Condition, { kind: 'isNull' }>, type: ColumnType, range: ColumnRange): Truths {
  // a comparison with NaN is false, and no bounds tell of one
  const always = type.kind === 'float' ? FALSE : 0;
  if (condition.kind === 'in') {
    return condition.values.reduce<Truths>((truths, value) => or(truths, equalTruths(boundOf(value, type), range)), FALSE) | always;
  }
  const { op, value } = condition;
  if (op === 'startsWith') return prefixTruths(prefixOf(value, type), range);
  const bound = boundOf(value, type);
  if (op === 'eq') return equalTruths(bound, range) | always;
  if (range.bounds === undefined) return TRUE | FALSE;
  const { min, max } = range.bounds;
  const ofBounds = [min, max].map((end) => holds(op, compareTo(end, bound)));
  return (ofBounds.includes(true) ? TRUE : 0) | (ofBounds.includes(false) ? FALSE : 0) | always;
}

function equalTruths(bound: Bound, { bounds, lacks }: ColumnRange): Truths {
  if (bound.kind === 'integer' && !bound.isExact) return FALSE;
  if (lacks?.(bound) === true) return FALSE;
  if (bounds === undefined) return TRUE | FALSE;
  const [ofMin, ofMax] = [compareTo(bounds.min, bound), compareTo(bounds.max, bound)];
  if (ofMin > 0 || ofMax < 0) return FALSE;
  return ofMin === 0 && ofMax === 0 ? TRUE : TRUE | FALSE;
}

function prefixTruths(prefix: Uint8Array, { bounds }: ColumnRange): Truths {
  if (bounds === undefined) return TRUE | FALSE;
  const [min, max] = [bounds.min as Uint8Array, bounds.max as Uint8Array];
  if (startsWith(min, prefix) && startsWith(max, prefix)) return TRUE;
  const isBelow = Buffer.compare(max, prefix) < 0;
  const isAbove = Buffer.compare(min.subarray(0, prefix.length), prefix) > 0;
  return isBelow || isAbove ? FALSE : TRUE | FALSE;
}
