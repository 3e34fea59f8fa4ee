/** The manifest: what exists. Lists a source's shards, pins their versions, and knows their units, from a saved index where it can. */
import { LIMITS } from '../config/limits.js';
import { fingerprint } from '../core/canonical-json.js';
import { HeadraceError, messageOf } from '../core/errors.js';
import { mapConcurrent } from '../core/map-concurrent.js';
import type { Shard } from '../core/shard.js';
import type { Store } from '../store/store.js';
import { listShards, type ListedObject, type ListOptions } from './list-shards.js';
import { loadSavedIndex, saveIndex, savedIndexPath, type IndexedObject } from './saved-index.js';

export interface SourceRequest {
  readonly name: string;
  readonly uris: readonly string[];
  readonly column: string;
  readonly kind: 'text' | 'tokens';
  /** The column of the documents' ids, where one is configured. */
  readonly id?: string | undefined;
}

/** A shard, and where to read it. */
export interface PlacedShard {
  readonly shard: Shard;
  readonly store: Store;
  /** Path in the store. */
  readonly path: string;
}

export interface SourceManifest {
  readonly name: string;
  /** In canonical order. */
  readonly shards: readonly PlacedShard[];
  readonly rows: number;
  /** Of content, not of place: a copy of the data set elsewhere has the same. */
  readonly fingerprint: string;
  /** Shards whose metadata was read now, and not taken from the saved index. */
  readonly shardsRead: number;
}

export interface ManifestOptions extends Omit<ListOptions, 'sourceName'> {
  readonly cacheDir: string;
  /** Reads an object's own metadata. */
  readonly index: (listed: ListedObject, signal: AbortSignal) => Promise<Omit<IndexedObject, 'size' | 'etag'>>;
  /** Told of what costs time but no truth: an index that cannot be loaded or saved. */
  readonly warn: (message: string, detail: Readonly<Record<string, string>>) => void;
}

/** Errors: `NO_SHARDS`, `NO_ROWS`, those of the store and of `index`. */
export async function buildManifest(source: SourceRequest, options: ManifestOptions): Promise<SourceManifest> {
  const listed = await listShards(source.uris, { ...options, sourceName: source.name });
  const file = savedIndexPath(options.cacheDir, [
    ...source.uris,
    source.column,
    source.kind,
    ...(source.id === undefined ? [] : [`id:${source.id}`]),
  ]);
  const saved = await loadSavedIndex(file);
  if (saved.problem !== undefined)
    options.warn('the saved manifest is not usable; reading the shards again', { file, problem: saved.problem });

  let shardsRead = 0;
  const indexed = await mapConcurrent(
    listed,
    LIMITS.footerConcurrencyMax,
    async (item, _index, signal): Promise<IndexedObject> => {
      const { size, etag } = item.object;
      const known = saved.index.get(uriOf(item));
      if (known?.size === size && known.etag === etag) return known;
      shardsRead++;
      return { size, etag, ...(await options.index(item, signal)) };
    },
    options.signal,
  );
  const shards = listed.map((item, index): PlacedShard => {
    const shard: Shard = { path: item.path, uri: uriOf(item), ...indexed[index] };
    return { shard, store: item.store, path: item.object.path };
  });
  const rows = shards.reduce((sum, { shard }) => sum + shard.rows, 0);
  if (rows === 0) {
    throw new HeadraceError('NO_ROWS', `sources.${source.name}: its ${shards.length} shards have no rows`, {
      detail: { source: source.name },
      hint: 'Check what wrote them, or take the source out.',
    });
  }
  if (shardsRead > 0) {
    const index = new Map(shards.map(({ shard }, i) => [shard.uri, indexed[i]]));
    await saveIndex(file, index).catch((error: unknown) => {
      options.warn('cannot save the manifest; the next start will read the shards again', { file, problem: messageOf(error) });
    });
  }
  return { name: source.name, shards, rows, fingerprint: fingerprintOf(source, shards), shardsRead };
}

function fingerprintOf(source: SourceRequest, shards: readonly PlacedShard[]): string {
  return fingerprint({
    column: source.column,
    kind: source.kind,
    shards: shards.map(({ shard }) => ({ path: shard.path, size: shard.size, rows: shard.rows, contentId: shard.contentId })),
  });
}

function uriOf(item: ListedObject): string {
  return item.store.uri + item.object.path;
}
