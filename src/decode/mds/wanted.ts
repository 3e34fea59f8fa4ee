/** Which columns of an MDS shard a source wants, and as what. */
import * as z from 'zod';
import { HeadraceError } from '../../core/errors.js';
import { checkDeclaredType, type FieldDtype, type FieldRequest } from '../../core/fields.js';
import { columnsOf, type Filter } from '../../core/filter/filter.js';
import { LIMITS } from '../../config/limits.js';
import { checkComparable } from '../comparable.js';
import type { ColumnRequest } from '../decoder.js';
import { DTYPES } from '../integers.js';
import { servedDtypeOf, type StoredDtype } from '../stored-numbers.js';
import { checkReadable, findColumn, isInteger, namedColumn } from './columns.js';
import { encodingOf } from './encoding.js';
import type { MdsColumn, MdsCompared, MdsField, MdsShardLayout } from './layout.js';

const optionsSchema = z.object({ array: z.object({ dtype: z.enum(DTYPES) }).optional() });

export type MdsOptions = Readonly<z.output<typeof optionsSchema>>;

export function mdsOptionsOf({ options = {} }: ColumnRequest): MdsOptions {
  return optionsSchema.parse(options);
}

/** Errors: `COLUMN_MISSING`, `COLUMN_TYPE`, `SHARD_UNSUPPORTED`. */
export function wantedColumns(
  columns: readonly MdsColumn[],
  request: ColumnRequest,
  filter: Filter | undefined,
  { array }: MdsOptions,
  uri: string,
): MdsShardLayout {
  const { column, kind, id, fields, columns: records = [column] } = request;
  if (kind === 'text' || kind === 'tokens') findColumn(columns, column, kind, array?.dtype, uri);
  if (kind === 'records') for (const name of records) checkRecord(columns, name, uri);
  if (id !== undefined) findColumn(columns, id, 'id', undefined, uri);
  const compared = filter && comparedColumns(columns, filter, uri);
  return {
    columns: [...columns],
    kind,
    column,
    ...(id !== undefined && { id }),
    ...(array !== undefined && { dtype: array.dtype }),
    ...(kind === 'records' && { records: [...records] }),
    ...(fields !== undefined && { fields: fields.map((field) => declaredField(columns, field, uri)) }),
    ...(compared !== undefined && { filter: compared }),
  };
}

function checkRecord(columns: readonly MdsColumn[], name: string, uri: string): void {
  const { encoding } = namedColumn(columns, name, uri);
  const { kind } = encodingOf(encoding);
  checkReadable(name, kind, uri);
  if (kind !== 'bytes' && kind !== 'array' && kind !== 'unknown') return;
  throw new HeadraceError('COLUMN_TYPE', `the column ${name} of ${uri} is ${encoding}, which rows of several columns cannot have`, {
    detail: { uri, column: name, encoding },
    hint: 'They hold text, numbers, and JSON (str, json, int …): leave the column out, or write it as json.',
  });
}

/** Errors: `COLUMN_MISSING`, `COLUMN_TYPE`, `SHARD_UNSUPPORTED`. */
function declaredField(columns: readonly MdsColumn[], request: FieldRequest, uri: string): MdsField {
  const field = fieldOf(columns, request, uri);
  checkDeclaredType(request, field.type, uri);
  return field;
}

function fieldOf(columns: readonly MdsColumn[], { name, column, size }: FieldRequest, uri: string): MdsField {
  const { encoding: stored } = namedColumn(columns, column, uri);
  const encoding = encodingOf(stored);
  checkReadable(column, encoding.kind, uri);
  const refused = (problem: string, hint: string): HeadraceError =>
    new HeadraceError('COLUMN_TYPE', `the column ${column} of ${uri} is ${stored}, ${problem}, and is wanted as the field ${name}`, {
      detail: { uri, column, encoding: stored },
      hint,
    });
  const served = (dtype: StoredDtype, isList: boolean): FieldDtype => {
    if (dtype === 'uint64') throw refused('which no field holds', 'Write it as int64, or as str_int, which is served as text.');
    return servedDtypeOf(dtype, isList);
  };
  switch (encoding.kind) {
    case 'text':
    case 'json':
    case 'digits':
      return { name, column, type: { kind: 'text' } };
    case 'bytes':
      return { name, column, type: { kind: 'bytes' } };
    case 'number':
      return { name, column, type: { kind: 'numbers', dtype: served(encoding.dtype, false), size: null } };
    case 'array': {
      const own = encoding.shape?.reduce((product, length) => product * length, 1);
      if (encoding.dtype === undefined) throw refused('which says its type in each row', 'Write it as ndarray:float32:512, or the like.');
      if ((own ?? size) === undefined || (own ?? 0) > LIMITS.fieldSizeMax) {
        throw refused('of which no size is known', `Where its arrays have one size, say it: ${name}: {column: ${column}, size: 512}.`);
      }
      if (own !== undefined && size !== undefined && own !== size) throw refused(`of ${own} numbers, and not ${size}`, 'Leave `size` out.');
      return { name, column, type: { kind: 'numbers', dtype: served(encoding.dtype, true), size: own ?? size ?? 1 } };
    }
    default:
      throw refused('which is not known here', 'Fields are text, bytes, images, numbers, and arrays of numbers.');
  }
}

/** Errors: `COLUMN_MISSING`, `COLUMN_TYPE`, `SHARD_UNSUPPORTED`. */
function comparedColumns(
  columns: readonly MdsColumn[],
  filter: Filter,
  uri: string,
): { readonly column: string; readonly type: MdsCompared }[] {
  const compared = columnsOf(filter).map((column) => ({ column, type: comparedType(columns, column, uri) }));
  checkComparable(filter, new Map(compared.map(({ column, type }) => [column, type])), uri);
  return compared;
}

function comparedType(columns: readonly MdsColumn[], name: string, uri: string): MdsCompared {
  const { encoding: stored } = namedColumn(columns, name, uri);
  const encoding = encodingOf(stored);
  checkReadable(name, encoding.kind, uri);
  if (encoding.kind === 'text') return { kind: 'text' };
  if (encoding.kind === 'digits' && encoding.isInteger) return { kind: 'integer', unsigned: false };
  if (encoding.kind === 'number' && isInteger(encoding.dtype)) return { kind: 'integer', unsigned: encoding.dtype.startsWith('u') };
  if (encoding.kind === 'number' && encoding.dtype !== 'float16') return { kind: 'float', bits: encoding.dtype === 'float32' ? 32 : 64 };
  throw new HeadraceError('COLUMN_TYPE', `column ${name} of ${uri} is ${stored}, which \`where\` cannot compare`, {
    detail: { uri, column: name, encoding: stored },
    hint: 'Columns of str, str_int, integers, float32 and float64 can be named in `where`.',
  });
}
