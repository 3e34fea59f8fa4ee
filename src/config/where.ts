/** `where`, as a user writes it, to a filter: maps of columns to values, lists or operators. */
import * as z from 'zod';
import { canonicalFilter, type Comparison, type Condition, type Filter, type Operand } from '../core/filter/filter.js';
import { nearestNames } from '../core/nearest-name.js';
import { LIMITS } from './limits.js';

/** What must hold of a column: a value it equals, values of which it equals one, or operators that must all hold. */
export type ColumnWhere = Operand | readonly Operand[] | OperatorsWhere;

export interface OperatorsWhere {
  readonly eq?: Operand;
  readonly in?: readonly Operand[];
  readonly gt?: Operand;
  readonly gte?: Operand;
  readonly lt?: Operand;
  readonly lte?: Operand;
  /** Both ends included. */
  readonly between?: readonly [Operand, Operand];
  readonly not?: ColumnWhere;
  readonly isNull?: boolean;
  readonly startsWith?: string;
}

/** By column; `any` and `all` have lists of such maps, and `not` has one. */
export interface WhereInput {
  readonly [column: string]: ColumnWhere | WhereInput | readonly WhereInput[] | undefined;
}

export const whereSchema = z
  .custom<WhereInput>()
  .transform((value, context): Filter => {
    try {
      return parseWhere(value);
    } catch (error) {
      if (!(error instanceof WhereProblem)) throw error;
      context.addIssue({ code: 'custom', message: error.message, path: [...error.path], input: value });
      return z.NEVER;
    }
  })
  .meta({ kind: 'map' });

/** What is wrong with a `where`, and where in it. */
class WhereProblem extends Error {
  override readonly name = 'WhereProblem';
  readonly path: readonly (string | number)[];

  constructor(path: readonly (string | number)[], message: string) {
    super(message);
    this.path = path;
  }
}

type Path = readonly (string | number)[];

const COMPARISONS = ['eq', 'gt', 'gte', 'lt', 'lte'] as const satisfies readonly Comparison[];
const OPERATORS = [...COMPARISONS, 'in', 'between', 'not', 'isNull', 'startsWith'] as const;

/** Names that other query languages have, and what is written here. */
const OPERATORS_ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ...['ne', 'neq', '!=', '<>'].map((name) => [name, 'not: VALUE'] as const),
  ...['nin', 'notin', 'not in'].map((name) => [name, 'not: [VALUE, VALUE]'] as const),
  ['=', 'eq: VALUE'],
  ['==', 'eq: VALUE'],
  ['>', 'gt: VALUE'],
  ['>=', 'gte: VALUE'],
  ['<', 'lt: VALUE'],
  ['<=', 'lte: VALUE'],
  ['null', 'isNull: true'],
  ['notnull', 'isNull: false'],
  ...['contains', 'endswith', 'like', 'ilike', 'matches', 'regex'].map(
    (name) => [name, 'a transform, which can test text in any way'] as const,
  ),
]);

/** In canonical form. Throws `WhereProblem`. */
function parseWhere(value: unknown): Filter {
  const filter = ofMap(value, [], 0);
  const terms = termsOf(filter);
  if (terms > LIMITS.whereTermsMax)
    throw new WhereProblem([], `it has ${terms} conditions and values, and at most ${LIMITS.whereTermsMax} are allowed`);
  return canonicalFilter(filter);
}

function termsOf(filter: Filter): number {
  if (filter.kind === 'not') return termsOf(filter.of);
  if (filter.kind === 'all' || filter.kind === 'any') return filter.of.reduce((sum, part) => sum + termsOf(part), 0);
  return filter.kind === 'in' ? filter.values.length : 1;
}

function ofMap(value: unknown, path: Path, depth: number): Filter {
  if (depth > LIMITS.whereDepthMax) throw new WhereProblem(path, `any, all and not are ${LIMITS.whereDepthMax} levels deep at most`);
  if (!isMap(value)) throw new WhereProblem(path, 'expected a map of columns, such as {language: en, quality: {gte: 0.5}}');
  const entries = Object.entries(value);
  if (entries.length === 0) throw new WhereProblem(path, 'it names no column: take it out to take every document');
  const of = entries.map(([key, part]): Filter => {
    const own = [...path, key];
    if (key === 'not') return { kind: 'not', of: ofMap(part, own, depth + 1) };
    if (key !== 'any' && key !== 'all') return ofColumn(key, part, own);
    if (!Array.isArray(part) || part.length === 0)
      throw new WhereProblem(own, `expected a list of maps of columns; a column cannot be called ${key} here`);
    return { kind: key, of: part.map((item: unknown, index) => ofMap(item, [...own, index], depth + 1)) };
  });
  return { kind: 'all', of };
}

function ofColumn(column: string, value: unknown, path: Path): Filter {
  if (Array.isArray(value)) return { kind: 'in', column, values: operandsOf(value, path) };
  if (!isMap(value)) return { kind: 'compare', column, op: 'eq', value: operandOf(value, path) };
  const entries = Object.entries(value);
  if (entries.length === 0) throw new WhereProblem(path, `expected a value, a list, or operators (${OPERATORS.join(', ')})`);
  return { kind: 'all', of: entries.map(([operator, operand]) => ofOperator(column, operator, operand, [...path, operator])) };
}

function ofOperator(column: string, operator: string, operand: unknown, path: Path): Filter {
  switch (operator) {
    case 'in':
      return { kind: 'in', column, values: operandsOf(operand, path) };
    case 'between': {
      const ends = operandsOf(operand, path);
      if (ends.length !== 2) throw new WhereProblem(path, `expected two values, the smaller one first, and got ${ends.length}`);
      const [low, high] = ends;
      return { kind: 'all', of: [compare(column, 'gte', low), compare(column, 'lte', high)] };
    }
    case 'not':
      return { kind: 'not', of: ofColumn(column, operand, path) };
    case 'isNull': {
      if (typeof operand !== 'boolean') throw new WhereProblem(path, 'expected true or false');
      const isNull: Filter = { kind: 'isNull', column };
      return operand ? isNull : { kind: 'not', of: isNull };
    }
    case 'startsWith':
      if (typeof operand !== 'string') throw new WhereProblem(path, 'expected text');
      return compare(column, 'startsWith', operand);
    default: {
      const comparison = COMPARISONS.find((name) => name === operator);
      if (comparison !== undefined) return compare(column, comparison, operandOf(operand, path));
      const meant = OPERATORS_ELSEWHERE.get(operator.toLowerCase());
      const near = nearestNames(operator, [...OPERATORS]);
      const known =
        meant !== undefined
          ? `write ${meant}`
          : near.length > 0
            ? `did you mean ${near.join(' or ')}?`
            : `they are ${OPERATORS.join(', ')}`;
      throw new WhereProblem(path, `${operator} is no operator (${known}); a nested field is written with a dot, ${column}.${operator}`);
    }
  }
}

function compare(column: string, op: Comparison, value: Operand): Condition {
  return { kind: 'compare', column, op, value };
}

function operandsOf(value: unknown, path: Path): Operand[] {
  if (!Array.isArray(value) || value.length === 0) throw new WhereProblem(path, 'expected a list of values');
  return value.map((item: unknown, index) => operandOf(item, [...path, index]));
}

function operandOf(value: unknown, path: Path): Operand {
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new WhereProblem(path, `${value} is beyond 2^53, where numbers are not exact any more: write its digits in quotes`);
  }
  if (typeof value === 'number' && Number.isFinite(value)) return Object.is(value, -0) ? 0 : value;
  if (value === null) throw new WhereProblem(path, 'nothing equals null: write {isNull: true}');
  throw new WhereProblem(path, 'expected text, a finite number, or true or false');
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
