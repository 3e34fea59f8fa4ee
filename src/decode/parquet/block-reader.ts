/** Fetches the pages of a block's slices, each byte once: what a request brought beyond its slice is kept for the next. */
import { LRUCache } from 'lru-cache';
import { LIMITS } from '../../config/limits.js';
import { rawBytes, rawCopy, releaseBuffer } from '../../core/raw-memory.js';
import type { Block, Shard } from '../../core/shard.js';
import { copyUnlessSame } from '../../store/resumable-read.js';
import type { ByteRange, Store } from '../../store/store.js';
import { allOrNone } from '../all-or-none.js';
import { hasBeside } from '../beside.js';
import type { BlockReader, ColumnRequest, Decoder, Scan, Wanted } from '../decoder.js';
import { withFreshReads } from '../fresh-reads.js';
import { requestEnd } from '../request-end.js';
import { describeParquet } from './describe.js';
import type { EncodedChunk, EncodedParquetBeside, EncodedParquetRecords, EncodedParquetSlice } from './encoded-slice.js';
import { estimateBlock } from './estimate-block.js';
import { createFooterSize, type FooterSize } from './footer-size.js';
import { servedType } from './field-column.js';
import { readParquetIndex } from './footer.js';
import { isCuttable, pageOfRows, type PageOfRows } from './large-page.js';
import { parquetShardLayout, parquetUnitLayout, type ParquetChunkLayout, type ParquetShardLayout } from './layout.js';
import { PageMap, type Page } from './page-map.js';

/** The Parquet decoder's half in the main thread. `scan` runs in a worker. */
export function createParquetDecoder(scan: Scan): Decoder {
  // page maps outlive their readers: the blocks of one row group are read at different times, and each survey is worth keeping
  const pageMaps = new LRUCache<string, PageMap>({ maxSize: LIMITS.surveyedPagesMax, sizeCalculation: (map) => map.length + 1 });
  // the shards of one source are asked for by one request
  const footerSizes = new WeakMap<ColumnRequest, FooterSize>();
  const described = createFooterSize();
  const open = (store: Store, path: string, shard: Shard, block: Block, anew: boolean): BlockReader => {
    const unit = shard.units[block.unit];
    const {
      id: idLayout,
      fields: fieldLayouts = [],
      filter: filterLayouts = [],
      leaves: leafLayouts = [],
      ...layout
    } = parquetUnitLayout(unit.layout);
    const { id: idColumn, fields: fieldColumns = [], filter: filterTypes = [], ...column } = parquetShardLayout(shard.layout);
    const openChunk = (chunk: ParquetChunkLayout, schema: ParquetShardLayout['schema'], repetitions: number): ChunkReader => {
      // two sources may want different column chunks, and only fields may want one that the projected column is, too
      const key = `${shard.uri}@${shard.etag}#${chunk.startByte}/${repetitions}`;
      const map = (anew ? undefined : pageMaps.get(key)) ?? new PageMap(unit, chunk, repetitions, shard.uri);
      // at once, so that blocks of one row group that are opened together share one survey; and again when it has grown
      const remember = (): void => void pageMaps.set(key, map);
      remember();
      return new ChunkReader({ store, path, shard, block, layout: chunk, schema, map, remember, scan });
    };
    const leaves = column.leaves?.map((leaf, i) => ({
      ...leaf,
      chunk: openChunk(leafLayouts[i], leaf.schema, leaf.repetitions),
    }));
    const chunk = leaves?.[0].chunk ?? openChunk(layout, column.schema, column.nested ? 1 : 0);
    const chunks = leaves?.map((leaf) => leaf.chunk) ?? [chunk];
    let idChunk: ChunkReader | undefined;
    const fieldChunks = fieldColumns.map(({ schema, type }, i) =>
      openChunk(fieldLayouts[i], schema, type.kind === 'numbers' && type.size !== null ? 1 : 0),
    );
    let filterChunks: readonly ChunkReader[] | undefined;
    const readRecords = async (startRow: number, endRow: number, signal: AbortSignal): Promise<EncodedParquetRecords> => {
      const reads = (leaves ?? []).map(async (leaf) => ({ ...(await leaf.chunk.read(startRow, endRow, signal)), type: leaf.type }));
      const encoded = await allOrNone(reads);
      const ranges = encoded.flatMap((leaf) => leaf.ranges);
      return { format: 'parquet', kind: 'records', uri: shard.uri, rows: endRow - startRow, ranges, leaves: encoded };
    };
    const readSlice = async (
      startRow: number,
      endRow: number,
      signal: AbortSignal,
    ): Promise<EncodedParquetSlice | EncodedParquetRecords> => {
      if (leaves !== undefined) return readRecords(startRow, endRow, signal);
      return { ...(await chunk.read(startRow, endRow, signal)), kind: column.nested ? 'tokens' : 'text' };
    };
    const readBeside = async (
      startRow: number,
      endRow: number,
      wanted: Wanted,
      signal: AbortSignal,
    ): Promise<EncodedParquetBeside | undefined> => {
      if (!hasBeside(wanted)) return undefined;
      if (wanted.ids && idLayout !== undefined && idColumn !== undefined) idChunk ??= openChunk(idLayout, idColumn.schema, 0);
      if (wanted.filter) filterChunks ??= filterLayouts.map((own, index) => openChunk(own, filterTypes[index].schema, 0));
      const readAll = (own: readonly ChunkReader[]): Promise<EncodedChunk[]> =>
        allOrNone(own.map((one) => one.read(startRow, endRow, signal)));
      const [ids, fields, filter] = await allOrNone([
        wanted.ids ? idChunk?.read(startRow, endRow, signal) : undefined,
        wanted.fields ? readAll(fieldChunks) : undefined,
        wanted.filter ? readAll(filterChunks ?? []) : undefined,
      ] as const);
      const beside = {
        ids: ids && idColumn && { ...ids, kind: idColumn.type },
        fields: fields?.map((read, i) => ({ ...read, name: fieldColumns[i].name, type: fieldColumns[i].type })),
        filter: filter?.map((read, i) => ({ ...read, column: filterTypes[i].column, type: filterTypes[i].type })),
      };
      return {
        format: 'parquet',
        ...beside,
        ranges: [...(ids ? [ids] : []), ...(fields ?? []), ...(filter ?? [])].flatMap(({ ranges }) => ranges),
      };
    };
    return {
      get ranges() {
        const others = [...fieldChunks, ...(filterChunks ?? []), ...(idChunk === undefined ? [] : [idChunk])];
        return [...chunks, ...others].flatMap(({ ranges }) => ranges);
      },
      read: async (startRow, endRow, wanted, signal) => {
        const [slice, beside] = await allOrNone([
          wanted.rows ? readSlice(startRow, endRow, signal) : undefined,
          readBeside(startRow, endRow, wanted, signal),
        ] as const);
        return { slice, beside };
      },
    };
  };
  return {
    index: (store, object, request, signal, filter) => {
      const size = footerSizes.get(request) ?? createFooterSize();
      footerSizes.set(request, size);
      return readParquetIndex(store, object, { ...request, filter }, size, signal);
    },
    describe: (store, object, signal) => describeParquet(store, object, described, signal),
    openBlock: (store, path, shard, block) => open(store, path, shard, block, false),
    reopenBlock: (store, path, shard, block, ranges) => open(withFreshReads(store, ranges), path, shard, block, true),
    estimateBlock,
    fieldTypes: (shard) => (shard.rows === 0 ? undefined : parquetShardLayout(shard.layout).fields?.map(({ type }) => servedType(type))),
    storedIdBytes: (unit) => {
      const { id } = parquetUnitLayout(unit.layout);
      return id === undefined ? 0 : id.endByte - id.startByte;
    },
    storedFilterBytes: (unit) =>
      parquetUnitLayout(unit.layout).filter?.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0),
  };
}

interface ReaderParts {
  readonly store: Store;
  readonly path: string;
  readonly shard: Shard;
  readonly block: Block;
  readonly layout: ParquetChunkLayout;
  readonly schema: ParquetShardLayout['schema'];
  readonly map: PageMap;
  readonly remember: () => void;
  readonly scan: Scan;
}

/** Of one column chunk. */
class ChunkReader {
  readonly #parts: ReaderParts;
  /** Bytes [#startByte, #startByte + #bytes.length) of the object. */
  #bytes: Uint8Array = new Uint8Array(0);
  #startByte = 0;
  #dictionary: Uint8Array | undefined;
  /** What the object was read in to have `#bytes`, and the dictionary. */
  #ranges: ByteRange[] = [];
  #dictionaryRanges: readonly ByteRange[] = [];

  constructor(parts: ReaderParts) {
    this.#parts = parts;
  }

  get ranges(): readonly ByteRange[] {
    return [...this.#dictionaryRanges, ...this.#ranges];
  }

  /** Rows [startRow, endRow) of the shard, after those of the calls before. */
  async read(startRow: number, endRow: number, signal: AbortSignal): Promise<EncodedChunk> {
    const { shard, block, layout, map, remember, scan } = this.#parts;
    const unitStartRow = shard.units[block.unit].startRow;
    const readBytes = (start: number, end: number): Promise<Uint8Array> => this.#read(start, end, signal);
    const survey = async (start: number, end: number): Promise<Uint8Array> => {
      const dictionaryByte = map.dictionary?.endByte;
      if (dictionaryByte !== undefined && this.#holds(layout.startByte, dictionaryByte)) await this.#readDictionary(signal);
      return this.#read(start, this.#endOfRequest(start, end), signal, map.startByteOf(startRow - unitStartRow));
    };
    const pages = await map.locate(startRow - unitStartRow, endRow - unitStartRow, survey, scan, signal);
    remember();
    const first = pages[0];
    const last = pages[pages.length - 1];
    const cut = await this.#readCut(pages, startRow - unitStartRow, endRow - unitStartRow, signal);
    if (cut !== undefined) return cut;
    // a request may as well bring what the block's next slices will want
    const wantedEnd = this.#endOfRequest(first.startByte, last.endByte);
    if (this.#isReadWhole(first.startByte)) await readBytes(first.startByte, last.endByte);
    // both at once: one round trip, and one request where the pages follow the dictionary. What fails waits for the other, which writes here
    const reads = [
      this.#readDictionary(signal),
      this.#read(first.startByte, endRow < block.endRow ? wantedEnd : last.endByte, signal),
    ] as const;
    await Promise.allSettled(reads);
    const [dictionary] = await Promise.all(reads);
    // the last page may hold rows of the next slice
    const lastStart = pages.findLast(({ continued }) => !continued) ?? first;
    const keptByte = endRow - unitStartRow < last.endRow ? lastStart.startByte : last.endByte;
    const { ranges } = this;
    const isLast = endRow === block.endRow;
    if (isLast) this.#dictionary = undefined; // what follows is of other blocks: it is given away
    const slice: EncodedChunk = {
      ...this.#chunkOf(isLast && isOwn(dictionary) ? dictionary : rawCopy(dictionary)),
      pages: this.#take(first.startByte, last.endByte, keptByte),
      pagesByte: first.startByte,
      ranges,
      pageRows: last.endRow - first.startRow,
      skipRows: startRow - unitStartRow - first.startRow,
      rows: endRow - startRow,
    };
    if (isLast) this.#dropBefore(layout.endByte);
    return slice;
  }

  /** `dictionary`: to be given away. */
  #chunkOf(dictionary: Uint8Array<ArrayBuffer>): Omit<EncodedChunk, 'pages' | 'pagesByte' | 'ranges' | 'pageRows' | 'skipRows' | 'rows'> {
    const { shard, block, layout, schema, map } = this.#parts;
    return {
      format: 'parquet',
      uri: shard.uri,
      dictionary,
      dictionaryByte: map.dictionary?.startByte ?? layout.startByte,
      decodedBytes: shard.units[block.unit].decodedBytes,
      unit: { codec: layout.codec, encodings: layout.encodings, type: layout.type, path: layout.path },
      schema,
    };
  }

  /** Rows [startRow, endRow) of the unit, of which some are in a large page that can be cut; `undefined`: none are. Nothing is kept for the next slice. */
  async #readCut(pages: readonly Page[], startRow: number, endRow: number, signal: AbortSignal): Promise<EncodedChunk | undefined> {
    const { layout, schema, map } = this.#parts;
    const isLarge = ({ startByte, endByte }: Page): boolean => endByte - startByte > LIMITS.keptPageBytesMax;
    if (map.counts || !isCuttable(layout) || !pages.some(isLarge)) return undefined;
    const levelMax = schema.slice(1).filter(({ repetition_type: repetition }) => repetition === 'OPTIONAL').length;
    const read = (from: number, to: number): Promise<Uint8Array> => this.#fetch(from, to, signal);
    const parts: (PageOfRows & { readonly startRow: number; readonly rows: number })[] = [];
    for (const page of pages) {
      const { startByte, endByte, startRow: pageRow, endRow: pageEnd } = page;
      const large = isLarge(page) ? await map.openLarge(page, levelMax, read, signal) : undefined;
      if (large === undefined) parts.push({ head: new Uint8Array(0), startByte, endByte, startRow: pageRow, rows: pageEnd - pageRow });
      else {
        const [from, to] = [Math.max(startRow, pageRow), Math.min(endRow, pageEnd)];
        parts.push({ ...pageOfRows(large, from - pageRow, to - pageRow), startRow: from, rows: to - from });
      }
    }
    if (!parts.some(({ head }) => head.length > 0)) return undefined;
    this.#dropBefore(pages[pages.length - 1].endByte);
    const dictionary = await this.#readDictionary(signal);
    const size = parts.reduce((sum, { head, startByte, endByte }) => sum + head.length + endByte - startByte, 0);
    const bytes = rawBytes(size);
    let at = 0;
    for (const { head, startByte, endByte } of parts) {
      bytes.set(head, at);
      const into = bytes.subarray(at + head.length, at + head.length + endByte - startByte);
      if (into.length > 0) copyUnlessSame(await this.#fetch(startByte, endByte, signal, into), into);
      at += head.length + into.length;
    }
    this.#ranges = parts.map(({ startByte, endByte }) => ({ startByte, endByte }));
    return {
      ...this.#chunkOf(rawCopy(dictionary)),
      pages: bytes,
      pagesByte: parts[0].startByte,
      ranges: this.ranges,
      pageRows: parts.reduce((sum, { rows }) => sum + rows, 0),
      skipRows: startRow - parts[0].startRow,
      rows: endRow - startRow,
    };
  }

  async #readDictionary(signal: AbortSignal): Promise<Uint8Array> {
    const range = this.#parts.map.dictionary;
    if (range === undefined) return new Uint8Array(0);
    if (this.#dictionary !== undefined) return this.#dictionary;
    const isHeld = this.#holds(range.startByte, range.endByte);
    this.#dictionaryRanges = isHeld ? this.#ranges.filter(({ startByte }) => startByte < range.endByte) : [range];
    this.#dictionary = isHeld
      ? rawCopy(this.#view(range.startByte, range.endByte))
      : await this.#fetch(range.startByte, range.endByte, signal);
    return this.#dictionary;
  }

  /**
   * Bytes [startByte, endByte), of which only those not yet held are fetched. The view is valid until the next call. `keptByte`: what is held from there on
   * will be asked for again, with all up to `endByte`.
   */
  async #read(startByte: number, endByte: number, signal: AbortSignal, keptByte = startByte): Promise<Uint8Array> {
    if (!this.#holds(startByte, endByte) && this.#isReadWhole(startByte)) {
      const { startByte: first, endByte: end } = this.#parts.layout;
      this.#ranges = [{ startByte: first, endByte: end }];
      this.#hold(await this.#fetch(first, end, signal), first);
    }
    if (!this.#holds(startByte, endByte)) {
      const heldEnd = this.#startByte + this.#bytes.length;
      if (keptByte >= this.#startByte && keptByte < heldEnd && isNear(heldEnd, startByte)) {
        this.#ranges.push({ startByte: heldEnd, endByte });
        const joined = rawBytes(endByte - keptByte);
        const rest = joined.subarray(heldEnd - keptByte);
        copyUnlessSame(await this.#fetch(heldEnd, endByte, signal, rest), rest);
        joined.set(this.#bytes.subarray(keptByte - this.#startByte));
        this.#hold(joined, keptByte);
      } else {
        const from = isNear(keptByte, startByte) ? keptByte : startByte;
        this.#ranges = [{ startByte: from, endByte }];
        this.#hold(await this.#fetch(from, endByte, signal), from);
      }
    }
    return this.#view(startByte, endByte);
  }

  /** What lies behind a block that is a part of its row group is another reader's: the rest is left to it. */
  #endOfRequest(startByte: number, wantedEnd: number): number {
    const { shard, block, layout } = this.#parts;
    const { startRow, rows } = shard.units[block.unit];
    const endsUnit = block.endRow === startRow + rows;
    return requestEnd(startByte, wantedEnd, layout.endByte, endsUnit ? LIMITS.restBytesMin : 0);
  }

  /** In place of what was held, which is given back. */
  #hold(bytes: Uint8Array, startByte: number): void {
    const { buffer } = this.#bytes;
    if (buffer instanceof ArrayBuffer && buffer.byteLength > Buffer.poolSize && isOwn(this.#bytes)) releaseBuffer(buffer);
    this.#bytes = bytes;
    this.#startByte = startByte;
  }

  /**
   * Only a worker can say where the rows of a list are, from all pages before them: blocks of one row group would each read what the others have read. A
   * small chunk is always read whole by them, so that the cache has that very range.
   */
  #isReadWhole(byte: number): boolean {
    const { layout, map, block, shard } = this.#parts;
    const { startByte, endByte, offsetIndex } = layout;
    if (!map.counts || offsetIndex !== undefined || endByte - startByte > LIMITS.wholeChunkBytes) return false;
    const isPart = block.endRow - block.startRow < shard.units[block.unit].rows;
    return isPart && byte >= startByte && byte < endByte;
  }

  #fetch(startByte: number, endByte: number, signal: AbortSignal, into?: Uint8Array): Promise<Uint8Array> {
    const { store, path, shard } = this.#parts;
    return store.read(path, { startByte, endByte }, { ifMatch: shard.etag, signal, ...(into && { into }) });
  }

  #holds(startByte: number, endByte: number): boolean {
    return startByte >= this.#startByte && endByte <= this.#startByte + this.#bytes.length;
  }

  #view(startByte: number, endByte: number): Uint8Array {
    return this.#bytes.subarray(startByte - this.#startByte, endByte - this.#startByte);
  }

  /**
   * Bytes [startByte, endByte) to be given away; those from `keptByte` on stay. Where they are most of what is held, all of it goes along and only what stays
   * is copied: a page may be as large as a gigabyte.
   */
  #take(startByte: number, endByte: number, keptByte: number): Uint8Array<ArrayBuffer> {
    const held = this.#bytes;
    const taken = this.#view(startByte, endByte);
    const isGiven = isOwn(held) && 2 * taken.length >= held.length;
    const given = isGiven ? taken : rawCopy(taken);
    this.#dropBefore(keptByte, isGiven);
    return given as Uint8Array<ArrayBuffer>; // stores allocate what can be transferred
  }

  /** Copies, so that a few kept bytes do not hold a large buffer. `isGiven`: that is another's now. */
  #dropBefore(byte: number, isGiven = false): void {
    const heldEnd = this.#startByte + this.#bytes.length;
    const kept = byte < heldEnd && byte >= this.#startByte ? rawCopy(this.#view(byte, heldEnd)) : new Uint8Array(0);
    if (isGiven) this.#bytes = new Uint8Array(0);
    this.#hold(kept, byte);
    this.#ranges = this.#ranges.filter(({ endByte }) => endByte > byte);
  }
}

/** Whether the bytes between are fetched as well: of a page that is larger only the header may be wanted, to leap over it or to cut it. */
function isNear(fromByte: number, byte: number): boolean {
  return byte - fromByte <= LIMITS.surveyBytes;
}

/** Stores allocate what can be transferred; but a part of it takes the whole along. */
function isOwn(bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> {
  return bytes.length === bytes.buffer.byteLength;
}
