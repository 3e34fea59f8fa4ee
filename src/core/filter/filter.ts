/**
 * Which rows of a source are taken, as `where` says it: a tree of conditions on columns. Three-valued, as in SQL: a comparison with null is unknown, and
 * so is its negation; a row is taken where the whole is true.
 *
 * A truth is one of three bits, and a set of truths their sum: the same algebra evaluates a row, and all that may come of the rows of a row group.
 */
import { canonicalJson } from '../canonical-json.js';

export const TRUE = 1;
export const FALSE = 2;
export const UNKNOWN = 4;

/** One truth, or a set of them. */
export type Truths = number;

/** As YAML has it; what it means, the type of the column says. */
export type Operand = string | number | boolean;

export type Comparison = 'eq' | 'lt' | 'lte' | 'gt' | 'gte' | 'startsWith';

export type Condition =
  | { readonly kind: 'isNull'; readonly column: string }
  | { readonly kind: 'compare'; readonly column: string; readonly op: Comparison; readonly value: Operand }
  /** Equal to one of them. */
  | { readonly kind: 'in'; readonly column: string; readonly values: readonly Operand[] };

/** Plain JSON: part of the plan, of saved indexes, and of what crosses to worker threads. */
export type Filter =
  | Condition
  | { readonly kind: 'known'; readonly truth: Truths }
  | { readonly kind: 'not'; readonly of: Filter }
  | { readonly kind: 'all'; readonly of: readonly Filter[] }
  | { readonly kind: 'any'; readonly of: readonly Filter[] };

export function not(truths: Truths): Truths {
  return ((truths & TRUE) << 1) | ((truths & FALSE) >> 1) | (truths & UNKNOWN);
}

export function and(a: Truths, b: Truths): Truths {
  const mayBeUnknown = ((a & UNKNOWN) !== 0 && (b & ~FALSE) !== 0) || ((b & UNKNOWN) !== 0 && (a & ~FALSE) !== 0);
  return (a & b & TRUE) | ((a | b) & FALSE) | (mayBeUnknown ? UNKNOWN : 0);
}

export function or(a: Truths, b: Truths): Truths {
  return not(and(not(a), not(b)));
}

/** What may come of a filter, by what may come of its conditions. With sets it says too much rather than too little: conditions count as independent. */
export function truthsOf(filter: Filter, ofCondition: (condition: Condition) => Truths): Truths {
  switch (filter.kind) {
    case 'known':
      return filter.truth;
    case 'not':
      return not(truthsOf(filter.of, ofCondition));
    case 'all':
      return filter.of.reduce((truths, part) => and(truths, truthsOf(part, ofCondition)), TRUE);
    case 'any':
      return filter.of.reduce((truths, part) => or(truths, truthsOf(part, ofCondition)), FALSE);
    default:
      return ofCondition(filter);
  }
}

/** The same filter with what is known of some conditions in their place; `undefined`: nothing is. */
export function resolve(filter: Filter, known: (condition: Condition) => Truths | undefined): Filter {
  switch (filter.kind) {
    case 'known':
      return filter;
    case 'not': {
      const of = resolve(filter.of, known);
      return of.kind === 'known' ? { kind: 'known', truth: not(of.truth) } : { kind: 'not', of };
    }
    case 'all':
      return joined(
        'all',
        filter.of.map((part) => resolve(part, known)),
      );
    case 'any':
      return joined(
        'any',
        filter.of.map((part) => resolve(part, known)),
      );
    default: {
      const truth = known(filter);
      return truth === undefined ? filter : { kind: 'known', truth };
    }
  }
}

/** Flat, without what decides nothing. */
function joined(kind: 'all' | 'any', parts: readonly Filter[]): Filter {
  const [neutral, deciding] = kind === 'all' ? [TRUE, FALSE] : [FALSE, TRUE];
  const flat = parts.flatMap((part) => (part.kind === kind ? part.of : [part])).filter((part) => !isKnown(part, neutral));
  if (flat.some((part) => isKnown(part, deciding))) return { kind: 'known', truth: deciding };
  const [first, ...others] = flat;
  if (flat.length === 0) return { kind: 'known', truth: neutral };
  return others.length === 0 ? first : { kind, of: flat };
}

function isKnown(filter: Filter, truth: Truths): boolean {
  return filter.kind === 'known' && filter.truth === truth;
}

/** One form for filters that differ in the order of their parts and values only, or in what is written twice. */
export function canonicalFilter(filter: Filter): Filter {
  switch (filter.kind) {
    case 'not': {
      const of = canonicalFilter(filter.of);
      return of.kind === 'not' ? of.of : { kind: 'not', of };
    }
    case 'all':
    case 'any': {
      const { kind } = filter;
      const flat = filter.of.map(canonicalFilter).flatMap((part) => (part.kind === kind ? part.of : [part]));
      return joined(kind, distinct(flat));
    }
    case 'in': {
      const values = distinct(filter.values);
      const [value] = values;
      return values.length === 1 ? { kind: 'compare', column: filter.column, op: 'eq', value } : { ...filter, values };
    }
    default:
      return filter;
  }
}

/** In the order of their canonical text. */
function distinct<T extends Filter | Operand>(values: readonly T[]): T[] {
  const byText = new Map(values.map((value) => [canonicalJson(value), value]));
  return [...byText].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value);
}

/** In order of name, each once. */
export function columnsOf(filter: Filter): string[] {
  const columns = new Set<string>();
  truthsOf(filter, ({ column }) => {
    columns.add(column);
    return TRUE;
  });
  return [...columns].sort();
}
