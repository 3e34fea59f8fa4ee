/** The pages of a column chunk, one after the other, and what their headers say. */
import { parquetHeader } from 'hyparquet/src/column.js';

export type PageHeader = ReturnType<typeof parquetHeader>;

export interface Page {
  readonly header: PageHeader;
  /** Between the header and the next page's. */
  readonly body: Uint8Array;
}

/** Throws where a page ends beyond the bytes. */
export function* pagesOf(pages: Uint8Array): Generator<Page> {
  const reader = { view: new DataView(pages.buffer, pages.byteOffset, pages.byteLength), offset: 0 };
  while (reader.offset < pages.length) {
    const header = parquetHeader(reader);
    const start = reader.offset;
    reader.offset += header.compressed_page_size;
    if (!(header.compressed_page_size >= 0 && reader.offset <= pages.length)) throw new Error('a page ends beyond its column chunk');
    yield { header, body: pages.subarray(start, reader.offset) };
  }
}
