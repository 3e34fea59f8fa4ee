/** Which values of litData's samples a source wants beside their rows, and which rows that are objects consist of. Pure. */
import { LIMITS } from '../../config/limits.js';
import { HeadraceError } from '../../core/errors.js';
import { checkDeclaredType, declaredType, type FieldRequest, type FieldType } from '../../core/fields.js';
import { columnsOf, type Filter } from '../../core/filter/filter.js';
import type { ColumnType } from '../../core/filter/operand.js';
import { checkComparable, notComparable } from '../comparable.js';
import type { ColumnRequest } from '../decoder.js';
import { notServed, sizeNotKnown } from '../field-types.js';
import { tooManyLeaves, unfitForRecords } from '../record-columns.js';
import { servedDtypeOf, type StoredDtype } from '../stored-numbers.js';
import { checkReadable, columnOf, findLeaf, idOf, missingColumn } from './column.js';
import type { LitdataSet } from './data-set.js';
import type { LitdataField, LitdataRecord, LitdataSamplesLayout } from './layout.js';
import type { Leaf } from './leaf.js';

export type LitdataWanted = Pick<LitdataSamplesLayout, 'use' | 'column' | 'id' | 'records' | 'fields' | 'filter'>;

/** Errors: `COLUMN_MISSING`, `COLUMN_TYPE`, `SHARD_UNSUPPORTED`. */
export function wantedOf(set: LitdataSet, request: ColumnRequest, filter: Filter | undefined, uri: string): LitdataWanted {
  const { column, kind: use, columns = [column], id, fields } = request;
  return {
    use,
    ...((use === 'text' || use === 'tokens') && { column: columnOf(set, column, use, uri) }),
    ...(id !== undefined && { id: idOf(set, id, uri) }),
    ...(use === 'records' && { records: recordsOf(set, columns, uri) }),
    ...(fields !== undefined && { fields: fields.map((field) => fieldOf(set, field, uri)) }),
    ...(filter !== undefined && { filter: comparedOf(set, filter, uri) }),
  };
}

function fieldOf(set: LitdataSet, request: FieldRequest, uri: string): LitdataField {
  const { name, column } = request;
  const leaf = findLeaf(set, column, uri);
  const found = set.leaves[leaf];
  checkReadable(found, uri);
  const { source, type } = servedOf(found, request, uri);
  checkDeclaredType(request, type, uri);
  return { name, leaf, source, type };
}

function servedOf({ type, format, listOf }: Leaf, request: FieldRequest, uri: string): Pick<LitdataField, 'source' | 'type'> {
  const numbers = (dtype: StoredDtype | undefined, isList: boolean): FieldType => {
    if (dtype === undefined || dtype === 'uint64') throw notServed(request, format, uri);
    return { kind: 'numbers', dtype: servedDtypeOf(dtype, isList), size: isList ? sizeOf(request, format, uri) : null };
  };
  switch (type.kind) {
    case 'text':
    case 'bytes':
      return { source: { form: 'bytes' }, type: { kind: type.kind } };
    case 'number':
      return { source: { form: 'number', dtype: type.dtype }, type: numbers(type.dtype, false) };
    case 'list':
      return { source: { form: 'list', dtype: type.item.dtype ?? 'uint64' }, type: numbers(type.item.dtype, true) };
    case 'array':
      return { source: { form: 'array', of: type.of }, type: declaredArray(request, format, uri) };
    case 'nested':
      return {
        source: { form: 'nested' },
        type: listOf === undefined ? declaredArray(request, format, uri) : numbers(LISTED[listOf], true),
      };
    case 'refused':
      throw notServed(request, format, uri);
  }
}

const LISTED = { int: 'int64', float: 'float64', bool: 'uint8' } as const;

/** Of arrays that say in each sample what they are. */
function declaredArray(request: FieldRequest, format: string, uri: string): FieldType {
  const { name, column } = request;
  const size = sizeOf(request, format, uri);
  const type = request.type === undefined ? undefined : declaredType(request);
  if (type?.kind === 'numbers') return { ...type, size };
  throw new HeadraceError(
    'COLUMN_TYPE',
    `${column} of ${uri} is ${format}, whose type only its samples tell, which the field ${name} needs`,
    {
      detail: { uri, column, type: format },
      hint: `Where they are lists or arrays of numbers of one type, say it: ${name}: {column: ${column}, size: ${size}, type: float32}.`,
    },
  );
}

function sizeOf(request: FieldRequest, format: string, uri: string): number {
  if (request.size === undefined || request.size > LIMITS.fieldSizeMax) throw sizeNotKnown(request, format, uri);
  return request.size;
}

function comparedOf(set: LitdataSet, filter: Filter, uri: string): LitdataSamplesLayout['filter'] {
  const compared = columnsOf(filter).map((column) => {
    const leaf = findLeaf(set, column, uri);
    const found = set.leaves[leaf];
    checkReadable(found, uri);
    const type = comparedType(found);
    if (type === undefined) throw notComparable(column, found.format, uri);
    return { column, leaf, type };
  });
  checkComparable(filter, new Map(compared.map(({ column, type }) => [column, type])), uri);
  return compared;
}

function comparedType({ type }: Leaf): ColumnType | undefined {
  if (type.kind === 'text') return { kind: 'text' };
  if (type.kind !== 'number') return undefined;
  switch (type.dtype) {
    case 'int64':
      return { kind: 'integer', unsigned: false };
    case 'float64':
      return { kind: 'float', bits: 64 };
    case 'uint8':
      return { kind: 'boolean' };
  }
}

function recordsOf(set: LitdataSet, columns: readonly string[], uri: string): LitdataRecord[] {
  const records = columns.map((name) => ({ name, leaves: recordLeaves(set, name, uri) }));
  const leaves = records.reduce((sum, record) => sum + record.leaves.length, 0);
  if (leaves > LIMITS.recordLeavesMax) throw tooManyLeaves(leaves, uri);
  return records;
}

/** A leaf, or all those of a dict or a tuple. */
function recordLeaves(set: LitdataSet, name: string, uri: string): LitdataRecord['leaves'] {
  const found = set.leaves.flatMap((leaf, i) => {
    const path = leaf.name === name ? [] : leaf.path.at(0) === name ? leaf.path.slice(1) : undefined;
    return path === undefined ? [] : [{ path, leaf: i, form: recordForm(leaf, name, uri) }];
  });
  if (found.length === 0) throw missingColumn(set, name, uri);
  return found;
}

function recordForm(leaf: Leaf, name: string, uri: string): LitdataRecord['leaves'][number]['form'] {
  const { type, path, format } = leaf;
  checkReadable(leaf, uri);
  if (type.kind === 'text' || type.kind === 'nested') return type.kind;
  if (type.kind === 'number') return ({ int64: 'integer', float64: 'float', uint8: 'boolean' } as const)[type.dtype];
  throw unfitForRecords(path.map(String), name, uri, format);
}
