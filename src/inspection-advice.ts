/** What will be slow or break in a data set, each with what to write instead: judged from what `headrace inspect` found. */
import { LIMITS } from './config/limits.js';
import { formatSize } from './core/quantity.js';
import type { ShardDescription } from './decode/decoder.js';
import type { Inspection } from './inspecting.js';

export interface Advice {
  /** For programs. */
  readonly code:
    | 'small-shards'
    | 'large-row-groups'
    | 'small-row-groups'
    | 'one-row-group'
    | 'large-record-batches'
    | 'no-statistics'
    | 'gzip'
    | 'not-compressed'
    | 'not-indexed'
    | 'mixed-schemas'
    | 'bad-rows';
  readonly problem: string;
  /** What to write, or to do, instead. */
  readonly instead: string;
}

type Facts = Omit<Inspection, 'advice' | 'firstRows'>;

export function adviceOf(facts: Facts, described: readonly ShardDescription[]): Advice[] {
  return RULES.flatMap((rule) => rule(facts, described) ?? []);
}

type Rule = (facts: Facts, described: readonly ShardDescription[]) => Advice | undefined;

const RULES: readonly Rule[] = [
  function smallShards({ shards, shardBytes }) {
    const mean = shardBytes.total / shards;
    if (shards <= LIMITS.smallShardsMin || mean >= LIMITS.smallShardBytes) return undefined;
    return {
      code: 'small-shards',
      problem: `${shards} shards of ${formatSize(Math.round(mean))} on average: opening each takes longer than reading it`,
      instead: 'Write fewer shards of 128 MiB to 1 GiB; until then `headrace index` spares every start the footers.',
    };
  },
  function largeUnits({ format, units: { decodedBytes } }) {
    if (format !== 'parquet' || decodedBytes.max <= LIMITS.largeUnitBytes) return undefined;
    return {
      code: 'large-row-groups',
      problem: `the largest row group decodes to ${formatSize(decodedBytes.max)}, over all its columns: it is found page by page, and shuffled as few blocks`,
      instead: 'Write row groups of 64 to 128 MiB (pyarrow: row_group_size, in rows; Spark: parquet.block.size), with a page index.',
    };
  },
  function smallUnits({ format, units: { count, decodedBytes }, looked }) {
    if (format !== 'parquet' || count <= 2 * looked || decodedBytes.median >= LIMITS.smallUnitBytes) return undefined;
    return {
      code: 'small-row-groups',
      problem: `half of the row groups decode to ${formatSize(decodedBytes.median)} or less: requests are small, and footers large`,
      instead: 'Write row groups of 64 to 128 MiB (pyarrow: row_group_size, in rows; Spark: parquet.block.size).',
    };
  },
  function oneUnit({ format }, described) {
    if (format === 'arrow') return undefined; // its rows have their places
    const huge = described.find(
      ({ units }) => units.length === 1 && units[0].isWhole !== true && units[0].storedBytes > LIMITS.largeUnitBytes,
    );
    if (huge === undefined) return undefined;
    return {
      code: 'one-row-group',
      problem: `a shard of ${formatSize(huge.units[0].storedBytes)} is one row group: its rows cannot be read apart without passing over its pages`,
      instead: 'Write several row groups a file, of 64 to 128 MiB each.',
    };
  },
  function noStatistics(_facts, described) {
    if (described.every(({ hasStatistics }) => hasStatistics)) return undefined;
    return {
      code: 'no-statistics',
      problem: 'there are no statistics of columns: a filter has to read every row group to know that it wants none of it',
      instead: 'Write them (pyarrow: write_statistics=True), where you filter by a column.',
    };
  },
  function gzip({ columns }) {
    const own = columns.filter(({ codecs }) => codecs.includes('GZIP')).map(({ name }) => name);
    if (own.length === 0) return undefined;
    return {
      code: 'gzip',
      problem: `${named(own)} compressed with gzip, which decodes several times slower than Zstandard at the same size`,
      instead: 'Write with zstd, or with snappy where size matters less.',
    };
  },
  function notCompressed({ columns }) {
    const own = columns.filter(
      ({ codecs, decodedBytes }) => codecs.length === 1 && codecs[0] === 'UNCOMPRESSED' && decodedBytes > LIMITS.smallUnitBytes,
    );
    const text = own.filter(({ use }) => use === 'text').map(({ name }) => name);
    if (text.length === 0) return undefined;
    return {
      code: 'not-compressed',
      problem: `${named(text)} not compressed: two to four times the bytes are stored, sent and kept`,
      instead: 'Write with zstd or snappy.',
    };
  },
  function largeBatches({ format, units: { storedBytes } }, described) {
    const isCompressed = described.some(({ units }) => units.some(({ isWhole }) => isWhole === true));
    if (format !== 'arrow' || !isCompressed || storedBytes.max <= LIMITS.largeUnitBytes) return undefined;
    return {
      code: 'large-record-batches',
      problem: `the largest record batch has ${formatSize(storedBytes.max)}, compressed: each block of it reads and decodes all of the columns that it wants`,
      instead: 'Write record batches of 16 to 64 MiB (pyarrow: max_chunksize, in rows), or Parquet.',
    };
  },
  function notIndexed({ format }, described) {
    if (format === 'arrow') return undefined;
    const whole = described.flatMap(({ units }) => units).filter(({ isWhole }) => isWhole === true);
    const largest = whole.reduce((most, { storedBytes }) => Math.max(most, storedBytes), 0);
    if (largest <= LIMITS.smallShardBytes) return undefined;
    return {
      code: 'not-indexed',
      problem: `${formatSize(largest)} can only be read from the start (a stream of gzip, or the like): a resume reads it again up to its place`,
      instead: 'Compress in parts that stand for themselves (bgzip, or Zstandard with several frames), or write more and smaller shards.',
    };
  },
  function mixedSchemas({ differences, looked, shards }) {
    if (differences.length === 0) return undefined;
    const [{ column, shard, reference, problem }] = differences;
    return {
      code: 'mixed-schemas',
      problem: `the columns of shards differ (${looked} of ${shards} were looked at): ${column} in ${shard} is ${problem}, compared with ${reference}`,
      instead: 'Write all shards with one schema, or make a source of each kind, with globs.',
    };
  },
  function badRows(_facts, described) {
    const looked = described.flatMap((shard) => shard.looked ?? []);
    const first = looked.find(({ bad }) => bad > 0);
    if (first === undefined) return undefined;
    const sum = (count: 'rows' | 'bad'): number => looked.reduce((total, own) => total + own[count], 0);
    return {
      code: 'bad-rows',
      problem: `${sum('bad')} of the ${sum('rows')} rows that were looked at cannot be read: ${first.problem ?? ''}`,
      instead: 'Mend them, or set `badRows: skip`, which leaves such rows out and counts them.',
    };
  },
];

function named(columns: readonly string[]): string {
  const shown = columns.slice(0, 3).join(', ');
  const more = columns.length > 3 ? ` and ${columns.length - 3} more` : '';
  return `${shown}${more} ${columns.length === 1 ? 'is' : 'are'}`;
}
