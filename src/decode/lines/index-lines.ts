/**
 * The index of an object whose rows are lines: its content is passed over once, in ranges that workers scan one after the other, and cut into units.
 *
 *   content  │··row··│··row··│··row··│··…        marks: where rows begin, each 256 KiB
 *   units    │── about 4 MiB ────────│──…        plain: any range; compressed: the parts that have it
 */
import { createHash } from 'node:crypto';
import { HeadraceError } from '../../core/errors.js';
import type { Unit } from '../../core/shard.js';
import type { ObjectInfo, Store } from '../../store/store.js';
import { codecOfPath } from '../compressed/codec.js';
import { partOf, passContent, type ContentPart } from '../compressed/content.js';
import { CONTENT_LIMITS } from '../compressed/limits.js';
import type { Scan, ShardIndex } from '../decoder.js';
import { findColumns, type LineRequest } from './columns.js';
import type { LineUnitLayout, LongRow } from './layout.js';
import type { LineFormat } from './line-format.js';
import { LINE_LIMITS } from './limits.js';
import { SCAN_START, type RowScanState } from './scan-rows.js';

/** Between two rows of the object. */
interface Place {
  readonly row: number;
  readonly byte: number;
  readonly line: number;
}

interface FoundRows {
  readonly marks: readonly Place[];
  readonly long: readonly LongRow[];
  readonly end: Place;
  /** Of the content. */
  readonly digest: string;
  /** The first bytes of the content. */
  readonly head: Uint8Array;
  readonly parts: readonly ContentPart[];
}

/** Errors: those of `passLines` and of its `index`. */
export async function indexLines(
  store: Store,
  object: ObjectInfo,
  format: LineFormat,
  request: LineRequest,
  scan: Scan,
  signal: AbortSignal,
): Promise<ShardIndex> {
  return (await passLines(store, object, format, scan, signal)).index(request);
}

/** An object that was passed over. */
export interface PassedLines {
  /** Of separated values, where there is a record: its bytes name the columns, or count them. */
  readonly head: Uint8Array | undefined;
  /** For any columns. Errors: those of `findColumns`. */
  index(request: LineRequest): ShardIndex;
}

/** Errors: those of `passContent`, `SHARD_INVALID`. */
export async function passLines(
  store: Store,
  object: ObjectInfo,
  format: LineFormat,
  scan: Scan,
  signal: AbortSignal,
): Promise<PassedLines> {
  const uri = store.uri + object.path;
  const found = await findRows(store, object, format, scan, signal);
  const hasRows = found.end.row > 0;
  const head = format.kind === 'csv' && !Array.isArray(format.header) && hasRows ? firstRecord(found, uri) : undefined;
  const hasHeader = format.kind === 'csv' && format.header === true && hasRows;
  const rows = hasHeader ? withoutHeader(found) : found;
  return {
    head,
    index: (request) => {
      const columns = findColumns(format, request, head, uri);
      return {
        contentId: found.digest,
        rows: rows.end.row,
        units: rows.end.row === 0 ? [] : cutUnits(rows, codecOfPath(object.path) === 'plain' ? undefined : found.parts),
        layout: columns,
      };
    },
  };
}

async function findRows(store: Store, object: ObjectInfo, format: LineFormat, scan: Scan, signal: AbortSignal): Promise<FoundRows> {
  const { pieces, parts } = passContent(store, { ...object, uri: store.uri + object.path }, signal);
  const hash = createHash('sha256');
  const marks: Place[] = [];
  const long: LongRow[] = [];
  let state: RowScanState = SCAN_START;
  let head: Uint8Array | undefined;
  for await (const { bytes, isLast } of inRanges(pieces)) {
    head ??= bytes.slice(0, LINE_LIMITS.headerBytesMax);
    const result = await scan('row-starts', { bytes, format, state, isLast }, signal);
    ({ state } = result);
    hash.update(result.digest);
    for (let i = 0; i < result.marks.length; i += 3)
      marks.push({ row: result.marks[i], byte: result.marks[i + 1], line: result.marks[i + 2] });
    for (let i = 0; i < result.long.length; i += 3) {
      long.push({ row: result.long[i], startByte: result.long[i + 1], endByte: result.long[i + 2] });
    }
  }
  const end = { row: state.row, byte: state.byte, line: state.line };
  return { marks, long, end, digest: hash.digest('hex'), head: head ?? new Uint8Array(0), parts };
}

/** Ranges of one length, so that equal content has equal digests however it is stored; the next is read while one is scanned. Always one at least. */
async function* inRanges(
  pieces: AsyncGenerator<Uint8Array, void, undefined>,
): AsyncGenerator<{ readonly bytes: Uint8Array<ArrayBuffer>; readonly isLast: boolean }, void, undefined> {
  let rest: Uint8Array = new Uint8Array(0);
  const read = async (): Promise<Uint8Array<ArrayBuffer>> => {
    const held = [rest];
    let length = rest.length;
    rest = new Uint8Array(0);
    while (length < LINE_LIMITS.scanBytes) {
      const next = await pieces.next();
      if (next.done === true) break;
      held.push(next.value);
      length += next.value.length;
    }
    const bytes = new Uint8Array(Math.min(length, LINE_LIMITS.scanBytes));
    let at = 0;
    for (const piece of held) {
      const own = piece.subarray(0, bytes.length - at);
      bytes.set(own, at);
      at += own.length;
      if (own.length < piece.length) rest = piece.subarray(own.length);
    }
    return bytes;
  };
  try {
    for (let bytes = await read(); ;) {
      const next = read();
      next.catch(() => undefined); // heard below
      const isShort = bytes.length < LINE_LIMITS.scanBytes;
      const after = isShort ? new Uint8Array(0) : await next;
      yield { bytes, isLast: after.length === 0 };
      if (after.length === 0) return;
      bytes = after;
    }
  } finally {
    await pieces.return(undefined);
  }
}

function firstRecord({ head, marks }: FoundRows, uri: string): Uint8Array {
  const { byte: end } = marks.find(({ row }) => row === 1) ?? { byte: head.length };
  if (end <= head.length) return withoutByteOrderMark(head.subarray(0, end));
  throw new HeadraceError('SHARD_INVALID', `the first record of ${uri} has ${end} bytes`, {
    detail: { uri },
    hint: 'Look for a quote that does not end, or set `csv.quote` and `csv.delimiter` as the file was written.',
  });
}

function withoutByteOrderMark(bytes: Uint8Array): Uint8Array {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

function withoutHeader({ marks, long, end, ...found }: FoundRows): FoundRows {
  const before = (place: Place): Place => ({ ...place, row: place.row - 1 });
  return {
    ...found,
    marks: marks.filter(({ row }) => row > 0).map(before),
    long: long.map((row) => ({ ...row, row: row.row - 1 })),
    end: before(end),
  };
}

/** `parts`: of a compressed object. */
function cutUnits({ marks, long, end }: FoundRows, parts: readonly ContentPart[] | undefined): Unit[] {
  const starts: Place[] = [];
  for (const mark of marks) {
    const last = starts.at(-1);
    const isEnough = last === undefined || (mark.byte - last.byte >= LINE_LIMITS.unitBytes && mark.row > last.row);
    const skipped = parts === undefined ? 0 : mark.byte - partOf(parts, mark.byte).contentByte;
    if (isEnough && (last === undefined || skipped <= CONTENT_LIMITS.skipBytesMax)) starts.push(mark);
  }
  const units: Unit[] = [];
  let at = 0;
  for (const [i, start] of starts.entries()) {
    const after = starts.at(i + 1) ?? end;
    if (after.row === start.row) continue; // blank lines at the end
    const own: Place[] = [];
    for (; at < marks.length && marks[at].byte < after.byte; at++) if (marks[at].byte >= start.byte) own.push(marks[at]);
    const ownLong = long.filter(({ row }) => row >= start.row && row < after.row);
    units.push(unitOf(start, after, own, ownLong, parts));
  }
  return units;
}

function unitOf(
  start: Place,
  end: Place,
  marks: readonly Place[],
  long: readonly LongRow[],
  parts: readonly ContentPart[] | undefined,
): Unit {
  const bytes = end.byte - start.byte;
  const longBytes = long.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0);
  const first = parts && partOf(parts, start.byte);
  const isWhole = parts !== undefined && bytes > 2 * LINE_LIMITS.unitBytes;
  const kept = isWhole ? thinned(marks, long) : marks;
  const extra = start.line - start.row;
  const layout: LineUnitLayout = {
    startByte: first?.startByte ?? start.byte,
    endByte: parts === undefined ? end.byte : partOf(parts, end.byte - 1).endByte,
    skipBytes: first === undefined ? 0 : start.byte - first.contentByte,
    line: start.line,
    marks: [...kept, end].flatMap(({ row, byte, line }) => [row - start.row, byte - start.byte, line - row - extra]),
    long: long.flatMap(({ row, startByte, endByte }) => [row - start.row, startByte - start.byte, endByte - start.byte]),
  };
  return {
    startRow: start.row,
    rows: end.row - start.row,
    decodedBytes: Math.max(1, bytes - longBytes),
    storedBytes: parts === undefined ? Math.max(1, bytes - longBytes) : layout.endByte - layout.startByte,
    ...(isWhole && { isWhole }),
    layout: layout,
  };
}

/** Further apart, but around rows that are not read. */
function thinned(marks: readonly Place[], long: readonly LongRow[]): Place[] {
  const borders = new Set(long.flatMap(({ startByte, endByte }) => [startByte, endByte]));
  let next = 0;
  return marks.filter(({ byte }) => {
    if (byte < next && !borders.has(byte)) return false;
    next = byte + LINE_LIMITS.wholeMarkBytes;
    return true;
  });
}
