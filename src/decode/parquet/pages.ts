/** The pages of a column chunk, one after the other, and what their headers say. */
import { parquetHeader } from 'hyparquet/src/column.js';
import { crc32 } from '@node-rs/crc32';
import { LIMITS } from '../../config/limits.js';
import { checkThrift } from './check-thrift.js';

export type PageHeader = ReturnType<typeof parquetHeader>;

export interface Page {
  readonly header: PageHeader;
  /** Of its header, in the bytes that it was found in. */
  readonly offset: number;
  /** Between the header and the next page's. */
  readonly body: Uint8Array;
}

/**
 * Decoded bytes that a stored byte can stand for, at most, by what each format can say: a copy of 64 bytes takes 3 (Snappy), a match of 258 bytes
 * takes two bits (RFC 1951), a match grows by 255 a byte (LZ4), a block of 128 KiB takes 4 (RFC 8878). Brotli has no such bound.
 */
const RATIO_MAX: ReadonlyMap<string, number> = new Map([
  ['UNCOMPRESSED', 1],
  ['SNAPPY', 22],
  ['GZIP', 1032],
  ['LZ4', 255],
  ['LZ4_RAW', 255],
  ['ZSTD', 32_768],
]);

/** Throws where a page ends beyond the bytes, or claims more decoded bytes than its stored ones can stand for: nothing was allocated for it then. */
export function* pagesOf(pages: Uint8Array, codec: string): Generator<Page> {
  const reader = { view: new DataView(pages.buffer, pages.byteOffset, pages.byteLength), offset: 0 };
  while (reader.offset < pages.length) {
    const offset = reader.offset;
    checkThrift(pages, offset);
    const header = parquetHeader(reader);
    const start = reader.offset;
    reader.offset += header.compressed_page_size;
    if (!(header.compressed_page_size >= 0 && reader.offset <= pages.length)) throw new Error('a page ends beyond its column chunk');
    const decodedBytesMax = Math.min(LIMITS.pageBytesMax, header.compressed_page_size * (RATIO_MAX.get(codec) ?? Infinity));
    if (!(header.uncompressed_page_size >= 0 && header.uncompressed_page_size <= decodedBytesMax))
      throw new Error(`a page of ${header.compressed_page_size} bytes claims ${header.uncompressed_page_size} decoded bytes`);
    yield { header, offset, body: pages.subarray(start, reader.offset) };
  }
}

/** A page whose bytes are not those that its writer made a checksum of. */
export class PageChecksumError extends Error {
  override readonly name = 'PageChecksumError';
  readonly offset: number;
  readonly expected: number;
  readonly found: number;

  constructor(offset: number, expected: number, found: number) {
    super(`a page has the checksum ${hex(found)} where its header says ${hex(expected)}`);
    this.offset = offset;
    this.expected = expected;
    this.found = found;
  }
}

/**
 * Compares a page with its checksum, where its writer left one: CRC-32 (the polynomial of gzip) of all that follows the header, as it is stored, in both
 * versions of data pages and in dictionaries. Source: Apache Parquet format, "Checksumming". Throws `PageChecksumError`.
 */
export function checkPage({ header, body, offset }: Page): void {
  if (header.crc === undefined) return;
  const expected = header.crc >>> 0; // thrift has signed numbers only
  const found = crc32(body);
  if (found !== expected) throw new PageChecksumError(offset, expected, found);
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, '0');
}
