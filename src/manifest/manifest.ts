/** The manifest: what exists. Lists a source's shards, pins their versions, and knows their units, from a saved index where it can. */
import { LIMITS } from '../config/limits.js';
import { canonicalJson, type JsonValue } from '../core/canonical-json.js';
import { resolve, TRUE, truthsOf, UNKNOWN, FALSE, type Condition, type Filter, type Truths } from '../core/filter/filter.js';
import { OperandError } from '../core/filter/operand.js';
import { partitionsOf, partitionTruth } from '../core/filter/partitions.js';
import { HeadraceError, messageOf } from '../core/errors.js';
import { asGoneShard, GONE_AT_START } from '../core/gone-shard.js';
import type { FieldRequest, SourceKind } from '../core/fields.js';
import { FORMAT_NAMES, formatOfPath, UNNAMED_FORMAT, type FormatName } from '../core/format.js';
import { mapConcurrent } from '../core/map-concurrent.js';
import type { Shard } from '../core/shard.js';
import { fileStore } from '../store/file.js';
import type { OpenedStore } from '../store/open-store.js';
import { shownUri } from '../store/schemes.js';
import type { Store } from '../store/store.js';
import { companionVersions, hasSameCompanion } from './companions.js';
import { listShards, type ListedObject, type ListOptions } from './list-shards.js';
import { fingerprintOfList } from './list-fingerprint.js';
import type { ScannedShards } from './scanned-shards.js';
import { readIndex, requestDigest, savedIndexPath, saveIndex, type SavedIndex } from './saved-index.js';
import { Shards, ShardTableBuilder, type ShardFacts, type ShardPlace, type ShardTable } from './shard-table.js';

export interface SourceRequest {
  readonly name: string;
  readonly uris: readonly string[];
  /** Where the index of the shards is; `undefined`: they are listed, and read. */
  readonly index: string | undefined;
  readonly column: string;
  readonly kind: SourceKind;
  /** Of records: the columns that each has. */
  readonly columns?: readonly string[] | undefined;
  /** The column of the documents' ids, where one is configured. */
  readonly id?: string | undefined;
  /** What else is served of each row. */
  readonly fields?: readonly FieldRequest[] | undefined;
  /** Of all shards; `undefined`: what their names say. */
  readonly format?: FormatName | undefined;
  /** What else the format is told of how to read its objects. */
  readonly options?: Readonly<Record<string, JsonValue>> | undefined;
  /** Which rows are taken, in canonical form. */
  readonly where?: Filter | undefined;
}

/** A shard, and where to read it. */
export interface PlacedShard {
  readonly shard: Shard;
  readonly store: Store;
  /** Path in the store. */
  readonly path: string;
}

/** In canonical order; made when they are asked for. */
export interface PlacedShards {
  readonly length: number;
  /** When their objects were seen, as `asGoneShard` says it. */
  readonly known: string;
  at(index: number): PlacedShard;
}

export interface SourceManifest {
  readonly name: string;
  readonly format: FormatName;
  readonly shards: PlacedShards;
  /** The same as columns. */
  readonly table: ShardTable;
  readonly rows: number;
  /** Of content, not of place: a copy of the data set elsewhere has the same. */
  readonly fingerprint: string;
  /** What an index of this manifest is for; see `SavedIndex`. */
  readonly request: string;
  /** Shards whose metadata was read now, and not taken from a saved index. */
  readonly shardsRead: number;
  /** What `where` leaves out before a row is read. */
  readonly ruledOut: RuledOut;
  /** Of `scan: as-read`; `undefined`: its shards were read ahead. */
  readonly scanned?: ScannedShards | undefined;
}

export interface RuledOut {
  /** Shards, by their partitions; of an index that the source names nobody knows any more. */
  readonly shards: number | undefined;
  /** Units of the other shards, by what says that none of their rows is taken. */
  readonly byStatistics: number;
  readonly byBloom: number;
  /** Rows of these units. */
  readonly rows: number;
}

export interface ManifestOptions extends Omit<ListOptions, 'sourceName' | 'format' | 'onListed'> {
  readonly cacheDir: string;
  /** Reads an object's own metadata. `filter`: what its partitions leave to say by other columns; `undefined`: nothing. */
  readonly index: (listed: ListedObject, format: FormatName, filter: Filter | undefined, signal: AbortSignal) => Promise<ShardFacts>;
  /** Told of what costs time but no truth (an index that cannot be loaded or saved), and of what is left out by its name. */
  readonly warn: (message: string, detail: Readonly<Record<string, string | number>>) => void;
  readonly onProgress?: ((progress: ManifestProgress) => void) | undefined;
}

export interface ManifestProgress {
  readonly source: string;
  /** Objects found so far. */
  readonly listed: number;
  /** Of which this many are known: their metadata was read, or is that of a saved index. */
  readonly indexed: number;
}

/** Errors: `NO_SHARDS`, `NO_ROWS`, `FORMAT_UNKNOWN`, `INDEX_INVALID`, those of the store and of `index`. */
export async function buildManifest(source: SourceRequest, options: ManifestOptions): Promise<SourceManifest> {
  const { index, shardsRead, shardsRuledOut, known } =
    source.index === undefined ? await listedIndex(source, options) : await namedIndex(source.index, source, options);
  const { request, table, fingerprint } = index;
  const format = formatOf(source, table.pathsByEnding());
  if (table.rows === 0) {
    const { where } = source;
    throw new HeadraceError(
      'NO_ROWS',
      `sources.${source.name}: its ${table.length === 1 ? 'only shard has' : `${table.length} shards have`} no rows${where ? ' that `where` takes' : ''}`,
      {
        detail: { source: source.name },
        hint: where
          ? 'Check `where`: the metadata of all shards says that no row fits it.'
          : 'Check what wrote them, or take the source out.',
      },
    );
  }
  const shards = placedShards(table, source.uris.map(options.openStore), known);
  return {
    name: source.name,
    format,
    shards,
    table,
    rows: table.rows,
    fingerprint,
    request,
    shardsRead,
    ruledOut: { shards: shardsRuledOut, ...table.ruledOut },
  };
}

interface FoundIndex {
  readonly index: SavedIndex;
  readonly shardsRead: number;
  readonly shardsRuledOut: number | undefined;
  readonly known: string;
}

/** Nothing is listed: every read is conditional on the version that the index names, so that what has changed since is found by who reads it. */
async function namedIndex(uri: string, source: SourceRequest, options: ManifestOptions): Promise<FoundIndex> {
  const { store, path } = options.openStore(uri);
  const index = await readIndex(store, path, requestOf(source), options.signal);
  return { index, shardsRead: 0, shardsRuledOut: undefined, known: `the index ${shownUri(uri)} was made` };
}

export interface TakenListing {
  readonly format: FormatName;
  /** In canonical order, without those that partitions rule out. */
  readonly listed: readonly ListedObject[];
  readonly shardsRuledOut: number;
  /** When, as `asGoneShard` says it. */
  readonly known: string;
}

/** Errors: `NO_SHARDS`, `NO_ROWS` where partitions rule all of them out, `FORMAT_UNKNOWN`, those of `Store.list`. */
export async function listTaken(source: SourceRequest, options: ManifestOptions): Promise<TakenListing> {
  const known = `the shards were listed, at ${new Date().toISOString()}`;
  const found = await listShards(source.uris, {
    ...options,
    sourceName: source.name,
    format: source.format,
    onListed: (objects) => options.onProgress?.({ source: source.name, listed: objects, indexed: 0 }),
  });
  const format = formatOf(
    source,
    found.map(({ path }) => path),
  );
  const listed = found.filter(({ path }) => mayBeTaken(source, path));
  if (listed.length === 0) {
    throw new HeadraceError(
      'NO_ROWS',
      `sources.${source.name}: \`where\` takes none of its ${found.length} shards, by the partitions in their paths`,
      {
        detail: { source: source.name, path: found[0].path },
        hint: `The first shard is ${found[0].path}: compare its partitions with \`where\`.`,
      },
    );
  }
  return { format, listed, shardsRuledOut: found.length - listed.length, known };
}

async function listedIndex(source: SourceRequest, options: ManifestOptions): Promise<FoundIndex> {
  const request = requestOf(source);
  const { format, listed, shardsRuledOut, known: listedAt } = await listTaken(source, options);
  const file = savedIndexPath(options.cacheDir, request);
  const saved = await loadSaved(file, request, options);
  // before shards are read: what changes in between is found by the next start
  const companions = await companionVersions(listed, format, options.signal);
  const isKnown = (item: ListedObject): boolean => hasSameCompanion(item, format, companions, saved?.companions ?? {});
  const known = knownShards(listed, saved?.table, isKnown);
  if (saved !== undefined && listed.length === saved.table.length && known.every((at, index) => at === index)) {
    return { index: saved, shardsRead: 0, shardsRuledOut, known: listedAt };
  }
  const read = (item: ListedObject, signal: AbortSignal): Promise<ShardFacts> =>
    options.index(item, format, filterOfShard(source, item.path), signal).catch((error: unknown) => {
      throw asGoneShard(error, listedAt, GONE_AT_START);
    });
  const table = await readShards(source, listed, known, saved?.table, read, options);
  const index: SavedIndex = {
    request,
    table,
    fingerprint: fingerprintOf(source, format, table),
    ...(Object.keys(companions).length > 0 && { companions }),
  };
  await saveIndex(file, index).catch((error: unknown) => {
    options.warn('cannot save the manifest; the next start will read the shards again', { file, problem: messageOf(error) });
  });
  return { index, shardsRead: known.filter((at) => at < 0).length, shardsRuledOut, known: listedAt };
}

/** Whether `where` may take a row of the shard, by its partitions. Errors: `COLUMN_TYPE`. */
export function mayBeTaken({ name, where }: Pick<SourceRequest, 'name' | 'where'>, path: string): boolean {
  if (where === undefined) return true;
  return (truthsOf(where, (condition) => ofPartitions(name, path, condition) ?? TRUE | FALSE | UNKNOWN) & TRUE) !== 0;
}

/** What is left of `where` for the shard's own columns; `undefined`: nothing, all of its rows are taken. */
export function filterOfShard({ name, where }: SourceRequest, path: string): Filter | undefined {
  const filter = where && resolve(where, (condition) => ofPartitions(name, path, condition));
  return filter?.kind === 'known' && filter.truth === TRUE ? undefined : filter;
}

function ofPartitions(source: string, path: string, condition: Condition): Truths | undefined {
  try {
    return partitionTruth(condition, partitionsOf(path));
  } catch (error) {
    if (!(error instanceof OperandError)) throw error;
    const { column } = condition;
    throw new HeadraceError(
      'COLUMN_TYPE',
      `partition ${column} of ${path} cannot be compared as sources.${source}.where does: ${error.message}`,
      {
        detail: { source, path, column },
        hint: 'Values in paths are text: put the value in `where` into quotes to compare it as such.',
      },
    );
  }
}

async function loadSaved(file: string, request: string, { signal, warn }: ManifestOptions): Promise<SavedIndex | undefined> {
  const store = fileStore();
  try {
    return await readIndex(store, file, request, signal);
  } catch (error) {
    const code = error instanceof HeadraceError ? error.code : 'INTERNAL';
    if (code === 'ABORTED') throw error;
    if (code !== 'STORE_NOT_FOUND') warn('the saved manifest is not usable; reading the shards again', { file, problem: messageOf(error) });
    return undefined;
  } finally {
    await store.close();
  }
}

/** Where the table has the same version of each object, and of what belongs to it (`isKnown`); −1 where it has not. The table is in the order of an older listing: mostly, the next is next. */
function knownShards(listed: readonly ListedObject[], table: ShardTable | undefined, isKnown: (item: ListedObject) => boolean): Int32Array {
  const known = new Int32Array(listed.length).fill(-1);
  if (table === undefined) return known;
  let byPlace: Map<string, number> | undefined;
  const positionOf = (key: string): number | undefined => {
    byPlace ??= new Map(Array.from({ length: table.length }, (_, at) => [keyOf(table.placeOf(at)), at]));
    return byPlace.get(key);
  };
  let next = 0;
  for (const [index, item] of listed.entries()) {
    const key = keyOf(placeOf(item));
    const at = next < table.length && keyOf(table.placeOf(next)) === key ? next : positionOf(key);
    if (at === undefined) continue;
    if (isKnown(item)) known[index] = at;
    next = at + 1;
  }
  return known;
}

export function placeOf({ root, object, path }: ListedObject): ShardPlace {
  return { root, place: object.path, path, size: object.size, etag: object.etag };
}

/** Equal for one version of one object. */
function keyOf({ root, place, path, size, etag }: ShardPlace): string {
  return `${root}\0${place}\0${path}\0${size}\0${etag}`;
}

/** Metadata comes in any order; what is ahead of its turn waits for it. */
async function readShards(
  source: SourceRequest,
  listed: readonly ListedObject[],
  known: Int32Array,
  table: ShardTable | undefined,
  read: (listed: ListedObject, signal: AbortSignal) => Promise<ShardFacts>,
  options: ManifestOptions,
): Promise<ShardTable> {
  const builder = new ShardTableBuilder();
  const waiting = new Map<number, ShardFacts | undefined>();
  let next = 0;
  const add = (index: number, facts: ShardFacts | undefined): void => {
    waiting.set(index, facts);
    for (; waiting.has(next); next++) {
      const own = waiting.get(next);
      waiting.delete(next);
      if (own !== undefined) builder.add(placeOf(listed[next]), own);
      else if (table !== undefined) builder.addKnown(placeOf(listed[next]), table, known[next]);
    }
    options.onProgress?.({ source: source.name, listed: listed.length, indexed: next });
  };
  await mapConcurrent(
    listed,
    LIMITS.footerConcurrencyMax,
    async (item, index, signal) => add(index, known[index] < 0 ? await read(item, signal) : undefined),
    options.signal,
  );
  return builder.finish();
}

export function placedShards(table: ShardTable, roots: readonly OpenedStore[], known: string): PlacedShards {
  const shards = new Shards(
    table,
    roots.map(({ store }) => store.uri),
  );
  return {
    length: table.length,
    known,
    at: (index) => {
      const { root, place } = table.placeOf(index);
      return { shard: shards.at(index), store: roots[root].store, path: place };
    },
  };
}

/** What an index depends on beside the objects. */
export function requestOf(source: SourceRequest): string {
  const { uris, column, columns, kind, id, fields, format, options, where } = source;
  return requestDigest([
    ...uris,
    column,
    kind,
    ...(id === undefined ? [] : [`id:${id}`]),
    ...(fields === undefined ? [] : [`fields:${canonicalJson(plainFields(fields))}`]),
    ...(saysNothing(format) ? [] : [`format:${format}`]),
    ...(columns === undefined ? [] : [`columns:${canonicalJson(columns)}`]),
    ...(options === undefined ? [] : [`options:${canonicalJson(options)}`]),
    ...(where === undefined ? [] : [`where:${canonicalJson({ ...where })}`]),
  ]);
}

function saysNothing(format: string | undefined): boolean {
  return format === undefined || format === UNNAMED_FORMAT;
}

function plainFields(fields: readonly FieldRequest[]): JsonValue {
  return fields.map(({ name, column, size = null, type }) => ({ name, column, size, type }));
}

function fingerprintOf(source: SourceRequest, format: FormatName, table: ShardTable): string {
  return fingerprintOfList(readEntries(source, format), 'shards', shardTexts(table, source.where !== undefined));
}

/** What a fingerprint has beside the shards. Entries that say nothing are left out, so that older fingerprints hold. */
export function readEntries({ column, columns, kind, fields, options }: SourceRequest, format: FormatName): Record<string, JsonValue> {
  return {
    column,
    kind,
    ...(!saysNothing(format) && { format }),
    ...(fields !== undefined && { fields: plainFields(fields) }),
    ...(columns !== undefined && { columns }),
    ...(options !== undefined && { options }),
  };
}

/** The one that the source names, or that all names of its shards say. Errors: `FORMAT_UNKNOWN`. */
function formatOf({ name, format }: SourceRequest, paths: Iterable<string>): FormatName {
  if (format !== undefined) return format;
  const examples = new Map<FormatName, string>();
  for (const path of paths) {
    const own = formatOfPath(path);
    if (own === undefined) throw formatUnknown(name, path, `the name of ${path} says no format`);
    if (!examples.has(own)) examples.set(own, path);
  }
  const [[first, path], ...others] = examples;
  if (others.length === 0) return first;
  const [[second, other]] = others;
  throw formatUnknown(name, other, `${path} is ${first}, and ${other} is ${second}`);
}

function formatUnknown(source: string, path: string, problem: string): HeadraceError {
  return new HeadraceError('FORMAT_UNKNOWN', `sources.${source}: ${problem}`, {
    detail: { source, path },
    hint: `Set sources.${source}.format (${FORMAT_NAMES.join(', ')}), or make a source of each format, with globs.`,
  });
}

/** `withUnits`: some may be left out. */
function* shardTexts(table: ShardTable, withUnits: boolean): Generator<string, void, undefined> {
  for (let index = 0; index < table.length; index++) {
    const { path, size } = table.placeOf(index);
    const { start, end } = table.unitRange(index);
    const units = withUnits ? { units: [...table.columns.unitStartRow.subarray(start, end)] } : {};
    yield canonicalJson({ path, size, rows: table.columns.rows[index], contentId: table.contentId(index), ...units });
  }
}
