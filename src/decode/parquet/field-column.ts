/** Which column of a Parquet file a field is, and of which type: from the schema of its footer, and the number of values that lists have in it. */
import type { FileMetaData, RowGroup, SchemaElement } from 'hyparquet';
import { checkDeclaredType, widened, type FieldRequest, type FieldType } from '../../core/fields.js';
import { notServed, servedDtype, sizeNotKnown, sizeOfLists } from '../field-types.js';
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
  const own = fieldTypeOf(found.elements, size ?? listSizeOf(rowGroups, column.path));
  const type = own?.kind === 'numbers' ? { ...own, dtype: widened(own.dtype, request.type) } : own;
  const isUnknown = type?.kind === 'numbers' && type.size === UNKNOWN_SIZE && rowGroups.some(hasRows);
  if (type !== undefined && !isUnknown) {
    checkDeclaredType(request, type, uri);
    return { ...column, field, type };
  }
  const described = describe(found.elements);
  throw type === undefined ? notServed(request, described, uri) : sizeNotKnown(request, described, uri);
}

function hasRows({ num_rows: rows }: RowGroup): boolean {
  return rows > 0n;
}

/** As every row group says of its lists: nulls and empty ones count as a value. */
function listSizeOf(rowGroups: readonly RowGroup[], path: readonly string[]): number | undefined {
  return sizeOfLists(
    rowGroups.map((rowGroup) => {
      const chunk = rowGroup.columns.find(
        ({ meta_data: meta }) => meta !== undefined && path.join('\0') === meta.path_in_schema.join('\0'),
      );
      return { rows: Number(rowGroup.num_rows), values: Number(chunk?.meta_data?.num_values ?? 0n) };
    }),
  );
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

type StoredNumber = StoredNumbers['stored'];

function numbersOf(leaf: SchemaElement, isList: boolean): StoredNumbers | undefined {
  const stored = storedOf(leaf);
  return stored && { dtype: servedDtype(stored, isList), stored };
}

function storedOf({ type, converted_type: converted, logical_type: logical }: SchemaElement): StoredNumber | undefined {
  if (type === 'FLOAT' || type === 'DOUBLE' || type === 'BOOLEAN') return type;
  if (type === 'FIXED_LEN_BYTE_ARRAY' && logical?.type === 'FLOAT16') return 'HALF';
  if (type !== 'INT32' && type !== 'INT64') return undefined;
  const isInteger =
    (logical === undefined || logical.type === 'INTEGER') && (converted === undefined || INTEGER_ANNOTATION.test(converted));
  if (!isInteger || converted === 'UINT_64' || (logical?.type === 'INTEGER' && !logical.isSigned && logical.bitWidth === 64))
    return undefined;
  if (type === 'INT64') return 'INT64';
  const isUnsigned = converted === 'UINT_32' || (logical?.type === 'INTEGER' && !logical.isSigned && logical.bitWidth === 32);
  return isUnsigned ? 'UINT32' : 'INT32';
}

/** Without what only the file knows of it. */
export function servedType(type: ParquetFieldType): FieldType {
  if (type.kind !== 'numbers') return type;
  const { kind, dtype, size } = type;
  return { kind, dtype, size };
}
