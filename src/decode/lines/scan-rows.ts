/**
 * Where rows begin, found in content that comes in ranges: the worker's half of indexing. A row is a line that is not blank; of separated values it is a
 * record, which may hold line ends in quotes. A state is carried from range to range.
 */
import { createHash } from 'node:crypto';
import { LIMITS } from '../../config/limits.js';
import type { LineFormat } from './line-format.js';
import { LINE_LIMITS } from './limits.js';

/** After the bytes so far. Positions are counted in the content. */
export interface RowScanState {
  readonly byte: number;
  /** Rows that have ended. */
  readonly row: number;
  /** Line ends so far. */
  readonly line: number;
  /** The row that has begun: where it did, and on which line. */
  readonly rowByte: number;
  readonly rowLine: number;
  /** Nothing but white space so far. */
  readonly isBlank: boolean;
  /** See `QUOTE_…`; always 0 without quotes. */
  readonly quotes: number;
}

export const SCAN_START: RowScanState = { byte: 0, row: 0, line: 0, rowByte: 0, rowLine: 0, isBlank: true, quotes: 0 };

export interface RowScanRequest {
  readonly bytes: Uint8Array;
  readonly format: LineFormat;
  readonly state: RowScanState;
  /** These are the last bytes: a row needs no line end here. */
  readonly isLast: boolean;
}

export interface RowScan {
  readonly state: RowScanState;
  /** Row, byte and line of row starts, at least `markBytes` apart but around rows that are too long. */
  readonly marks: readonly number[];
  /** Row, first byte and end of rows that are longer than a document may be. */
  readonly long: readonly number[];
  /** SHA-256 of the bytes. */
  readonly digest: Uint8Array;
}

/** A field begins, or goes on without quotes. */
export const QUOTE_START = 0;
export const QUOTE_PLAIN = 1;
export const QUOTE_OPEN = 2;
/** After a quote in quotes: it ended them, or was the first of two. */
export const QUOTE_CLOSED = 3;

const LINE_FEED = 0x0a;
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

export function scanRows({ bytes, format, state, isLast }: RowScanRequest): RowScan {
  const scan = new Scan(state);
  let start = 0;
  if (state.byte === 0 && BYTE_ORDER_MARK.every((byte, i) => bytes[i] === byte)) {
    start = BYTE_ORDER_MARK.length;
    scan.rowByte = start;
  }
  if (state.byte === 0) scan.mark();
  if (format.kind === 'csv') scanRecords(scan, bytes, start, format.delimiter, format.quote);
  else if (format.kind === 'text' && format.per === 'file') scan.isBlank = false;
  else scanLines(scan, bytes, start);
  const end = state.byte + bytes.length;
  if (isLast && !scan.isBlank) scan.endRow(end, ++scan.line); // as if it had a line end
  const { row, line, rowByte, rowLine, isBlank, quotes, marks, long } = scan;
  const digest = createHash('sha256').update(bytes).digest();
  return { state: { byte: end, row, line, rowByte, rowLine, isBlank, quotes }, marks, long, digest };
}

class Scan {
  readonly start: number;
  row: number;
  line: number;
  rowByte: number;
  rowLine: number;
  isBlank: boolean;
  quotes: number;
  readonly marks: number[] = [];
  readonly long: number[] = [];
  nextMark: number;

  constructor({ byte, row, line, rowByte, rowLine, isBlank, quotes }: RowScanState) {
    this.start = byte;
    this.row = row;
    this.line = line;
    this.rowByte = rowByte;
    this.rowLine = rowLine;
    this.isBlank = isBlank;
    this.quotes = quotes;
    this.nextMark = (Math.floor(rowByte / LINE_LIMITS.markBytes) + 1) * LINE_LIMITS.markBytes;
  }

  mark(): void {
    this.marks.push(this.row, this.rowByte, this.rowLine);
    this.nextMark = (Math.floor(this.rowByte / LINE_LIMITS.markBytes) + 1) * LINE_LIMITS.markBytes;
  }

  /** What began at `rowByte` ends before `end`, where line `line` begins. */
  endRow(end: number, line: number): void {
    const isLong = !this.isBlank && end - this.rowByte > LIMITS.documentBytesMax;
    if (isLong) {
      if (this.marks.at(-2) !== this.rowByte) this.mark();
      this.long.push(this.row, this.rowByte, end);
    }
    const isFirst = !this.isBlank && this.row === 0;
    if (!this.isBlank) this.row++;
    this.rowByte = end;
    this.rowLine = line;
    this.isBlank = true;
    if (isFirst || isLong || end >= this.nextMark) this.mark(); // the first row may be a header
  }
}

function scanLines(scan: Scan, bytes: Uint8Array, start: number): void {
  let at = start;
  while (at < bytes.length) {
    const feed = bytes.indexOf(LINE_FEED, at);
    const end = feed < 0 ? bytes.length : feed;
    while (scan.isBlank && at < end) scan.isBlank = isBlankByte(bytes[at++]);
    if (feed < 0) return;
    scan.line++;
    at = feed + 1;
    scan.endRow(scan.start + at, scan.line);
  }
}

/** As JSON has white space. */
export function isBlankByte(byte: number): boolean {
  return byte === 0x20 || byte === 0x0d || byte === 0x09 || byte === LINE_FEED;
}

/** A quote opens at the start of a field only; in quotes, two stand for one. Lines without a character are no records. */
function scanRecords(scan: Scan, bytes: Uint8Array, start: number, delimiter: number, quote: number | undefined): void {
  let { quotes } = scan;
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === LINE_FEED) scan.line++;
    else if (byte !== 0x0d) scan.isBlank = false;
    if (quotes === QUOTE_OPEN) {
      if (byte === quote) quotes = QUOTE_CLOSED;
    } else if (byte === LINE_FEED) {
      quotes = QUOTE_START;
      scan.endRow(scan.start + at + 1, scan.line);
    } else if (byte === delimiter) quotes = QUOTE_START;
    else if (byte === quote) quotes = quotes === QUOTE_PLAIN ? QUOTE_PLAIN : QUOTE_OPEN;
    else quotes = QUOTE_PLAIN;
  }
  scan.quotes = quotes;
}
