/** The main thread's half of Arrow: which arrays of a record batch a block has, and what of them is read for its slices. */
import { LRUCache } from 'lru-cache';
import { LIMITS } from '../../config/limits.js';
import type { Block, Shard } from '../../core/shard.js';
import type { ByteRange, Store } from '../../store/store.js';
import { allOrNone } from '../all-or-none.js';
import { estimateStretch } from '../estimate-stretch.js';
import type { PinnedObject } from '../ascending-reader.js';
import type { BlockReader, Decoder, FetchedRows } from '../decoder.js';
import { withFreshReads } from '../fresh-reads.js';
import { describeArrow } from './describe.js';
import { ColumnReader, rangeOf, readDictionaries } from './column-reader.js';
import type { EncodedArrowBeside, EncodedDictionary } from './encoded-slice.js';
import {
  arrowShardLayout,
  arrowUnitLayout,
  storedBytesOf,
  type ArrowColumnLayout,
  type ArrowColumnType,
  type ArrowDictionaryLayout,
} from './layout.js';
import { readArrowIndex } from './read-index.js';
import { arraysIn, RecordReader } from './record-reader.js';

/** Those of a shard, by what tells its columns and their parts from others. */
type KnownDictionaries = LRUCache<string, readonly EncodedDictionary[]>;

export function createArrowDecoder(): Decoder {
  // a dictionary serves all blocks of its shard
  const dictionaries: KnownDictionaries = new LRUCache({ maxSize: LIMITS.arrowDictionaryBytes });
  return {
    index: (store, object, request, signal, filter) => readArrowIndex(store, object, { ...request, filter }, signal),
    describe: describeArrow,
    openBlock: (store, path, shard, block) => openArrowBlock(store, path, shard, block, dictionaries),
    reopenBlock: (store, path, shard, block, ranges) => openArrowBlock(withFreshReads(store, ranges), path, shard, block, undefined),
    estimateBlock: (shard, block, withIds = false) => {
      const unit = shard.units[block.unit];
      const { column, id, fields = [], filter = [], records = [] } = arrowUnitLayout(unit.layout);
      const read = [...(column ? [column] : []), ...fields, ...filter, ...records, ...(withIds && id !== undefined ? [id] : [])];
      const estimates = read.map((layout) => estimateStretch(unit, block, { startByte: 0, endByte: storedBytesOf(layout) }));
      return (startRow, endRow) =>
        estimates
          .map((estimate) => estimate(startRow, endRow))
          .reduce((sum, { bytes, requests }) => ({ bytes: sum.bytes + bytes, requests: sum.requests + requests }));
    },
    fieldTypes: (shard) => (shard.rows === 0 ? undefined : arrowShardLayout(shard.layout).fields?.map(({ served }) => served)),
    storedIdBytes: (unit) => {
      const { id } = arrowUnitLayout(unit.layout);
      return id === undefined ? 0 : storedBytesOf(id);
    },
    storedFilterBytes: (unit) => {
      const { filter } = arrowUnitLayout(unit.layout);
      return filter?.reduce((sum, layout) => sum + storedBytesOf(layout), 0);
    },
  };
}

/** Values [first, end) of an array; `isLast`: no more of it will be asked for. */
type ReadRows = readonly [first: number, end: number, isLast: boolean, signal: AbortSignal];

/** `dictionaries`: undefined where what is known may be damaged. */
function openArrowBlock(store: Store, path: string, shard: Shard, block: Block, dictionaries: KnownDictionaries | undefined): BlockReader {
  const unit = shard.units[block.unit];
  const { name, type, id, fields = [], filter = [], records = [], dictionaries: parts } = arrowShardLayout(shard.layout);
  const layouts = arrowUnitLayout(unit.layout);
  const object: PinnedObject = { store, path, etag: shard.etag };
  const readers: { readonly ranges: readonly ByteRange[] }[] = [];
  const first = block.startRow - unit.startRow;
  const end = block.endRow - unit.startRow;

  const openColumn = (
    own: { readonly name: string; readonly type: ArrowColumnType },
    layout: ArrowColumnLayout,
    start = first,
    stop = end,
  ): ColumnReader => {
    const dictionary = parts.slice(...layout.dictionary);
    const key = `${shard.uri}@${shard.etag}#${own.name}:${layout.dictionary.join(':')}`;
    return new ColumnReader({
      object,
      uri: shard.uri,
      first: start,
      end: stop,
      name: own.name,
      type: own.type,
      layout,
      readDictionary: (signal) => dictionaryOf(object, dictionary, key, dictionaries, signal),
      dictionaryRanges: dictionary.flatMap(({ offsets, values, valid }) => [offsets, values, ...(valid ? [valid] : [])].map(rangeOf)),
    });
  };
  /** Opened when they are first asked for. */
  const once = <T extends { readonly ranges: readonly ByteRange[] }>(make: () => readonly T[]): (() => readonly T[]) => {
    let opened: readonly T[] | undefined;
    return () => {
      if (opened === undefined) readers.push(...(opened = make()));
      return opened;
    };
  };
  const columnReaders = once(() =>
    name === undefined || type === undefined || layouts.column === undefined ? [] : [openColumn({ name, type }, layouts.column)],
  );
  const idReaders = once(() => (id === undefined || layouts.id === undefined ? [] : [openColumn(id, layouts.id)]));
  const fieldReaders = once(() => fields.map((own, i) => openColumn({ name: own.column, type: own.type }, (layouts.fields ?? [])[i])));
  const filterReaders = once(() => filter.map((own, i) => openColumn({ name: own.column, type: own.type }, (layouts.filter ?? [])[i])));
  const recordReaders = once(() => {
    let at = 0;
    return records.map((own) => {
      const parts = layouts.records?.slice(at, (at += arraysIn(own))) ?? [];
      return new RecordReader(own, parts, openColumn, first, end);
    });
  });

  const { startRow: unitRow } = unit;
  return {
    get ranges() {
      return readers.flatMap(({ ranges }) => ranges);
    },
    read: async (startRow, endRow, wanted, signal) => {
      const rows = [startRow - unitRow, endRow - unitRow, endRow === block.endRow, signal] as const;
      const columns = <T>(from: readonly { read(...rows: ReadRows): Promise<T> }[], are: boolean): Promise<T[]> =>
        are ? allOrNone(from.map((reader) => reader.read(...rows))) : Promise.resolve([]);
      const has = { fields: wanted.fields && fields.length > 0, filter: wanted.filter && layouts.filter !== undefined };
      const [ownRows, inRecords, ownIds, ownFields, ownFilter] = await allOrNone([
        columns(columnReaders(), wanted.rows),
        columns(recordReaders(), wanted.rows),
        columns(idReaders(), wanted.ids),
        columns(fieldReaders(), has.fields),
        columns(filterReaders(), has.filter),
      ]);
      const own = ownRows.at(0);
      const ids = ownIds.at(0);
      const kind = type?.kind === 'list' || type?.kind === 'fixed' ? 'tokens' : 'text';
      const ranges = recordReaders().flatMap((reader) => reader.ranges);
      const slice: FetchedRows['slice'] =
        inRecords.length === 0
          ? own && { ...own, kind }
          : { format: 'arrow', kind: 'records', uri: shard.uri, rows: endRow - startRow, ranges, columns: inRecords };
      const beside: EncodedArrowBeside = {
        format: 'arrow',
        ids,
        fields: has.fields ? ownFields.map((column, i) => ({ ...column, name: fields[i].name, served: fields[i].served })) : undefined,
        filter: has.filter ? ownFilter.map((column, i) => ({ ...column, compared: filter[i].compared })) : undefined,
        ranges: [...(ids?.ranges ?? []), ...[...ownFields, ...ownFilter].flatMap((column) => column.ranges)],
      };
      return { slice, beside: ids !== undefined || has.fields || has.filter ? beside : undefined };
    },
  };
}

async function dictionaryOf(
  object: PinnedObject,
  parts: readonly ArrowDictionaryLayout[],
  key: string,
  dictionaries: KnownDictionaries | undefined,
  signal: AbortSignal,
): Promise<readonly EncodedDictionary[]> {
  const known = dictionaries?.get(key);
  if (known !== undefined) return known;
  const read = await readDictionaries(object, parts, signal);
  const size = read.reduce((sum, { offsets, values }) => sum + offsets.length + values.length, 1);
  if (size <= LIMITS.arrowDictionaryBytes) dictionaries?.set(key, read, { size });
  return read;
}
