/**
 * One record of separated values, read from bytes as scan-rows.ts finds its end: quotes open at the start of a field only, and two of them stand for one
 * (RFC 4180). What follows a quote that ended is a problem of this record, and of no other.
 */
import { QUOTE_CLOSED, QUOTE_OPEN, QUOTE_PLAIN, QUOTE_START } from './scan-rows.js';

export interface RecordValues {
  readonly values: readonly Uint8Array[];
  /** What is wrong with it; `undefined`: nothing. */
  readonly problem: string | undefined;
}

const LINE_FEED = 0x0a;
const RETURN = 0x0d;

/** Where the record that begins at `start` ends, after its line end. */
export function recordEnd(bytes: Uint8Array, start: number, delimiter: number, quote: number | undefined): number {
  let quotes = QUOTE_START;
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at];
    if (quotes === QUOTE_OPEN) {
      if (byte === quote) quotes = QUOTE_CLOSED;
    } else if (byte === LINE_FEED) return at + 1;
    else if (byte === delimiter) quotes = QUOTE_START;
    else if (byte === quote) quotes = quotes === QUOTE_PLAIN ? QUOTE_PLAIN : QUOTE_OPEN;
    else quotes = QUOTE_PLAIN;
  }
  return bytes.length;
}

/** The record in bytes [start, end), with its line end or without. Values are views where nothing is quoted. */
export function readRecord(bytes: Uint8Array, start: number, end: number, delimiter: number, quote: number | undefined): RecordValues {
  const values: Uint8Array[] = [];
  let last = end;
  if (last > start && bytes[last - 1] === LINE_FEED) last--;
  if (last > start && bytes[last - 1] === RETURN) last--;
  let at = start;
  for (;;) {
    if (at < last && bytes[at] === quote) {
      const quoted = readQuoted(bytes, at + 1, last, quote);
      if (quoted === undefined) return { values, problem: 'has a quote that does not end' };
      values.push(quoted.value);
      at = quoted.end;
      if (at < last && bytes[at] !== delimiter)
        return { values, problem: `has something after the quote that ends value ${values.length}` };
    } else {
      let next = bytes.indexOf(delimiter, at);
      if (next < 0 || next > last) next = last;
      const value = bytes.subarray(at, next);
      if (value.includes(RETURN)) return { values, problem: 'has a carriage return without a line feed' };
      values.push(value);
      at = next;
    }
    if (at >= last) return { values, problem: undefined };
    at++;
  }
}

/** From after the opening quote to after the closing one. */
function readQuoted(bytes: Uint8Array, start: number, end: number, quote: number): { value: Uint8Array; end: number } | undefined {
  let closing = bytes.indexOf(quote, start);
  if (closing >= 0 && closing < end && bytes[closing + 1] !== quote) return { value: bytes.subarray(start, closing), end: closing + 1 };
  const value: number[] = [];
  for (let at = start; closing >= 0 && closing < end; closing = bytes.indexOf(quote, at)) {
    for (; at < closing; at++) value.push(bytes[at]);
    if (closing + 1 >= end || bytes[closing + 1] !== quote) return { value: Uint8Array.from(value), end: closing + 1 };
    value.push(quote);
    at = closing + 2;
  }
  return undefined;
}
