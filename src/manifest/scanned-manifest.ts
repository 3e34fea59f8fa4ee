/** The manifest of a source whose shards are opened when they are needed (`scan: as-read`): the listing, and who opens the shards of it. */
import path from 'node:path';
import { LRUCache } from 'lru-cache';
import { LIMITS } from '../config/limits.js';
import { untilAborted } from '../core/abort.js';
import { canonicalJson } from '../core/canonical-json.js';
import { HeadraceError, messageOf } from '../core/errors.js';
import type { FormatName } from '../core/format.js';
import { asGoneShard, GONE_UNOPENED } from '../core/gone-shard.js';
import type { Need } from '../core/need.js';
import type { Shard } from '../core/shard.js';
import { createTurns } from '../core/turns.js';
import { fileStore } from '../store/file.js';
import { withNeed } from '../store/with-need.js';
import { fingerprintOfList } from './list-fingerprint.js';
import type { ListedObject } from './list-shards.js';
import {
  filterOfShard,
  listTaken,
  placedShards,
  placeOf,
  readEntries,
  requestOf,
  type ManifestOptions,
  type PlacedShard,
  type SourceManifest,
  type SourceRequest,
  type TakenListing,
} from './manifest.js';
import type { ShardOpener } from './scanned-shards.js';
import { readIndex, requestDigest, saveIndex, type SavedIndex } from './saved-index.js';
import { Shards, ShardTableBuilder, type ShardFacts, type ShardTable } from './shard-table.js';

/** Formats that say nothing of their rows before they are passed over. */
const SCANNED_FORMATS: readonly FormatName[] = ['jsonl', 'csv', 'text', 'webdataset'];

const NOT_OPENED: ShardFacts = { contentId: '', rows: 0, units: [], layout: null };

/** Reads nothing but the listing. Errors: `NO_SHARDS`, `NO_ROWS`, `FORMAT_UNKNOWN`, `CONFIG_INVALID` for a format with metadata, those of the store. */
export async function buildScannedManifest(source: SourceRequest, options: ManifestOptions): Promise<SourceManifest> {
  const listing = await listTaken(source, options);
  const { format, listed, known } = listing;
  if (!SCANNED_FORMATS.includes(format)) throw notScanned(source.name, format);
  const builder = new ShardTableBuilder();
  for (const item of listed) builder.add(placeOf(item), NOT_OPENED);
  const table = builder.finish();
  const roots = source.uris.map(options.openStore);
  const manifest: SourceManifest = {
    name: source.name,
    format,
    shards: placedShards(table, roots, known),
    table,
    rows: 0,
    fingerprint: listingFingerprint(source, format, table),
    request: requestOf(source),
    shardsRead: 0,
    ruledOut: { shards: listing.shardsRuledOut, byStatistics: 0, byBloom: 0, rows: 0 },
  };
  const opener = createShardOpener(source, listing, options);
  const openAll = async (signal: AbortSignal | undefined): Promise<SourceManifest> => {
    const shards = await Promise.all(listed.map((_, index) => opener.open(index, undefined, signal)));
    const all = new ShardTableBuilder();
    for (const [index, { shard }] of shards.entries()) all.add(placeOf(listed[index]), shard);
    const opened = all.finish();
    return { ...manifest, shards: placedShards(opened, roots, known), table: opened, rows: opened.rows, scanned: { kind: 'opened' } };
  };
  return { ...manifest, scanned: { kind: 'as-read', opener: { ...opener, openAll } } };
}

/** Of what is known before a shard is opened: a change of a content that keeps its size is not seen in it. */
function listingFingerprint(source: SourceRequest, format: FormatName, table: ShardTable): string {
  const texts = function* (): Generator<string, void, undefined> {
    for (let index = 0; index < table.length; index++) {
      const { path, size } = table.placeOf(index);
      yield canonicalJson({ path, size });
    }
  };
  return fingerprintOfList({ ...readEntries(source, format), scan: 'as-read' }, 'shards', texts());
}

/**
 * What was opened is kept in memory, as much as the objects of other manifests (`openUnitsMax`), and in a file a shard in the cache directory, so that a
 * later start passes over nothing.
 */
function createShardOpener(
  source: SourceRequest,
  { format, listed, known }: TakenListing,
  { cacheDir, index, warn }: ManifestOptions,
): Omit<ShardOpener, 'openAll'> {
  const ending = new AbortController();
  const recent = new LRUCache<number, Shard>({ maxSize: LIMITS.openUnitsMax });
  const opening = new Map<number, Promise<Shard>>();
  const inTurn = createTurns(LIMITS.footerConcurrencyMax);
  const request = requestOf(source);
  let cannotSave = false;

  const read = async (item: ListedObject, need: Need | undefined): Promise<ShardTable> => {
    const asked = need === undefined ? item : { ...item, store: withNeed(item.store, need) };
    const builder = new ShardTableBuilder();
    builder.add(placeOf(item), await index(asked, format, filterOfShard(source, item.path), ending.signal));
    return builder.finish();
  };
  const save = async (file: string, saved: SavedIndex): Promise<void> => {
    try {
      await saveIndex(file, saved);
    } catch (error) {
      if (!cannotSave) warn('cannot save what shards hold; a later start will pass over them again', { file, problem: messageOf(error) });
      cannotSave = true;
    }
  };
  const find = async (item: ListedObject, need: Need | undefined): Promise<Shard> => {
    const { root, place, path: name, size, etag } = placeOf(item);
    const own = requestDigest([request, item.store.uri + place, name, String(root), String(size), etag]);
    const file = path.join(cacheDir, 'manifests', 'shards', own.slice(0, 2), `${own.slice(2, 34)}.index`);
    let table = await loadSaved(file, own, warn);
    if (table === undefined) {
      table = await read(item, need).catch((error: unknown) => {
        throw asUnopened(asGoneShard(error, known, GONE_UNOPENED));
      });
      await save(file, { request: own, table, fingerprint: own });
    }
    return new Shards(table, storeUris).at(0);
  };
  const storeUris: string[] = [];
  for (const { root, store } of listed) storeUris[root] ??= store.uri;

  const openOne = (shard: number, at: number | undefined): Promise<Shard> => {
    const need = at === undefined ? undefined : { at, next: at }; // it is read again as soon as it is known
    const found = inTurn(() => find(listed[shard], need))
      .then((own) => {
        recent.set(shard, own, { size: 1 + own.units.length });
        return own;
      })
      .finally(() => opening.delete(shard));
    opening.set(shard, found);
    return found;
  };
  return {
    open: async (shard, at, signal): Promise<PlacedShard> => {
      const own = recent.get(shard) ?? (await untilAborted(untilAborted(opening.get(shard) ?? openOne(shard, at), ending.signal), signal));
      return { shard: own, store: listed[shard].store, path: listed[shard].object.path };
    },
    close: () => ending.abort(new HeadraceError('ABORTED', 'the pipeline is closed')),
  };
}

async function loadSaved(file: string, request: string, warn: ManifestOptions['warn']): Promise<ShardTable | undefined> {
  const store = fileStore();
  try {
    return (await readIndex(store, file, request)).table;
  } catch (error) {
    const isMissing = error instanceof HeadraceError && error.code === 'STORE_NOT_FOUND';
    if (!isMissing) warn('what is saved of a shard is not usable; passing over it again', { file, problem: messageOf(error) });
    return undefined;
  } finally {
    await store.close();
  }
}

/** What is damaged before its rows are known cannot be left out: whoever opened it whole would have another stream. */
function asUnopened(error: unknown): unknown {
  if (!(error instanceof HeadraceError) || error.code !== 'SHARD_INVALID') return error;
  return new HeadraceError('SHARD_INVALID', error.message, {
    detail: error.detail,
    hint: 'Bring it back as it was written, and go on from the last state; or take it out of the source, and start a new run. `badBlocks: skip` cannot leave it out: which rows it has, nobody knows.',
    cause: error,
  });
}

function notScanned(name: string, format: FormatName): HeadraceError {
  const field = `sources.${name}.scan`;
  return new HeadraceError('CONFIG_INVALID', `${field} is as-read, and shards of format ${format} say themselves what they hold`, {
    detail: { field, format },
    hint: `Leave it out: only their metadata is read before the first batch. as-read is for ${SCANNED_FORMATS.join(', ')}.`,
  });
}
