/** What is known of a source's shards, kept in a file: in the cache directory between runs, and where `headrace index` writes it. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import * as z from 'zod';
import { HeadraceError, messageOf } from '../core/errors.js';
import type { Store } from '../store/store.js';
import type { CompanionVersions } from './companions.js';
import { decodeColumnFile, encodeColumnFile } from './column-file.js';
import type { BytesColumn, NumberColumn } from './columns.js';
import { readIndexFile, writeIndexFile } from './index-file.js';
import { ShardTable, type ShardColumns } from './shard-table.js';

export interface SavedIndex {
  /** What was asked for, as `requestDigest` has it. */
  readonly request: string;
  readonly table: ShardTable;
  /** Of the manifest. */
  readonly fingerprint: string;
  /** Of what belongs to the shards. */
  readonly companions?: CompanionVersions | undefined;
}

/** Raise it when columns, layouts or fingerprints change their meaning: older files are then ignored. */
const VERSION = 3;

const factsSchema = z.object({
  request: z.string(),
  fingerprint: z.string().regex(/^[0-9a-f]{64}$/),
  shapes: z.array(z.string()),
  companions: z.record(z.string(), z.string()).optional(),
});

const NUMBER_COLUMNS = [
  'root',
  'size',
  'rows',
  'unitEnds',
  'unitStartRow',
  'unitRows',
  'unitDecodedBytes',
  'unitStoredBytes',
  'unitIsWhole',
] as const;
/** By shard; files of before there were filters have none. */
const RULED_OUT_COLUMNS = ['ruledOutByStatistics', 'ruledOutByBloom'] as const;
const BYTES_COLUMNS = ['place', 'path', 'etag', 'contentId', 'layouts'] as const;

/** Of what an index is asked for: by the source's own keys, not by the configuration's others. */
export function requestDigest(request: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(request)).digest('hex');
}

/** Where the index of a request is kept. */
export function savedIndexPath(cacheDir: string, request: string): string {
  return path.join(cacheDir, 'manifests', `${request.slice(0, 32)}.index`);
}

/** Errors: those of `Store.head` and `Store.read`; `INDEX_INVALID` where the file is damaged, of another version, or of another request. */
export async function readIndex(store: Store, file: string, request: string, signal?: AbortSignal): Promise<SavedIndex> {
  const uri = store.uri + file;
  const bytes = await readIndexFile(store, file, (problem) => invalid(uri, problem), signal);
  let index: SavedIndex;
  try {
    index = decodeIndex(bytes);
  } catch (error) {
    throw invalid(uri, error instanceof z.ZodError ? 'its header is not that of an index' : messageOf(error), error);
  }
  if (index.request !== request) throw invalid(uri, 'it was made for other URIs, another column, or another `where`');
  return index;
}

/** Written under a temporary name and renamed: a reader sees the old file or the new one, never a part. */
export async function saveIndex(file: string, index: SavedIndex): Promise<void> {
  await writeIndexFile(file, encodeIndex(index));
}

/** The bytes of an index's file, in parts. */
export function encodeIndex({ request, table, fingerprint, companions }: SavedIndex): Generator<Uint8Array, void, undefined> {
  const { columns, shapes } = table;
  const flat = new Map<string, NumberColumn>();
  for (const name of [...NUMBER_COLUMNS, ...RULED_OUT_COLUMNS]) flat.set(name, columns[name]);
  for (const name of BYTES_COLUMNS) {
    flat.set(`${name}.bytes`, columns[name].bytes);
    flat.set(`${name}.ends`, columns[name].ends);
  }
  return encodeColumnFile(VERSION, { request, fingerprint, shapes, ...(companions !== undefined && { companions }) }, flat);
}

/** Errors: `Error`, which says what is wrong. */
export function decodeIndex(bytes: Uint8Array<ArrayBuffer>): SavedIndex {
  const file = decodeColumnFile(bytes, VERSION);
  const { request, fingerprint, shapes, companions } = factsSchema.parse(file.facts);
  const numbers = (name: string): NumberColumn => {
    const column = file.columns.get(name);
    if (column === undefined) throw new Error(`it has no column ${name}`);
    return column;
  };
  const values = (name: string): BytesColumn => {
    const bytesOfAll = numbers(`${name}.bytes`);
    if (!(bytesOfAll instanceof Uint8Array)) throw new Error(`its column ${name} does not hold bytes`);
    return { bytes: bytesOfAll, ends: numbers(`${name}.ends`) };
  };
  const columns = Object.fromEntries([
    ...NUMBER_COLUMNS.map((name) => [name, numbers(name)] as const),
    ...RULED_OUT_COLUMNS.map((name) => [name, file.columns.get(name) ?? new Uint8Array(numbers('rows').length)] as const),
    ...BYTES_COLUMNS.map((name) => [name, values(name)] as const),
  ]) as unknown as ShardColumns;
  return { request, fingerprint, companions, table: new ShardTable(columns, shapes) };
}

function invalid(uri: string, problem: string, cause?: unknown): HeadraceError {
  return new HeadraceError('INDEX_INVALID', `${uri} is not a usable index: ${problem}`, {
    detail: { uri, problem },
    hint: 'Make it again with `headrace index CONFIG`, or take sources.NAME.index out of the configuration.',
    cause,
  });
}
