/** What a field is where a format has types of its own: as which numbers values are served, how long lists are, and what is said where that cannot be. */
import { LIMITS } from '../config/limits.js';
import { HeadraceError } from '../core/errors.js';
import type { FieldDtype, FieldRequest } from '../core/fields.js';

/** Numbers as files have them. */
export type StoredNumber = 'FLOAT' | 'DOUBLE' | 'HALF' | 'BOOLEAN' | 'INT8' | 'UINT8' | 'INT16' | 'UINT16' | 'INT32' | 'UINT32' | 'INT64';

/** Lists are what models take, so that doubles in them become float32; a double by itself keeps its digits. */
export function servedDtype(stored: StoredNumber, isList: boolean): FieldDtype {
  switch (stored) {
    case 'FLOAT':
    case 'HALF':
      return 'float32';
    case 'DOUBLE':
      return isList ? 'float32' : 'float64';
    case 'BOOLEAN':
      return 'uint8';
    case 'UINT32':
    case 'INT64':
      return 'int64';
    default:
      return 'int32';
  }
}

/** Rows that are stored together, and how many values their lists have in all. */
export interface ListCount {
  readonly rows: number;
  readonly values: number;
}

/** What all of them say: as many values a row, without a rest. Undefined where they differ, or where none has rows. */
export function sizeOfLists(counts: readonly ListCount[]): number | undefined {
  const sizes = new Set(counts.filter(({ rows }) => rows > 0).map(({ rows, values }) => values / rows));
  const [size] = sizes;
  return sizes.size === 1 && Number.isInteger(size) && size > 0 && size <= LIMITS.fieldSizeMax ? size : undefined;
}

/** The error of a column that is none of the types that are served. */
export function notServed({ name: field, column }: FieldRequest, type: string, uri: string): HeadraceError {
  return new HeadraceError('COLUMN_TYPE', `column ${column} of ${uri} is ${type}, which cannot be served as the field ${field}`, {
    detail: { uri, column, type },
    hint: 'Fields are bytes, text, integers (but uint64), floats, booleans, or lists of a fixed size of numbers; a field of a struct is struct.field.',
  });
}

/** The error of lists of which nothing says how long they are. */
export function sizeNotKnown({ name: field, column }: FieldRequest, type: string, uri: string): HeadraceError {
  return new HeadraceError(
    'COLUMN_TYPE',
    `the lists of column ${column} of ${uri} have no one size that its metadata tells, which the field ${field} needs`,
    {
      detail: { uri, column, type },
      hint: `Where the lists that count have one size, say it: ${field}: {column: ${column}, size: 512}; rows of other sizes are then bad ones.`,
    },
  );
}
