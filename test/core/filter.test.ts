import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/config.js';
import { whereSchema, type WhereInput } from '../../src/config/where.js';
import { rangeTruths } from '../../src/core/filter/column-range.js';
import { canonicalFilter, columnsOf, FALSE, TRUE, truthsOf, UNKNOWN, type Condition, type Filter } from '../../src/core/filter/filter.js';
import { conditionTest, type ColumnType, type ColumnValue } from '../../src/core/filter/operand.js';
import { partitionsOf, partitionTruth } from '../../src/core/filter/partitions.js';

const TYPES: Readonly<Record<string, ColumnType>> = {
  text: { kind: 'text' },
  integer: { kind: 'integer', unsigned: false },
  decimal: { kind: 'decimal', scale: 2 },
  float: { kind: 'float', bits: 64 },
  boolean: { kind: 'boolean' },
  date: { kind: 'date' },
};

/** A row as a person would write it; null is null. */
type PlainRow = Readonly<Record<string, string | number | boolean | null>>;

const TEXTS = ['', 'a', 'aa', 'b', 'e\u{1f642}', 'ｅ', 'é'];
const DAY_MS = 86_400_000;
const dayText = (day: number): string => new Date(day * DAY_MS).toISOString().slice(0, 10);

const values: Readonly<Record<string, fc.Arbitrary<string | number | boolean>>> = {
  text: fc.constantFrom(...TEXTS),
  integer: fc.integer({ min: -3, max: 3 }),
  decimal: fc.integer({ min: -30, max: 30 }).map((n) => n / 10),
  float: fc.constantFrom(-1, -0, 0, 0.1, 0.5, 2),
  boolean: fc.boolean(),
  date: fc.integer({ min: -2, max: 20_000 }).map(dayText),
};
const rowArbitrary: fc.Arbitrary<PlainRow> = fc.record(
  Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, fc.option(name === 'float' ? fc.oneof(value, fc.constant(NaN)) : value)]),
  ),
);

function stored(name: string, value: string | number | boolean | null): ColumnValue {
  if (value === null) return null;
  if (name === 'text') return Buffer.from(String(value));
  if (name === 'decimal') return BigInt(Math.round(Number(value) * 100));
  if (name === 'date') return Math.round(Date.parse(String(value)) / DAY_MS);
  return value as number | boolean;
}

const conditionArbitrary: fc.Arbitrary<Condition> = fc.constantFrom(...Object.keys(TYPES)).chain((column) =>
  fc.oneof(
    fc.constant<Condition>({ kind: 'isNull', column }),
    fc.array(values[column], { minLength: 1, maxLength: 3 }).map((own): Condition => ({ kind: 'in', column, values: own })),
    fc
      .tuple(fc.constantFrom('eq', 'lt', 'lte', 'gt', 'gte'), values[column])
      .map(([op, value]): Condition => ({ kind: 'compare', column, op, value })),
    column === 'text'
      ? values.text.map((value): Condition => ({ kind: 'compare', column, op: 'startsWith', value }))
      : fc.constant<Condition>({ kind: 'isNull', column }),
  ),
);
const { filter: filterArbitrary } = fc.letrec<{ filter: Filter }>((tie) => ({
  filter: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    conditionArbitrary,
    tie('filter').map((of): Filter => ({ kind: 'not', of })),
    fc.array(tie('filter'), { maxLength: 3 }).map((of): Filter => ({ kind: 'all', of })),
    fc.array(tie('filter'), { maxLength: 3 }).map((of): Filter => ({ kind: 'any', of })),
  ),
}));

/** true, false, or null, as SQL says it: from the words of the standard, not from sets of bits. */
function plainly(filter: Filter, row: PlainRow): boolean | null {
  switch (filter.kind) {
    case 'known':
      throw new Error('not written by anyone');
    case 'not': {
      const of = plainly(filter.of, row);
      return of === null ? null : !of;
    }
    case 'all': {
      const parts = filter.of.map((part) => plainly(part, row));
      return parts.includes(false) ? false : parts.includes(null) ? null : true;
    }
    case 'any': {
      const parts = filter.of.map((part) => plainly(part, row));
      return parts.includes(true) ? true : parts.includes(null) ? null : false;
    }
    case 'isNull':
      return row[filter.column] === null;
    case 'in': {
      const value = row[filter.column];
      return value === null ? null : filter.values.some((other) => order(value, other) === 0);
    }
    case 'compare': {
      const value = row[filter.column];
      if (value === null) return null;
      if (filter.op === 'startsWith') return String(value).startsWith(String(filter.value));
      const by = order(value, filter.value);
      return { eq: by === 0, lt: by < 0, lte: by <= 0, gt: by > 0, gte: by >= 0 }[filter.op];
    }
  }
}

function order(a: string | number | boolean, b: string | number | boolean): number {
  if (typeof a === 'string' && typeof b === 'string') {
    const [left, right] = [a, b].map((text) => Array.from(text, (character) => character.codePointAt(0) ?? 0));
    for (let i = 0; i < Math.min(left.length, right.length); i++) if (left[i] !== right[i]) return left[i] - right[i];
    return left.length - right.length;
  }
  const [left, right] = [Number(a), Number(b)];
  return left < right ? -1 : left > right ? 1 : left === right ? 0 : NaN;
}

const truthOfRow = (filter: Filter, row: PlainRow): number =>
  truthsOf(filter, (condition) => conditionTest(condition, TYPES[condition.column])(stored(condition.column, row[condition.column])));
const where = (input: WhereInput): Filter => whereSchema.parse(input);

describe('filters', () => {
  it('say of each row what SQL says, and the same in canonical form', () => {
    fc.assert(
      fc.property(filterArbitrary, rowArbitrary, (filter, row) => {
        const expected = plainly(filter, row);
        const truth = expected === null ? UNKNOWN : expected ? TRUE : FALSE;
        expect(truthOfRow(filter, row)).toBe(truth);
        const canonical = canonicalFilter(filter);
        expect(truthOfRow(canonical, row)).toBe(truth);
        expect(canonicalFilter(canonical)).toEqual(canonical);
      }),
      { numRuns: 3000 },
    );
  });

  it('say of a set of rows, by bounds, nulls and missing values, everything that may come of a row, and nothing sharper than is known', () => {
    const rows = fc.array(rowArbitrary, { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(filterArbitrary, rows, fc.boolean(), fc.boolean(), (filter, group, knowsNulls, knowsBounds) => {
        const truths = truthsOf(filter, (condition) => {
          const { column } = condition;
          const own = group.map((row) => row[column]).filter((value) => value !== null && !Number.isNaN(value)) as (string | number)[];
          const [min] = own.toSorted(order);
          const max = own.toSorted(order).at(-1);
          const ends = [min, max].map((value) => stored(column, (value as string | undefined) ?? null));
          const [low, high] = ends;
          return rangeTruths(condition, TYPES[column], {
            rows: group.length,
            nulls: knowsNulls ? group.filter((row) => row[column] === null).length : undefined,
            bounds: knowsBounds && low !== null && high !== null ? { min: low, max: high } : undefined,
          });
        });
        for (const row of group) expect(truths & truthOfRow(filter, row)).not.toBe(0);
      }),
      { numRuns: 3000 },
    );
    const of = (condition: Condition, min: ColumnValue, max: ColumnValue): number =>
      rangeTruths(condition, TYPES[condition.column], { rows: 9, nulls: 0, bounds: { min: min ?? 0, max: max ?? 0 } });
    const above: Condition = { kind: 'compare', column: 'integer', op: 'gt', value: 5 };
    expect([of(above, 6, 9), of(above, 1, 5), of(above, 5, 6)]).toEqual([TRUE, FALSE, TRUE | FALSE]);
    // of floats one may be NaN, for which no comparison holds
    expect(of({ ...above, column: 'float' }, 6, 9)).toBe(TRUE | FALSE);
    expect(of({ ...above, column: 'float' }, 1, 5)).toBe(FALSE);
    // bounds whose ends were cut off, and put up by one
    const starts: Condition = { kind: 'compare', column: 'text', op: 'startsWith', value: 'en' };
    expect(of(starts, Buffer.from('en'), Buffer.from('eo'))).toBe(TRUE | FALSE);
    expect([of(starts, Buffer.from('ena'), Buffer.from('enz')), of(starts, Buffer.from('eo'), Buffer.from('f'))]).toEqual([TRUE, FALSE]);
  });

  it('compare numbers, decimals and times exactly, whatever their unit and width', () => {
    const test = (type: ColumnType, op: 'eq' | 'lt' | 'gte', operand: string | number, value: ColumnValue): number =>
      conditionTest({ kind: 'compare', column: 'x', op, value: operand }, type)(value);
    const big: ColumnType = { kind: 'integer', unsigned: false };
    expect(test(big, 'eq', '9007199254740993', 9007199254740993n)).toBe(TRUE);
    expect(test(big, 'eq', '9007199254740992', 9007199254740993n)).toBe(FALSE);
    expect([test(big, 'lt', 0.5, 0), test(big, 'lt', -0.5, 0), test(big, 'eq', 0.5, 0), test(big, 'gte', 1e3, 1000)]).toEqual([
      TRUE,
      FALSE,
      FALSE,
      TRUE,
    ]);
    const cents: ColumnType = { kind: 'decimal', scale: 2 };
    expect([test(cents, 'eq', 0.1, 10n), test(cents, 'gte', '0.105', 10n), test(cents, 'lt', '0.105', 10n)]).toEqual([TRUE, FALSE, TRUE]);
    const single: ColumnType = { kind: 'float', bits: 32 };
    expect([test(single, 'eq', 0.1, Math.fround(0.1)), test(single, 'gte', 0.7, Math.fround(0.7))]).toEqual([TRUE, TRUE]);
    const micros: ColumnType = { kind: 'timestamp', unitsPerSecond: 1e6, utc: true };
    const noon = BigInt(Date.UTC(2026, 0, 31, 12)) * 1000n;
    expect(test(micros, 'eq', '2026-01-31T13:00:00+01:00', noon)).toBe(TRUE);
    expect(test(micros, 'lt', '2026-01-31 12:00:00.0000001', noon)).toBe(TRUE);
    expect(test({ kind: 'date' }, 'lt', '2026-01-31T12:00', Date.UTC(2026, 0, 31) / DAY_MS)).toBe(TRUE);
    for (const [type, operand] of [
      [{ ...micros, utc: false }, '2026-01-31T13:00:00Z'],
      [{ kind: 'date' }, '2026-02-30'],
      [{ kind: 'date' }, 'tomorrow'],
      [big, 'ten'],
      [{ kind: 'boolean' }, 1],
      [{ kind: 'text' }, 1],
    ] as const) {
      expect(() => test(type, 'eq', operand, null)).toThrow(/^it /);
    }
  });

  it('read partitions off a path, as text that is compared as what the operand is', () => {
    const partitions = partitionsOf(
      '0/date=2026-01-05/lang=a%20b%2F%C3%BC%25/n=07/ok=True/none=__HIVE_DEFAULT_PARTITION__/odd=%zz/p=1.parquet',
    );
    expect(Object.fromEntries(partitions)).toEqual({ date: '2026-01-05', lang: 'a b/ü%', n: '07', ok: 'True', none: null, odd: '%zz' });
    const says = (input: WhereInput): number => truthsOf(where(input), (condition) => partitionTruth(condition, partitions) ?? 0);
    expect(says({ date: { between: ['2026-01-05', '2026-01-06'] }, lang: 'a b/ü%', n: [6, 7], ok: true })).toBe(TRUE);
    expect([says({ n: 8 }), says({ n: '7' }), says({ n: '07' }), says({ date: { gt: '2026-01-05T01:00' } })]).toEqual([
      FALSE,
      FALSE,
      TRUE,
      FALSE,
    ]);
    expect([says({ none: 1 }), says({ not: { none: 1 } }), says({ none: { isNull: true } })]).toEqual([UNKNOWN, UNKNOWN, TRUE]);
    expect(says({ p: 1 })).toBe(0);
    expect(() => says({ lang: 1 })).toThrow('no number');
  });
});

describe('where, as it is written', () => {
  it('has one form for what means the same', () => {
    const one = where({ b: { in: ['y', 'x', 'x'] }, a: 1 });
    expect(where({ a: { eq: 1 }, b: ['x', 'y'] })).toEqual(one);
    expect(where({ all: [{ a: [1] }, { all: [{ b: ['y', 'x'] }] }] })).toEqual(one);
    expect(where({ a: { gte: 1, lte: 2 } })).toEqual(where({ a: { between: [1, 2] } }));
    expect(where({ a: { not: { not: 1 } } })).toEqual(where({ a: 1 }));
    expect(columnsOf(where({ any: [{ 'meta.lang': 'en' }, { not: { quality: { lt: 0.5 } } }] }))).toEqual(['meta.lang', 'quality']);
  });

  it('says what is wrong with it, and where', () => {
    const problem = (input: unknown): string => {
      try {
        parseConfig({ sources: { web: { uri: 'x/', tokens: 'ids', where: input } } });
      } catch (error) {
        return (error as Error).message;
      }
      return '';
    };
    expect(problem({ quality: { get: 0.5 } })).toBe(
      'sources.web.where.quality.get: get is no operator (did you mean gt or gte or eq?); a nested field is written with a dot, quality.get',
    );
    expect(problem({ a: { ne: 3 } })).toContain('sources.web.where.a.ne: ne is no operator (write not: VALUE)');
    expect(problem({ a: { endsWith: 'b' } })).toContain('endsWith is no operator (write a transform');
    expect(problem({ a: { constructor: 3 } })).toContain('constructor is no operator (they are eq');
    expect(problem({ language: null })).toContain('sources.web.where.language: nothing equals null');
    expect(problem({ any: { a: 1 } })).toContain('sources.web.where.any: expected a list of maps');
    expect(problem({ any: [{ a: { between: [1] } }] })).toContain('sources.web.where.any.0.a.between: expected two values');
    expect(problem({ a: 2 ** 53 })).toContain('write its digits in quotes');
    expect(problem({ a: [] })).toContain('sources.web.where.a: expected a list of values');
    expect(problem({})).toContain('it names no column');
    expect(problem('en')).toContain('expected a map of columns');
    expect(problem({ a: Array.from({ length: 1001 }, (_, i) => i) })).toContain('at most 1000');
    expect(problem({ a: NaN })).toContain('finite');
    expect(problem(undefined)).not.toContain('where');
  });
});
