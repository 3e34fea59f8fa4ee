/** What a field of an Arrow schema can be read as: text or token ids, a field of samples, a column of a filter, a part of records. */
import { Type } from 'apache-arrow/fb/type';
import { LIMITS } from '../../config/limits.js';
import type { ColumnType } from '../../core/filter/operand.js';
import { widened, type FieldRequest } from '../../core/fields.js';
import { notComparable } from '../comparable.js';
import { notServed, servedDtype, type StoredNumber } from '../field-types.js';
import type { RecordLeaf } from '../layout-types.js';
import { unfitForRecords } from '../record-columns.js';
import { describeField } from './column.js';
import type { ArrowColumnType, ArrowItem, ArrowServed } from './layout.js';
import type { ArrowField } from './metadata.js';

/** What a column is read as; `undefined`: it is of no such kind. */
export function columnTypeOf(field: ArrowField, kind: 'text' | 'tokens' | 'id'): ArrowColumnType | undefined {
  if (kind === 'tokens') {
    const list = listTypeOf(field);
    return list !== undefined && 'bytes' in list.item ? list : undefined;
  }
  const text = textTypeOf(field);
  if (text !== undefined || kind === 'text' || field.dictionary !== undefined) return text;
  return field.integer === undefined ? undefined : { kind: 'integer', item: field.integer };
}

function textTypeOf({ type, dictionary }: ArrowField): ArrowColumnType | undefined {
  return stringTypeOf(dictionary, type === Type.Utf8 ? 4 : type === Type.LargeUtf8 ? 8 : undefined, type === Type.Utf8View);
}

function binaryTypeOf({ type, dictionary, scalar }: ArrowField): ArrowColumnType | undefined {
  if (scalar?.kind === 'bytes' && dictionary === undefined) return { kind: 'bytes', bytes: scalar.bytes };
  return stringTypeOf(dictionary, type === Type.Binary ? 4 : type === Type.LargeBinary ? 8 : undefined, type === Type.BinaryView);
}

function stringTypeOf(dictionary: ArrowField['dictionary'], offsetBytes: 4 | 8 | undefined, isView: boolean): ArrowColumnType | undefined {
  if (offsetBytes === undefined) return isView && dictionary === undefined ? { kind: 'view' } : undefined;
  return dictionary === undefined ? { kind: 'text', offsetBytes } : { kind: 'dictionary', index: dictionary.index, offsetBytes };
}

type ListType = Extract<ArrowColumnType, { readonly kind: 'list' | 'fixed' }>;

/** Of lists of numbers. */
function listTypeOf({ type, dictionary, children, listSize }: ArrowField): ListType | undefined {
  if (dictionary !== undefined || children.length !== 1) return undefined;
  const item = numberOf(children[0]);
  if (item === undefined) return undefined;
  if (type === Type.List) return { kind: 'list', offsetBytes: 4, item };
  if (type === Type.LargeList) return { kind: 'list', offsetBytes: 8, item };
  return type === Type.FixedSizeList ? { kind: 'fixed', size: listSize, item } : undefined;
}

function numberOf({ dictionary, integer, scalar }: ArrowField): ArrowItem | undefined {
  if (dictionary !== undefined) return undefined;
  if (integer !== undefined) return integer;
  if (scalar?.kind === 'float') return { float: scalar.bytes };
  return scalar?.kind === 'boolean' ? { boolean: true } : undefined;
}

function scalarTypeOf(item: ArrowItem): ArrowColumnType {
  return 'bytes' in item ? { kind: 'integer', item } : { kind: 'number', item };
}

/** As fields name them; undefined where they are not served. */
export function storedNumberOf(item: ArrowItem): StoredNumber | undefined {
  if ('boolean' in item) return 'BOOLEAN';
  if ('float' in item) return ({ 2: 'HALF', 4: 'FLOAT', 8: 'DOUBLE' } as const)[item.float];
  if (item.bytes === 8) return item.signed ? 'INT64' : undefined;
  return `${item.signed ? '' : 'U'}INT${(8 * item.bytes) as 8 | 16 | 32}`;
}

/** Of a field of samples. Lists whose size nobody has said have size 0. Errors: `COLUMN_TYPE`. */
export function fieldTypeOf(
  field: ArrowField,
  request: FieldRequest,
  uri: string,
): { readonly type: ArrowColumnType; readonly served: ArrowServed } {
  const text = textTypeOf(field);
  if (text !== undefined) return { type: text, served: { kind: 'text' } };
  const binary = binaryTypeOf(field);
  if (binary !== undefined) return { type: binary, served: { kind: 'bytes' } };
  const list = listTypeOf(field);
  const item = list?.item ?? numberOf(field);
  const stored = item && storedNumberOf(item);
  if (item === undefined || stored === undefined || (list?.kind === 'fixed' && list.size === 0))
    throw notServed(request, describeField(field), uri);
  const dtype = widened(servedDtype(stored, list !== undefined), request.type);
  if (list === undefined) return { type: scalarTypeOf(item), served: { kind: 'numbers', dtype, size: null } };
  const own = list.kind === 'fixed' && list.size <= LIMITS.fieldSizeMax ? list.size : 0;
  return { type: list, served: { kind: 'numbers', dtype, size: request.size ?? own } };
}

/** Of a column that a filter reads. Errors: `COLUMN_TYPE`. */
export function filterTypeOf(
  field: ArrowField,
  column: string,
  uri: string,
): { readonly type: ArrowColumnType; readonly compared: ColumnType } {
  const text = textTypeOf(field) ?? binaryTypeOf(field);
  if (text !== undefined) return { type: text, compared: { kind: 'text' } };
  const found = field.dictionary === undefined ? comparedScalar(field) : undefined;
  if (found === undefined) throw notComparable(column, describeField(field), uri);
  return found;
}

const INT32 = { bytes: 4, signed: true } as const;
const INT64 = { bytes: 8, signed: true } as const;

function comparedScalar({ integer, scalar }: ArrowField): { readonly type: ArrowColumnType; readonly compared: ColumnType } | undefined {
  if (integer !== undefined) return { type: { kind: 'integer', item: integer }, compared: { kind: 'integer', unsigned: !integer.signed } };
  switch (scalar?.kind) {
    case 'boolean':
      return { type: { kind: 'number', item: { boolean: true } }, compared: { kind: 'boolean' } };
    case 'float':
      // of 16 bits none are compared in any format
      if (scalar.bytes === 2) return undefined;
      return { type: { kind: 'number', item: { float: scalar.bytes } }, compared: { kind: 'float', bits: scalar.bytes === 4 ? 32 : 64 } };
    case 'decimal':
      return { type: { kind: 'bytes', bytes: scalar.bytes }, compared: { kind: 'decimal', scale: scalar.scale } };
    case 'date':
      return { type: { kind: 'integer', item: scalar.bytes === 4 ? INT32 : INT64 }, compared: { kind: 'date' } };
    case 'timestamp': {
      const { kind, unitsPerSecond, utc } = scalar;
      return { type: { kind: 'integer', item: INT64 }, compared: { kind, unitsPerSecond, utc } };
    }
    default:
      return undefined;
  }
}

/** Of a part of records: `leaf` where there is nothing inside it. `path`: the names of the fields down to it. Errors: `COLUMN_TYPE`. */
export function recordTypeOf(
  field: ArrowField,
  path: readonly string[],
  uri: string,
): { readonly type: ArrowColumnType; readonly leaf?: RecordLeaf } {
  const { type, dictionary, integer, scalar, children, listSize } = field;
  const unfit = (what: string): Error => unfitForRecords(path, path[0], uri, what);
  if (path.length > LIMITS.recordDepthMax) throw unfit(`nested more than ${LIMITS.recordDepthMax} deep`);
  const text = textTypeOf(field);
  if (text !== undefined) return { type: text, leaf: 'string' };
  if (dictionary !== undefined) throw unfit(describeField(field));
  if (integer !== undefined) return { type: { kind: 'integer', item: integer }, leaf: integer.signed ? 'integer' : 'unsigned' };
  if (scalar?.kind === 'boolean') return { type: { kind: 'number', item: { boolean: true } }, leaf: 'boolean' };
  if (scalar?.kind === 'float' && scalar.bytes !== 2) return { type: { kind: 'number', item: { float: scalar.bytes } }, leaf: 'number' };
  if (type === Type.Struct_ && children.length > 0) return { type: { kind: 'struct' } };
  if (children.length === 1) {
    if (type === Type.List) return { type: { kind: 'lists', offsetBytes: 4 } };
    if (type === Type.LargeList) return { type: { kind: 'lists', offsetBytes: 8 } };
    // of lists of nothing no byte bounds how many there are
    if (type === Type.FixedSizeList && listSize > 0) return { type: { kind: 'groups', size: listSize } };
  }
  throw unfit(type === Type.Map ? 'a map' : describeField(field));
}
