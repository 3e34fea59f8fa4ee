/** Filters of any form, for properties that hold for all of them. */
import fc from 'fast-check';
import type { ColumnWhere, WhereInput } from '../../src/config/where.js';

type Operand = string | number | boolean;
export type Operands = Readonly<Record<string, readonly Operand[]>>;

function columnWhere(column: string, operands: readonly Operand[]): fc.Arbitrary<ColumnWhere> {
  const operand = fc.constantFrom(...operands);
  const comparison = column === 'b' ? fc.constantFrom('eq') : fc.constantFrom('eq', 'gt', 'gte', 'lt', 'lte');
  const isText = ['s', 'long', 'dict', 'view', 'bin', 'meta.lang'].includes(column);
  return fc.oneof(
    operand,
    fc.array(operand, { minLength: 1, maxLength: 3 }),
    fc.tuple(comparison, operand).map(([op, value]) => ({ [op]: value })),
    fc.tuple(operand, operand).map(([low, high]) => (column === 'b' ? low : { between: [low, high] as const })),
    operand.map((value) => ({ not: value })),
    fc.boolean().map((isNull) => ({ isNull })),
    isText ? fc.constantFrom('', 'e', 'en', 'z'.repeat(80), 'é').map((startsWith) => ({ startsWith })) : operand,
  );
}

/** Filters over columns, by what each is compared with. */
export function wheres(operands: Operands): fc.Arbitrary<WhereInput> {
  const own = fc
    .uniqueArray(fc.constantFrom(...Object.keys(operands)), { minLength: 1, maxLength: 2 })
    .chain((columns) => fc.record(Object.fromEntries(columns.map((column) => [column, columnWhere(column, operands[column])]))));
  const { where } = fc.letrec<{ where: WhereInput }>((tie) => ({
    where: fc.oneof(
      { depthSize: 'small' },
      { weight: 3, arbitrary: own },
      { weight: 1, arbitrary: tie('where').map((not) => ({ not })) },
      { weight: 1, arbitrary: fc.array(tie('where'), { minLength: 1, maxLength: 2 }).map((any) => ({ any })) },
      { weight: 1, arbitrary: fc.array(tie('where'), { minLength: 1, maxLength: 2 }).map((all) => ({ all })) },
    ),
  }));
  return where;
}
