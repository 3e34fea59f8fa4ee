/** What is at a URI, for people who are about to train on it: format, sizes, columns, first rows, and what will be slow. */
import { LIMITS } from './config/limits.js';
import { parseStorage, type Config } from './config/config.js';
import { HeadraceError } from './core/errors.js';
import { describeField, type FieldType } from './core/fields.js';
import { COLUMNLESS_FORMATS, FORMAT_NAMES, formatOfPath, type FormatName } from './core/format.js';
import { deriveKey } from './core/keyed-random.js';
import { mapConcurrent } from './core/map-concurrent.js';
import { createPermutation } from './core/permutation.js';
import type { Block, Shard } from './core/shard.js';
import type { ColumnDescription, ColumnRequest, Decoder, ShardDescription, Wanted } from './decode/decoder.js';
import { MAGIC_BYTES, nameOfMagic } from './decode/magic.js';
import type { OfferedField } from './decode/offered-field.js';
import { openDecoders } from './decode/open-decoders.js';
import { scanHere } from './decode/scan.js';
import { haveOneKind, settledTypes } from './decode/seen-types.js';
import { loadSliceDecoder } from './decode/slice-decoder.js';
import { listShards, type ListedObject } from './manifest/list-shards.js';
import { createStoreSet, type StoreSet } from './store/open-store.js';
import { shownUri } from './store/schemes.js';
import type { Store } from './store/store.js';
import { adviceOf, type Advice } from './inspection-advice.js';

export interface InspectRequest {
  /** A prefix, a glob, or one object. */
  readonly uri: string;
  /** `undefined`: as the names say. */
  readonly format?: FormatName | undefined;
  /** Rows to show of the first shard that has any. */
  readonly rows: number;
  /** Columns to show rows of; of a format that does not say which it has, the ones that it is asked for. Left out: those that a source could use. */
  readonly columns?: readonly ColumnRequest[] | undefined;
  /** Look into every shard. */
  readonly all: boolean;
  readonly storage?: Config['storage'] | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Spread {
  readonly total: number;
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** A column, over the shards that were looked at. */
export type InspectedColumn = ColumnDescription;

/** Two shards whose columns are not the same. */
export interface SchemaDifference {
  readonly column: string;
  readonly shard: string;
  /** The first one, which the others are compared with. */
  readonly reference: string;
  /** In words: missing, or of what type. */
  readonly problem: string;
}

export interface Inspection {
  readonly uri: string;
  readonly format: FormatName;
  readonly shards: number;
  readonly shardBytes: Spread;
  /** How many of them the rest is about. */
  readonly looked: number;
  readonly rows: number;
  readonly units: { readonly count: number; readonly rows: Spread; readonly storedBytes: Spread; readonly decodedBytes: Spread };
  readonly columns: readonly InspectedColumn[];
  /** Columns that could be served as fields, by the first shard that has rows, each with the type that a sample has then, and what a source has to say of it. */
  readonly fields: readonly OfferedField[];
  readonly differences: readonly SchemaDifference[];
  readonly writers: readonly string[];
  readonly advice: readonly Advice[];
  /** Of the first shard that has rows: by column. */
  readonly firstRows: { readonly shard: string; readonly columns: readonly ShownColumn[] };
  /** What the listing left out, in its words. */
  readonly notes: readonly string[];
}

export interface ShownColumn {
  readonly name: string;
  /** Text, token ids, or null. */
  readonly rows: readonly (string | readonly number[] | null)[];
}

/** Errors: `NO_SHARDS`, `FORMAT_UNKNOWN`, those of stores, and those of the first shard's metadata. */
export async function inspect(request: InspectRequest): Promise<Inspection> {
  const stores = createStoreSet(request.storage ?? parseStorage());
  try {
    return await inspectIn(stores, request);
  } finally {
    await stores.close();
  }
}

async function inspectIn(stores: StoreSet, request: InspectRequest): Promise<Inspection> {
  const { uri, signal } = request;
  const notes: string[] = [];
  const listed = await listObjects(stores, request, notes);
  const format = await formatOf(listed, request);
  const decoder = await openDecoders(scanHere).load(format);
  const sampled = request.all ? listed : sampleOf(listed, uri);
  const described = await mapConcurrent(
    sampled,
    LIMITS.footerConcurrencyMax,
    async (item, _index, own) => ({ path: item.path, ...(await describe({ decoder, format }, item, request, own)) }),
    signal,
  );
  const units = described.flatMap((shard) => shard.units);
  const facts: Omit<Inspection, 'advice' | 'firstRows'> = {
    uri: shownUri(uri),
    format,
    shards: listed.length,
    shardBytes: spreadOf(listed.map(({ object }) => object.size)),
    looked: sampled.length,
    rows: described.reduce((sum, { rows }) => sum + rows, 0),
    units: {
      count: units.length,
      rows: spreadOf(units.map(({ rows }) => rows)),
      storedBytes: spreadOf(units.map(({ storedBytes }) => storedBytes)),
      decodedBytes: spreadOf(units.map(({ decodedBytes }) => decodedBytes)),
    },
    columns: mergeColumns(described),
    fields: await servedFields(decoder, sampled, described, signal),
    differences: differencesOf(described),
    writers: [...new Set(described.flatMap(({ writer }) => (writer === undefined ? [] : [writer])))].slice(0, 5),
    notes: [
      ...notes,
      ...described.filter(({ looked }) => looked?.isCut === true).map(({ path }) => `${path} has more columns than are shown`),
    ],
  };
  return { ...facts, advice: adviceOf(facts, described), firstRows: await firstRows({ decoder, format }, sampled, described, request) };
}

async function listObjects(stores: StoreSet, request: InspectRequest, notes: string[]): Promise<ListedObject[]> {
  try {
    return await listShards([request.uri], {
      sourceName: '',
      format: request.format,
      openStore: (uri) => stores.open(uri),
      warn: (message) => void notes.push(withoutSource(message)),
      ...(request.signal && { signal: request.signal }),
    });
  } catch (error) {
    if (!(error instanceof HeadraceError) || error.code !== 'NO_SHARDS') throw error;
    throw new HeadraceError('NO_SHARDS', withoutSource(error.message), { detail: { uri: shownUri(request.uri) }, hint: error.hint });
  }
}

/** Listings speak of the source of a configuration, and here is none. */
function withoutSource(message: string): string {
  return message.replace(/^sources\.: /, '');
}

/** Errors: `FORMAT_UNKNOWN`, with what the first object seems to be. */
async function formatOf([first]: readonly ListedObject[], { format, signal }: InspectRequest): Promise<FormatName> {
  const named = format ?? formatOfPath(first.path);
  if (named !== undefined) return named;
  const { store, object } = first;
  const start = await store.read(
    object.path,
    { startByte: 0, endByte: Math.min(object.size, MAGIC_BYTES) },
    { ifMatch: object.etag, ...(signal && { signal }) },
  );
  const kind = nameOfMagic(start);
  const seems = kind === undefined ? '' : `; by its first bytes it is ${kind}`;
  throw new HeadraceError('FORMAT_UNKNOWN', `the name of ${store.uri}${object.path} says no format${seems}`, {
    detail: { uri: store.uri + object.path },
    hint: `Say which with --format (${FORMAT_NAMES.join(', ')}).`,
  });
}

/** The first, the last, and others that a key chooses: the same ones whenever it is asked. */
function sampleOf(listed: readonly ListedObject[], uri: string): ListedObject[] {
  if (listed.length <= LIMITS.inspectedShardsDefault) return [...listed];
  const order = createPermutation(deriveKey('inspect', uri), listed.length);
  const chosen = new Set([0, listed.length - 1]);
  for (let i = 0; chosen.size < LIMITS.inspectedShardsDefault; i++) chosen.add(order.at(i));
  return [...chosen].sort((a, b) => a - b).map((index) => listed[index]);
}

type Described = ShardDescription & { readonly path: string };

/** A format that does not describe itself is asked as a source would ask it. */
async function describe(
  { decoder, format }: { readonly decoder: Decoder; readonly format: FormatName },
  { store, object }: ListedObject,
  request: InspectRequest,
  signal: AbortSignal,
): Promise<ShardDescription> {
  if (decoder.describe !== undefined) return decoder.describe(store, object, signal);
  const [column] = columnsToShow(undefined, request, format);
  const { rows, units } = await decoder.index(store, object, column, signal);
  const sum = (bytes: 'storedBytes' | 'decodedBytes'): number => units.reduce((total, unit) => total + unit[bytes], 0);
  const { column: name, kind } = column;
  const own: ColumnDescription = {
    name: name === '' ? kind : name,
    type: kind,
    use: kind === 'text' || kind === 'tokens' ? kind : undefined,
    codecs: [],
    encodings: [],
    storedBytes: sum('storedBytes'),
    decodedBytes: sum('decodedBytes'),
  };
  return { rows, units, columns: [own], hasStatistics: true };
}

/** Of files of ids and nothing else. A stream without documents is cut into rows, which a source says the length of. */
const IDS_ALONE: ColumnRequest = { column: '', kind: 'tokens', options: { rowTokens: 2048, wholeRows: false } };

function columnsToShow(
  columns: readonly ColumnDescription[] | undefined,
  request: InspectRequest,
  format: FormatName,
): readonly ColumnRequest[] {
  if (request.columns !== undefined && request.columns.length > 0) return request.columns;
  if (COLUMNLESS_FORMATS.includes(format)) return [IDS_ALONE];
  if (columns === undefined) return [{ column: 'text', kind: 'text' }];
  return columns
    .flatMap(({ name, use }): ColumnRequest[] => (use === undefined ? [] : [{ column: name, kind: use }]))
    .slice(0, LIMITS.inspectedColumnsMax);
}

/** Reads metadata once for all columns, and of the rows what the first slice needs. */
async function firstRows(
  { decoder, format }: { readonly decoder: Decoder; readonly format: FormatName },
  sampled: readonly ListedObject[],
  described: readonly Described[],
  request: InspectRequest,
): Promise<Inspection['firstRows']> {
  const at = described.findIndex(({ rows }) => rows > 0);
  if (at < 0 || request.rows === 0) return { shard: '', columns: [] };
  const { store, object, path } = sampled[at];
  const own = withMemory(store);
  const signal = request.signal ?? new AbortController().signal;
  const shown: ShownColumn[] = [];
  for (const column of columnsToShow(described[at].columns, request, format)) {
    const index = described[at].indexOf?.(column) ?? (await decoder.index(own, object, column, signal));
    const shard: Shard = { path, uri: store.uri + object.path, size: object.size, etag: object.etag, ...index };
    shown.push({
      name: column.column === '' ? column.kind : column.column,
      rows: await rowsOf(decoder, own, object.path, shard, request.rows, signal),
    });
  }
  return { shard: path, columns: shown };
}

/** The index is asked for each column by itself, since one that cannot be served fails it. Where no metadata says what is in a column, its values did. */
async function servedFields(
  decoder: Decoder,
  sampled: readonly ListedObject[],
  described: readonly Described[],
  signal = new AbortController().signal,
): Promise<Inspection['fields']> {
  const at = described.findIndex(({ rows }) => rows > 0);
  if (at < 0) return [];
  const { columns, fields: offered } = described[at];
  if (offered !== undefined || decoder.fieldTypes === undefined) return offered?.slice(0, LIMITS.inspectedFieldsMax) ?? [];
  const { store, object, path } = sampled[at];
  const own = withMemory(store);
  const typeOf = async (column: string, size?: number): Promise<FieldType | undefined> => {
    const request: ColumnRequest = { column: '', kind: 'none', fields: [{ name: 'field', column, size }] };
    try {
      const found = await decoder.index(own, object, request, signal);
      return decoder.fieldTypes?.({ path, uri: store.uri + object.path, size: object.size, etag: object.etag, ...found })?.[0];
    } catch (error) {
      if (!(error instanceof HeadraceError) || !NOT_SERVED.includes(error.code)) throw error;
      return undefined;
    }
  };
  const fields: OfferedField[] = [];
  for (const { name } of columns.slice(0, LIMITS.inspectedFieldsMax)) {
    const type = await typeOf(name);
    if (type !== undefined) {
      fields.push({ name, type: describeField(type) });
      continue;
    }
    const list = await typeOf(name, 1); // of any one length, if it is said
    if (list?.kind === 'numbers' && list.size !== null) fields.push({ name, type: `${list.dtype} × N`, said: { size: 'N' } });
  }
  return fields;
}

/** What the index says of a column that is no field. */
const NOT_SERVED: readonly string[] = ['COLUMN_TYPE', 'COLUMN_MISSING', 'SHARD_UNSUPPORTED'];

const ROWS_ONLY: Wanted = { rows: true, ids: false, fields: false, filter: false };

/** The first `count` rows; fewer where the shard has fewer. */
async function rowsOf(
  decoder: Decoder,
  store: Store,
  path: string,
  shard: Shard,
  count: number,
  signal: AbortSignal,
): Promise<(string | readonly number[] | null)[]> {
  const values: (string | readonly number[] | null)[] = [];
  for (const [unit, { startRow, rows, decodedBytes }] of shard.units.entries()) {
    if (rows === 0) continue;
    if (values.length >= count) break;
    const block: Block = { shard: 0, unit, startRow, endRow: startRow + rows, decodedBytes };
    const endRow = Math.min(block.endRow, startRow + count - values.length);
    const { slice } = await decoder.openBlock(store, path, shard, block).read(startRow, endRow, ROWS_ONLY, signal);
    if (slice === undefined) break;
    const decoded = (await loadSliceDecoder([slice.format])).rows(slice);
    if (decoded.kind === 'rejected' || decoded.kind === 'records') break;
    for (let row = 0; row < decoded.count; row++) {
      const [start, end] = [decoded.bounds[row], decoded.bounds[row + 1]];
      if (decoded.valid?.[row] === 0) values.push(null);
      else if (decoded.kind === 'tokens') values.push(Array.from(decoded.ids.subarray(start, end), Number));
      else values.push(Buffer.from(decoded.bytes.subarray(start, end)).toString('utf8'));
    }
  }
  return values;
}

/** Ranges of one object that were read are not read again. */
function withMemory(store: Store): Store {
  const known = new Map<string, Promise<Uint8Array>>();
  return {
    ...store,
    read: async (path, range, options) => {
      const key = `${range.startByte}-${range.endByte}`;
      const read = known.get(key) ?? store.read(path, range, options);
      known.set(key, read);
      return (await read).slice();
    },
  };
}

export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) return { total: 0, min: 0, median: 0, max: 0 };
  const sorted = Float64Array.from(values).sort();
  return {
    total: sorted.reduce((sum, value) => sum + value, 0),
    min: sorted[0],
    median: sorted[Math.floor((sorted.length - 1) / 2)],
    max: sorted[sorted.length - 1],
  };
}

/** By name: those of the first shard that has it decide on type and place. */
function mergeColumns(shards: readonly Described[]): InspectedColumn[] {
  const merged = new Map<string, ColumnDescription[]>();
  for (const column of shards.flatMap(({ columns }) => columns)) {
    const own = merged.get(column.name);
    if (own === undefined) merged.set(column.name, [column]);
    else own.push(column);
  }
  return [...merged.values()].map((columns) => {
    const lookedRows = shards.reduce((sum, { looked }) => sum + (looked === undefined ? 0 : looked.rows - looked.bad), 0);
    // what has no row groups says nothing of codecs and statistics, and takes nothing from what others say
    const filled = columns.filter(({ codecs, decodedBytes }) => codecs.length > 0 || decodedBytes > 0);
    const nulls = filled.map((column) => column.nulls);
    return {
      ...columns[0],
      codecs: [...new Set(columns.flatMap(({ codecs }) => codecs))].sort(),
      encodings: [...new Set(columns.flatMap(({ encodings }) => encodings))].sort(),
      storedBytes: columns.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
      decodedBytes: columns.reduce((sum, { decodedBytes }) => sum + decodedBytes, 0),
      nulls: nulls.every((count) => count !== undefined) && filled.length > 0 ? nulls.reduce((sum, count) => sum + count, 0) : undefined,
      min: furthest(
        filled.map(({ min }) => min),
        -1,
      ),
      max: furthest(
        filled.map(({ max }) => max),
        1,
      ),
      ...seenOf(columns, lookedRows),
    };
  });
}

/** Rows of shards that do not have the column are without it. */
function seenOf(columns: readonly ColumnDescription[], rows: number): Pick<ColumnDescription, 'type' | 'seen' | 'use'> | undefined {
  const seen = columns.flatMap((column) => column.seen ?? []);
  if (seen.length === 0) return undefined;
  const sum = (count: 'rows' | 'missing' | 'nulls' | 'empty'): number => seen.reduce((total, own) => total + own[count], 0);
  const types = settledTypes(seen.flatMap((own) => own.types));
  return {
    type: types.join(' or ') || 'null',
    use: columns.every(({ use }) => use === columns[0].use) ? columns[0].use : undefined,
    seen: { rows, missing: rows - sum('rows') + sum('missing'), nulls: sum('nulls'), empty: sum('empty'), types },
  };
}

type Bound = ColumnDescription['min'];

/** Undefined where one shard does not say it. */
function furthest(values: readonly Bound[], direction: 1 | -1): Bound {
  let best = values.at(0);
  for (const value of values) {
    if (value === undefined || best === undefined || typeof value !== typeof best) return undefined;
    if (direction === 1 ? value > best : value < best) best = value;
  }
  return best;
}

/** As many are named; more would say the same. */
const DIFFERENCES_MAX = 20;

function differencesOf([first, ...others]: readonly Described[]): SchemaDifference[] {
  const differences: SchemaDifference[] = [];
  const wanted = new Map(first.columns.map((column) => [column.name, column]));
  for (const { path, columns, looked } of others) {
    const own = new Map(columns.map((column) => [column.name, column]));
    for (const column of new Set([...wanted.keys(), ...own.keys()])) {
      const problem = differenceOf(own.get(column), wanted.get(column), looked?.isOpen === true);
      if (problem === undefined) continue;
      differences.push({ column, shard: path, reference: first.path, problem });
      if (differences.length === DIFFERENCES_MAX) return differences;
    }
  }
  return differences;
}

/** `isOpen`: that no row has a column says little. */
function differenceOf(here: ColumnDescription | undefined, there: ColumnDescription | undefined, isOpen: boolean): string | undefined {
  if (here === undefined) return isOpen ? undefined : 'missing';
  if (there === undefined) return isOpen ? undefined : `${here.type}, and missing there`;
  const areSame = here.seen && there.seen ? haveOneKind(here.seen.types, there.seen.types) : here.type === there.type;
  return areSame ? undefined : `${here.type} instead of ${there.type}`;
}
