/**
 * Arrays of token ids, `.npy` and plain `.bin`: rows of equal length are found by arithmetic; documents that end with an id are found by a pass over the
 * object, once, and in each unit again when it is read.
 */
import { createHash } from 'node:crypto';
import { LIMITS } from '../../config/limits.js';
import { HeadraceError } from '../../core/errors.js';
import type { Block, Shard, Unit } from '../../core/shard.js';
import type { ByteRange, ObjectInfo, Store } from '../../store/store.js';
import { AscendingReader, readPinned, type PinnedObject } from '../ascending-reader.js';
import { withFreshReads } from '../fresh-reads.js';
import type { BlockReader, PlainRequest, PlainDecoder, Scan, ShardIndex } from '../decoder.js';
import { HEAD_BYTES, npyForm, rawForm, type ArrayForm, type ArrayHead } from './array-file.js';
import { NOTHING, rowsOnly } from './encoded-slice.js';
import { estimateStretch } from '../estimate-stretch.js';
import { arrayShardLayout, arrayUnitLayout, type ArrayShardLayout, type ArrayUnitLayout } from './layout.js';
import { arrayOptionsOf, type ArrayOptions } from './options.js';

type FormOf = (head: ArrayHead, options: ArrayOptions) => ArrayForm;

export function createNpyDecoder(scan: Scan): PlainDecoder {
  return createArrayDecoder(scan, 'npy', npyForm);
}

export function createTokensDecoder(scan: Scan): PlainDecoder {
  return createArrayDecoder(scan, 'tokens', rawForm);
}

function createArrayDecoder(scan: Scan, format: string, formOf: FormOf): PlainDecoder {
  const open = (store: Store, path: string, shard: Shard, block: Block): BlockReader =>
    openBlock({ store, path, etag: shard.etag }, shard, block, scan);
  return {
    index: (store, object, request, signal) => readIndex({ store, object, scan, format, formOf }, request, signal),
    openBlock: open,
    reopenBlock: (store, path, shard, block, ranges) => open(withFreshReads(store, ranges), path, shard, block),
    estimateBlock: (shard, block) => {
      const { startByte, endByte } = arrayUnitLayout(shard.units[block.unit].layout);
      return estimateStretch(shard.units[block.unit], block, { startByte, endByte });
    },
    storedIdBytes: () => 0,
  };
}

interface IndexParts {
  readonly store: Store;
  readonly object: ObjectInfo;
  readonly scan: Scan;
  readonly format: string;
  readonly formOf: FormOf;
}

async function readIndex(
  { store, object, scan, format, formOf }: IndexParts,
  request: PlainRequest,
  signal?: AbortSignal,
): Promise<ShardIndex> {
  const uri = store.uri + object.path;
  const options = arrayOptionsOf(request, uri, format);
  const pinned: PinnedObject = { store, path: object.path, etag: object.etag };
  const { size } = object;
  const head = await readPinned(pinned, { startByte: 0, endByte: Math.min(size, HEAD_BYTES) }, signal);
  const form = formOf({ uri, head, size }, options);
  const rowIds = form.rowIds ?? (options.eosId === undefined ? options.rowTokens : undefined);
  if (rowIds !== undefined && rowIds > LIMITS.arrayRowIdsMax) throw tooLong(uri, `its rows have ${rowIds} ids`, 'Write shorter rows.');
  // nothing in such a file depends on all of it: its ends stand for the rest, where it is not passed over anyway
  const tail = await readPinned(pinned, { startByte: Math.max(head.length, size - HEAD_BYTES), endByte: size }, signal);
  const content = createHash('sha256').update(`${size}\n`).update(head).update(tail);
  const { type } = form;
  if (rowIds !== undefined) {
    const units = evenUnits(form, rowIds, form.rowIds === undefined && options.wholeRows);
    const layout: ArrayShardLayout = { type, rowIds };
    return { contentId: content.digest('hex'), rows: rowsOf(units), units, layout: { ...layout } };
  }
  const endId = options.eosId ?? 0;
  const found = await findDocuments(pinned, form, endId, { uri, scan, signal });
  for (const digest of found.digests) content.update(digest);
  const layout: ArrayShardLayout = { type, endId };
  return { contentId: content.digest('hex'), rows: rowsOf(found.units), units: found.units, layout: { ...layout } };
}

function rowsOf(units: readonly Unit[]): number {
  return units.reduce((sum, { rows }) => sum + rows, 0);
}

function evenUnits({ type, dataByte, ids }: ArrayForm, rowIds: number, wholeRows: boolean): Unit[] {
  const rows = wholeRows ? Math.floor(ids / rowIds) : Math.ceil(ids / rowIds);
  const unitRows = Math.max(1, Math.floor(LIMITS.arrayUnitIds / rowIds));
  return Array.from({ length: Math.ceil(rows / unitRows) }, (_, unit) => {
    const startRow = unit * unitRows;
    const endRow = Math.min(rows, startRow + unitRows);
    return unitOf(startRow, endRow - startRow, dataByte, type.bytes, { start: startRow * rowIds, end: Math.min(ids, endRow * rowIds) });
  });
}

function unitOf(
  startRow: number,
  rows: number,
  dataByte: number,
  width: number,
  { start, end }: { readonly start: number; readonly end: number },
): Unit {
  const layout: ArrayUnitLayout = { startByte: dataByte + width * start, endByte: dataByte + width * end };
  return { startRow, rows, decodedBytes: 4 * (end - start), storedBytes: width * (end - start), layout: { ...layout } };
}

interface FoundDocuments {
  readonly units: Unit[];
  /** Of the object's parts. */
  readonly digests: readonly string[];
}

/** In one pass; the next part is on its way while a worker looks through one. What follows the last end is a document of its own. */
async function findDocuments(
  pinned: PinnedObject,
  { type, dataByte, ids }: ArrayForm,
  endId: number,
  {
    uri,
    scan,
    signal = new AbortController().signal,
  }: { readonly uri: string; readonly scan: Scan; readonly signal?: AbortSignal | undefined },
): Promise<FoundDocuments> {
  const partIds = Math.floor(LIMITS.arrayScanBytes / type.bytes);
  const read = (start: number): Promise<Uint8Array> => {
    const range = { startByte: dataByte + type.bytes * start, endByte: dataByte + type.bytes * Math.min(ids, start + partIds) };
    const reading = readPinned(pinned, range, signal);
    reading.catch(() => undefined); // heard when it is its turn
    return reading;
  };
  const units: Unit[] = [];
  const digests: string[] = [];
  let unit = { startRow: 0, rows: 0, start: 0 };
  let documentStart = 0;
  const close = (): void => {
    if (unit.rows === 0) return;
    units.push({ ...unitOf(unit.startRow, unit.rows, dataByte, type.bytes, { start: unit.start, end: documentStart }), isWhole: true });
    unit = { startRow: unit.startRow + unit.rows, rows: 0, start: documentStart };
  };
  const addDocument = (end: number): void => {
    if (end - documentStart > LIMITS.arrayRowIdsMax) throw endless(uri, endId, documentStart);
    if (end - unit.start > LIMITS.arrayUnitIds) close();
    unit.rows++;
    documentStart = end;
  };
  let next = read(0);
  for (let start = 0; start < ids; start += partIds) {
    const bytes = await next;
    if (start + partIds < ids) next = read(start + partIds);
    const { ends, digest } = await scan('document-ends', { bytes, type, endId, digest: true }, signal);
    digests.push(digest);
    for (const end of ends) addDocument(start + end);
    if (start + partIds - documentStart > LIMITS.arrayRowIdsMax + partIds) throw endless(uri, endId, documentStart);
  }
  if (documentStart < ids) addDocument(ids);
  close();
  return { units, digests };
}

function endless(uri: string, endId: number, start: number): HeadraceError {
  return tooLong(
    uri,
    `after id ${start} no ${endId} follows within ${LIMITS.arrayRowIdsMax} ids`,
    'array.eosId is to be the id that ends each document, in the vocabulary that the file was made with; left out, rows have array.rowTokens ids.',
  );
}

function tooLong(uri: string, problem: string, hint: string): HeadraceError {
  return new HeadraceError('SHARD_UNSUPPORTED', `${uri} cannot be read: ${problem}`, { detail: { uri }, hint });
}

function openBlock(pinned: PinnedObject, shard: Shard, block: Block, scan: Scan): BlockReader {
  const unit = shard.units[block.unit];
  const { type, rowIds, endId = 0 } = arrayShardLayout(shard.layout);
  const layout = arrayUnitLayout(unit.layout);
  const { uri } = shard;
  const reader = new AscendingReader(pinned);
  const byteOf = (row: number): number => Math.min(layout.endByte, layout.startByte + (row - unit.startRow) * (rowIds ?? 0) * type.bytes);
  let documents: Promise<UnitDocuments> | undefined;
  let ranges: readonly ByteRange[] = [];
  return {
    get ranges() {
      return rowIds === undefined ? ranges : reader.ranges;
    },
    read: async (startRow, endRow, wanted, signal) => {
      if (!wanted.rows) return NOTHING;
      const rows = endRow - startRow;
      if (rowIds !== undefined) {
        const bytes = await reader.read(byteOf(startRow), byteOf(endRow), byteOf(block.endRow), signal);
        return rowsOnly({ format: 'array', uri, rows, type, bytes, bounds: rowIds, ranges: reader.ranges });
      }
      ranges = [layout];
      documents ??= readDocuments(pinned, layout, { type, endId, scan }, signal);
      const own = documents;
      own.catch(() => (documents = undefined)); // the next one tries again
      const { bytes, ends } = await own;
      if (ends.length !== unit.rows) throw damaged(uri, `${ends.length} documents where the index says ${unit.rows}`);
      const first = startRow - unit.startRow;
      const start = first === 0 ? 0 : ends[first - 1];
      const bounds = Int32Array.from({ length: rows + 1 }, (_, i) => (i === 0 ? 0 : ends[first + i - 1] - start));
      if (endRow === block.endRow) documents = undefined;
      const ownBytes = bytes.slice(type.bytes * start, type.bytes * (start + bounds[rows]));
      return rowsOnly({ format: 'array', uri, rows, type, bytes: ownBytes, bounds, ranges });
    },
  };
}

interface UnitDocuments {
  readonly bytes: Uint8Array;
  /** Of each document, in ids. */
  readonly ends: Int32Array;
}

async function readDocuments(
  pinned: PinnedObject,
  layout: ArrayUnitLayout,
  { type, endId, scan }: { readonly type: ArrayShardLayout['type']; readonly endId: number; readonly scan: Scan },
  signal: AbortSignal,
): Promise<UnitDocuments> {
  const bytes = await readPinned(pinned, layout, signal);
  const { ends } = await scan('document-ends', { bytes: bytes.slice(), type, endId, digest: false }, signal);
  const length = bytes.length / type.bytes;
  if (ends.at(-1) === length) return { bytes, ends };
  const withLast = new Int32Array(ends.length + 1);
  withLast.set(ends);
  withLast[ends.length] = length;
  return { bytes, ends: withLast };
}

function damaged(uri: string, problem: string): HeadraceError {
  return new HeadraceError('SHARD_INVALID', `${uri} is not what its index says: ${problem}`, {
    detail: { uri },
    hint: 'Write the file again, or take it out of the source.',
  });
}
