import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/config.js';
import { checkDeclaredType, declaredType, numbersOf, type FieldDtype } from '../../src/core/fields.js';
import {
  booleanOfText,
  comparedColumns,
  fieldRowsOf,
  filterColumnOf,
  numberOfText,
  type RowValue,
} from '../../src/decode/value-columns.js';
import type { Filter } from '../../src/core/filter/filter.js';
import { fatesOf } from '../../src/select/selection.js';

/** What is served of each value; null where its row is a bad one. */
function served(dtype: FieldDtype, values: readonly RowValue[], size: number | null = null): (readonly (number | bigint)[] | null)[] {
  const { bytes, rowBytes, valid } = fieldRowsOf('f', { kind: 'numbers', dtype, size }, values.length, (row) => values[row]);
  return values.map((_, row) =>
    valid?.[row] === 0 ? null : [...numbersOf(dtype, bytes.slice(row * rowBytes, (row + 1) * rowBytes).buffer)],
  );
}

describe('fields of values', () => {
  it('integers are exact, or their row is a bad one', () => {
    const beyond = 2n ** 53n + 1n;
    expect(served('int64', [1, -0, 2 ** 53, beyond, -(2n ** 63n), 2n ** 63n, 1.5, '1', true, null, undefined])).toEqual([
      ...[[1n], [0n], null, [beyond], [-(2n ** 63n)], null, null, null, null, null, null],
    ]);
    expect(served('int32', [2 ** 31 - 1, 2 ** 31, -(2 ** 31), 0.5, beyond, NaN])).toEqual([
      [2 ** 31 - 1],
      null,
      [-(2 ** 31)],
      null,
      null,
      null,
    ]);
    expect(served('uint8', [0, 255, 256, -1, true, false])).toEqual([[0], [255], null, null, [1], [0]]);
  });

  it('floats are rounded to their type, and what it cannot hold is bad', () => {
    expect(served('float64', [0.1, beyond53(), Infinity, true])).toEqual([[0.1], [2 ** 53], null, null]);
    expect(served('float32', [0.1, 1e39, 3])).toEqual([[Math.fround(0.1)], null, [3]]);
  });

  it('lists have one size, of good numbers', () => {
    const lists = [[1, 2], [1], [1, 2, 3], [1, null], [1, 0.5], 1, null];
    expect(served('int32', lists, 2)).toEqual([[1, 2], null, null, null, null, null, null]);
  });

  it('text and bytes are the UTF-8 of text, and nothing else', () => {
    const values: RowValue[] = ['é', Buffer.from('b'), '', 1, [], { kind: 'object' }, { kind: 'bad', problem: 'is not valid JSON' }];
    const { bytes, bounds, valid, problems } = fieldRowsOf('f', { kind: 'text' }, values.length, (row) => values[row]);
    expect([...valid!]).toEqual([1, 1, 1, 0, 0, 0, 0]);
    expect([...bounds!]).toEqual([0, 2, 3, 3, 3, 3, 3, 3]);
    expect(Buffer.from(bytes).toString()).toBe('éb');
    expect([...problems!]).toEqual([[6, 'is not valid JSON']]);
  });

  it('a size without a type, and a type that the data contradicts, are refused', () => {
    expect(() => declaredType({ name: 'e', column: 'e', size: 3 })).toThrow(/nothing says of what/);
    const field = { name: 'e', column: 'e', size: undefined, type: 'int64' } as const;
    expect(() => checkDeclaredType(field, { kind: 'numbers', dtype: 'int32', size: null }, 'u')).toThrow(/served as int32.*declared int64/);
    expect(() => checkDeclaredType(field, { kind: 'numbers', dtype: 'int64', size: null }, 'u')).not.toThrow();
    const fields = { e: { column: 'e', size: 2, type: 'text' } } as const;
    expect(() => parseConfig({ sources: { s: { uri: 'a.jsonl', fields } }, sequence: 'none' })).toThrow(/size is for lists of numbers/);
  });

  it('numbers of text are decimal, and keep their digits', () => {
    expect(['1', ' -0.5', '1e3', '.5', '5.', '9007199254740993', '+9007199254740993'].map(numberOfText)).toEqual([
      ...[1, -0.5, 1000, 0.5, 5, 2n ** 53n + 1n, 2n ** 53n + 1n],
    ]);
    expect(['', ' ', '0x10', '1_000', '1,5', 'NaN', 'Infinity', '1 2'].map(numberOfText)).toEqual(Array(8).fill(undefined));
    expect(['true', 'False', 'yes', '1'].map(booleanOfText)).toEqual([true, false, undefined, undefined]);
  });
});

function beyond53(): bigint {
  return 2n ** 53n + 1n;
}

const range = { shard: 0, path: 'a.jsonl', startRow: 0 };

/** Rows that a filter takes. */
function taken(where: Filter, rows: readonly Readonly<Record<string, RowValue>>[]): number[] {
  const columns = comparedColumns(where, 'u').map((column) => filterColumnOf(column, (row) => rows[row][column.column]));
  const selection = { source: 's', split: 'train' as const, excluded: undefined, heldOut: undefined, where };
  const fates = fatesOf(selection, { ...range, rows: rows.length }, undefined, columns);
  return rows.flatMap((_, row) => (fates[row] === 0 ? [row] : []));
}

describe('filters over values', () => {
  const values: RowValue[] = ['b', 'a', 2, 1n, 2n ** 60n, true, false, null, undefined, [1], { kind: 'object' }];
  const rows = values.map((v) => ({ v }));

  it('a value of another type than the operand is null', () => {
    expect(taken({ kind: 'compare', column: 'v', op: 'gte', value: 'a' }, rows)).toEqual([0, 1]);
    expect(taken({ kind: 'compare', column: 'v', op: 'gt', value: 1 }, rows)).toEqual([2, 4]);
    expect(taken({ kind: 'not', of: { kind: 'compare', column: 'v', op: 'gt', value: 1 } }, rows)).toEqual([3]);
    expect(taken({ kind: 'compare', column: 'v', op: 'eq', value: true }, rows)).toEqual([5]);
    expect(taken({ kind: 'isNull', column: 'v' }, rows)).toEqual([7, 8]);
  });

  it('operands of one column have one type', () => {
    const mixed: Filter = { kind: 'in', column: 'v', values: ['a', 1] };
    expect(() => taken(mixed, rows)).toThrow(/compares column v of u with text and with number values/);
    expect(() => taken({ kind: 'in', column: 'v', values: ['a', 'b'] }, rows)).not.toThrow();
  });

  it('a row that cannot be read is taken, so that it is told of', () => {
    const bad: RowValue = { kind: 'bad', problem: 'is not valid JSON' };
    expect(taken({ kind: 'compare', column: 'v', op: 'eq', value: 1 }, [{ v: bad }, { v: 1 }, { v: 2 }])).toEqual([0, 1]);
  });

  it('numbers compare as they are written, on whichever side of 2^53', () => {
    const integer = fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n });
    fc.assert(
      fc.property(integer, fc.maxSafeInteger(), (value, operand) => {
        const own = value >= -(2n ** 53n) && value <= 2n ** 53n ? Number(value) : value;
        expect(taken({ kind: 'compare', column: 'v', op: 'lt', value: operand }, [{ v: own }])).toEqual(value < BigInt(operand) ? [0] : []);
      }),
      { numRuns: 300 },
    );
  });
});
