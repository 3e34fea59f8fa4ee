/** `headrace inspect URI`: what is there, what is in it, its first rows, and what will be slow. */
import { absoluteUri, loadConfig } from '../../src/config/config.js';
import { COLUMNLESS_FORMATS, type FormatName } from '../../src/core/format.js';
import { formatSize } from '../../src/core/quantity.js';
import type { ColumnRequest } from '../../src/decode/decoder.js';
import { inspect, type InspectedColumn, type Inspection, type ShownColumn } from '../../src/inspecting.js';
import { runInterruptible } from '../interruption.js';
import { printable, printableJson } from '../printable.js';

export interface InspectOptions {
  readonly uri: string;
  readonly format: FormatName | undefined;
  readonly rows: number;
  readonly text: readonly string[];
  readonly tokens: readonly string[];
  readonly all: boolean;
  /** Whose `storage` counts: endpoints, and how to sign in. */
  readonly configFile: string | undefined;
  /** Columns of a line; `undefined`: those of the terminal. */
  readonly width: number | undefined;
  readonly json: boolean;
}

const UNIT_NOUNS: Readonly<Partial<Record<FormatName, string>>> = { parquet: 'row group', arrow: 'record batch' };
const WIDTH_DEFAULT = 100;
const WIDTH_MIN = 40;
const INDENT = '  ';

/** Returns the exit status: 0, whatever was found; 128 + its number after a signal. Errors: `CONFIG_INVALID`, those of `inspect`. */
export function inspectUri(options: InspectOptions): Promise<number> {
  return runInterruptible(async (signal) => {
    const storage = options.configFile === undefined ? undefined : (await loadConfig(options.configFile)).storage;
    const request = (kind: ColumnRequest['kind']) => (column: string) => ({ column, kind });
    const found = await inspect({
      uri: absoluteUri(options.uri),
      format: options.format,
      rows: options.rows,
      columns: [...options.text.map(request('text')), ...options.tokens.map(request('tokens'))],
      all: options.all,
      storage,
      signal,
    });
    const { isTTY, columns } = process.stdout;
    const width = Math.max(WIDTH_MIN, options.width ?? (isTTY ? columns : WIDTH_DEFAULT));
    const lines = options.json ? [printableJson(found)] : inspectionLines(found, width);
    for (const line of lines) process.stdout.write(`${line}\n`);
  });
}

/** Each fits the width, but for advice, which is not cut. */
export function* inspectionLines(found: Inspection, width: number): Generator<string, void, undefined> {
  const { uri, format, shards, shardBytes, looked, rows, units, columns, writers, advice, firstRows, notes } = found;
  yield cut(`${printable(uri)} · ${format} · ${counted(shards, 'shard')} · ${formatSize(shardBytes.total)}`, width);
  if (shards > 1) yield cut(`${INDENT}a shard: ${spread(shardBytes, formatSize)}`, width);
  yield cut(
    `${INDENT}looked at ${looked === shards ? 'all' : `${looked} of ${shards}`}: ${counted(rows, 'row')}, ${unitsLine(units, UNIT_NOUNS[format] ?? 'part')}`,
    width,
  );
  if (writers.length > 0) yield cut(`${INDENT}written by ${printable(writers.join('; '))}`, width);
  for (const note of notes) yield cut(`${INDENT}${printable(note)}`, width);
  const seen = columns.find((column) => column.seen !== undefined)?.seen;
  if (seen !== undefined) yield cut(`${INDENT}columns as in the first rows of each shard: ${counted(seen.rows, 'row')}`, width);
  yield '';
  const table = columns.map(columnCells);
  const widths = [0, 1].map((cell) => Math.min(Math.floor(width / 3), Math.max(...table.map((cells) => Array.from(cells[cell]).length))));
  for (const [name, type, rest] of table) yield cut(`${INDENT}${pad(name, widths[0])}  ${pad(type, widths[1])}  ${rest}`.trimEnd(), width);
  yield* useLines(found, width);
  for (const column of firstRows.columns) yield* rowLines(column, firstRows.shard, width);
  if (advice.length > 0) yield '';
  for (const { problem, instead } of advice) {
    yield `warning: ${printable(problem)}`;
    yield `${INDENT}${instead}`;
  }
}

/** What a source can name them for; nothing of files of ids, which have no columns. */
function* useLines({ columns, fields, format }: Inspection, width: number): Generator<string, void, undefined> {
  if (COLUMNLESS_FORMATS.includes(format)) return;
  const named = (use: InspectedColumn['use']): string[] => columns.filter((column) => column.use === use).map(({ name }) => name);
  const uses = [
    ['text', named('text')],
    ['tokens', named('tokens')],
    ['fields', fields.flatMap(({ name, type, said }) => (said === undefined ? [`${name} (${type})`] : []))],
    ['fields where declared', fields.flatMap(({ name, said }) => (said === undefined ? [] : [`${name} {${declared(said)}}`]))],
  ] as const;
  const found = uses.filter(([, names]) => names.length > 0);
  if (found.length > 0) yield '';
  for (const [use, names] of found) yield cut(`${INDENT}can be ${use}: ${printable(names.join(', '))}`, width);
}

/** As a source would write it beside the column. */
function declared(said: object): string {
  return Object.entries(said)
    .map(([key, value]) => `${key}: ${value}`)
    .join(', ');
}

function unitsLine({ count, rows, storedBytes, decodedBytes }: Inspection['units'], noun: string): string {
  const sizes = `${formatSize(storedBytes.median)} (${formatSize(decodedBytes.median)} decoded)`;
  const largest = `${formatSize(storedBytes.max)} (${formatSize(decodedBytes.max)})`;
  return `${counted(count, noun)} of ${rows.median} rows and ${sizes} in the middle, ${rows.max} and ${largest} at most`;
}

function columnCells({
  name,
  type,
  codecs,
  encodings,
  storedBytes,
  decodedBytes,
  nulls,
  min,
  max,
  seen,
}: InspectedColumn): [string, string, string] {
  const parts = [
    [...codecs, ...encodings].join(' '),
    storedBytes + decodedBytes === 0 ? '' : `${formatSize(storedBytes)} of ${formatSize(decodedBytes)}`,
    nulls === undefined ? '' : counted(nulls, 'null'),
    min === undefined || max === undefined ? '' : `${bound(min)} … ${bound(max)}`,
    ...(seen === undefined
      ? []
      : [share(seen.missing, seen.rows, 'missing'), share(seen.nulls, seen.rows, 'null'), share(seen.empty, seen.rows, 'empty')]),
  ];
  return [printable(name), printable(type), parts.filter((part) => part !== '').join(' · ')];
}

/** Of the rows that were looked at; nothing where it is none of them. */
function share(count: number, rows: number, word: string): string {
  if (count === 0) return '';
  const percent = Math.round((100 * count) / rows);
  return `${percent === 0 ? 'under 1' : percent === 100 && count < rows ? 'over 99' : percent} % ${word}`;
}

/** Statistics of text hold whole documents. */
const BOUND_CHARACTERS = 24;

function bound(value: string | number | boolean): string {
  return cut(printable(typeof value === 'string' ? JSON.stringify(value) : String(value)), BOUND_CHARACTERS);
}

function* rowLines({ name, rows }: ShownColumn, shard: string, width: number): Generator<string, void, undefined> {
  yield '';
  yield cut(`${printable(name)} of ${printable(shard)}`, width);
  for (const [row, value] of rows.entries()) {
    // what does not fit need not be escaped
    const text =
      value === null ? 'null' : typeof value === 'string' ? printable(value.slice(0, 2 * width)) : `[${value.slice(0, width).join(' ')}]`;
    const length = value === null ? '' : ` (${counted(value.length, typeof value === 'string' ? 'character' : 'token')})`;
    yield `${cut(`${INDENT}${row}: ${text}`, width - length.length)}${length}`;
  }
}

function spread({ min, median, max }: Inspection['shardBytes'], format: (value: number) => string): string {
  return `${format(min)} at least, ${format(median)} in the middle, ${format(max)} at most`;
}

function pad(text: string, width: number): string {
  const own = cut(text, width);
  return own + ' '.repeat(Math.max(0, width - Array.from(own).length));
}

function cut(text: string, width: number): string {
  const characters = Array.from(text);
  return characters.length <= width ? text : `${characters.slice(0, Math.max(0, width - 1)).join('')}…`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : noun.endsWith('ch') ? 'es' : 's'}`;
}
