/**
 * Decides by metadata what a filter takes of each row group: none of its rows, all of them, or some, which only the rows can say.
 *
 *   statistics ─▶ none │ all
 *             └─▶ some ─▶ bloom filters, where they could say none ─▶ none
 *                                                                 └─▶ some
 */
import type { FileMetaData, RowGroup } from 'hyparquet';
import { deserializeTCompactProtocol } from 'hyparquet/src/thrift.js';
import { LIMITS } from '../../config/limits.js';
import { rangeTruths, type ColumnRange } from '../../core/filter/column-range.js';
import { TRUE, truthsOf, UNKNOWN, type Filter, type Truths } from '../../core/filter/filter.js';
import { HeadraceError, messageOf } from '../../core/errors.js';
import { mapConcurrent } from '../../core/map-concurrent.js';
import type { ByteRange, ObjectInfo, Store } from '../../store/store.js';
import { bloomHash, mayContain, readBloom, type BloomWords } from './bloom.js';
import { leafNames } from './column.js';
import type { FilterColumn } from './filter-columns.js';
import { rangeOf, type RawStatistics } from './statistics.js';

/** `statistics`, `bloom`: say that no row is taken. */
export type RowGroupFate = 'statistics' | 'bloom' | 'all' | 'by-row';

export interface FilteredFile {
  readonly filter: Filter;
  readonly columns: readonly FilterColumn[];
  readonly metadata: FileMetaData;
  /** With its trailer. */
  readonly footer: Uint8Array;
  readonly store: Store;
  readonly object: ObjectInfo;
  readonly uri: string;
}

/** What is known of a column's values in a row group. */
interface ChunkFacts {
  readonly column: FilterColumn;
  readonly range: ColumnRange;
  readonly bloom: { readonly startByte: number; readonly length: number | undefined } | undefined;
}

/** By row group. Errors: those of `Store.read`, `SHARD_INVALID`. */
export async function decideRowGroups(file: FilteredFile, signal: AbortSignal | undefined): Promise<RowGroupFate[]> {
  const raw = rawFooter(file.footer);
  const orders = new Set(raw.orders);
  const leaves = leafNames(file.metadata.schema);
  const fates: RowGroupFate[] = [];
  await mapConcurrent(
    file.metadata.row_groups,
    LIMITS.bloomConcurrencyMax,
    async (rowGroup, index, aborted) => {
      const facts = new Map(
        file.columns.map((column): [string, ChunkFacts] => {
          const hasTypeOrder = orders.has(leaves.indexOf(column.path.join('\0')));
          return [column.name, chunkFacts(rowGroup, raw.statistics[index], column, hasTypeOrder)];
        }),
      );
      fates[index] = await decideRowGroup(file, Number(rowGroup.num_rows), facts, aborted);
    },
    signal,
  );
  return fates;
}

async function decideRowGroup(
  { filter, store, object, uri }: FilteredFile,
  rows: number,
  facts: ReadonlyMap<string, ChunkFacts>,
  signal: AbortSignal,
): Promise<RowGroupFate> {
  if (rows === 0) return 'all';
  const truthsWith = (rangeFor: (chunk: ChunkFacts) => ColumnRange): Truths =>
    truthsOf(filter, (condition) => {
      const chunk = facts.get(condition.column);
      return chunk === undefined ? TRUE | UNKNOWN : rangeTruths(condition, chunk.column.type, rangeFor(chunk));
    });
  const truths = truthsWith(({ range }) => range);
  if ((truths & TRUE) === 0) return 'statistics';
  if (truths === TRUE) return 'all';
  // were every value that is asked for missing wherever a bloom filter could say so: would that rule the row group out?
  const wanted = [...facts.values()].filter(({ bloom }) => bloom !== undefined);
  const atBest = truthsWith(({ range, bloom, column }) => ({
    ...range,
    lacks: bloom && ((bound) => bloomHash(bound, column.leaf) !== undefined),
  }));
  if (wanted.length === 0 || (atBest & TRUE) !== 0) return 'by-row';
  const read = (range: ByteRange): Promise<Uint8Array> => store.read(object.path, range, { ifMatch: object.etag, signal });
  const blooms = new Map<ChunkFacts, BloomWords>();
  for (const chunk of wanted) {
    if (chunk.bloom === undefined) continue;
    const { startByte, length } = chunk.bloom;
    try {
      blooms.set(chunk, await readBloom(startByte, length, object.size, read));
    } catch (error) {
      if (error instanceof HeadraceError) throw error;
      throw new HeadraceError(
        'SHARD_INVALID',
        `the bloom filter of column ${chunk.column.name} of ${uri} cannot be read: ${messageOf(error)}`,
        {
          detail: { uri, column: chunk.column.name },
          hint: 'Write the file again, or take it out of the source.',
          cause: error,
        },
      );
    }
  }
  const byBloom = truthsWith((chunk) => {
    const words = blooms.get(chunk);
    if (words === undefined) return chunk.range;
    return {
      ...chunk.range,
      lacks: (bound) => {
        const hash = bloomHash(bound, chunk.column.leaf);
        return hash !== undefined && !mayContain(words, hash);
      },
    };
  });
  return (byBloom & TRUE) === 0 ? 'bloom' : 'by-row';
}

function chunkFacts(
  rowGroup: RowGroup,
  statistics: readonly (RawStatistics | undefined)[],
  column: FilterColumn,
  hasTypeOrder: boolean,
): ChunkFacts {
  const index = rowGroup.columns.findIndex(({ meta_data }) => meta_data?.path_in_schema.join('\0') === column.path.join('\0'));
  const meta = rowGroup.columns.at(index)?.meta_data;
  const range = rangeOf(statistics[index], { type: column.type, leaf: column.leaf, hasTypeOrder }, Number(rowGroup.num_rows));
  const offset = meta?.bloom_filter_offset;
  return { column, range, bloom: offset === undefined ? undefined : { startByte: Number(offset), length: meta?.bloom_filter_length } };
}

interface RawFooter {
  /** Columns, counted over the schema's leaves, whose bounds are in the order of their type. */
  readonly orders: readonly number[];
  /** By row group and column chunk. */
  readonly statistics: readonly (readonly (RawStatistics | undefined)[])[];
}

/** Fields as parquet.thrift numbers them. */
interface RawStruct {
  readonly [field: `field_${number}`]: unknown;
}

/** The library gives bounds as values of JavaScript, which are not exact: text whose end was cut off, decimals as doubles. */
function rawFooter(footer: Uint8Array): RawFooter {
  const trailer = new DataView(footer.buffer, footer.byteOffset, footer.byteLength);
  const length = trailer.getUint32(footer.length - 8, true);
  const view = new DataView(footer.buffer as ArrayBuffer, footer.byteOffset + footer.length - 8 - length, length);
  const metadata: RawStruct = deserializeTCompactProtocol({ view, offset: 0 });
  const orders = listOf(metadata.field_7).flatMap((order, leaf) => (order.field_1 === undefined ? [] : [leaf]));
  const statistics = listOf(metadata.field_4).map((rowGroup) =>
    listOf(rowGroup.field_1).map((chunk): RawStatistics | undefined => {
      const raw = structOf(structOf(chunk.field_3)?.field_12);
      return (
        raw && {
          max: bytesOf(raw.field_1),
          min: bytesOf(raw.field_2),
          nullCount: typeof raw.field_3 === 'bigint' ? raw.field_3 : undefined,
          maxValue: bytesOf(raw.field_5),
          minValue: bytesOf(raw.field_6),
        }
      );
    }),
  );
  return { orders, statistics };
}

function listOf(value: unknown): RawStruct[] {
  return Array.isArray(value) ? value.map((item: unknown) => structOf(item) ?? {}) : [];
}

function structOf(value: unknown): RawStruct | undefined {
  return typeof value === 'object' && value !== null && !(value instanceof Uint8Array) ? (value as RawStruct) : undefined;
}

function bytesOf(value: unknown): Uint8Array | undefined {
  return value instanceof Uint8Array ? value : undefined;
}
