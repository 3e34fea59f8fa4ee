/** Finds the columns of a filter in the schema of a Parquet file, and what their values are. */
import type { SchemaElement } from 'hyparquet';
import { columnsOf, type Filter } from '../../core/filter/filter.js';
import type { ColumnType } from '../../core/filter/operand.js';
import { checkComparable, notComparable } from '../comparable.js';
import { annotationsOf, columnOf, describe, findElements, TEXT_TYPES, type Column } from './column.js';

/** A column that a filter reads. */
export interface FilterColumn extends Column {
  readonly type: ColumnType;
  /** As the file has it, with its annotations. */
  readonly leaf: SchemaElement;
}

/** Errors: `COLUMN_MISSING`, `COLUMN_TYPE`. */
export function findFilterColumns(filter: Filter, schema: readonly SchemaElement[], uri: string): FilterColumn[] {
  const columns = columnsOf(filter).map((name) => findFilterColumn(schema, name, uri));
  checkComparable(filter, new Map(columns.map(({ name, type }) => [name, type])), uri);
  return columns;
}

function findFilterColumn(schema: readonly SchemaElement[], name: string, uri: string): FilterColumn {
  const found = findElements(schema, name, uri);
  const [leaf] = found.elements;
  const isOne = found.elements.length === 1 && leaf.repetition_type !== 'REPEATED';
  const type = isOne ? columnTypeOf(leaf) : undefined;
  if (type !== undefined) return { ...columnOf(found, name), type, leaf };
  throw notComparable(name, describe(found.elements), uri);
}

/** Undefined: none that a filter can compare. */
function columnTypeOf(leaf: SchemaElement): ColumnType | undefined {
  const { type, converted_type: converted, logical_type: logical, scale } = leaf;
  if (logical?.type === 'DECIMAL') return { kind: 'decimal', scale: logical.scale };
  if (converted === 'DECIMAL') return { kind: 'decimal', scale: scale ?? 0 };
  switch (type) {
    case 'BOOLEAN':
      return { kind: 'boolean' };
    case 'FLOAT':
      return { kind: 'float', bits: 32 };
    case 'DOUBLE':
      return { kind: 'float', bits: 64 };
    case 'INT96':
      // a timestamp of older writers, which is read in nanoseconds
      return { kind: 'timestamp', unitsPerSecond: 1e9, utc: true };
    case 'BYTE_ARRAY':
    case 'FIXED_LEN_BYTE_ARRAY':
      // without an annotation they are text as well, as for `text`
      return annotationsOf(leaf).every((annotation) => TEXT_TYPES.has(annotation)) ? { kind: 'text' } : undefined;
    case 'INT32':
    case 'INT64':
      break;
    default:
      return undefined;
  }
  if (logical?.type === 'DATE' || converted === 'DATE') return { kind: 'date' };
  if (logical?.type === 'TIMESTAMP') {
    const unitsPerSecond = { MILLIS: 1e3, MICROS: 1e6, NANOS: 1e9 }[logical.unit];
    return { kind: 'timestamp', unitsPerSecond, utc: logical.isAdjustedToUTC };
  }
  if (converted === 'TIMESTAMP_MILLIS') return { kind: 'timestamp', unitsPerSecond: 1e3, utc: true };
  if (converted === 'TIMESTAMP_MICROS') return { kind: 'timestamp', unitsPerSecond: 1e6, utc: true };
  if (logical?.type === 'INTEGER') return { kind: 'integer', unsigned: !logical.isSigned };
  if (logical !== undefined || (converted !== undefined && !/^U?INT_(8|16|32|64)$/.test(converted))) return undefined;
  return { kind: 'integer', unsigned: converted?.startsWith('U') === true };
}
