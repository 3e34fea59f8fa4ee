/** Which column of a Parquet file a field is, and of which type: from the schema of its footer, and the number of values that lists have in it. */
import type { SchemaElement } from 'hyparquet';
import type { FieldType } from '../../core/fields.js';
import type { ParquetFieldType } from './layout.js';

/** A leaf, or a list, below the structs that the name goes through; elements in the depth-first order of the footer. */
export interface FieldElements {
  /** Structs on the way, outermost first. */
  readonly structs: readonly SchemaElement[];
  readonly own: readonly SchemaElement[];
}

/** `elements`: of a top-level column. `parts`: names below it. Undefined where it has no such part. */
export function partOfColumn(elements: readonly SchemaElement[], parts: readonly string[]): FieldElements | undefined {
  const structs: SchemaElement[] = [];
  let own = elements;
  for (const part of parts) {
    const [group, ...below] = own;
    if (group.num_children === undefined || group.repetition_type === 'REPEATED' || group.converted_type !== undefined) return undefined;
    let at = 0;
    while (at < below.length && below[at].name !== part) at += sizeOf(below, at);
    if (at >= below.length) return undefined;
    structs.push(group);
    own = below.slice(at, at + sizeOf(below, at));
  }
  return { structs, own };
}

/** Elements of the column that starts at `at`. */
function sizeOf(elements: readonly SchemaElement[], at: number): number {
  let open = 1;
  let next = at;
  while (open > 0 && next < elements.length) open += (elements[next++].num_children ?? 0) - 1;
  return next - at;
}

/** The column alone, as a schema of its own. */
export function schemaOfField({ structs, own }: FieldElements): SchemaElement[] {
  return [{ name: 'schema', num_children: 1 }, ...structs.map((group) => ({ ...group, num_children: 1 })), ...own];
}

const INTEGER_ANNOTATION = /^U?INT_(8|16|32|64)$/;

/** `size`: of lists; `undefined`: not known. Undefined where the column is none of the types that are served. */
export function fieldTypeOf(own: readonly SchemaElement[], size: number | undefined): ParquetFieldType | undefined {
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
export const UNKNOWN_SIZE = 0;

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
