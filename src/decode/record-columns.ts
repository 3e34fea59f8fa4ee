/** What is said of columns that records cannot have: of any format that has types of its own. */
import { LIMITS } from '../config/limits.js';
import { HeadraceError } from '../core/errors.js';

/** `path`: from the top-level column `name` down to what does not fit. */
export function unfitForRecords(path: readonly string[], name: string, uri: string, what: string): HeadraceError {
  const place = path.join('.');
  return new HeadraceError('COLUMN_TYPE', `${place} of ${uri} is ${what}`, {
    detail: { uri, column: name, path: place, type: what },
    hint: 'Rows of several columns hold text, integers, numbers, booleans, and lists and structs of these: leave the column out, or write it as JSON text.',
  });
}

export function partOfStruct(name: string, uri: string): HeadraceError {
  return new HeadraceError(
    'COLUMN_TYPE',
    `${name} of ${uri} is a field of a struct, and rows of several columns have columns of the file only`,
    {
      detail: { uri, column: name },
      hint: 'Name the column that it lies in, or write the field as a column of its own.',
    },
  );
}

export function tooManyLeaves(leaves: number, uri: string): HeadraceError {
  return new HeadraceError('SHARD_UNSUPPORTED', `the columns of ${uri} that are asked for have ${leaves} leaves`, {
    detail: { uri, leaves, leavesMax: LIMITS.recordLeavesMax },
    hint: 'Name fewer columns, or keep what is nested deeply as a column of JSON text.',
  });
}
