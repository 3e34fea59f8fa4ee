/** Which leaf of a file's schema a request means, and whether it holds what the request is for. */
import type { SchemaElement } from 'hyparquet';
import { LIMITS } from '../../config/limits.js';
import { HeadraceError } from '../../core/errors.js';
import { nearestNames } from '../../core/nearest-name.js';
import type { ColumnRequest } from '../decoder.js';
import type { ParquetIdType } from './layout.js';

/** Annotations of text. Bytes without one are text as well: older writers (Impala, Hive, Spark with `binaryAsString`) leave it out. */
export const TEXT_TYPES = new Set(['UTF8', 'STRING', 'JSON', 'ENUM']);
const BYTE_TYPES = new Set(['BYTE_ARRAY', 'FIXED_LEN_BYTE_ARRAY']);
const INTEGER_TYPES = new Set(['INT32', 'INT64']);
/** INT32 and INT64 are also dates, times and decimals, which are no ids. */
const INTEGER_ANNOTATION = /^U?INT_(8|16|32|64)$/;

export interface Column {
  /** Root, then the column's elements, and none beside them. */
  readonly schema: readonly SchemaElement[];
  /** Of the leaf, as column chunks name it. */
  readonly path: readonly string[];
  /** As it was asked for. */
  readonly name: string;
}

export interface IdColumn extends Column {
  readonly type: ParquetIdType;
}

/** Errors: `COLUMN_MISSING`, `COLUMN_TYPE`, `SHARD_UNSUPPORTED`. */
export function findColumn(schema: readonly SchemaElement[], request: ColumnRequest, uri: string): Column {
  const found = findElements(schema, request.column, uri);
  const fits = request.kind === 'text' ? isText(found) : isTokenList(found);
  if (fits) return columnOf(found, request.column);
  const type = describe(found.elements);
  throw new HeadraceError(
    'COLUMN_TYPE',
    `column ${request.column} of ${uri} is ${type}, not ${request.kind === 'text' ? 'text' : 'a list of integers'}`,
    {
      detail: { uri, column: request.column, type },
      hint:
        request.kind === 'text'
          ? 'Name a string column in `text` (a field of a struct as `struct.field`), or a column of token ids in `tokens`.'
          : 'Name a column of list<int32 | uint16 | uint32 | int64> in `tokens`, or a string column in `text`.',
    },
  );
}

/** Errors: as of `findColumn`. */
export function findIdColumn(schema: readonly SchemaElement[], name: string, uri: string): IdColumn {
  const found = findElements(schema, name, uri);
  const type = idTypeOf(found);
  if (type !== undefined) return { ...columnOf(found, name), type };
  const described = describe(found.elements);
  throw new HeadraceError('COLUMN_TYPE', `column ${name} of ${uri} is ${described}, not text or an integer`, {
    detail: { uri, column: name, type: described },
    hint: 'Name a column of strings or integers in `id`.',
  });
}

/** A column's name in messages: as far as its structs go. */
export function nameOfColumn(schema: readonly SchemaElement[]): string {
  const list = schema.findIndex((element, index) => index > 0 && (isList(element) || element.repetition_type === 'REPEATED'));
  const named = schema.slice(1, list < 0 ? undefined : list + 1);
  return named.map(({ name }) => name).join('.');
}

export interface FoundElements {
  /** The structs that it lies in, outermost first. */
  readonly structs: readonly SchemaElement[];
  /** Itself, and what it consists of, in the depth-first order of the footer. */
  readonly elements: readonly SchemaElement[];
}

/** By its name at the top, or by the dotted path of a field: names that have dots themselves come first. */
export function findElements(schema: readonly SchemaElement[], name: string, uri: string): FoundElements {
  const matches = descend(schema, 0, name, []);
  if (matches.length === 1) return matches[0];
  if (matches.length > 1) {
    throw new HeadraceError('SHARD_UNSUPPORTED', `${uri} has ${matches.length} columns of the name ${name}`, {
      detail: { uri, column: name },
      hint: 'Write the file with names that differ.',
    });
  }
  const names = namesOf(schema);
  const near = nearestNames(name, names);
  const suggestion = near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `Its columns are ${names.slice(0, 20).join(', ')}.`;
  throw new HeadraceError('COLUMN_MISSING', `${uri} has no column ${name}`, {
    detail: { uri, column: name, columns: names.slice(0, 50).join(', ') },
    hint: suggestion,
  });
}

/** All elements of the name: one, where names differ as they should. */
function descend(schema: readonly SchemaElement[], parent: number, name: string, structs: readonly SchemaElement[]): FoundElements[] {
  const children = childrenOf(schema, parent);
  const exact = children.filter((child) => schema[child].name === name);
  if (exact.length > 0) return exact.map((child) => ({ structs, elements: schema.slice(child, endOf(schema, child)) }));
  const groups = children
    .filter((child) => isStruct(schema[child]) && name.startsWith(`${schema[child].name}.`))
    .sort((a, b) => schema[b].name.length - schema[a].name.length);
  for (const group of groups) {
    const own = schema[group];
    const found = descend(schema, group, name.slice(own.name.length + 1), [...structs, own]);
    if (found.length > 0) return found;
  }
  return [];
}

/** What a request may name. */
export interface NamedColumn {
  readonly name: string;
  readonly type: string;
  readonly use: 'text' | 'tokens' | undefined;
  /** Names of the elements down to each of its leaves, as column chunks have them. */
  readonly paths: readonly (readonly string[])[];
}

/** Columns, and fields of structs by their paths: of structs themselves nothing can be read. */
export function namedColumns(schema: readonly SchemaElement[]): NamedColumn[] {
  const columns: NamedColumn[] = [];
  const visit = (parent: number, structs: readonly SchemaElement[]): void => {
    for (const child of childrenOf(schema, parent)) {
      if (columns.length >= LIMITS.namesSuggestedMax) return;
      const own = schema[child];
      if (isStruct(own)) {
        visit(child, [...structs, own]);
        continue;
      }
      const found = { structs, elements: schema.slice(child, endOf(schema, child)) };
      const above = structs.map(({ name }) => name);
      columns.push({
        name: [...above, own.name].join('.'),
        type: isTokenList(found) ? `list<${typeOf(found.elements[found.elements.length - 1])}>` : describe(found.elements),
        use: isText(found) ? 'text' : isTokenList(found) ? 'tokens' : undefined,
        paths: leafPaths(found.elements, above),
      });
    }
  };
  visit(0, []);
  return columns;
}

function leafPaths(elements: readonly SchemaElement[], above: readonly string[]): string[][] {
  const [own] = elements;
  const path = [...above, own.name];
  if (own.type !== undefined) return [path];
  // its first element stands where a schema's root does
  return childrenOf(elements, 0).flatMap((child) => leafPaths(elements.slice(child, endOf(elements, child)), path));
}

function namesOf(schema: readonly SchemaElement[]): string[] {
  return namedColumns(schema).map(({ name }) => name);
}

function childrenOf(schema: readonly SchemaElement[], parent: number): number[] {
  const children: number[] = [];
  const end = parent === 0 ? schema.length : endOf(schema, parent);
  for (let child = parent + 1; child < end; child = endOf(schema, child)) children.push(child);
  return children;
}

/** Where the elements of this one end. */
function endOf(schema: readonly SchemaElement[], start: number): number {
  let open = 1;
  let index = start;
  while (open > 0 && index < schema.length) open += Math.max(0, schema[index++].num_children ?? 0) - 1;
  return index;
}

function isStruct(element: SchemaElement): boolean {
  const annotated = element.converted_type !== undefined || element.logical_type !== undefined;
  return element.type === undefined && element.repetition_type !== 'REPEATED' && !annotated;
}

function isList({ converted_type: converted, logical_type: logical }: SchemaElement): boolean {
  return converted === 'LIST' || logical?.type === 'LIST';
}

export function columnOf({ structs, elements }: FoundElements, name: string): Column {
  const chain = [...structs.map((struct) => ({ ...struct, num_children: 1 })), ...elements];
  return {
    schema: [{ name: 'schema', num_children: 1 }, ...chain.map(withoutLogicalType)],
    path: chain.map((element) => element.name),
    name,
  };
}

/** Values then come as plain bytes and integers, whatever they are annotated with; the LIST annotation stays, it is structure. */
function withoutLogicalType(element: SchemaElement): SchemaElement {
  const { logical_type, converted_type, ...rest } = element;
  return isList(element) ? { ...rest, converted_type: 'LIST' } : rest;
}

function isText({ elements }: FoundElements): boolean {
  const [leaf] = elements;
  if (elements.length !== 1 || leaf.repetition_type === 'REPEATED' || leaf.type === undefined || !BYTE_TYPES.has(leaf.type)) return false;
  return annotationsOf(leaf).every((annotation) => TEXT_TYPES.has(annotation));
}

/** One repeated level above an integer leaf: LIST in three levels, in two (legacy), or a bare repeated field. */
function isTokenList({ elements }: FoundElements): boolean {
  const leaf = elements[elements.length - 1];
  const repeated = elements.filter((element) => element.repetition_type === 'REPEATED').length;
  const isChain = elements.every((element) => (element.type === undefined) === (element !== leaf));
  return isChain && repeated === 1 && elements.length <= 3 && isInteger(leaf);
}

/** Undefined: no column of ids. */
function idTypeOf(found: FoundElements): ParquetIdType | undefined {
  const { elements } = found;
  const [leaf] = elements;
  if (isText(found) && leaf.type === 'BYTE_ARRAY' && annotationsOf(leaf).length > 0) return 'string';
  if (elements.length > 1 || leaf.repetition_type === 'REPEATED' || !isInteger(leaf)) return undefined;
  const { converted_type: converted, logical_type: logical } = leaf;
  return converted?.startsWith('U') === true || (logical?.type === 'INTEGER' && !logical.isSigned) ? 'unsigned' : 'integer';
}

function isInteger({ type, converted_type: converted, logical_type: logical }: SchemaElement): boolean {
  if (type === undefined || !INTEGER_TYPES.has(type)) return false;
  return (logical === undefined || logical.type === 'INTEGER') && (converted === undefined || INTEGER_ANNOTATION.test(converted));
}

export function annotationsOf({ converted_type: converted, logical_type: logical }: SchemaElement): string[] {
  return [converted, logical?.type].filter((annotation) => annotation !== undefined);
}

/** For messages. */
export function describe(elements: readonly SchemaElement[]): string {
  const [top] = elements;
  return elements.length === 1 ? typeOf(top) : `${typeOf(top)} of ${elements.slice(1, 20).map(typeOf).join(', ')}`;
}

function typeOf({ logical_type: logical, converted_type: converted, type }: SchemaElement): string {
  if (logical?.type === 'INTEGER') return `${logical.isSigned ? '' : 'u'}int${logical.bitWidth}`;
  if (logical === undefined && converted !== undefined && INTEGER_ANNOTATION.test(converted))
    return converted.toLowerCase().replace('_', '');
  if (logical === undefined && converted === 'UTF8') return 'string';
  return (logical?.type ?? converted ?? type ?? 'group').toLowerCase();
}

/** Of all leaves, in the order of the schema, the names of each joined by NUL. */
export function leafNames(schema: readonly SchemaElement[]): string[] {
  const paths: string[] = [];
  const visit = (parent: number, names: readonly string[]): void => {
    for (const child of childrenOf(schema, parent)) {
      const own = [...names, schema[child].name];
      if (schema[child].type === undefined) visit(child, own);
      else paths.push(own.join('\0'));
    }
  };
  visit(0, []);
  return paths;
}
