/**
 * The leaves of a column of any shape, each as a column of its own: Parquet stores them in column chunks whose pages begin at different rows, so that each is
 * read and decoded by itself, and the rows are put together from their values.
 *
 *   messages: list of {role, content}  ──▶  messages: list of {role}      ["user", "assistant"]
 *                                           messages: list of {content}   ["Hi", "Hello"]         ──▶ [{role, content}, {role, content}]
 */
import type { SchemaElement } from 'hyparquet';
import { LIMITS } from '../../config/limits.js';
import type { HeadraceError } from '../../core/errors.js';
import type { ColumnRequest } from '../decoder.js';
import { partOfStruct, tooManyLeaves, unfitForRecords } from '../record-columns.js';
import { findElements } from './column.js';
import type { ParquetLeafType } from './layout.js';

export interface LeafColumn {
  /** Root, then the elements down to the leaf, each with one child. */
  readonly schema: readonly SchemaElement[];
  /** Of the top-level column. */
  readonly name: string;
  readonly path: readonly string[];
  readonly repetitions: number;
  readonly type: ParquetLeafType;
}

const TEXT_TYPES = new Set(['UTF8', 'JSON', 'ENUM']);
const TEXT_LOGICAL_TYPES = new Set(['STRING', 'JSON', 'ENUM']);
const INTEGER_ANNOTATION = /^U?INT_(8|16|32|64)$/;

/** Of all columns of the records, in the order of the request. Errors: `COLUMN_MISSING`, `COLUMN_TYPE`, `SHARD_UNSUPPORTED`. */
export function findLeaves(schema: readonly SchemaElement[], { column, columns = [column] }: ColumnRequest, uri: string): LeafColumn[] {
  const leaves = columns.flatMap((name) => {
    const { structs, elements } = findElements(schema, name, uri);
    if (structs.length > 0) throw partOfStruct(name, uri);
    return leavesOf(elements, name, uri);
  });
  if (leaves.length <= LIMITS.recordLeavesMax) return leaves;
  throw tooManyLeaves(leaves.length, uri);
}

/** `elements`: of the top-level column, in the depth-first order of the footer. Errors: `COLUMN_TYPE`. */
function leavesOf(elements: readonly SchemaElement[], name: string, uri: string): LeafColumn[] {
  const leaves: LeafColumn[] = [];
  let next = 0;
  const visit = (above: readonly SchemaElement[]): void => {
    const element = elements[next++];
    const chain = [...above, element];
    if (isMap(element)) throw unfit(chain, name, uri, 'a map');
    if (chain.length > LIMITS.recordDepthMax) throw unfit(chain, name, uri, `nested more than ${LIMITS.recordDepthMax} deep`);
    const children = element.num_children ?? 0;
    if (children === 0) leaves.push(leafOf(chain, name, uri));
    for (let child = 0; child < children && next < elements.length; child++) visit(chain);
  };
  visit([]);
  return leaves;
}

function leafOf(chain: readonly SchemaElement[], name: string, uri: string): LeafColumn {
  const leaf = chain[chain.length - 1];
  const type = leafTypeOf(leaf);
  if (type === undefined) {
    throw unfit(chain, name, uri, (leaf.logical_type?.type ?? leaf.converted_type ?? leaf.type ?? 'an empty group').toLowerCase());
  }
  return {
    schema: [{ name: 'schema', num_children: 1 }, ...chain.map(alone)],
    name,
    path: chain.map((element) => element.name),
    repetitions: chain.filter((element) => element.repetition_type === 'REPEATED').length,
    type,
  };
}

/** As `COLUMN_TYPE` says: what JSON can hold, and nothing that another unit stands behind. */
function leafTypeOf({ type, converted_type: converted, logical_type: logical }: SchemaElement): ParquetLeafType | undefined {
  if (type === 'BYTE_ARRAY') {
    const isText =
      (converted !== undefined && TEXT_TYPES.has(converted)) || (logical !== undefined && TEXT_LOGICAL_TYPES.has(logical.type));
    return isText ? 'string' : undefined;
  }
  if (type === 'INT32' || type === 'INT64') {
    if (converted !== undefined && !INTEGER_ANNOTATION.test(converted)) return undefined;
    if (logical !== undefined && logical.type !== 'INTEGER') return undefined;
    return converted?.startsWith('U') === true || (logical?.type === 'INTEGER' && !logical.isSigned) ? 'unsigned' : 'integer';
  }
  if (type === 'BOOLEAN') return 'boolean';
  return type === 'FLOAT' || type === 'DOUBLE' ? 'number' : undefined;
}

function isMap({ converted_type: converted, logical_type: logical }: SchemaElement): boolean {
  return converted === 'MAP' || converted === 'MAP_KEY_VALUE' || logical?.type === 'MAP';
}

/** With one child, and without what would change how its values are presented; that it is a list stays, it is structure. */
function alone({ logical_type: logical, converted_type: converted, num_children: children, ...rest }: SchemaElement): SchemaElement {
  const isList = converted === 'LIST' || logical?.type === 'LIST';
  return { ...rest, ...((children ?? 0) > 0 && { num_children: 1 }), ...(isList && { converted_type: 'LIST' as const }) };
}

function unfit(chain: readonly SchemaElement[], name: string, uri: string, what: string): HeadraceError {
  return unfitForRecords(
    chain.map((element) => element.name),
    name,
    uri,
    what,
  );
}
