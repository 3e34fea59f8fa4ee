/** Where the wanted columns are in the rows of one object: what its layout says beside its units. */
import { z } from 'zod';
import { HeadraceError } from '../../core/errors.js';
import type { JsonValue } from '../../core/canonical-json.js';
import { nearestNames } from '../../core/nearest-name.js';
import type { PlainRequest } from '../decoder.js';
import type { LineFormat } from './line-format.js';
import { readRecord } from './csv-record.js';

const columnsSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('jsonl'), as: z.enum(['text', 'tokens']), column: z.string(), id: z.string().optional() }),
  z.object({
    kind: z.literal('csv'),
    delimiter: z.int(),
    quote: z.int().optional(),
    /** Values of a record. */
    width: z.int(),
    column: z.int(),
    id: z.int().optional(),
  }),
  z.object({ kind: z.literal('text'), per: z.enum(['line', 'file']) }),
]);

/** JSON: paths of fields. Separated values: places in a record, from 0. */
export type LineColumns = Readonly<z.output<typeof columnsSchema>>;

export function lineColumns(layout: JsonValue): LineColumns {
  return columnsSchema.parse(layout);
}

/** `head`: the first record with its line end, of separated values. Errors: `COLUMN_MISSING`, `COLUMN_TYPE`, `SHARD_INVALID`. */
export function findColumns(format: LineFormat, request: PlainRequest, head: Uint8Array | undefined, uri: string): LineColumns {
  const { column, id, kind } = request;
  if (format.kind === 'jsonl') return { kind: 'jsonl', as: kind, column, ...(id !== undefined && { id }) };
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
  const names = Array.isArray(format.header) ? (format.header as readonly string[]) : namesOf(head ?? new Uint8Array(0), format, uri);
  const placeOf = (name: string): number => {
    const places = names.flatMap((own, place) => (own === name ? [place] : []));
    if (places.length === 1) return places[0];
    if (places.length === 0) throw columnMissing(uri, name, names);
    throw new HeadraceError('COLUMN_TYPE', `${uri} has ${places.length} columns with the name ${name}`, {
      detail: { uri, column: name },
      hint: 'Name the columns with `csv.header`, one by one.',
    });
  };
  return {
    kind: 'csv',
    delimiter,
    ...(quote !== undefined && { quote }),
    width: names.length,
    column: placeOf(column),
    ...(id !== undefined && { id: placeOf(id) }),
  };
}

/** Without a header, their numbers. */
function namesOf(head: Uint8Array, format: Extract<LineFormat, { kind: 'csv' }>, uri: string): string[] {
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
