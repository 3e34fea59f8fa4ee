/** What lines have beside their text or tokens: ids, fields, and the columns of a filter, all found in one scan. */
import type { BesideColumns, FieldRows, Wanted } from '../decoder.js';
import { booleanOfText, fieldRowsOf, filterColumnOf, numberOfText, type RowValue } from '../value-columns.js';
import type { BesideLayout, ColumnPlace } from './columns.js';
import type { EncodedLineSlice } from './encoded-slice.js';
import { lineProblem, readLineValues, type LineValues } from './line-values.js';

/** Errors: `SHARD_INVALID`. */
export function decodeLineBeside(slice: EncodedLineSlice, wanted: Omit<Wanted, 'rows'>): BesideColumns {
  const { columns, rows } = slice;
  if (columns.kind === 'text') throw new Error('plain text has no columns');
  const { id } = columns;
  if (wanted.ids && id === undefined) throw new Error('the index was not asked for ids');
  const fields = wanted.fields ? (columns.fields ?? []) : [];
  const filter = wanted.filter ? (columns.filter ?? []) : [];
  const places: ColumnPlace[] = [...fields, ...filter].map(({ at }) => at);
  const idColumn = places.length;
  if (wanted.ids && id !== undefined) places.push(id);
  const values = readLineValues(slice, places);
  const isText = columns.kind === 'csv';
  return {
    ids: wanted.ids ? Array.from({ length: rows }, (_, row) => values.idAt(idColumn, row)) : undefined,
    fields: wanted.fields
      ? fields.map(({ name, type }, column) => {
          const read = isText ? readerOfText(type.kind === 'numbers' ? type.dtype : 'text') : asItIs;
          return withLines(
            fieldRowsOf(name, type, rows, (row) => read(values.at(column, row))),
            values,
          );
        })
      : undefined,
    // partitions may have left nothing for the columns to say
    filter:
      wanted.filter && columns.filter !== undefined
        ? filter.map((own, i) => {
            const read = isText ? readerOfText(own.as) : asItIs;
            return filterColumnOf(own, (row) => read(values.at(fields.length + i, row)));
          })
        : undefined,
  };
}

/** Every bad row is named with its line. */
function withLines(field: FieldRows, values: LineValues): FieldRows {
  const { name, valid, problem, problems } = field;
  if (valid === undefined) return field;
  const told = new Map(problems);
  for (const [row, isValid] of valid.entries()) {
    if (isValid === 0 && !told.has(row)) told.set(row, lineProblem(values.lineOf(row), `has a field ${name} that ${problem}`));
  }
  return { ...field, problems: told };
}

type FilterAs = NonNullable<BesideLayout['filter']>[number]['as'];
type NumberType = Extract<NonNullable<BesideLayout['fields']>[number]['type'], { kind: 'numbers' }>['dtype'];

function asItIs(value: RowValue): RowValue {
  return value;
}

/** Separated values are text, which is read as what is wanted; text that is not that stays what it is, and none at all is no number. */
function readerOfText(as: FilterAs | NumberType): (value: RowValue) => RowValue {
  switch (as) {
    case 'text':
    case 'any':
      return asItIs;
    case 'boolean':
      return readerOf(booleanOfText);
    case 'uint8':
      return readerOf((text) => numberOfText(text) ?? booleanOfText(text));
    default:
      return readerOf(numberOfText);
  }
}

function readerOf(read: (text: string) => RowValue): (value: RowValue) => RowValue {
  return (value) => {
    if (!(value instanceof Uint8Array)) return value;
    return value.length === 0 ? null : (read(textOf(value)) ?? value);
  };
}

function textOf({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('utf8');
}
