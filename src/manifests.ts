/** What a configuration's sources consist of: their manifests, and the lists of what they leave out. */
import type { Config, SourceConfig } from './config/config.js';
import { HeadraceError } from './core/errors.js';
import { checkSameField, presenceField, type Field } from './core/fields.js';
import { columnsOf, type Filter } from './core/filter/filter.js';
import type { FormatName } from './core/format.js';
import { mapConcurrent } from './core/map-concurrent.js';
import type { Shard } from './core/shard.js';
import type { Decoders } from './decode/open-decoders.js';
import { buildScannedManifest } from './manifest/scanned-manifest.js';
import { buildManifest, mayBeTaken, type ManifestProgress, type SourceManifest } from './manifest/manifest.js';
import type { BuiltExclusions } from './select/excluded.js';
import { readExclusions } from './select/read-exclusions.js';
import { withKeeping, type KeepBudget } from './store/with-keeping.js';
import type { StoreSet } from './store/open-store.js';

export interface ManifestsOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told of what is worth a line in a log, and is no error. */
  readonly warn?: ((message: string, detail: Readonly<Record<string, string | number>>) => void) | undefined;
  readonly onProgress?: (progress: ManifestProgress) => void;
}

/** A source alone asks its store for many footers at once; but a listing is one request after the other, and saved indexes are one each. */
const SOURCES_AT_ONCE = 4;

/** Of every source of the configuration, in its order. Errors: of the source that first has one. */
export function buildManifests(config: Config, stores: StoreSet, decoders: Decoders, options: ManifestsOptions): Promise<SourceManifest[]> {
  const { localCache } = config;
  // metadata of all sources may fill the cache once
  const budget: KeepBudget = { bytes: localCache === undefined || localCache.ranges === 'none' ? 0 : localCache.bytesMax };
  const build = async (source: SourceConfig, _: number, signal: AbortSignal): Promise<SourceManifest> => {
    const { scan } = source;
    const manifest = await (scan === 'as-read' ? buildScannedManifest : buildManifest)(source, {
      cacheDir: config.cacheDir,
      openStore: (uri) => stores.open(uri),
      index: async ({ store, object }, format, filter, ofShard) => {
        const decoder = await decoders.load(format);
        if (filter !== undefined && decoder.storedFilterBytes === undefined) throw noFilters(source.name, format, filter);
        // what is opened as it is read is read again soon, and all of it cannot come first
        return decoder.index(scan === 'as-read' ? store : withKeeping(store, budget), object, source, ofShard, filter);
      },
      warn: (message, detail) => options.warn?.(message, detail),
      onProgress: options.onProgress,
      signal,
    });
    if (source.where !== undefined && scan === 'ahead') options.warn?.(savingOf(manifest), { source: source.name });
    await decoders.load(manifest.format); // what was saved was not indexed
    return manifest;
  };
  return mapConcurrent(config.sources, SOURCES_AT_ONCE, build, options.signal);
}

/**
 * The fields that all samples of the configuration have; undefined where it has none. Errors: `SHARD_UNSUPPORTED` where a format serves no fields,
 * `COLUMN_TYPE` where two shards have one in two types.
 */
export async function fieldsOfSamples(
  config: Config,
  manifests: readonly SourceManifest[],
  decoders: Decoders,
  signal?: AbortSignal,
): Promise<readonly Field[] | undefined> {
  if (config.sequence.packing.kind !== 'samples') return undefined;
  let first: { readonly fields: readonly Field[]; readonly where: string } | undefined;
  for (const [index, { name: source, fields: requests }] of config.sources.entries()) {
    if (requests === undefined) continue;
    const { format, shards, scanned } = manifests[index];
    const decoder = decoders.of(format);
    if (decoder.fieldTypes === undefined) {
      throw new HeadraceError('SHARD_UNSUPPORTED', `sources.${source}: fields are not served from ${format}`, {
        detail: { source, format },
        hint: 'Write the data as Parquet, Arrow, JSON lines or WebDataset.',
      });
    }
    const { fieldTypes } = decoder;
    /** Whether the shard has rows, which have fields. */
    const addShard = (shard: Shard): boolean => {
      const fields = fieldTypes(shard)?.flatMap((type, at): Field[] => {
        const { name, isOptional } = requests[at];
        return isOptional === true ? [{ ...type, name }, presenceField(name)] : [{ ...type, name }];
      });
      if (fields === undefined) return false;
      first ??= { fields, where: shard.uri };
      for (const [at, field] of fields.entries()) checkSameField(field.name, first.fields[at], first.where, field, shard.uri);
      return true;
    };
    if (scanned?.kind === 'as-read') {
      const { opener } = scanned;
      // these formats have the types that the configuration says: the first shard with rows says them for all
      for (let i = 0; i < shards.length && !addShard((await opener.open(i, 0, signal)).shard); i++);
    } else for (let i = 0; i < shards.length; i++) addShard(shards.at(i).shard);
  }
  return first?.fields ?? [];
}

/** For who needs totals: all shards are opened. Errors: those of opening. */
export function openAllShards(manifests: readonly SourceManifest[], signal?: AbortSignal): Promise<SourceManifest[]> {
  return Promise.all(
    manifests.map(async (manifest) => (manifest.scanned?.kind === 'as-read' ? manifest.scanned.opener.openAll(signal) : manifest)),
  );
}

/** For the log: what `where` leaves out before a row is read. */
function savingOf({ name, table, rows, ruledOut }: SourceManifest): string {
  const shards = ruledOut.shards === undefined ? '' : `${ruledOut.shards} shards by their partitions, `;
  const units = `${ruledOut.byStatistics} row groups by statistics and ${ruledOut.byBloom} by bloom filters (${ruledOut.rows} rows)`;
  return `sources.${name}: where leaves out ${shards}${units}; of ${table.length} shards, ${rows} rows are left`;
}

function noFilters(source: string, format: FormatName, filter: Filter): HeadraceError {
  const columns = columnsOf(filter).join(', ');
  return new HeadraceError(
    'CONFIG_INVALID',
    `sources.${source}.where names ${columns}, and shards of format ${format} cannot be filtered by their columns`,
    {
      detail: { field: `sources.${source}.where`, columns },
      hint: 'Partitions in the paths of shards (`lang=en/`) can be named for every format; for columns, write Parquet, Arrow or JSON lines.',
    },
  );
}

/** What the lists of each source leave out. Errors: `EXCLUSION_INVALID`, those of stores. */
export async function readAllExclusions(
  config: Config,
  manifests: readonly SourceManifest[],
  stores: StoreSet,
  { signal, warn }: Pick<ManifestsOptions, 'signal' | 'warn'>,
): Promise<BuiltExclusions[]> {
  const exclusions: BuiltExclusions[] = [];
  for (const [index, source] of config.sources.entries()) {
    const { name, exclude, id } = source;
    const lists = exclude.map((uri) => ({ uri, ...stores.open(uri) }));
    const { shards, scanned } = manifests[index];
    // how many rows a shard has that is not opened, nobody knows
    const excludable = {
      length: shards.length,
      at: (shard: number) => (scanned?.kind === 'as-read' ? { ...shards.at(shard).shard, rows: Infinity } : shards.at(shard).shard),
    };
    exclusions.push(
      await readExclusions(
        { name, lists, hasIds: id !== undefined, shards: excludable, isRuledOut: (path) => !mayBeTaken(source, path), warn },
        signal,
      ),
    );
  }
  return exclusions;
}
