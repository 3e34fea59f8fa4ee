/** Whether the columns of a filter can be compared as it says, and what is said where they cannot: of any format that has types of its own. */
import { HeadraceError, messageOf } from '../core/errors.js';
import { truthsOf, TRUE, type Filter } from '../core/filter/filter.js';
import { conditionTest, OperandError, type ColumnType } from '../core/filter/operand.js';

/** `types`: of the columns that the file has. Errors: `COLUMN_TYPE`. */
export function checkComparable(filter: Filter, types: ReadonlyMap<string, ColumnType>, uri: string): void {
  truthsOf(filter, (condition) => {
    const { column } = condition;
    const type = types.get(column);
    if (type === undefined || condition.kind === 'isNull') return TRUE;
    try {
      conditionTest(condition, type);
    } catch (error) {
      if (!(error instanceof OperandError)) throw error;
      throw new HeadraceError('COLUMN_TYPE', `column ${column} of ${uri} cannot be compared as \`where\` does: ${messageOf(error)}`, {
        detail: { uri, column, type: type.kind },
        hint: 'Text is compared with text, numbers with numbers, dates and times with dates such as 2026-01-31.',
      });
    }
    return TRUE;
  });
}

/** The error of a column of a type that no filter reads. */
export function notComparable(column: string, type: string, uri: string): HeadraceError {
  return new HeadraceError('COLUMN_TYPE', `column ${column} of ${uri} is ${type}, which \`where\` cannot compare`, {
    detail: { uri, column, type },
    hint: 'Columns of text, numbers, booleans, dates, times with a date, and decimals can be named in `where`, and such fields of structs.',
  });
}
