/** Counts the rows that start in each page of a list column: what a page index would have said. */
import type { CompressionCodec } from 'hyparquet';
import { decompressPage } from 'hyparquet/src/datapage.js';
import { compressors } from 'hyparquet-compressors';
import { messageOf } from '../../core/errors.js';
import type { PageRowRequest, PageRows } from '../decoder.js';
import { inflateOf } from './inflate.js';
import { checkPage, pagesOf } from './pages.js';
import { snappyPrefix } from './snappy-prefix.js';
import { zstdPrefix } from './zstd-prefix.js';

/**
 * Counts the rows that start in each data page (version 1) of a list column, from its repetition levels: 0 starts a row.
 * Source: Apache Parquet format, "Nested Encoding" and "Run Length Encoding / Bit-Packing Hybrid".
 * Ends before the first page that is damaged: what lies behind it depends on it.
 */
export function countPageRows(request: PageRowRequest): PageRows {
  const rows: number[] = [];
  const continued: number[] = [];
  let problem: string | undefined;
  try {
    for (const page of pagesOf(request.bytes, request.codec)) {
      const { header, body } = page;
      checkPage(page);
      if (header.data_page_header === undefined) {
        rows.push(header.data_page_header_v2?.num_rows ?? 0);
        continued.push(0);
        continue;
      }
      const { repetition_level_encoding: encoding } = header.data_page_header;
      if (encoding !== 'RLE') throw new Error(`repetition levels are encoded as ${encoding}, which no writer does since 2014`);
      const start = startOfPage(body, header.uncompressed_page_size, request.codec);
      const levels = countZeroLevels(start, header.data_page_header.num_values, Math.ceil(Math.log2((request.repetitions ?? 1) + 1)));
      rows.push(levels.zeros);
      continued.push(levels.first === 0 ? 0 : 1);
    }
  } catch (error) {
    problem = messageOf(error);
  }
  return { rows: Int32Array.from(rows), continued: Uint8Array.from(continued), problem };
}

/** The decoded page as far as its repetition levels go, which come first, after their length in 4 bytes; or more of it. */
function startOfPage(body: Uint8Array, pageBytes: number, codec: string): Uint8Array {
  const prefixOf = PREFIXES.get(codec);
  const prefix = prefixOf && prefixWithLevels(body, pageBytes, prefixOf);
  return prefix ?? inflateOf(codec)?.(body, pageBytes) ?? decompressPage(body, pageBytes, codec as CompressionCodec, compressors);
}

/** `undefined`: the page has to be decompressed whole. */
type PrefixOf = (body: Uint8Array, bytesWanted: number) => Uint8Array | undefined;

const PREFIXES = new Map<string, PrefixOf>([
  ['SNAPPY', snappyPrefix],
  ['ZSTD', zstdPrefix],
]);

const LENGTH_BYTES = 4;

function prefixWithLevels(body: Uint8Array, pageBytes: number, prefixOf: PrefixOf): Uint8Array | undefined {
  const start = prefixOf(body, LENGTH_BYTES);
  if (start === undefined) return undefined;
  const levelBytes = new DataView(start.buffer, start.byteOffset, start.byteLength).getUint32(0, true);
  const wanted = Math.min(pageBytes, LENGTH_BYTES + levelBytes);
  return start.length >= wanted ? start : prefixOf(body, wanted);
}

/**
 * Repetition levels of one repeated field are one bit wide, of up to three nested ones two: runs (a varint with its lowest bit 0: count × 2, then the value)
 * and bit-packed groups of 8 (lowest bit 1). `width`: at most 8.
 */
function countZeroLevels(page: Uint8Array, values: number, width: number): { readonly zeros: number; readonly first: number } {
  const end = 4 + new DataView(page.buffer, page.byteOffset, 4).getUint32(0, true);
  let at = 4;
  let seen = 0;
  let zeros = 0;
  let first = -1;
  while (seen < values && at < end) {
    let header = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = page[at++];
      header |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    if ((header & 1) === 0) {
      const count = Math.min(header >>> 1, values - seen);
      const value = page[at++];
      if (first < 0) first = value;
      if (value === 0) zeros += count;
      seen += count;
      continue;
    }
    for (let group = header >>> 1; group > 0; group--) {
      const levels = Math.min(8, values - seen);
      for (let level = 0; level < levels; level++) {
        const bit = level * width;
        const value = ((page[at + (bit >>> 3)] | (page[at + (bit >>> 3) + 1] << 8)) >>> (bit & 7)) & (2 ** width - 1);
        if (first < 0) first = value;
        if (value === 0) zeros++;
      }
      at += width;
      seen += levels;
    }
  }
  if (seen !== values) throw new Error(`${seen} repetition levels where ${values} were expected`);
  return { zeros, first };
}
