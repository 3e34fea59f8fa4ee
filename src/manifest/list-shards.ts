/** Which objects a source consists of: lists prefixes, globs and single objects, and puts them into canonical order. */
import picomatch from 'picomatch';
import { LIMITS } from '../config/limits.js';
import { compareUtf8 } from '../core/canonical-json.js';
import { HeadraceError } from '../core/errors.js';
import {
  decompressedName,
  directoryOfIndex,
  endingsWhenNamed,
  formatOfPath,
  FORMATS_OF_PREFIXES,
  FORMATS,
  hasFormat,
  isCompanion,
  mayHaveFormat,
  type FormatName,
} from '../core/format.js';
import { mapConcurrent } from '../core/map-concurrent.js';
import type { OpenedStore } from '../store/open-store.js';
import { shownUri } from '../store/schemes.js';
import type { ObjectInfo, Store } from '../store/store.js';
import { readWhole } from '../store/read-whole.js';
import { expandBraces } from './expand-braces.js';
import { listedShards, noShardList, shardElsewhere } from './shard-list-file.js';

/** One object of a source, found but not yet read. */
export interface ListedObject {
  readonly store: Store;
  /** Index into the source's URIs: which of them it was found below. */
  readonly root: number;
  readonly object: ObjectInfo;
  /** Path below the source's root: equal wherever the data set is copied to. */
  readonly path: string;
}

export interface ListOptions {
  readonly sourceName: string;
  /** Of the objects that a prefix stands for; `undefined`: the first one that is found there, in the order of `FORMATS`. */
  readonly format: FormatName | undefined;
  readonly openStore: (uri: string) => OpenedStore;
  readonly signal?: AbortSignal;
  /** Told of objects of other formats below a prefix. */
  readonly warn: (message: string, detail: Readonly<Record<string, string | number>>) => void;
  /** Told how many objects were found so far. */
  readonly onListed?: (objects: number) => void;
}

/** An object of one URI. */
type FoundObject = Omit<ListedObject, 'root'>;

/** How many names an error quotes. */
const EXAMPLES_MAX = 5;

/**
 * The objects of all URIs: in the order of the URIs, then of the path's UTF-8 bytes, or of the list that a URI is; an object that several URIs name counts once.
 * Below a prefix, names that start with `_` or `.` are left out, as Spark and Dask mean them; not those of partitions (`_year=2026`). Errors: `NO_SHARDS`, those of `Store.list`.
 */
export async function listShards(uris: readonly string[], options: ListOptions): Promise<ListedObject[]> {
  const found = new Map<string, ListedObject>();
  for (const [index, uri] of uris.entries()) {
    const before = found.size;
    const own = { ...options, onListed: (objects: number) => options.onListed?.(before + objects) };
    const listed = (await listFile(uri, own)) ?? (await listUri(uri, own)).sort((a, b) => compareUtf8(a.path, b.path));
    for (const item of listed) {
      const key = item.store.uri + item.object.path;
      if (!found.has(key)) found.set(key, { ...item, root: index, path: uris.length === 1 ? item.path : `${index}/${item.path}` });
    }
  }
  return [...found.values()];
}

/** A list of shards in a file, where the URI is one: each must be there, and nothing is listed. Paths are below its directory. */
async function listFile(uri: string, options: ListOptions): Promise<FoundObject[] | undefined> {
  const { format, openStore, signal } = options;
  if (!uri.endsWith('.json') || hasGlob(uri) || (format !== undefined && format !== 'webdataset')) return undefined;
  const { store, path } = openStore(uri);
  const { size } = await store.head(path, signal && { signal });
  const text =
    size > LIMITS.shardListBytesMax ? undefined : Buffer.from(await readWhole(store, path, signal && { signal })).toString('utf8');
  const shards = text === undefined ? undefined : listedShards(text, uri);
  if (shards === undefined && format === undefined) return undefined;
  if (shards === undefined) throw noShardList(uri);
  const hint = `${shownUri(uri)} names it: write the list anew, without it or with where it is now.`;
  return headAll(store, shards, uri.slice(0, uri.lastIndexOf('/') + 1), hint, options);
}

async function listUri(uri: string, options: ListOptions): Promise<FoundObject[]> {
  const names = expandBraces(uri);
  if (names !== undefined) return listNames(uri, names, options);
  const { store, path, single = false } = options.openStore(uri);
  const directory = directoryOfIndex(path, options.format);
  if (directory !== undefined) return listPrefix(uri, store, directory, options);
  if (single) return listSingle(store, path, options);
  if (hasGlob(path)) return listGlob(uri, store, path, options);
  if (path.endsWith('/') || path === '') return listPrefix(uri, store, path, options);
  const object = (await headOrUndefined(store, path, options.signal)) ?? (await megatronIndex(store, path, options));
  if (object !== undefined) return [{ store, object, path: object.path.slice(object.path.lastIndexOf('/') + 1) }];
  return listPrefix(uri, store, `${path}/`, options);
}

/**
 * Of a pattern with a range of numbers, `shard-{000..146}.tar`: each name that it stands for must be there, and nothing is listed. Paths are below the
 * directory of the first brace, as those of a glob are.
 */
async function listNames(pattern: string, names: readonly string[], options: ListOptions): Promise<FoundObject[]> {
  const hint = `${shownUri(pattern)} stands for it, and each number must be there: correct the range, or take what is there with * in place of the braces.`;
  return headAll(undefined, names, pattern.slice(0, pattern.lastIndexOf('/', pattern.indexOf('{')) + 1), hint, options);
}

/** `within`: the store that they must be in. Paths are below `root`, of what is there; `hint`: what to do about one that is not. */
async function headAll(
  within: Store | undefined,
  uris: readonly string[],
  root: string,
  hint: string,
  options: ListOptions,
): Promise<FoundObject[]> {
  let found = 0;
  return mapConcurrent(
    uris,
    LIMITS.footerConcurrencyMax,
    async (uri, _index, signal): Promise<FoundObject> => {
      const { store, path } = options.openStore(uri);
      if (within !== undefined && store.uri !== within.uri) throw shardElsewhere(uri);
      const object = await store.head(path, { signal }).catch((error: unknown) => {
        if (!(error instanceof HeadraceError) || error.code !== 'STORE_NOT_FOUND') throw error;
        throw new HeadraceError(error.code, error.message, { detail: error.detail, hint, cause: error });
      });
      options.onListed?.(++found);
      return { store, object, path: uri.startsWith(root) ? uri.slice(root.length) : uri };
    },
    options.signal,
  );
}

/** Its two objects go by the name that they have without their endings. */
async function megatronIndex(store: Store, path: string, { format, signal }: ListOptions): Promise<ObjectInfo | undefined> {
  return format === 'megatron' ? headOrUndefined(store, `${path}.idx`, signal) : undefined;
}

/** In a store without listings: who asks for one is told by the store. What follows a `?` is a digest that changes with each signature. */
async function listSingle(store: Store, path: string, { signal }: ListOptions): Promise<FoundObject[]> {
  const [bare] = path.split('?', 1);
  const name = bare.slice(bare.lastIndexOf('/') + 1);
  if (name === '' || name.includes('*')) await store.list(path)[Symbol.asyncIterator]().next();
  return [{ store, object: await store.head(path, signal && { signal }), path: name }];
}

async function headOrUndefined(store: Store, path: string, signal: AbortSignal | undefined): Promise<ObjectInfo | undefined> {
  try {
    return await store.head(path, signal && { signal });
  } catch (error) {
    if (error instanceof HeadraceError && error.code === 'STORE_NOT_FOUND') return undefined;
    throw error;
  }
}

async function listPrefix(uri: string, store: Store, prefix: string, options: ListOptions): Promise<FoundObject[]> {
  const found = await collect(uri, store, prefix, options, (path) => {
    if (path.split('/').some(isHidden)) return false;
    if (options.format !== undefined) return mayHaveFormat(path, options.format);
    return FORMATS_OF_PREFIXES.some((name) => hasFormat(path, name));
  });
  return withoutTwins(options.format === undefined ? ofOneFormat(uri, found, options) : found, options);
}

/** Of a shard that is there twice, compressed and not, the one that is not. */
function withoutTwins(found: readonly FoundObject[], { sourceName, warn }: ListOptions): FoundObject[] {
  const paths = new Set(found.map(({ path }) => path));
  const own = found.filter(({ path }) => !paths.has(decompressedName(path) ?? ''));
  const left = found.length - own.length;
  if (left > 0)
    warn(`sources.${sourceName}: leaving out ${left} compressed shards that lie decompressed beside`, {
      source: sourceName,
      leftOut: left,
    });
  return own;
}

/** A partition's directory is not, whatever its column is called. */
function isHidden(segment: string): boolean {
  return segment.startsWith('.') || (segment.startsWith('_') && !segment.includes('='));
}

/** A data set has its own files beside the shards: a table of contents in JSON, a readme. */
function ofOneFormat(uri: string, found: readonly FoundObject[], { sourceName, warn }: ListOptions): FoundObject[] {
  const taken = FORMATS_OF_PREFIXES.find((name) => found.some(({ path }) => hasFormat(path, name)));
  const own = found.filter(({ path }) => formatOfPath(path) === taken);
  const left = found.filter(({ path }) => formatOfPath(path) !== taken && !(taken !== undefined && isCompanion(path, taken))).length;
  if (left > 0) {
    const place = shownUri(uri);
    warn(`sources.${sourceName}: ${place} has shards of several formats; taking ${taken}, and leaving out ${left} objects of others`, {
      source: sourceName,
      format: taken ?? '',
      leftOut: left,
    });
  }
  return own;
}

async function listGlob(uri: string, store: Store, pattern: string, options: ListOptions): Promise<FoundObject[]> {
  const firstGlob = pattern.search(GLOB);
  const prefix = pattern.slice(0, pattern.lastIndexOf('/', firstGlob) + 1);
  const matches = picomatch(pattern.slice(prefix.length), { dot: false });
  return collect(uri, store, prefix, options, matches);
}

async function collect(
  uri: string,
  store: Store,
  prefix: string,
  options: ListOptions,
  matches: (path: string) => boolean,
): Promise<FoundObject[]> {
  const found: FoundObject[] = [];
  const others: string[] = [];
  const dangling = new Set<string>();
  const listing = {
    onDangling: (path: string) => void dangling.add(path.slice(prefix.length)),
    ...(options.signal && { signal: options.signal }),
  };
  for await (const object of store.list(prefix, listing)) {
    const path = object.path.slice(prefix.length);
    if (matches(path)) {
      found.push({ store, object, path });
      options.onListed?.(found.length);
    } else if (others.length < EXAMPLES_MAX) others.push(path);
  }
  checkLinks(store.uri + prefix, [...dangling].sort(compareUtf8), matches, options);
  if (found.length > 0) return found;
  const endings = options.format === undefined ? FORMATS_OF_PREFIXES.flatMap((name) => FORMATS[name]) : endingsWhenNamed(options.format);
  const seen = others.length === 0 ? 'There is nothing below this prefix.' : `Found there, but not meant: ${others.join(', ')}.`;
  throw new HeadraceError('NO_SHARDS', `sources.${options.sourceName}: no shard matches ${uri}`, {
    detail: { source: options.sourceName, uri },
    hint: `${seen} A prefix stands for objects ending in ${endings.join(', ')}; a glob for what it matches.`,
  });
}

/**
 * A link by the name of a shard that leads nowhere is a shard that is missing: without it the data set is another one, of which nothing else would tell. One
 * of another name may have been a directory of shards, or nothing at all. Errors: `STORE_NOT_FOUND`.
 */
function checkLinks(
  root: string,
  dangling: readonly string[],
  matches: (path: string) => boolean,
  { sourceName, warn }: ListOptions,
): void {
  const missing = dangling.filter((path) => matches(path));
  if (missing.length > 0) {
    const others = missing.length === 1 ? '' : ` (the first of ${missing.length} by names of shards)`;
    throw new HeadraceError('STORE_NOT_FOUND', `sources.${sourceName}: the link ${root}${missing[0]} leads nowhere${others}`, {
      detail: { source: sourceName, uri: root + missing[0], links: missing.length },
      hint: 'Bring back what it leads to (a disk that is not mounted, a file that was moved), or remove the link: the data set is another one without it.',
    });
  }
  const shown = dangling.filter((path) => !path.split('/').some(isHidden));
  if (shown.length === 0) return;
  const names = shown.slice(0, EXAMPLES_MAX).join(', ') + (shown.length > EXAMPLES_MAX ? ' …' : '');
  warn(
    `sources.${sourceName}: leaving out ${shown.length === 1 ? 'a link that leads' : `${shown.length} links that lead`} nowhere below ${root}: ${names}`,
    {
      source: sourceName,
      leftOut: shown.length,
    },
  );
}

const GLOB = /[*?[{]/;

function hasGlob(path: string): boolean {
  return GLOB.test(path);
}
