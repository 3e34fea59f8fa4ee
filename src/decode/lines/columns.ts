/** Where the wanted columns are in the rows of one object: what its layout says beside its units. */
import * as z from 'zod';
import { HeadraceError } from '../../core/errors.js';
import type { JsonValue } from '../../core/canonical-json.js';
import { declaredType, describeField, type FieldRequest, type FieldType } from '../../core/fields.js';
import type { Filter } from '../../core/filter/filter.js';
import { nearestNames } from '../../core/nearest-name.js';
import type { ColumnRequest } from '../decoder.js';
import { comparedColumns } from '../value-columns.js';
import type { LineFormat } from './line-format.js';
import { readRecord } from './csv-record.js';

/** JSON: the path of a field. Separated values: a place in a record, from 0. */
const atSchema = z.union([z.string(), z.int()]);

const fieldTypeSchema: z.ZodType<FieldType> = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal(['text', 'bytes']) }),
  z.object({
    kind: z.literal('numbers'),
    dtype: z.enum(['uint8', 'int32', 'int64', 'float32', 'float64']),
    size: z.int().min(1).nullable(),
  }),
]);

/** Of what is read beside the rows, or as records. */
const besideSchema = {
  /** In order of name. */
  fields: z.array(z.object({ name: z.string(), at: atSchema, type: fieldTypeSchema })).optional(),
  filter: z.array(z.object({ column: z.string(), at: atSchema, as: z.enum(['text', 'number', 'boolean', 'any']) })).optional(),
  /** Of records. */
  columns: z.array(z.object({ name: z.string(), at: atSchema })).optional(),
};

const columnsSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('jsonl'),
    as: z.enum(['text', 'tokens', 'records', 'none']),
    column: z.string(),
    id: z.string().optional(),
    ...besideSchema,
  }),
  z.object({
    kind: z.literal('csv'),
    delimiter: z.int(),
    quote: z.int().optional(),
    /** Values of a record. */
    width: z.int(),
    /** Without a meaning where there are `columns`, or fields only. */
    column: z.int(),
    id: z.int().optional(),
    ...besideSchema,
  }),
  z.object({ kind: z.literal('text'), per: z.enum(['line', 'file']) }),
]);

export type LineColumns = Readonly<z.output<typeof columnsSchema>>;

/** JSON: a path. Separated values: a place in a record. */
export type ColumnPlace = string | number;

/** Columns beside the rows; of plain text there are none. */
export type BesideLayout = Partial<Pick<Extract<LineColumns, { kind: 'jsonl' }>, 'fields' | 'filter' | 'columns'>>;

export function lineColumns(layout: JsonValue): LineColumns {
  return columnsSchema.parse(layout);
}

export interface LineRequest extends ColumnRequest {
  /** By the columns of the object. */
  readonly filter: Filter | undefined;
}

/** `head`: the first record with its line end, of separated values. Errors: `COLUMN_MISSING`, `COLUMN_TYPE`, `SHARD_INVALID`. */
export function findColumns(format: LineFormat, request: LineRequest, head: Uint8Array | undefined, uri: string): LineColumns {
  const { column, id, kind } = request;
  if (format.kind === 'jsonl') {
    return { kind: 'jsonl', as: kind, column, ...(id !== undefined && { id }), ...besideOf(request, (path) => path, uri) };
  }
  if (kind === 'tokens') {
    throw new HeadraceError('COLUMN_TYPE', `${uri} is text, and holds no token ids`, {
      detail: { uri, column },
      hint: 'Name the column as `text`, or write token ids as Parquet or JSON lines.',
    });
  }
  if (format.kind === 'text') {
    if (id === undefined) return format;
    throw columnMissing(uri, id, []);
  }
  const { delimiter, quote } = format;
  if (head === undefined && !Array.isArray(format.header)) return { kind: 'csv', delimiter, width: 0, column: 0 }; // without a row
  const names = columnNames(format, head ?? new Uint8Array(0), uri);
  const placeOf = (name: string): number => {
    const places = names.flatMap((own, place) => (own === name ? [place] : []));
    if (places.length === 1) return places[0];
    if (places.length === 0) throw columnMissing(uri, name, names);
    throw new HeadraceError('COLUMN_TYPE', `${uri} has ${places.length} columns with the name ${name}`, {
      detail: { uri, column: name },
      hint: 'Name the columns with `csv.header`, one by one.',
    });
  };
  const beside = besideOf(request, placeOf, uri);
  const list = beside.fields?.find(({ type }) => type.kind === 'numbers' && type.size !== null);
  if (list !== undefined) {
    throw new HeadraceError(
      'COLUMN_TYPE',
      `${uri} has separated values, which are no lists, and the field ${list.name} is ${describeField(list.type)}`,
      {
        detail: { uri, field: list.name },
        hint: 'Write lists of numbers as Parquet or JSON lines.',
      },
    );
  }
  return {
    kind: 'csv',
    delimiter,
    ...(quote !== undefined && { quote }),
    width: names.length,
    column: kind === 'text' ? placeOf(column) : 0,
    ...(id !== undefined && { id: placeOf(id) }),
    ...beside,
  };
}

/** What was not asked for is left out: layouts of text are what they always were. */
function besideOf({ fields, filter, columns }: LineRequest, placeOf: (name: string) => ColumnPlace, uri: string): BesideLayout {
  return {
    ...(fields !== undefined && { fields: fields.map((field) => fieldOf(field, placeOf)) }),
    ...(filter !== undefined && { filter: comparedColumns(filter, uri).map((own) => ({ ...own, at: placeOf(own.column) })) }),
    ...(columns !== undefined && { columns: columns.map((name) => ({ name, at: placeOf(name) })) }),
  };
}

function fieldOf(field: FieldRequest, placeOf: (name: string) => ColumnPlace): NonNullable<BesideLayout['fields']>[number] {
  return { name: field.name, at: placeOf(field.column), type: declaredType(field) };
}

/** Without a header, their numbers. `head`: the first record. Errors: `SHARD_INVALID`. */
export function columnNames(format: Extract<LineFormat, { kind: 'csv' }>, head: Uint8Array, uri: string): readonly string[] {
  if (Array.isArray(format.header)) return format.header as readonly string[];
  const { values, problem } = readRecord(head, 0, head.length, format.delimiter, format.quote);
  if (problem !== undefined) {
    throw new HeadraceError('SHARD_INVALID', `the header of ${uri} ${problem}`, {
      detail: { uri },
      hint: 'Write the file again, or name its columns with `csv.header`.',
    });
  }
  if (format.header === false) return values.map((_value, place) => String(place));
  const decoder = new TextDecoder();
  return values.map((value) => decoder.decode(value));
}

function columnMissing(uri: string, column: string, names: readonly string[]): HeadraceError {
  const near = nearestNames(column, [...names]);
  return new HeadraceError('COLUMN_MISSING', `${uri} has no column ${column}`, {
    detail: { uri, column },
    hint: `${near.length === 0 ? '' : `Did you mean ${near.join(' or ')}? `}Its columns: ${names.slice(0, 50).join(', ') || 'none that have a name'}.`,
  });
}
