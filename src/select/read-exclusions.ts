/** Reads what a source's configuration leaves out: all its lists, once, at the start. */
import { LIMITS } from '../config/limits.js';
import { nearestNames } from '../core/nearest-name.js';
import type { Shard } from '../core/shard.js';
import { createExcludedBuilder, EXCLUDED_SHARDS_MAX, type BuiltExclusions } from './excluded.js';
import { shownUri } from '../store/schemes.js';
import { readList, type Fail, type ListPlace, type ListSink } from './read-list.js';

export interface ExclusionRequest {
  /** Of the source. */
  readonly name: string;
  readonly lists: readonly ListPlace[];
  /** Whether the source has a column of ids. */
  readonly hasIds: boolean;
  readonly shards: ExcludableShards;
  /** Whether a shard of this path would not be among them, since the source's filter takes none of its rows. */
  readonly isRuledOut?: (path: string) => boolean;
  /** Told of a list whose ids probably match nothing. */
  readonly warn?: ((message: string, detail: Readonly<Record<string, string | number>>) => void) | undefined;
}

/** An integer as tools write one of a column that has gaps, and is one of floats to them. */
const DECIMAL_INTEGER = /^-?\d+\.0+$/;
const NONE = { count: 0, last: '' };

/** Of a source, in canonical order; made when they are asked for. */
export interface ExcludableShards {
  readonly length: number;
  at(index: number): Pick<Shard, 'path' | 'uri' | 'rows'>;
}

/** Errors: `EXCLUSION_INVALID`, those of `Store.head` and `Store.read`. */
export async function readExclusions(request: ExclusionRequest, signal?: AbortSignal): Promise<BuiltExclusions> {
  const { name, lists, hasIds, shards, isRuledOut, warn } = request;
  const builder = createExcludedBuilder();
  let indexOf: ReadonlyMap<string, number> | undefined;
  const checkCount = (fail: Fail): void => {
    if (builder.entries < LIMITS.exclusionEntriesMax) return;
    throw fail(`sources.${name}.exclude has more than ${LIMITS.exclusionEntriesMax} entries`);
  };
  /** Of the list that is read. */
  let decimals: { readonly count: number; readonly last: string } = NONE;
  const sink: ListSink = {
    id: (id, fail) => {
      if (!hasIds) throw fail(`it names an id, and sources.${name}.id says no column that has them`);
      checkCount(fail);
      if (DECIMAL_INTEGER.test(id)) decimals = { count: decimals.count + 1, last: id };
      builder.addId(id);
    },
    row: (shard, row, fail) => {
      indexOf ??= indexShards(shards); // of a million shards it is large, and lists of ids do not need it
      const index = indexOf.get(shard);
      if (index === undefined && isRuledOut?.(shard) === true) return;
      if (index === undefined) throw fail(unknownShard(name, shard, indexOf));
      if (index >= EXCLUDED_SHARDS_MAX) throw fail(`rows can be excluded from the first ${EXCLUDED_SHARDS_MAX} shards of a source`);
      const { rows } = shards.at(index);
      if (row >= rows) throw fail(`there is no row ${row} in ${shard}, which has ${rows} rows, counted from 0`);
      checkCount(fail);
      builder.addRow(index, row);
    },
  };
  for (const list of lists) {
    decimals = NONE;
    await readList(list, sink, signal);
    if (decimals.count > 0) warn?.(decimalIds(decimals.last, decimals.count), { source: name, uri: shownUri(list.uri) });
  }
  return builder.build();
}

function decimalIds(id: string, count: number): string {
  return `${count} ids of a list of exclude are written like ${id}: they leave out documents with this text as their id, and none whose id is the integer ${id.replace(/\.0+$/, '')}`;
}

/** By path below the source's root, and by URI. */
function indexShards(shards: ExcludableShards): ReadonlyMap<string, number> {
  const index = new Map<string, number>();
  for (let i = 0; i < shards.length; i++) index.set(shards.at(i).uri, i);
  for (let i = 0; i < shards.length; i++) index.set(shards.at(i).path, i);
  return index;
}

/** Shards whose names are compared with one that is not known: more take long, and a name more of them does not help. */
const COMPARED_MAX = 10_000;

function unknownShard(source: string, shard: string, indexOf: ReadonlyMap<string, number>): string {
  const near = indexOf.size <= COMPARED_MAX ? nearestNames(shard, [...indexOf.keys()]) : [];
  return `sources.${source} has no shard ${shard}${near.length === 0 ? '' : ` (did you mean ${near.join(' or ')}?)`}`;
}
