/** What litData's `index.json` says of the chunks beside it, which say little themselves: read once a directory. */
import { LRUCache } from 'lru-cache';
import * as z from 'zod';
import { canonicalJson } from '../../core/canonical-json.js';
import { messageOf } from '../../core/errors.js';
import { companionOf } from '../../core/format.js';
import type { ObjectInfo, Store } from '../../store/store.js';
import { leafPaths, leafTypeOf, nameOfPath, type Leaf, type LeafPath } from './leaf.js';
import { LITDATA_LIMITS } from './limits.js';
import { litdataInvalid, litdataUnsupported } from './litdata-error.js';

export interface LitdataSet {
  /** Of `index.json`. */
  readonly uri: string;
  readonly leaves: readonly Leaf[];
  /** Of items that are token ids, and nothing else: written with `TokensLoader`. */
  readonly isTokens: boolean;
  /** What is compressed: whole chunks, or each sample of a chunk. Groups of samples say it themselves. */
  readonly compression: { readonly ending: string; readonly of: 'chunk' | 'sample' } | undefined;
  /** By name. */
  readonly chunks: ReadonlyMap<string, LitdataChunk>;
  /** What of it decides about rows, as text. */
  readonly identity: string;
}

export interface LitdataChunk {
  readonly items: number;
}

const configSchema = z.object({
  compression: z.string().nullish(),
  compression_level: z.string().nullish(),
  data_format: z.array(z.string()),
  data_spec: z.string().nullish(),
  encryption: z.unknown().optional(),
  item_loader: z.string().nullish(),
  format: z.string().nullish(),
  /** What newer versions say of nested values, by name: `{type: list, value: int}`. */
  types: z.unknown().optional(),
});

const chunkSchema = z.object({ filename: z.string(), chunk_size: z.int().min(0), dim: z.int().nullish() });

const setSchema = z.object({ config: configSchema, chunks: z.array(chunkSchema) });

/** Loaders whose chunks hold something else than counted samples, and what is to be done. */
const OTHER_LOADERS: Readonly<Record<string, string>> = {
  ParquetLoader: 'Its shards are Parquet files: set `format: parquet`.',
  TemporalArrayLoader: 'Write the samples with the default loader.',
};

export type ReadLitdataSet = (store: Store, chunk: ObjectInfo, signal: AbortSignal) => Promise<LitdataSet>;

/** Directories that were asked for last are known. */
export function createSetReader(): ReadLitdataSet {
  const known = new LRUCache<string, { readonly set: Promise<LitdataSet> }>({ max: LITDATA_LIMITS.setsKept });
  return async (store, chunk, signal) => {
    const path = companionOf(chunk.path, 'litdata') ?? '';
    const key = store.uri + path;
    const before = known.get(key);
    if (before !== undefined) {
      // whoever asked first may have left: then it is asked for again
      const set = await before.set.catch(() => undefined);
      if (set !== undefined) return set;
    }
    const reading = readSet(store, path, signal);
    known.set(key, { set: reading });
    reading.catch(() => known.delete(key));
    return reading;
  };
}

async function readSet(store: Store, path: string, signal: AbortSignal): Promise<LitdataSet> {
  const uri = store.uri + path;
  const { size, etag } = await store.head(path, { signal });
  if (size > LITDATA_LIMITS.indexBytesMax) {
    throw litdataUnsupported(uri, `it has ${size} bytes`, `At most ${LITDATA_LIMITS.indexBytesMax} are read: write fewer chunks.`);
  }
  const bytes = size === 0 ? new Uint8Array(0) : await store.read(path, { startByte: 0, endByte: size }, { ifMatch: etag, signal });
  return parseSet(bytes, uri);
}

/** Errors: `SHARD_INVALID`, `SHARD_UNSUPPORTED`. */
export function parseSet(bytes: Uint8Array, uri: string): LitdataSet {
  const { config, chunks } = checked(uri, () =>
    setSchema.parse(JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'))),
  );
  if (config.encryption !== undefined && config.encryption !== null) {
    throw litdataUnsupported(uri, 'its chunks are encrypted', 'Write the data set without encryption; the store encrypts at rest.');
  }
  if (config.format === 'mds') throw litdataUnsupported(uri, 'its chunks are shards of MosaicML Streaming', 'Set `format: mds`.');
  const loader = config.item_loader ?? undefined;
  const otherwise = loader && OTHER_LOADERS[loader];
  if (otherwise !== undefined) throw litdataUnsupported(uri, `its chunks are those of ${loader ?? ''}`, otherwise);
  const level = config.compression_level ?? 'chunk';
  const compression = config.compression ?? undefined;
  if (compression !== undefined && !/^zstd(:\d+)?$/.test(compression)) {
    throw litdataUnsupported(
      uri,
      `its chunks are compressed with ${compression}`,
      'Write them with `compression="zstd"`, or not compressed.',
    );
  }
  const leaves = checked(uri, () => leavesOf(config));
  return {
    uri,
    leaves,
    // older versions do not name the loader: only its items have a length
    isTokens: loader === undefined ? chunks.some(({ dim }) => typeof dim === 'number') : loader === 'TokensLoader',
    compression:
      compression === undefined || level === 'batch'
        ? undefined
        : { ending: `.${compression}.bin`, of: level === 'sample' ? 'sample' : 'chunk' },
    chunks: new Map(chunks.map(({ filename, chunk_size }) => [filename, { items: chunk_size }])),
    identity: canonicalJson({
      formats: leaves.map(({ name, format }) => [name, format]),
      loader: loader ?? null,
      compression: compression ?? null,
      level,
    }),
  };
}

function leavesOf({ data_format: formats, data_spec: spec, types }: z.output<typeof configSchema>): Leaf[] {
  const paths = spec === undefined || spec === null ? formats.map((_, i): LeafPath => [i]) : leafPaths(spec);
  if (paths.length !== formats.length) throw new Error(`its data_spec has ${paths.length} leaves, and data_format ${formats.length}`);
  if (paths.length > LITDATA_LIMITS.leavesMax) throw new Error(`its samples have ${paths.length} values`);
  return formats.map((format, i) => ({
    name: nameOfPath(paths[i]),
    path: paths[i],
    format,
    type: leafTypeOf(format),
    listOf: listOf(types, paths[i]),
  }));
}

/** What the types of the samples say of a leaf: `{ids: {type: list, value: int}, meta: {type: struct, fields: {…}}}`. */
function listOf(types: unknown, path: LeafPath): Leaf['listOf'] {
  if (path.length === 0) return undefined;
  const [key, ...below] = path;
  const own = (Object(types) as Readonly<Record<string, unknown>>)[key];
  const { type, value, fields } = Object(own) as Readonly<Record<string, unknown>>;
  if (below.length > 0) return listOf(fields, below);
  return type === 'list' ? (['int', 'float', 'bool'] as const).find((name) => name === value) : undefined;
}

function checked<T>(uri: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const first = error instanceof z.ZodError ? error.issues.at(0) : undefined;
    const problem = first === undefined ? messageOf(error) : `${first.path.join('.')}: ${first.message}`;
    throw litdataInvalid(uri, `it is no index of litData (${problem})`, 0);
  }
}
