/** The rows of a slice in its bytes, one after the other: where each is, and on which line. */
import { HeadraceError } from '../../core/errors.js';
import { recordEnd } from './csv-record.js';
import type { EncodedLineSlice } from './encoded-slice.js';
import { isBlankByte } from './scan-rows.js';

/** Told of row i of the slice: bytes [start, end), without its line end where that ends it; or how many bytes it has, which are not there. */
export interface RowVisitor {
  row(index: number, start: number, end: number, line: number): void;
  long(index: number, bytes: number, line: number): void;
  /** Takes as many rows as it wants from byte `at` on, where row `index` begins: all of them have their bytes. The one after them is for `row`. */
  readonly many?:
    ((index: number, at: number, rowsMax: number) => { readonly rows: number; readonly at: number; readonly lines: number }) | undefined;
}

const LINE_FEED = 0x0a;

/** Errors: `SHARD_INVALID`, where the bytes have fewer rows than the index says. */
export function visitRows(slice: EncodedLineSlice, visitor: RowVisitor): void {
  const { bytes, columns, skipRows, rows, longRows } = slice;
  let at = 0;
  let line = slice.line;
  let nextLong = 0;
  for (let row = 0; row < skipRows + rows; row++) {
    if (row >= skipRows && visitor.many !== undefined) {
      const rowsMax = (nextLong < longRows.length ? longRows[nextLong].row : skipRows + rows) - row;
      const taken = visitor.many(row - skipRows, at, rowsMax);
      ({ at } = taken);
      line += taken.lines;
      row += taken.rows;
      if (row === skipRows + rows) return;
    }
    const index = row - skipRows;
    if (nextLong < longRows.length && longRows[nextLong].row === row) {
      line++;
      if (index >= 0) visitor.long(index, longRows[nextLong].bytes, line);
      nextLong++;
      continue;
    }
    if (columns.kind === 'text' && columns.per === 'file') {
      visitor.row(index, 0, bytes.length, 1);
      return;
    }
    const blankAt = at;
    at = columns.kind === 'csv' ? skipEmpty(bytes, at) : skipBlank(bytes, at);
    for (let i = blankAt; i < at; i++) if (bytes[i] === LINE_FEED) line++;
    if (at === bytes.length) throw tooFewRows(slice, row);
    if (columns.kind === 'csv') {
      const end = recordEnd(bytes, at, columns.delimiter, columns.quote);
      line++;
      if (index >= 0) visitor.row(index, at, end, line);
      for (let feed = bytes.indexOf(LINE_FEED, at); feed >= 0 && feed < end - 1; feed = bytes.indexOf(LINE_FEED, feed + 1)) line++;
      at = end;
      continue;
    }
    const feed = bytes.indexOf(LINE_FEED, at);
    const end = feed < 0 ? bytes.length : feed;
    line++;
    if (index >= 0) visitor.row(index, at, end, line);
    at = Math.min(bytes.length, end + 1);
  }
}

/** To the start of the next line that is not blank. */
function skipBlank(bytes: Uint8Array, from: number): number {
  let lineStart = from;
  for (let at = from; at < bytes.length; at++) {
    if (bytes[at] === LINE_FEED) lineStart = at + 1;
    else if (!isBlankByte(bytes[at])) return lineStart;
  }
  return bytes.length;
}

/** Lines without a character. */
function skipEmpty(bytes: Uint8Array, from: number): number {
  let lineStart = from;
  for (let at = from; at < bytes.length; at++) {
    if (bytes[at] === LINE_FEED) lineStart = at + 1;
    else if (bytes[at] !== 0x0d) return lineStart;
  }
  return bytes.length;
}

function tooFewRows({ uri, skipRows, rows }: EncodedLineSlice, found: number): HeadraceError {
  return new HeadraceError('SHARD_INVALID', `${uri} has ${found} rows where its index says that there are ${skipRows + rows}`, {
    detail: { uri, found },
    hint: 'Was it written again in place? Index it anew; `badBlocks: skip` leaves damaged rows out.',
  });
}
