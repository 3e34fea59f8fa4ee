/**
 * Reads one list of documents: a file of ids, or of shards and rows, whose form its ending says.
 *
 *   .txt            an id a line
 *   .jsonl .ndjson  a string, an integer, or an object with `id`, or with `shard` and `row`, a line
 *   .csv .tsv       a header that names `id`, or `shard` and `row`
 *   .parquet        columns of these names
 */
import { HeadraceError, messageOf } from '../core/errors.js';
import { shownUri } from '../store/schemes.js';
import type { Store } from '../store/store.js';
import { createCsvReader, CsvError } from './csv.js';
import { listError } from './list-error.js';
import { linesOf, textParts } from './text-parts.js';

/** Told of each entry; `fail` makes the error that names its place. May throw it. */
export interface ListSink {
  id(id: string, fail: Fail): void;
  row(shard: string, row: number, fail: Fail): void;
}

export type Fail = (problem: string) => HeadraceError;

export interface ListPlace {
  readonly store: Store;
  readonly path: string;
  /** As it was configured. */
  readonly uri: string;
}

/** An entry as its file has it: of `id`, or of `shard` and `row`, and of whatever stands beside them. */
export type RawEntry = Readonly<Record<string, unknown>>;

export type ReadList = (place: ListPlace, sink: ListSink, signal?: AbortSignal) => Promise<void>;

const READERS: ReadonlyMap<string, ReadList> = new Map<string, ReadList>([
  ['txt', readText],
  ['jsonl', readJsonLines],
  ['ndjson', readJsonLines],
  ['csv', (place, sink, signal) => readSeparated(place, ',', sink, signal)],
  ['tsv', (place, sink, signal) => readSeparated(place, '\t', sink, signal)],
  ['parquet', async (...list) => (await import('./read-parquet-list.js')).readParquetList(...list)], // its codecs are large
]);

/** Errors: `EXCLUSION_INVALID`, those of `Store.head` and `Store.read`, and those of the sink. */
export async function readList(place: ListPlace, sink: ListSink, signal?: AbortSignal): Promise<void> {
  const ending = /\.([a-z]+)(?:\?.*)?$/is.exec(place.uri)?.[1].toLowerCase() ?? '';
  const read = READERS.get(ending);
  if (read === undefined) {
    throw new HeadraceError('EXCLUSION_INVALID', `${shownUri(place.uri)} has no ending that says what kind of list it is`, {
      detail: { uri: shownUri(place.uri) },
      hint: `The endings are ${[...READERS.keys()].map((key) => `.${key}`).join(', ')}.`,
    });
  }
  await read(place, sink, signal);
}

async function readText({ store, path, uri }: ListPlace, sink: ListSink, signal?: AbortSignal): Promise<void> {
  for await (const part of textParts(store, path, uri, signal)) {
    for (const { text, line } of linesOf(part)) if (text !== '') sink.id(text, (problem) => listError(uri, line, problem));
  }
}

async function readJsonLines({ store, path, uri }: ListPlace, sink: ListSink, signal?: AbortSignal): Promise<void> {
  for await (const part of textParts(store, path, uri, signal)) {
    for (const { text, line } of linesOf(part)) {
      if (text.trim() === '') continue;
      const fail: Fail = (problem) => listError(uri, line, problem);
      // numbers of JSON are doubles, which large ids are not
      if (INTEGER.test(text.trim())) sink.id(text.trim(), fail);
      else deliver(entryOfJson(text, fail), sink, fail);
    }
  }
}

const INTEGER = /^(?:0|-?[1-9]\d*)$/;

function entryOfJson(text: string, fail: Fail): RawEntry {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw fail(`it is not JSON (${messageOf(error)})`);
  }
  if (typeof value === 'string') return { id: value };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw fail('it is no string, integer or object');
  return value as RawEntry;
}

async function readSeparated({ store, path, uri }: ListPlace, separator: ',' | '\t', sink: ListSink, signal?: AbortSignal): Promise<void> {
  let header: readonly string[] | undefined;
  const reader = createCsvReader(separator, (fields, line) => {
    const fail: Fail = (problem) => listError(uri, line, problem);
    if (header === undefined) {
      checkColumns(fields, fail);
      header = fields;
      return;
    }
    if (fields.length !== header.length) throw fail(`it has ${fields.length} fields where the header has ${header.length}`);
    const entry = Object.fromEntries(header.map((name, i) => [name, fields[i]]));
    deliver(entry, sink, fail);
  });
  try {
    for await (const { text } of textParts(store, path, uri, signal)) reader.push(text);
    reader.end();
  } catch (error) {
    throw error instanceof CsvError ? listError(uri, error.line, error.message) : error;
  }
}

export function checkColumns(names: readonly string[], fail: Fail): void {
  if (names.includes('id') || (names.includes('shard') && names.includes('row'))) return;
  throw fail(`it names the columns ${names.slice(0, 10).join(', ')}, and neither id, nor shard and row`);
}

/** An entry with an id is one of an id, whatever else it has. */
export function deliver({ id, shard, row }: RawEntry, sink: ListSink, fail: Fail): void {
  if (id !== undefined) {
    sink.id(idOf(id, fail), fail);
    return;
  }
  if (shard === undefined || row === undefined) throw fail('it has neither an id, nor a shard and a row');
  if (typeof shard !== 'string' || shard === '') throw fail('its shard is no text');
  const text = typeof row === 'string' ? row : typeof row === 'number' || typeof row === 'bigint' ? String(row) : '';
  if (!/^\d{1,15}$/.test(text)) throw fail('its row is not a number of a row, counted from 0');
  sink.row(shard, Number(text), fail);
}

function idOf(id: unknown, fail: Fail): string {
  if (typeof id === 'string' && id !== '') return id;
  if (typeof id === 'bigint' || (typeof id === 'number' && Number.isSafeInteger(id))) return String(id);
  if (typeof id === 'number') throw fail(`the id ${id} is no integer, or too large for a number of JSON: write it as text`);
  throw fail('its id is empty, or neither text nor an integer');
}
