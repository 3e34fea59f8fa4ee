/** litData's optimized data sets, in place: a chunk is a shard, and the `index.json` beside it says what its samples are made of. */
import type { Block, Shard, Unit } from '../../core/shard.js';
import { createTurns } from '../../core/turns.js';
import type { ByteRange, ObjectInfo, Store } from '../../store/store.js';
import { createArrowDecoder } from '../arrow/block-reader.js';
import { CONTENT_LIMITS } from '../compressed/limits.js';
import { createHash } from 'node:crypto';
import { canonicalJson } from '../../core/canonical-json.js';
import type { Filter } from '../../core/filter/filter.js';
import type { BlockReader, ColumnDescription, ColumnRequest, Decoder, Scan, ShardDescription, ShardIndex } from '../decoder.js';
import { withFreshReads } from '../fresh-reads.js';
import { shardOfPart, storeOfPart } from './arrow-part.js';
import { ChunkReader, estimateChunk } from './block-reader.js';
import type { IntegerType } from '../integers.js';
import { tokensOf } from './column.js';
import { createSetReader, type LitdataSet } from './data-set.js';
import { indexChunk, type FoundUnit, type IndexedChunk } from './index-chunk.js';
import { litdataShardLayout, type LitdataShardLayout, type LitdataStored } from './layout.js';
import { useOf } from './leaf.js';
import { litdataInvalid, litdataUnsupported } from './litdata-error.js';
import { wantedOf, type LitdataWanted } from './wanted.js';

/** `scan` runs in a worker. */
export function createLitdataDecoder(scan: Scan): Decoder {
  const arrow = createArrowDecoder();
  const readSet = createSetReader();
  const inTurn = createTurns(CONTENT_LIMITS.passesMax);
  const open = (store: Store, path: string, shard: Shard, block: Block): BlockReader => {
    const layout = litdataShardLayout(shard.layout);
    if (layout.kind === 'arrow') return arrow.openBlock(storeOfPart(store, layout), path, shardOfPart(shard, layout, layout.arrow), block);
    return new ChunkReader(store, path, shard, block, layout);
  };
  const readChunk = async (store: Store, object: ObjectInfo, signal: AbortSignal): Promise<{ set: LitdataSet; chunk: IndexedChunk }> => {
    const set = await readSet(store, object, signal);
    const read = (): Promise<IndexedChunk> => indexChunk(store, object, set, scan, signal);
    // one that is compressed as a whole has a decompressor of its own
    return { set, chunk: await (set.compression?.of === 'chunk' ? inTurn(read) : read()) };
  };
  const indexPart = (
    store: Store,
    object: ObjectInfo,
    part: ByteRange,
    request: ColumnRequest,
    signal: AbortSignal,
    filter?: Filter,
  ): Promise<ShardIndex> =>
    arrow.index(storeOfPart(store, part), { ...object, size: part.endByte - part.startByte }, request, signal, filter);
  return {
    index: async (store, object, request, signal = new AbortController().signal, filter) => {
      const { set, chunk } = await readChunk(store, object, signal);
      const { found } = chunk;
      if (found.kind === 'items') return indexItems(chunk, found, set, request, filter, store.uri + object.path);
      const rows = await indexPart(store, object, found.part, request, signal, filter);
      return indexRows(chunk, found.part, rows, store.uri + object.path);
    },
    describe: async (store, object, signal = new AbortController().signal) => {
      const { set, chunk } = await readChunk(store, object, signal);
      const { found } = chunk;
      if (found.kind === 'items') return describeChunk(set, chunk.items, found.units, found.stored);
      const { name = '', kind = 'text' } =
        set.leaves.map((leaf) => ({ name: leaf.name, kind: useOf(leaf) })).find((leaf) => leaf.kind) ?? {};
      if (name !== '')
        return describeChunk(set, chunk.items, (await indexPart(store, object, found.part, { column: name, kind }, signal)).units, 'plain');
      const bytes = found.part.endByte - found.part.startByte;
      return describeChunk(set, chunk.items, [{ rows: chunk.items, storedBytes: bytes, decodedBytes: bytes }], 'plain');
    },
    openBlock: open,
    reopenBlock: (store, path, shard, block, ranges) => {
      const layout = litdataShardLayout(shard.layout);
      if (layout.kind !== 'arrow') return open(withFreshReads(store, ranges), path, shard, block);
      return arrow.reopenBlock(storeOfPart(store, layout), path, shardOfPart(shard, layout, layout.arrow), block, ranges);
    },
    estimateBlock: (shard, block, withIds) => {
      const layout = litdataShardLayout(shard.layout);
      return layout.kind === 'arrow'
        ? arrow.estimateBlock(shardOfPart(shard, layout, layout.arrow), block, withIds)
        : estimateChunk(layout, shard, block);
    },
    fieldTypes: (shard) => {
      const layout = litdataShardLayout(shard.layout);
      if (layout.kind === 'arrow') return arrow.fieldTypes?.(shardOfPart(shard, layout, layout.arrow));
      return shard.rows === 0 || layout.kind === 'tokens' ? undefined : layout.fields?.map(({ type }) => type);
    },
    // of samples they lie in what is read anyway
    storedIdBytes: (unit) => (isPlaced(unit) ? 0 : arrow.storedIdBytes(unit)),
    storedFilterBytes: (unit) => (isPlaced(unit) ? 0 : arrow.storedFilterBytes?.(unit)),
  };
}

/** Units of Arrow have layouts of their own. */
function isPlaced({ layout }: Unit): boolean {
  return typeof layout === 'object' && layout !== null && 'firstByte' in layout;
}

type DescribedUnit = ShardDescription['units'][number];

/** Bytes of each of several values are known to nobody who has not read them all. */
function describeChunk({ leaves }: LitdataSet, rows: number, units: readonly DescribedUnit[], stored: LitdataStored): ShardDescription {
  const sumOf = (bytes: 'storedBytes' | 'decodedBytes'): number =>
    leaves.length === 1 ? units.reduce((sum, unit) => sum + unit[bytes], 0) : 0;
  const columns = leaves.map((leaf): ColumnDescription => ({
    name: leaf.name,
    type: leaf.format,
    use: useOf(leaf),
    codecs: stored === 'plain' ? [] : ['zstd'],
    encodings: [],
    storedBytes: sumOf('storedBytes'),
    decodedBytes: sumOf('decodedBytes'),
  }));
  return { rows, columns, units, hasStatistics: true };
}

/** What a unit's samples decode to is more than what is wanted of them, by the sizes that stand before their values; ids are counted as int32. */
function indexItems(
  { contentId, items: rows }: IndexedChunk,
  { stored, tableByte, units }: Extract<IndexedChunk['found'], { readonly kind: 'items' }>,
  set: LitdataSet,
  request: ColumnRequest,
  filter: Filter | undefined,
  uri: string,
): ShardIndex {
  if (set.isTokens) {
    if (stored !== 'plain' && stored !== 'chunk')
      throw litdataInvalid(uri, 'its token ids are compressed in groups, which litData does not do', 0);
    const item = itemsOf(set, request, filter, uri);
    const layout: LitdataShardLayout = { kind: 'tokens', stored, tableByte, item };
    return { contentId, rows, units: unitsOf(units, ({ decodedBytes }) => (4 * decodedBytes) / item.bytes), layout: { ...layout } };
  }
  const wanted = wantedOf(set, request, filter, uri);
  const leaves = set.leaves.length;
  const lists = listsOf(set, wanted);
  const layout: LitdataShardLayout = { kind: 'samples', stored, tableByte, leaves, ...wanted };
  const form = wanted.column?.form;
  const width = leaves === 1 && form?.form === 'list' ? form.item.bytes : 4;
  const valueBytes = ({ decodedBytes, rows: own }: FoundUnit): number => Math.max(0, decodedBytes - 4 * leaves * own);
  return {
    contentId: lists === undefined ? contentId : createHash('sha256').update(`${contentId} ${lists}`).digest('hex'),
    rows,
    units: unitsOf(units, (unit) => (4 * valueBytes(unit)) / width),
    layout: { ...layout },
  };
}

/** What `index.json` says that lists which are served hold: it decides about what they are served as, and nothing else tells it. */
function listsOf({ leaves }: LitdataSet, { fields = [] }: LitdataWanted): string | undefined {
  const lists = fields.flatMap(({ leaf, source }) => (source.form === 'nested' ? [[leaf, leaves[leaf].listOf ?? null]] : []));
  return lists.length === 0 ? undefined : canonicalJson(lists);
}

/** Of items that are token ids there is nothing else to read. Errors: `COLUMN_MISSING`, `COLUMN_TYPE`, `SHARD_UNSUPPORTED`. */
function itemsOf(set: LitdataSet, { column, kind, id, fields }: ColumnRequest, filter: Filter | undefined, uri: string): IntegerType {
  const isPlain = (kind === 'text' || kind === 'tokens') && id === undefined && fields === undefined && filter === undefined;
  if (isPlain) return tokensOf(set, column, kind, uri);
  throw litdataUnsupported(
    uri,
    'its samples are token ids, and nothing lies beside them',
    'Name them in `tokens`, and leave `id`, `fields` and `where` out; or write samples of several values with the default loader.',
  );
}

function unitsOf(units: readonly FoundUnit[], decodedBytes: (unit: FoundUnit) => number): Unit[] {
  return units.map((unit) => ({ ...unit, decodedBytes: Math.ceil(decodedBytes(unit)), layout: { ...unit.layout } }));
}

function indexRows(
  { contentId, items }: IndexedChunk,
  { startByte, endByte }: { readonly startByte: number; readonly endByte: number },
  { rows, units, layout: arrow }: ShardIndex,
  uri: string,
): ShardIndex {
  if (rows !== items) throw litdataInvalid(uri, `it has ${rows} rows in Arrow, and says that it has ${items} samples`, startByte);
  const layout: LitdataShardLayout = { kind: 'arrow', startByte, endByte, arrow };
  return { contentId, rows, units, layout: { ...layout } };
}
