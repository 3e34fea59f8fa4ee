/** Which column of a Parquet file a field is, and of which type: from the schema of its footer, and the number of values that lists have in it. */
import type { FileMetaData, RowGroup, SchemaElement } from 'hyparquet';
import { LIMITS } from '../../config/limits.js';
import { HeadraceError } from '../../core/errors.js';
import { checkDeclaredType, type FieldRequest, type FieldType } from '../../core/fields.js';
import { columnOf, describe, findElements, type Column } from './column.js';
import type { ParquetFieldType } from './layout.js';

/** A column that samples carry. */
export interface FieldColumn extends Column {
  /** Its name in the configuration. */
  readonly field: string;
  readonly type: ParquetFieldType;
}

/** Errors: `COLUMN_MISSING`, `COLUMN_TYPE`, `SHARD_UNSUPPORTED`. */
export function findField({ schema, row_groups: rowGroups }: FileMetaData, request: FieldRequest, uri: string): FieldColumn {
  const { name: field, column: name, size } = request;
  const found = findElements(schema, name, uri);
  const column = columnOf(found, name);
  const type = fieldTypeOf(found.elements, size ?? listSizeOf(rowGroups, column.path));
  const isUnknown = type?.kind === 'numbers' && type.size === UNKNOWN_SIZE && rowGroups.some(hasRows);
  if (type !== undefined && !isUnknown) {
    checkDeclaredType(request, type, uri);
    return { ...column, field, type };
  }
  const described = describe(found.elements);
  const problem =
    type === undefined
      ? `column ${name} of ${uri} is ${described}, which cannot be served as the field ${field}`
      : `the lists of column ${name} of ${uri} have no one size that its metadata tells, which the field ${field} needs`;
  throw new HeadraceError('COLUMN_TYPE', problem, {
    detail: { uri, column: name, type: described },
    hint: isUnknown
      ? `Where the lists that count have one size, say it: ${field}: {column: ${name}, size: 512}; rows of other sizes are then bad ones.`
      : 'Fields are bytes, text, integers (but uint64), floats, booleans, or lists of a fixed size of numbers; a field of a struct is struct.field.',
  });
}

function hasRows({ num_rows: rows }: RowGroup): boolean {
  return rows > 0n;
}

/** What every row group says of its lists: as many values a row, without a rest. Undefined where they differ, or where none has rows. */
function listSizeOf(rowGroups: readonly RowGroup[], path: readonly string[]): number | undefined {
  const sizes = new Set(
    rowGroups.filter(hasRows).map((rowGroup) => {
      const chunk = rowGroup.columns.find(
        ({ meta_data: meta }) => meta !== undefined && path.join('\0') === meta.path_in_schema.join('\0'),
      );
      return Number(chunk?.meta_data?.num_values ?? 0n) / Number(rowGroup.num_rows);
    }),
  );
  const [size] = sizes;
  return sizes.size === 1 && Number.isInteger(size) && size > 0 && size <= LIMITS.fieldSizeMax ? size : undefined;
}

const INTEGER_ANNOTATION = /^U?INT_(8|16|32|64)$/;

/** `size`: of lists; `undefined`: not known. Undefined where the column is none of the types that are served. */
function fieldTypeOf(own: readonly SchemaElement[], size: number | undefined): ParquetFieldType | undefined {
  const leaf = own[own.length - 1];
  const repeated = own.filter((element) => element.repetition_type === 'REPEATED').length;
  if (leaf.type === undefined || repeated > 1 || own.length > (repeated === 1 ? 3 : 1)) return undefined;
  const isList = repeated === 1;
  const numbers = numbersOf(leaf, isList);
  if (numbers !== undefined) return { kind: 'numbers', ...numbers, size: isList ? (size ?? UNKNOWN_SIZE) : null };
  const isBytes = leaf.type === 'BYTE_ARRAY' || leaf.type === 'FIXED_LEN_BYTE_ARRAY';
  if (isList || !isBytes || leaf.converted_type === 'DECIMAL' || leaf.converted_type === 'INTERVAL') return undefined;
  const isText = leaf.logical_type?.type === 'STRING' || ['UTF8', 'JSON', 'ENUM'].includes(leaf.converted_type ?? '');
  return { kind: isText ? 'text' : 'bytes' };
}

/** Of a shard without rows. */
const UNKNOWN_SIZE = 0;

type StoredNumbers = Pick<Extract<ParquetFieldType, { kind: 'numbers' }>, 'dtype' | 'stored'>;

/** Lists are what models take, so that doubles in them become float32; a double by itself keeps its digits. */
function numbersOf({ type, converted_type: converted, logical_type: logical }: SchemaElement, isList: boolean): StoredNumbers | undefined {
  if (type === 'FLOAT') return { dtype: 'float32', stored: 'FLOAT' };
  if (type === 'DOUBLE') return { dtype: isList ? 'float32' : 'float64', stored: 'DOUBLE' };
  if (type === 'BOOLEAN') return { dtype: 'uint8', stored: 'BOOLEAN' };
  if (type === 'FIXED_LEN_BYTE_ARRAY' && logical?.type === 'FLOAT16') return { dtype: 'float32', stored: 'HALF' };
  if (type !== 'INT32' && type !== 'INT64') return undefined;
  const isInteger =
    (logical === undefined || logical.type === 'INTEGER') && (converted === undefined || INTEGER_ANNOTATION.test(converted));
  if (!isInteger || converted === 'UINT_64' || (logical?.type === 'INTEGER' && !logical.isSigned && logical.bitWidth === 64))
    return undefined;
  if (type === 'INT64') return { dtype: 'int64', stored: 'INT64' };
  const isUnsigned = converted === 'UINT_32' || (logical?.type === 'INTEGER' && !logical.isSigned && logical.bitWidth === 32);
  return isUnsigned ? { dtype: 'int64', stored: 'UINT32' } : { dtype: 'int32', stored: 'INT32' };
}

/** Without what only the file knows of it. */
export function servedType(type: ParquetFieldType): FieldType {
  if (type.kind !== 'numbers') return type;
  const { kind, dtype, size } = type;
  return { kind, dtype, size };
}
