/** The worker's half of the WebDataset decoder: stretches of a tar in, rows out. */
import type { TokenArray } from '../../core/sequence.js';
import type { DocumentIds, FieldRows, FilterColumn, RecordRows, Rows } from '../decoder.js';
import { filterColumnOf, type RowValue } from '../value-columns.js';
import type { EncodedTarSlice } from './encoded-slice.js';
import { decodeFieldRows } from './field-rows.js';
import { KEY_MEMBER, memberChoices, membersOf, type MemberChoice } from './member-choice.js';
import { decodeTarMembers, type TarSamples } from './members.js';
import { readNpyTokens } from './npy.js';
import { tarRecords } from './records.js';
import { placeOf, rowValue, sampleValue, type SampleValue } from './sample-values.js';

/** Errors: `SHARD_INVALID`. */
export function decodeTarSlice(slice: EncodedTarSlice): Rows | RecordRows {
  const { column, kind, columns = [] } = slice.choice;
  const { samples } = openSlice(slice);
  switch (kind) {
    case 'text':
      return textRows(samples, memberChoices(column, 'text'));
    case 'tokens':
      return tokenRows(samples, memberChoices(column, 'tokens'));
    case 'records':
      return tarRecords(samples, column, columns);
    case 'none':
      throw new Error('samples of fields have no rows beside them');
  }
}

/** Errors: `SHARD_INVALID`. */
export function decodeTarIds(slice: EncodedTarSlice): DocumentIds {
  const { samples } = openSlice(slice);
  const choices = memberChoices(slice.choice.id ?? KEY_MEMBER, 'text');
  return Array.from({ length: samples.count }, (_, row) => {
    const value = sampleValue(samples, choices, row);
    if (value.kind === 'bytes') return textOf(value.bytes);
    if (value.kind !== 'json') return null;
    const { json } = value;
    return typeof json === 'string' ? json : typeof json === 'number' && Number.isSafeInteger(json) ? String(json) : null;
  });
}

/** In the order of the index's request. Errors: `SHARD_INVALID`. */
export function decodeTarFields(slice: EncodedTarSlice): readonly FieldRows[] {
  const { samples } = openSlice(slice);
  return (slice.choice.fields ?? []).map((field) => decodeFieldRows(samples, field));
}

/** Errors: `SHARD_INVALID`. */
export function decodeTarFilter(slice: EncodedTarSlice): readonly FilterColumn[] {
  const { compared } = openSlice(slice);
  return (slice.choice.filter ?? []).map((column, i) => filterColumnOf(column, (row) => compared[i][row]));
}

/** What all of the above need of a slice. */
interface OpenSlice {
  /** A row of which the filter cannot read a member is a bad one, whatever else it has. */
  readonly samples: TarSamples;
  /** By column of the filter and row. */
  readonly compared: readonly (readonly RowValue[])[];
}

/** Rows, ids, fields and filter columns of one slice are decoded one after the other: its headers are read once. */
const opened = new WeakMap<EncodedTarSlice, OpenSlice>();

function openSlice(slice: EncodedTarSlice): OpenSlice {
  let open = opened.get(slice);
  if (open === undefined) opened.set(slice, (open = decodeSamples(slice)));
  return open;
}

function decodeSamples(slice: EncodedTarSlice): OpenSlice {
  const { column, kind, id, columns = [], fields = [], filter = [] } = slice.choice;
  const named = [...(kind === 'none' || column === '' ? [] : [column]), ...(id === undefined ? [] : [id]), ...columns];
  const all = [...named, ...fields.map((field) => field.column), ...filter.map((own) => own.column)];
  const members = new Set(all.flatMap((name) => membersOf(memberChoices(name, 'text'))));
  members.delete(KEY_MEMBER);
  const samples = decodeTarMembers(slice, [...members]);
  const problems = new Map(samples.problems);
  const compared = filter.map((own) => {
    const choices = memberChoices(own.column, 'text');
    return Array.from({ length: samples.count }, (_, row) => {
      const value = sampleValue(samples, choices, row);
      if (value.kind === 'bad') problems.set(row, value.problem);
      return rowValue(value, own.as === 'any' ? 'text' : own.as);
    });
  });
  return { samples: { ...samples, problems }, compared };
}

function textRows(samples: TarSamples, choices: readonly MemberChoice[]): Rows {
  const { count } = samples;
  const problems = new Map<number, string>();
  const texts: Uint8Array[] = [];
  const bounds = new Int32Array(count + 1);
  for (let row = 0; row < count; row++) {
    const text = textOfValue(sampleValue(samples, choices, row), samples, row);
    if (typeof text === 'string') problems.set(row, text);
    else texts.push(text);
    bounds[row + 1] = bounds[row] + (typeof text === 'string' ? 0 : text.length);
  }
  const bytes = new Uint8Array(bounds[count]);
  let at = 0;
  for (const text of texts) {
    bytes.set(text, at);
    at += text.length;
  }
  return { kind: 'text', count, bounds, bytes, ...invalidRows(count, problems) };
}

/** Half of a character beyond U+FFFF: a string of JSON may have one, and UTF-8 has none. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** A text's UTF-8, or what is wrong with the row. */
function textOfValue(value: SampleValue, samples: TarSamples, row: number): Uint8Array | string {
  if (value.kind === 'missing' || value.kind === 'bad') return value.problem;
  if (value.kind === 'bytes') return value.bytes;
  const { json, choice } = value;
  const which = placeOf(samples, choice, row);
  if (json === undefined || json === null) return `has no ${which}`;
  if (typeof json !== 'string') return `has ${nameOfType(json)} in ${which}, and no text`;
  if (LONE_SURROGATE.test(json)) return `has half a character in ${which}`;
  return Buffer.from(json);
}

function tokenRows(samples: TarSamples, choices: readonly MemberChoice[]): Rows {
  const { count } = samples;
  const problems = new Map<number, string>();
  const lists: TokenArray[] = [];
  const bounds = new Int32Array(count + 1);
  for (let row = 0; row < count; row++) {
    const tokens = tokensOfValue(sampleValue(samples, choices, row), samples, row);
    if (typeof tokens === 'string') problems.set(row, tokens);
    else lists.push(tokens);
    bounds[row + 1] = bounds[row] + (typeof tokens === 'string' ? 0 : tokens.length);
  }
  const ids = new Int32Array(bounds[count]);
  let at = 0;
  for (const list of lists) {
    ids.set(list, at);
    at += list.length;
  }
  return { kind: 'tokens', count, bounds, ids, idsBelow: undefined, ...invalidRows(count, problems) };
}

/** A row's ids, or what is wrong with it. */
function tokensOfValue(value: SampleValue, samples: TarSamples, row: number): TokenArray | string {
  if (value.kind === 'missing' || value.kind === 'bad') return value.problem;
  const which = placeOf(samples, value.choice, row);
  if (value.kind === 'bytes') {
    const tokens = readNpyTokens(value.bytes);
    return 'ids' in tokens ? tokens.ids : `has a member ${which} that ${tokens.problem}`;
  }
  const { json } = value;
  if (json === undefined || json === null) return `has no ${which}`;
  if (!Array.isArray(json)) return `has ${nameOfType(json)} in ${which}, and no array`;
  if (!json.every(Number.isSafeInteger)) return `has an array in ${which} that is not of whole numbers`;
  // what is no int32 is −1, which no vocabulary has
  return Int32Array.from(json as readonly number[], (id) => (id >= 0 && id < 2 ** 31 ? id : -1));
}

function nameOfType(json: unknown): string {
  if (Array.isArray(json)) return 'an array';
  return typeof json === 'object' ? 'an object' : `a ${typeof json}`;
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}

function invalidRows(count: number, problems: ReadonlyMap<number, string>): Pick<Rows, 'valid' | 'problems'> {
  if (problems.size === 0) return { valid: undefined };
  const valid = new Uint8Array(count).fill(1);
  for (const row of problems.keys()) valid[row] = 0;
  return { valid, problems };
}
