/**
 * Where the data pages of a column chunk are, and which rows they hold, so that a slice fetches its pages only.
 *
 *   column chunk   [dictionary][page][page][page]…          known from the offset index at once,
 *   rows                       0 …   856 … 1712 …           else from page headers, as far as was asked for
 *
 * Writers leave the offset index out by default (pyarrow, Spark). Flat columns then still say the rows of a page in its header; pages of lists (version 1)
 * do not, so a worker counts them. Where a writer lets a list cross pages, a slice has them all, from the last one that begins with a row.
 *
 * Which pages a slice has depends on the file alone, and not on what was asked for before: a damaged page takes down the slices that need it (or that lie
 * behind it, where nobody but it says where they begin), and no other.
 */
import { readOffsetIndex } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { LIMITS } from '../../config/limits.js';
import { HeadraceError, messageOf } from '../../core/errors.js';
import { rawCopy } from '../../core/raw-memory.js';
import type { Unit } from '../../core/shard.js';
import type { Scan } from '../decoder.js';
import { checkThrift } from './check-thrift.js';
import { openLargePage, type LargePage } from './large-page.js';
import type { ParquetChunkLayout } from './layout.js';

/** A data page. Rows are counted in the unit. */
export interface Page {
  readonly startByte: number;
  readonly endByte: number;
  readonly startRow: number;
  /** Of the rows that begin in it. */
  readonly endRow: number;
  /** It begins in the middle of a row. */
  readonly continued: boolean;
}

/** Reads bytes [startByte, endByte) of the object, and may bring some that lie behind. */
export type ReadBytes = (startByte: number, endByte: number, signal: AbortSignal) => Promise<Uint8Array>;

interface Header {
  readonly kind: 'dictionary' | 'data' | 'index';
  readonly startByte: number;
  readonly endByte: number;
  /** Rows, where the header says them. */
  readonly rows: number | undefined;
  readonly values: number;
}

export class PageMap {
  readonly #layout: ParquetChunkLayout;
  readonly #rows: number;
  /** Repeated fields above the values; 0: of flat columns. */
  readonly #repetitions: number;
  readonly #uri: string;
  #pages: Page[] = [];
  #dictionaryEndByte: number | undefined;
  #nextByte: number;
  #nextRow = 0;
  /** Of the pages so far. */
  #values = 0;
  #work: Promise<void> = Promise.resolve();
  #opening: Promise<unknown> = Promise.resolve();
  #large: { readonly startByte: number; readonly page: LargePage | undefined } | undefined;
  /** Rows were counted from levels: the last one may go on in the next page. */
  #counted = false;
  /** What ended the survey, for all that lies behind. */
  #damage: HeadraceError | undefined;

  constructor(unit: Unit, layout: ParquetChunkLayout, repetitions: number, uri: string) {
    this.#layout = layout;
    this.#rows = unit.rows;
    this.#repetitions = repetitions;
    this.#uri = uri;
    this.#nextByte = layout.startByte;
  }

  /** Whether the rows of its pages are counted, where no offset index says them. */
  get counts(): boolean {
    return this.#repetitions > 0;
  }

  /** Pages known so far. */
  get length(): number {
    return this.#pages.length;
  }

  /** The dictionary page's bytes; undefined without one. Known once any page is. */
  get dictionary(): { readonly startByte: number; readonly endByte: number } | undefined {
    const endByte = this.#dictionaryEndByte;
    return endByte === undefined ? undefined : { startByte: this.#layout.startByte, endByte };
  }

  /** The pages that hold rows [startRow, endRow) of the unit, in order, finding them first where need be. Errors: those of `read`, `SHARD_INVALID`. */
  async locate(startRow: number, endRow: number, read: ReadBytes, scan: Scan, signal: AbortSignal): Promise<readonly Page[]> {
    // one survey at a time: the next caller goes on where this one stopped, and a failed survey is the failure of its own caller only
    const survey = this.#work.then(() => this.#surveyUntil(endRow, read, scan, signal));
    this.#work = survey.catch(() => undefined);
    await survey;
    let first = this.#pages.findIndex((page) => page.endRow > startRow);
    while (first > 0 && this.#pages[first].continued) first--;
    let last = this.#pages.findIndex((page) => page.endRow >= endRow);
    while (this.#pages[last].endRow === endRow && this.#pages.at(last + 1)?.continued === true) last++;
    return this.#pages.slice(first, last + 1);
  }

  /** Where the first of the pages begins that hold rows from `row` on; `undefined`: none of them is known. */
  startByteOf(row: number): number | undefined {
    let first = this.#pages.findIndex((page) => page.endRow > row);
    if (first < 0) return undefined;
    while (first > 0 && this.#pages[first].continued) first--;
    return this.#pages[first].startByte;
  }

  /** A page that is cut; of the last one that was asked for it is kept where its rows lie. One after the other, as surveys are. */
  openLarge({ startByte, endByte }: Page, levelMax: number, read: ReadBytes, signal: AbortSignal): Promise<LargePage | undefined> {
    const opened = this.#opening.then(async () => {
      if (this.#large?.startByte !== startByte) {
        this.#large = { startByte, page: await openLargePage(startByte, endByte, levelMax, (from, to) => read(from, to, signal)) };
      }
      return this.#large.page;
    });
    this.#opening = opened.catch(() => undefined);
    return opened;
  }

  async #surveyUntil(endRow: number, read: ReadBytes, scan: Scan, signal: AbortSignal): Promise<void> {
    if (this.#layout.offsetIndex !== undefined && this.#pages.length === 0) await this.#readOffsetIndex(read, signal);
    let fetchBytes = this.#stepBytes(endRow);
    while (!this.#isSettled(endRow)) {
      if (this.#damage !== undefined) throw this.#damage;
      const before = this.#nextByte;
      if (before >= this.#layout.endByte) throw this.#invalid(`its pages hold ${this.#nextRow} rows of ${this.#rows}`);
      const bytes = await read(before, Math.min(this.#layout.endByte, before + fetchBytes), signal);
      const isFurther = await this.#survey(bytes, before, scan, signal);
      // a page (or header) larger than what was fetched: fetch twice as much next time
      if (!isFurther) {
        if (before + fetchBytes >= this.#layout.endByte)
          throw this.#invalid(`the page at byte ${before} does not end inside its column chunk`);
        fetchBytes *= 2;
      }
    }
  }

  /** Whether all bytes of the rows before this one are known. Behind counted rows nothing may be wrong: it would be the rest of the last one, or too much. */
  #isSettled(endRow: number): boolean {
    if (this.#nextRow !== endRow) return this.#nextRow > endRow;
    return !this.#counted || (this.#nextByte >= this.#layout.endByte && this.#damage === undefined);
  }

  /** Far from the wanted rows, large requests; near them, small ones, whose bytes are the wanted pages themselves. */
  #stepBytes(endRow: number): number {
    const chunkBytes = this.#layout.endByte - this.#layout.startByte;
    const bytesAhead = ((endRow - this.#nextRow) / Math.max(1, this.#rows)) * chunkBytes;
    return Math.max(LIMITS.readAheadBytes, Math.min(LIMITS.surveyBytes, Math.ceil(bytesAhead)));
  }

  /** Answers whether there was a whole page, or a damaged one. */
  async #survey(bytes: Uint8Array, startByte: number, scan: Scan, signal: AbortSignal): Promise<boolean> {
    const { headers, damage } = this.#headers(bytes, startByte);
    const data = headers.filter((header) => header.kind === 'data');
    const dictionary = headers.find((header) => header.kind === 'dictionary');
    if (dictionary !== undefined) this.#dictionaryEndByte = dictionary.endByte;
    const counts = data.some((page) => page.rows === undefined)
      ? await this.#count(data, bytes, startByte, scan, signal)
      : { rows: data.map((page) => page.rows ?? 0), continued: [], problem: undefined };
    try {
      for (const [index, rows] of counts.rows.entries()) {
        this.#append(data[index].startByte, data[index].endByte, rows, counts.continued.at(index) === 1);
      }
    } catch (error) {
      this.#damage = error as HeadraceError;
    }
    this.#damage ??= counts.problem === undefined ? damage : this.#invalid(counts.problem);
    this.#values += data.reduce((sum, { values }) => sum + values, 0);
    const lastHeader = headers.at(-1);
    if (lastHeader !== undefined) this.#nextByte = lastHeader.endByte;
    const { values, endByte } = this.#layout;
    if (this.#nextByte >= endByte && values !== undefined && this.#values !== values) {
      this.#damage ??= this.#invalid(`its pages hold ${this.#values} values of ${values}`);
    }
    return lastHeader !== undefined || this.#damage !== undefined;
  }

  async #count(
    data: readonly Header[],
    bytes: Uint8Array,
    startByte: number,
    scan: Scan,
    signal: AbortSignal,
  ): Promise<{ readonly rows: readonly number[]; readonly continued: Uint8Array; readonly problem: string | undefined }> {
    const first = data[0].startByte;
    const last = data[data.length - 1].endByte;
    const copy = rawCopy(bytes.subarray(first - startByte, last - startByte));
    const { rows, continued, problem } = await scan(
      'parquet-pages',
      { codec: this.#layout.codec, repetitions: this.#repetitions, bytes: copy },
      signal,
    );
    this.#counted = true;
    const wrong = problem === undefined && rows.length !== data.length;
    return {
      rows: Array.from(rows.subarray(0, data.length)),
      continued,
      problem: wrong ? `${rows.length} pages where ${data.length} were expected` : problem,
    };
  }

  /** The headers of consecutive pages: of flat columns as long as headers lie in `bytes`, of nested ones as long as whole pages do. */
  #headers(bytes: Uint8Array, startByte: number): { readonly headers: readonly Header[]; readonly damage: HeadraceError | undefined } {
    const headers: Header[] = [];
    let damage: HeadraceError | undefined;
    let byte = startByte;
    const endByte = startByte + bytes.byteLength;
    while (byte < endByte && byte < this.#layout.endByte) {
      let header: Header | undefined;
      try {
        header = this.#header(bytes, byte - startByte, byte);
      } catch (error) {
        damage = error as HeadraceError; // those before it are as good as ever
      }
      if (header === undefined || (this.#repetitions > 0 && header.endByte > endByte)) break;
      headers.push(header);
      byte = header.endByte;
    }
    return { headers, damage };
  }

  #header(bytes: Uint8Array, offset: number, startByte: number): Header | undefined {
    const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset };
    let header: ReturnType<typeof parquetHeader>;
    try {
      checkThrift(bytes, offset);
      header = parquetHeader(reader);
    } catch {
      return undefined; // the header goes on beyond these bytes; if not, the survey ends at the chunk's end with an error
    }
    const { compressed_page_size: stored, uncompressed_page_size: decoded, type } = header;
    const sane = [stored, decoded].every((size) => Number.isInteger(size) && size >= 0 && size <= LIMITS.pageBytesMax);
    const kind = PAGE_KINDS.get(type);
    // a dictionary comes first, or not at all (Parquet format, “Dictionary Encoding”): elsewhere it was a data page, whose rows would be missed
    const misplaced = kind === 'dictionary' && startByte !== this.#layout.startByte;
    const { data_page_header: v1, data_page_header_v2: v2 } = header;
    // without the part that goes with its type, a page would have no number of rows, and those before it would be counted anew, with it
    const incomplete = kind === 'data' && (type === 'DATA_PAGE_V2' ? v2 : v1) === undefined;
    const rows = v2?.num_rows ?? (this.#repetitions > 0 ? undefined : v1?.num_values);
    // a damaged header may hold numbers of any kind: of 64 bits they are no numbers that one can count with
    const uncountable = kind === 'data' && rows !== undefined && !(Number.isInteger(rows) && rows >= 0);
    const endByte = sane ? startByte + (reader.offset - offset) + stored : Infinity;
    if (kind === undefined || misplaced || incomplete || uncountable || endByte > this.#layout.endByte)
      throw this.#invalid(`the page header at byte ${startByte} is damaged`);
    return { kind, startByte, endByte, rows, values: v2?.num_values ?? v1?.num_values ?? 0 };
  }

  async #readOffsetIndex(read: ReadBytes, signal: AbortSignal): Promise<void> {
    const { offsetIndex } = this.#layout;
    if (offsetIndex === undefined) return;
    const bytes = await read(offsetIndex.startByte, offsetIndex.endByte, signal);
    try {
      checkThrift(bytes);
      const { page_locations: locations } = readOffsetIndex({
        view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
        offset: 0,
      });
      for (const [index, location] of locations.entries()) {
        const startByte = Number(location.offset);
        const nextRow = index + 1 < locations.length ? Number(locations[index + 1].first_row_index) : this.#rows;
        this.#append(startByte, startByte + location.compressed_page_size, nextRow - Number(location.first_row_index), false);
      }
      const [firstPage] = this.#pages;
      if (firstPage.startByte > this.#layout.startByte) this.#dictionaryEndByte = firstPage.startByte;
    } catch (error) {
      this.#pages = []; // all or nothing: the next caller fails as well
      this.#nextRow = 0;
      throw this.#invalid(`its offset index cannot be read (${messageOf(error)})`);
    }
    this.#nextByte = this.#layout.endByte;
  }

  #append(startByte: number, endByte: number, rows: number, continued: boolean): void {
    const endRow = this.#nextRow + rows;
    if (!(
      rows >= 0 &&
      endRow <= this.#rows &&
      startByte >= this.#layout.startByte &&
      endByte <= this.#layout.endByte &&
      endByte > startByte &&
      !(continued && this.#pages.length === 0)
    )) {
      throw this.#invalid(`the page at byte ${startByte} claims rows ${this.#nextRow} to ${endRow} of ${this.#rows}`);
    }
    this.#pages.push({ startByte, endByte, startRow: this.#nextRow, endRow, continued });
    this.#nextRow = endRow;
  }

  #invalid(problem: string): HeadraceError {
    return new HeadraceError('SHARD_INVALID', `the column chunk at byte ${this.#layout.startByte} of ${this.#uri} is damaged: ${problem}`, {
      detail: { uri: this.#uri, startByte: this.#layout.startByte },
      hint: 'Write the file again, or take it out of the source.',
    });
  }
}

const PAGE_KINDS = new Map<string, Header['kind']>([
  ['DICTIONARY_PAGE', 'dictionary'],
  ['DATA_PAGE', 'data'],
  ['DATA_PAGE_V2', 'data'],
  ['INDEX_PAGE', 'index'],
]);
