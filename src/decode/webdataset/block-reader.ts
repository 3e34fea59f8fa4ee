/** Fetches the stretches of a tar that a block's slices need, each once: what a request brought beyond its slice is kept for the next. */
import { LIMITS } from '../../config/limits.js';
import type { Block, Shard } from '../../core/shard.js';
import { createTurns } from '../../core/turns.js';
import { STORE_LIMITS } from '../../store/limits.js';
import type { ByteRange, Store } from '../../store/store.js';
import { codecOfPath } from '../compressed/codec.js';
import { openContent, type ContentReader } from '../compressed/content.js';
import { CONTENT_LIMITS } from '../compressed/limits.js';
import { hasBeside } from '../beside.js';
import type { BlockReader, Decoder, FetchedRows, ReadEstimate, Scan, ShardIndex, Wanted } from '../decoder.js';
import { withFreshReads } from '../fresh-reads.js';
import type { EncodedTarSlice, TarRun } from './encoded-slice.js';
import { describeTar } from './describe.js';
import { readTarIndex } from './index-shard.js';
import { tarInvalid } from './tar-entry.js';
import { tarShardLayout, tarStretches, tarUnitLayout, type TarShardLayout, type TarStretch, type TarUnitLayout } from './layout.js';

/** The WebDataset decoder's half in the main thread. `scan` runs in a worker. */
export function createWebDatasetDecoder(scan: Scan): Decoder {
  const open = (store: Store, path: string, shard: Shard, block: Block): BlockReader => new StretchReader(store, path, shard, block);
  const inTurn = createTurns(CONTENT_LIMITS.passesMax);
  return {
    index: (store, object, request, signal, filter) => {
      const read = (): Promise<ShardIndex> => readTarIndex(store, object, request, filter, scan, signal);
      return codecOfPath(object.path) === 'plain' ? read() : inTurn(read);
    },
    describe: (store, object, signal) => describeTar(store, object, scan, signal),
    openBlock: open,
    reopenBlock: (store, path, shard, block, ranges) => open(withFreshReads(store, ranges), path, shard, block),
    estimateBlock,
    fieldTypes: (shard) => (shard.rows === 0 ? undefined : tarShardLayout(shard.layout).fields?.map(({ type }) => type)),
    // they lie in the stretches that are read anyway
    storedIdBytes: () => 0,
    storedFilterBytes: () => 0,
  };
}

/** Stretches [first, end) hold the rows [startRow, endRow) of the unit, whole. */
function stretchesOf(stretches: readonly TarStretch[], startRow: number, endRow: number): { readonly first: number; readonly end: number } {
  const first = stretches.findLastIndex(({ startRow: row }) => row <= startRow);
  const end = stretches.findIndex(({ startRow: row, beginsWithin }) => row > endRow || (row === endRow && !beginsWithin));
  return { first, end: end < 0 ? stretches.length : end };
}

/** Those at hand, by stretch. */
type Held = Map<number, Uint8Array<ArrayBuffer>>;

class StretchReader implements BlockReader {
  readonly #store: Store;
  readonly #path: string;
  readonly #shard: Shard;
  readonly #block: Block;
  readonly #unitStartRow: number;
  readonly #stretches: readonly TarStretch[];
  readonly #choice: TarShardLayout;
  /** Of a compressed object. */
  readonly #content: StoredContent | undefined;
  #held: Held = new Map();
  /** What stretches were read in. */
  readonly #ranges = new Map<number, ByteRange>();

  constructor(store: Store, path: string, shard: Shard, block: Block) {
    const unit = shard.units[block.unit];
    this.#store = store;
    this.#path = path;
    this.#shard = shard;
    this.#block = block;
    this.#unitStartRow = unit.startRow;
    this.#stretches = tarStretches(unit.layout);
    this.#choice = tarShardLayout(shard.layout);
    const { stored } = tarUnitLayout(unit.layout);
    const { uri, size, etag } = shard;
    this.#content = stored && { ...stored, reader: openContent(store, { path, uri, size, etag }, stored) };
  }

  get ranges(): readonly ByteRange[] {
    return this.#content?.reader.ranges ?? [...new Set(this.#ranges.values())];
  }

  async read(startRow: number, endRow: number, wanted: Wanted, signal: AbortSignal): Promise<FetchedRows> {
    const slice = await this.#read(startRow, endRow, signal);
    return {
      slice: wanted.rows ? slice : undefined,
      beside: hasBeside(wanted) ? { format: 'webdataset', slice, wanted, ranges: slice.ranges } : undefined,
    };
  }

  async #read(startRow: number, endRow: number, signal: AbortSignal): Promise<EncodedTarSlice> {
    const [from, to] = [startRow - this.#unitStartRow, endRow - this.#unitStartRow];
    const { first, end } = stretchesOf(this.#stretches, from, to);
    const wantedEnd = this.#readAheadEnd(first, end, endRow < this.#block.endRow);
    const held = this.#held;
    const fetched = await this.#fetchAll(this.#missingRuns(first, wantedEnd), signal);
    const runs = this.#runsOf(first, end, held, fetched);
    // the last stretch may hold rows of the next slice
    const nextFirst = endRow < this.#block.endRow ? this.#stretches.findLastIndex(({ startRow: row }) => row <= to) : wantedEnd;
    this.#keep(nextFirst, held, fetched);
    const stretches = this.#stretches.slice(first, end);
    const { startRow: firstRow, beginsWithin } = this.#stretches[first];
    return {
      format: 'webdataset',
      uri: this.#shard.uri,
      isContent: this.#content !== undefined,
      runs,
      stretches: stretches.map((stretch) => ({ ...stretch, startRow: stretch.startRow - firstRow })),
      ranges: this.#content?.reader.ranges ?? [...new Set(stretches.flatMap((_, i) => this.#ranges.get(first + i) ?? []))],
      beginsWithin,
      skipRows: from - firstRow,
      rows: to - from,
      choice: this.#choice,
    };
  }

  /** A request may as well bring what the block's next slices will want; a stream brings it in its turn. */
  #readAheadEnd(first: number, end: number, hasMore: boolean): number {
    if (!hasMore || this.#content !== undefined || this.#missingRuns(first, end).length === 0) return end;
    const blockEnd = stretchesOf(this.#stretches, 0, this.#block.endRow - this.#unitStartRow).end;
    let ahead = end;
    const enough = this.#stretches[first].startByte + LIMITS.readAheadBytes;
    while (ahead < blockEnd && this.#stretches[ahead].endByte <= enough) ahead++;
    return ahead;
  }

  /** What is not at hand of stretches [first, end), joined where nothing lies between. */
  #missingRuns(first: number, end: number): { readonly first: number; readonly end: number }[] {
    const runs: { readonly first: number; end: number }[] = [];
    for (let i = first; i < end; i++) {
      if (this.#held.has(i)) continue;
      const last = runs.at(-1);
      if (last?.end === i && this.#stretches[i - 1].endByte === this.#stretches[i].startByte) last.end++;
      else runs.push({ first: i, end: i + 1 });
    }
    return runs;
  }

  /** Of a stream one after the other. */
  async #fetchAll(runs: readonly { readonly first: number; readonly end: number }[], signal: AbortSignal): Promise<FetchedRun[]> {
    if (this.#content === undefined) return Promise.all(runs.map(({ first, end }) => this.#fetch(first, end, signal)));
    const fetched: FetchedRun[] = [];
    for (const { first, end } of runs) fetched.push(await this.#decompress(this.#content, first, end, signal));
    return fetched;
  }

  async #decompress(
    { reader, contentByte, contentEnd }: StoredContent,
    first: number,
    end: number,
    signal: AbortSignal,
  ): Promise<FetchedRun> {
    const { startByte } = this.#stretches[first];
    const { endByte } = this.#stretches[end - 1];
    const bytes = await reader.read(startByte - contentByte, endByte - contentByte, signal);
    if (bytes.length < endByte - startByte)
      throw tarInvalid({ uri: this.#shard.uri, startByte, isContent: true }, bytes.length, 'ends, where the index says that samples are');
    // a byte beyond: only then is it known that what ends there is whole
    if (end === this.#stretches.length) await reader.read(contentEnd - contentByte, contentEnd - contentByte + 1, signal);
    return { first, end, startByte, bytes };
  }

  async #fetch(first: number, end: number, signal: AbortSignal): Promise<FetchedRun> {
    const range = { startByte: this.#stretches[first].startByte, endByte: this.#stretches[end - 1].endByte };
    for (let i = first; i < end; i++) this.#ranges.set(i, range);
    const bytes = await this.#store.read(this.#path, range, { ifMatch: this.#shard.etag, signal });
    return { first, end, startByte: range.startByte, bytes: bytes as Uint8Array<ArrayBuffer> };
  }

  /** Stretches [first, end): held ones by themselves, in buffers of their own; fetched ones as they came. */
  #runsOf(first: number, end: number, held: Held, fetched: readonly FetchedRun[]): TarRun[] {
    const runs: TarRun[] = [];
    for (let i = first; i < end; i++) {
      const own = held.get(i);
      const run = fetched.find((candidate) => candidate.first === i);
      if (own !== undefined) runs.push({ startByte: this.#stretches[i].startByte, bytes: own.slice() });
      else if (run !== undefined) {
        const wanted = this.#stretches[Math.min(run.end, end) - 1].endByte - run.startByte;
        runs.push({ startByte: run.startByte, bytes: run.bytes.subarray(0, wanted) });
      }
    }
    return runs;
  }

  /** Of what was at hand and what came, copies of the stretches from `from` on, before their buffers are transferred. */
  #keep(from: number, held: Held, fetched: readonly FetchedRun[]): void {
    const kept: Held = new Map([...held].filter(([stretch]) => stretch >= from));
    for (const { first, end, startByte: runStart, bytes } of fetched) {
      for (let i = Math.max(first, from); i < end; i++) {
        const { startByte, endByte } = this.#stretches[i];
        kept.set(i, bytes.slice(startByte - runStart, endByte - runStart));
      }
    }
    this.#held = kept;
  }
}

/** The content of a unit's parts, and which of the archive's bytes it has. */
interface StoredContent {
  readonly reader: ContentReader;
  readonly contentByte: number;
  readonly contentEnd: number;
}

interface FetchedRun {
  readonly first: number;
  readonly end: number;
  readonly startByte: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What the reader will fetch, from the layout alone. */
function estimateBlock(shard: Shard, block: Block): (startRow: number, endRow: number) => ReadEstimate {
  const unit = shard.units[block.unit];
  const stretches = tarStretches(unit.layout);
  const { stored } = tarUnitLayout(unit.layout);
  if (stored !== undefined) return estimateStream(stored, stretches, unit.startRow);
  let read = 0;
  return (startRow, endRow) => {
    const { first, end } = stretchesOf(stretches, startRow - unit.startRow, endRow - unit.startRow);
    let [bytes, requests] = [0, 0];
    for (let i = Math.max(first, read); i < end; i++) {
      bytes += stretches[i].endByte - stretches[i].startByte;
      const joins = i > Math.max(first, read) && stretches[i].startByte - stretches[i - 1].endByte <= STORE_LIMITS.gapBytesMax;
      if (!joins) requests++;
    }
    read = Math.max(read, end);
    return { bytes, requests };
  };
}

/** As if all content of a unit were compressed alike. What it has before the block is read for its first slice. */
function estimateStream(
  { startByte, endByte, contentByte, contentEnd }: NonNullable<TarUnitLayout['stored']>,
  stretches: readonly TarStretch[],
  unitStartRow: number,
): (startRow: number, endRow: number) => ReadEstimate {
  let read = 0;
  return (startRow, endRow) => {
    const { end } = stretchesOf(stretches, startRow - unitStartRow, endRow - unitStartRow);
    const isAll = end === stretches.length;
    const share = isAll ? 1 : (stretches[end - 1].endByte - contentByte) / (contentEnd - contentByte);
    const bytes = Math.max(0, Math.floor((endByte - startByte) * share) - read);
    read += bytes;
    return { bytes, requests: Math.ceil(bytes / CONTENT_LIMITS.readBytes) };
  };
}
