/** What the formats of lines are told of how to read an object, checked. */
import { HeadraceError } from '../../core/errors.js';
import type { JsonValue } from '../../core/canonical-json.js';
import type { ColumnRequest } from '../decoder.js';

/** What ends a row, and what is in it. */
export type LineFormat =
  | { readonly kind: 'jsonl' }
  | { readonly kind: 'csv'; readonly delimiter: number; readonly quote: number | undefined; readonly header: boolean | readonly string[] }
  /** A document a line, or all of the object. */
  | { readonly kind: 'text'; readonly per: 'line' | 'file' };

export const JSONL: LineFormat = { kind: 'jsonl' };

export function textFormat({ options }: ColumnRequest): LineFormat {
  return { kind: 'text', per: options?.lines === true ? 'line' : 'file' };
}

/** The ending says what separates values, unless the source does. */
export function csvFormat({ options }: ColumnRequest, path: string): LineFormat {
  const csv = objectOf(options?.csv);
  const delimiter = typeof csv.delimiter === 'string' ? csv.delimiter : /\.(tsv|tab)(\.|$)/.test(path) ? '\t' : ',';
  const { quote = '"', header = true } = csv;
  return {
    kind: 'csv',
    delimiter: characterOf('delimiter', delimiter),
    quote: quote === false ? undefined : characterOf('quote', quote),
    header: Array.isArray(header) ? header.map(String) : header !== false,
  };
}

function characterOf(name: string, value: JsonValue): number {
  const code = typeof value === 'string' && value.length === 1 ? value.charCodeAt(0) : 128;
  if (code < 128 && code !== 0x0a && code !== 0x0d) return code;
  throw new HeadraceError('CONFIG_INVALID', `csv.${name} is one ASCII character, and no line end`, { detail: { field: `csv.${name}` } });
}

function objectOf(value: JsonValue | undefined): Readonly<Record<string, JsonValue>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, JsonValue>>) : {};
}
