/** What a Parquet file's footer says of it, for `headrace inspect`: no page is read. */
import type { ColumnChunk, ColumnMetaData, FileMetaData } from 'hyparquet';
import type { ObjectInfo, Store } from '../../store/store.js';
import type { ColumnDescription, ShardDescription } from '../decoder.js';
import { namedColumns, type NamedColumn } from './column.js';
import type { FooterSize } from './footer-size.js';
import { readParquetFooter } from './footer.js';

/** Errors: those of `Store.read`, `SHARD_INVALID`, `SHARD_UNSUPPORTED`. */
export async function describeParquet(store: Store, object: ObjectInfo, size: FooterSize, signal?: AbortSignal): Promise<ShardDescription> {
  const { metadata } = await readParquetFooter(store, object, store.uri + object.path, size, signal);
  const chunks = chunksByPath(metadata);
  const columns = namedColumns(metadata.schema).map((column) => describeColumn(column, chunks));
  const units = metadata.row_groups.map(({ num_rows: rows, columns: own }) => ({
    rows: Number(rows),
    storedBytes: sum(own.map(({ meta_data: meta }) => Number(meta?.total_compressed_size ?? 0))),
    decodedBytes: sum(own.map(({ meta_data: meta }) => Number(meta?.total_uncompressed_size ?? 0))),
  }));
  const all = [...chunks.values()].flat();
  const hasStatistics = all.length === 0 || all.some(({ statistics }) => (statistics?.min_value ?? statistics?.min) !== undefined);
  return { rows: sum(units.map(({ rows }) => rows)), columns, units, hasStatistics, writer: metadata.created_by };
}

/** Of all row groups. An encrypted one says nothing. */
function chunksByPath(metadata: FileMetaData): Map<string, ColumnMetaData[]> {
  const chunks = new Map<string, ColumnMetaData[]>();
  const metaOf = ({ meta_data: meta }: ColumnChunk): ColumnMetaData[] => (meta === undefined ? [] : [meta]);
  for (const meta of metadata.row_groups.flatMap(({ columns }) => columns.flatMap(metaOf))) {
    const key = keyOf(meta.path_in_schema);
    const own = chunks.get(key);
    if (own === undefined) chunks.set(key, [meta]);
    else own.push(meta);
  }
  return chunks;
}

function describeColumn(
  { name, type, use, paths }: NamedColumn,
  chunks: ReadonlyMap<string, readonly ColumnMetaData[]>,
): ColumnDescription {
  const own = paths.flatMap((path) => chunks.get(keyOf(path)) ?? []);
  const statistics = paths.length === 1 ? own.map((meta) => meta.statistics) : [];
  const nulls = statistics.map((of) => of?.null_count);
  const isKnown = own.length > 0 && nulls.every((count) => count !== undefined) && nulls.length > 0;
  return {
    name,
    type,
    use,
    codecs: [...new Set(own.map(({ codec }): string => codec))].sort(),
    encodings: [...new Set(own.flatMap(({ encodings }) => encodings.map(String)))].sort(),
    storedBytes: sum(own.map((meta) => Number(meta.total_compressed_size))),
    decodedBytes: sum(own.map((meta) => Number(meta.total_uncompressed_size))),
    nulls: isKnown ? sum(nulls.map(Number)) : undefined,
    min: extreme(
      statistics.map((of) => plain(of?.min_value ?? of?.min)),
      (a, b) => a < b,
    ),
    max: extreme(
      statistics.map((of) => plain(of?.max_value ?? of?.max)),
      (a, b) => a > b,
    ),
  };
}

type Plain = string | number | boolean;

/** Of statistics, what can be compared and written. */
function plain(value: unknown): Plain | undefined {
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number' || typeof value === 'bigint') return Number.isFinite(Number(value)) ? Number(value) : undefined;
  return value instanceof Date && !Number.isNaN(value.getTime()) ? value.toISOString() : undefined;
}

/** Undefined where one is. */
export function extreme(values: readonly (Plain | undefined)[], isBetter: (a: Plain, b: Plain) => boolean): Plain | undefined {
  let best = values.at(0);
  for (const value of values) {
    if (value === undefined || best === undefined || typeof value !== typeof best) return undefined;
    if (isBetter(value, best)) best = value;
  }
  return best;
}

function keyOf(path: readonly string[]): string {
  return path.join('\0');
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
