/** Fetches the lines of a block's slices: the main thread's half of JSON lines, separated values and plain text. */
import type { Block, Shard, Unit } from '../../core/shard.js';
import { createTurns } from '../../core/turns.js';
import { STORE_LIMITS } from '../../store/limits.js';
import type { ByteRange, Store } from '../../store/store.js';
import { codecOfPath } from '../compressed/codec.js';
import { openContent, type ContentReader } from '../compressed/content.js';
import { CONTENT_LIMITS } from '../compressed/limits.js';
import { hasBeside } from '../beside.js';
import type { BlockReader, ColumnRequest, Decoder, FetchedRows, ReadEstimate, Scan, Wanted } from '../decoder.js';
import { withFreshReads } from '../fresh-reads.js';
import { requestEnd } from '../request-end.js';
import { lineColumns, type LineColumns } from './columns.js';
import type { EncodedLineSlice } from './encoded-slice.js';
import { indexLines, passLines } from './index-lines.js';
import { lineUnitLayout, longRowsOf, marksOf, type LongRow, type Mark } from './layout.js';
import type { LineFormat } from './line-format.js';

export type LineFormatOf = (request: ColumnRequest, path: string) => LineFormat;

/** Of plain text, which has no columns beside it. `scan` runs in a worker. */
export function createTextDecoder(scan: Scan, formatOf: LineFormatOf): Decoder {
  const inTurn = createTurns(CONTENT_LIMITS.passesMax);
  return {
    index: (store, object, request, signal = new AbortController().signal, filter) =>
      inTurn(() => indexLines(store, object, formatOf(request, object.path), { ...request, filter }, scan, signal)),
    openBlock: (store, path, shard, block) => new LineReader(store, path, shard, block),
    reopenBlock: (store, path, shard, block, ranges) => new LineReader(withFreshReads(store, ranges), path, shard, block),
    estimateBlock,
    // all columns lie in the same bytes
    storedIdBytes: () => 0,
  };
}

/** Of JSON lines and separated values. */
export function createLineDecoder(scan: Scan, formatOf: LineFormatOf): Decoder {
  return {
    ...createTextDecoder(scan, formatOf),
    fieldTypes: ({ rows, layout }) => {
      const columns = lineColumns(layout);
      return rows === 0 || columns.kind === 'text' ? undefined : (columns.fields ?? []).map(({ type }) => type);
    },
    storedFilterBytes: () => 0,
    describe: async (store, object, signal = new AbortController().signal) => {
      const format = formatOf(NO_COLUMN, object.path);
      const passed = await passLines(store, object, format, scan, signal);
      const { describeLines } = await import('./describe.js'); // parses rows, which no run does in this thread
      return describeLines({ ...object, uri: store.uri + object.path }, format, passed, (shard, block) => {
        const { startRow, endRow } = block;
        return new LineReader(store, object.path, shard, block).readSlice(startRow, endRow, signal);
      });
    },
  };
}

const NO_COLUMN: ColumnRequest = { column: '', kind: 'none' };

class LineReader implements BlockReader {
  readonly #shard: Shard;
  readonly #unit: Unit;
  readonly #line: number;
  /** Content before the unit, in what the reader reads. */
  readonly #skipBytes: number;
  readonly #marks: readonly Mark[];
  readonly #long: readonly LongRow[];
  readonly #isPlain: boolean;
  readonly #content: ContentReader;

  constructor(store: Store, path: string, shard: Shard, block: Block) {
    this.#shard = shard;
    this.#unit = shard.units[block.unit];
    const layout = lineUnitLayout(this.#unit.layout);
    this.#line = layout.line;
    this.#skipBytes = layout.skipBytes;
    this.#marks = marksOf(layout);
    this.#long = longRowsOf(layout);
    this.#isPlain = codecOfPath(path) === 'plain';
    const { startByte, endByte } = this.#isPlain ? this.#plainRange(block, layout.startByte) : layout;
    const { uri, size, etag } = shard;
    this.#content = openContent(store, { path, uri, size, etag }, { startByte, endByte });
  }

  get ranges(): readonly ByteRange[] {
    return this.#content.ranges;
  }

  async read(startRow: number, endRow: number, wanted: Wanted, signal: AbortSignal): Promise<FetchedRows> {
    const slice = await this.readSlice(startRow, endRow, signal);
    return {
      slice: wanted.rows ? slice : undefined,
      beside: hasBeside(wanted) ? { format: 'lines', slice, wanted, ranges: slice.ranges } : undefined,
    };
  }

  async readSlice(startRow: number, endRow: number, signal: AbortSignal): Promise<EncodedLineSlice> {
    const { uri, layout } = this.#shard;
    const columns = lineColumns(layout);
    const start = this.#markBefore(startRow - this.#unit.startRow);
    const end = this.#markBehind(endRow - this.#unit.startRow);
    const long = this.#long.filter(({ row }) => row >= start.row && row < end.row);
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    let at = start.byte;
    for (const { startByte, endByte } of [...long, { startByte: end.byte, endByte: end.byte }]) {
      if (startByte > at) pieces.push(await this.#readContent(at, startByte, signal));
      at = endByte;
    }
    return {
      format: 'lines',
      uri,
      bytes: joined(pieces),
      ranges: this.#content.ranges,
      line: this.#line + start.row + start.extraLines,
      skipRows: startRow - this.#unit.startRow - start.row,
      rows: endRow - startRow,
      longRows: long.map(({ row, startByte, endByte }) => ({ row: row - start.row, bytes: endByte - startByte })),
      columns,
      kind: kindOf(columns),
    };
  }

  /** Of the unit. To the last byte of a compressed one, and a byte beyond: only then is it known that all of it is whole. */
  async #readContent(startByte: number, endByte: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const isLast = endByte === this.#marks[this.#marks.length - 1].byte && !this.#isPlain;
    const bytes = await this.#content.read(this.#skipBytes + startByte, this.#skipBytes + endByte + (isLast ? 1 : 0), signal);
    return bytes.subarray(0, endByte - startByte);
  }

  /** Of a plain object, only the block's own part is read ahead. Positions count from the unit's start, which may lie before it. */
  #plainRange(block: Block, unitStartByte: number): ByteRange {
    const end = this.#markBehind(block.endRow - this.#unit.startRow);
    return { startByte: unitStartByte, endByte: unitStartByte + end.byte };
  }

  #markBefore(row: number): Mark {
    return this.#marks.findLast((mark) => mark.row <= row) ?? this.#marks[0];
  }

  #markBehind(row: number): Mark {
    return this.#marks.find((mark) => mark.row >= row) ?? this.#marks[this.#marks.length - 1];
  }
}

/** Where fields are all that is wanted, nobody asks for rows. */
function kindOf(columns: LineColumns): EncodedLineSlice['kind'] {
  if (columns.kind === 'text') return 'text';
  if (columns.columns !== undefined) return 'records';
  return columns.kind === 'jsonl' && columns.as === 'tokens' ? 'tokens' : 'text';
}

/** One piece is nearly always all of it, and is not copied. */
function joined(pieces: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  if (pieces.length === 1) return pieces[0];
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** As if all rows of a unit had the same length. What a compressed block has before its rows is read for its first slice. */
function estimateBlock(shard: Shard, block: Block): (startRow: number, endRow: number) => ReadEstimate {
  const unit = shard.units[block.unit];
  const isPlain = codecOfPath(shard.path) === 'plain';
  const byteOf = (row: number): number => Math.floor((unit.storedBytes * (row - unit.startRow)) / unit.rows);
  const blockEnd = byteOf(block.endRow);
  let held = isPlain ? byteOf(block.startRow) : 0;
  return (startRow, endRow) => {
    const wanted = byteOf(endRow);
    if (wanted <= held) return { bytes: 0, requests: 0 };
    const end = requestEnd(byteOf(startRow), wanted, blockEnd);
    const bytes = end - held;
    held = end;
    return { bytes, requests: Math.ceil(bytes / STORE_LIMITS.partBytesMax) };
  };
}
