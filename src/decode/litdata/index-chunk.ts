/**
 * Finds out how the samples of a chunk are stored, and cuts them into units.
 *
 *   plain    items │ offset 0 … offset items │ sample 0 │ sample 1 │ …          each: sizes of its leaves │ leaf 0 │ leaf 1 │ …
 *
 * Other forms: all of that compressed (`chunk-0-0.zstd.bin`), groups of samples compressed (frames.ts), each sample compressed, rows in Arrow
 * (arrow-part.ts). Source of the layout: `_create_chunk` in `litdata/streaming/writer.py`.
 */
import { createHash } from 'node:crypto';
import { LIMITS } from '../../config/limits.js';
import { messageOf } from '../../core/errors.js';
import type { Unit } from '../../core/shard.js';
import type { ByteRange, ObjectInfo, Store } from '../../store/store.js';
import { readPinned, type PinnedObject } from '../ascending-reader.js';
import { passContent } from '../compressed/content.js';
import type { Scan } from '../decoder.js';
import type { ItemProblem } from '../items/item-table.js';
import { readItemTable, type ItemUnit, type ReadItemBytes } from '../items/read-item-table.js';
import { arrowPart, ARROW_TAIL_BYTES } from './arrow-part.js';
import type { LitdataSet } from './data-set.js';
import { isFramed, readFrames, readFramesHead, type Frame } from './frames.js';
import type { LitdataStored, LitdataUnitLayout } from './layout.js';
import { LITDATA_LIMITS } from './limits.js';
import { litdataInvalid, litdataUnsupported } from './litdata-error.js';

export interface IndexedChunk {
  readonly items: number;
  readonly contentId: string;
  readonly found:
    | { readonly kind: 'items'; readonly stored: LitdataStored; readonly tableByte: number; readonly units: readonly FoundUnit[] }
    | { readonly kind: 'arrow'; readonly part: ByteRange };
}

/** `decodedBytes` of a unit: of its items. */
export type FoundUnit = Pick<Unit, 'startRow' | 'rows' | 'storedBytes' | 'decodedBytes' | 'isWhole'> & {
  readonly layout: LitdataUnitLayout;
};

/** The count. */
const TABLE_BYTE = 4;

/** Errors: those of `Store.read`, `SHARD_INVALID`, `SHARD_UNSUPPORTED`. */
export async function indexChunk(
  store: Store,
  object: ObjectInfo,
  set: LitdataSet,
  scan: Scan,
  signal: AbortSignal,
): Promise<IndexedChunk> {
  const name = object.path.slice(object.path.lastIndexOf('/') + 1);
  const uri = store.uri + object.path;
  const chunk = set.chunks.get(name);
  if (chunk === undefined) throw litdataInvalid(uri, `it is none of the chunks that ${set.uri} names`, 0);
  const content = createHash('sha256').update(set.identity);
  const parts: ChunkParts = { store, object, uri, scan, signal, items: chunk.items, content };
  const pinned: PinnedObject = { store, path: object.path, etag: object.etag };
  // nothing in a chunk depends on all of it: its tables and its ends stand for the rest
  const { headBytes } = LITDATA_LIMITS;
  const head = await readPinned(pinned, { startByte: 0, endByte: Math.min(object.size, headBytes) }, signal);
  const tail = await readPinned(pinned, { startByte: Math.max(0, object.size - headBytes), endByte: object.size }, signal);
  content.update(`${object.size}\n`).update(head).update(tail);
  if (set.compression?.of === 'chunk' && name.endsWith(set.compression.ending)) return indexContent(parts);
  if (isFramed(head)) return indexFrames(parts, pinned, head);
  return indexPlain(parts, { pinned, head, tail }, set.compression?.of === 'sample' ? 'samples' : 'plain');
}

interface ChunkParts {
  readonly store: Store;
  readonly object: ObjectInfo;
  readonly uri: string;
  readonly scan: Scan;
  readonly signal: AbortSignal;
  /** As `index.json` says. */
  readonly items: number;
  readonly content: ReturnType<typeof createHash>;
}

interface PlainChunk {
  readonly pinned: PinnedObject;
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
}

async function indexPlain(parts: ChunkParts, { pinned, head, tail }: PlainChunk, stored: 'plain' | 'samples'): Promise<IndexedChunk> {
  const { object, uri, signal, content, scan } = parts;
  const { items, startByte } = readHead(parts, head, object.size);
  const read: ReadItemBytes = (start, end) =>
    end <= head.length ? Promise.resolve(head.slice(start, end)) : readPinned(pinned, { startByte: start, endByte: end }, signal);
  const invalid = ({ message }: ItemProblem, byte: number): Error => litdataInvalid(uri, message, byte);
  const places = { tableByte: TABLE_BYTE, items, startByte, endByte: object.size };
  const { units, endByte, digests } = await readItemTable(read, places, scan, invalid, signal);
  for (const digest of digests) content.update(digest);
  const contentId = content.digest('hex');
  const part =
    endByte === startByte
      ? found(uri, object.size - ARROW_TAIL_BYTES, () => arrowPart(tail.slice(-ARROW_TAIL_BYTES), endByte, object.size))
      : undefined;
  if (part !== undefined) return { items, contentId, found: { kind: 'arrow', part } };
  const ratio = stored === 'samples' ? LITDATA_LIMITS.sampleRatio : 1;
  return { items, contentId, found: { kind: 'items', stored, tableByte: TABLE_BYTE, units: units.map((unit) => plainUnit(unit, ratio)) } };
}

function plainUnit({ startRow, rows, startByte, endByte }: ItemUnit, ratio: number): FoundUnit {
  const storedBytes = endByte - startByte;
  const layout: LitdataUnitLayout = { startByte, endByte, firstByte: startByte, lastByte: endByte };
  return { startRow, rows, storedBytes, decodedBytes: ratio * storedBytes, layout };
}

/** Of the table as much is decompressed as it has, and nothing of the samples. */
async function indexContent(parts: ChunkParts): Promise<IndexedChunk> {
  const { store, object, uri, signal, content, scan, items: expected } = parts;
  const tableEnd = TABLE_BYTE + 4 * (expected + 1);
  if (tableEnd > LITDATA_LIMITS.contentTableBytesMax) {
    throw litdataUnsupported(
      uri,
      `it has ${expected} samples in one compressed stream`,
      'Write it with `compression_level="batch"`, or smaller chunks.',
    );
  }
  const { pieces } = passContent(store, { ...object, uri, codec: 'zstd' }, signal);
  const table = new Uint8Array(tableEnd);
  let filled = 0;
  try {
    for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) {
      const own = next.value.subarray(0, tableEnd - filled);
      table.set(own, filled);
      filled += own.length;
      if (filled === tableEnd) break;
    }
  } finally {
    await pieces.return();
  }
  const { items, startByte } = readHead(parts, table.subarray(0, filled), 2 ** 32);
  if (filled < tableEnd) throw litdataInvalid(uri, 'its content ends within the table of its samples', filled);
  const read: ReadItemBytes = (start, end) => Promise.resolve(table.slice(start, end));
  const invalid = ({ message }: ItemProblem, byte: number): Error => litdataInvalid(uri, message, byte);
  const { endByte, digests } = await readItemTable(
    read,
    { tableByte: TABLE_BYTE, items, startByte, endByte: 2 ** 32 },
    scan,
    invalid,
    signal,
  );
  for (const digest of digests) content.update(digest);
  const layout: LitdataUnitLayout = { startByte: 0, endByte: object.size, firstByte: startByte, lastByte: endByte };
  const whole = contentUnit({ startRow: 0, rows: items, layout });
  return {
    items,
    contentId: content.digest('hex'),
    found: { kind: 'items', stored: 'chunk', tableByte: TABLE_BYTE, units: items === 0 ? [] : [whole] },
  };
}

function contentUnit({ startRow, rows, layout }: Pick<FoundUnit, 'startRow' | 'rows' | 'layout'>): FoundUnit {
  const decodedBytes = layout.lastByte - layout.firstByte;
  const isWhole = decodedBytes > LITDATA_LIMITS.cutContentBytesMax;
  return { startRow, rows, storedBytes: layout.endByte - layout.startByte, decodedBytes, ...(isWhole && { isWhole }), layout };
}

async function indexFrames(parts: ChunkParts, pinned: PinnedObject, head: Uint8Array): Promise<IndexedChunk> {
  const { object, uri, signal, content } = parts;
  const frames = found(uri, 0, () => readFramesHead(head, object.size));
  const { items, tableByte, framesByte, dataByte } = frames;
  checkItems(parts, items, 12);
  const table = await readPinned(pinned, { startByte: framesByte, endByte: dataByte }, signal);
  const own = found(uri, framesByte, () => readFrames(table, frames, object.size));
  const contentId = content.update(table).digest('hex');
  return { items, contentId, found: { kind: 'items', stored: 'frames', tableByte, units: unitsOfFrames(own) } };
}

/** Groups together, as far as a unit should have several. */
function unitsOfFrames(frames: readonly Frame[]): FoundUnit[] {
  const units: FoundUnit[] = [];
  let open:
    { startRow: number; rows: number; layout: { startByte: number; endByte: number; firstByte: number; lastByte: number } } | undefined;
  let row = 0;
  const close = (): void => {
    if (open !== undefined) units.push(contentUnit(open));
    open = undefined;
  };
  for (const { items, ...places } of frames) {
    if (open !== undefined && places.lastByte - open.layout.firstByte > LIMITS.itemUnitBytes) close();
    open ??= { startRow: row, rows: 0, layout: { ...places } };
    open.rows += items;
    open.layout.endByte = places.endByte;
    open.layout.lastByte = places.lastByte;
    row += items;
  }
  close();
  return units;
}

/** The count, and where the table ends. */
function readHead(parts: ChunkParts, head: Uint8Array, size: number): { readonly items: number; readonly startByte: number } {
  const { uri } = parts;
  if (head.length < TABLE_BYTE) throw litdataInvalid(uri, `it has ${head.length} bytes, and no samples`, 0);
  const items = new DataView(head.buffer, head.byteOffset, head.length).getUint32(0, true);
  checkItems(parts, items, 0);
  const startByte = TABLE_BYTE + 4 * (items + 1);
  if (startByte > size) throw litdataInvalid(uri, `it claims ${items} samples, and has ${size} bytes`, 0);
  return { items, startByte };
}

/** A chunk of another version of the data set would have other samples than its index means. */
function checkItems({ uri, items: expected }: ChunkParts, items: number, byte: number): void {
  if (items !== expected) throw litdataInvalid(uri, `it has ${items} samples, and index.json says ${expected}`, byte);
}

function found<T>(uri: string, byte: number, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw litdataInvalid(uri, messageOf(error), byte);
  }
}
