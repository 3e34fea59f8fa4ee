/** Reads a list of text from a store in parts of whole lines, so that its length does not matter. */
import { isUtf8 } from 'node:buffer';
import { LIMITS } from '../config/limits.js';
import type { Store } from '../store/store.js';
import { listError } from './list-error.js';

/** Whole lines; only the last part may end without a line feed. */
export interface TextPart {
  readonly text: string;
  /** Of its first line, counted from 1. */
  readonly line: number;
}

const LINE_FEED = 0x0a;
const BYTE_ORDER_MARK = '\ufeff';

/** In the version that the object has now. Errors: those of `Store.head` and `Store.read`, `EXCLUSION_INVALID`. */
export async function* textParts(store: Store, path: string, uri: string, signal?: AbortSignal): AsyncGenerator<TextPart, void> {
  const options = signal && { signal };
  const { size, etag } = await store.head(path, options);
  let held = Buffer.alloc(0);
  let line = 1;
  for (let startByte = 0; startByte < size;) {
    const endByte = Math.min(size, startByte + LIMITS.exclusionReadBytes);
    const read = await store.read(path, { startByte, endByte }, { ...options, ifMatch: etag });
    startByte = endByte;
    const bytes = Buffer.concat([held, read]);
    const end = endByte === size ? bytes.length : bytes.lastIndexOf(LINE_FEED) + 1;
    held = bytes.subarray(end);
    if (held.length > LIMITS.exclusionLineBytesMax) {
      throw listError(uri, line + countLines(bytes.subarray(0, end)), `it has more than ${LIMITS.exclusionLineBytesMax} bytes`);
    }
    if (end === 0) continue;
    const part = bytes.subarray(0, end);
    checkUtf8(part, line, uri);
    const text = part.toString('utf8');
    yield { text: line === 1 && text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text, line };
    line += countLines(part);
  }
}

/** Each line of a part, without its end. */
export function* linesOf({ text, line: firstLine }: TextPart): Generator<{ readonly text: string; readonly line: number }, void> {
  let line = firstLine;
  for (let start = 0; start < text.length; line++) {
    const found = text.indexOf('\n', start);
    const end = found < 0 ? text.length : found;
    yield { text: text.slice(start, text[end - 1] === '\r' && end > start ? end - 1 : end), line };
    start = end + 1;
  }
}

function checkUtf8(part: Buffer, firstLine: number, uri: string): void {
  if (isUtf8(part)) return;
  let line = firstLine;
  for (let start = 0; start < part.length; line++) {
    const found = part.indexOf(LINE_FEED, start);
    const end = found < 0 ? part.length : found;
    if (!isUtf8(part.subarray(start, end))) break;
    start = end + 1;
  }
  throw listError(uri, line, 'it is not valid UTF-8');
}

function countLines(part: Uint8Array): number {
  let lines = 0;
  for (let at = part.indexOf(LINE_FEED); at >= 0; at = part.indexOf(LINE_FEED, at + 1)) lines++;
  return lines;
}
