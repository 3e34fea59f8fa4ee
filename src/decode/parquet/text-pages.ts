/**
 * Decodes flat columns of text or bytes without Arrow and its libraries: the values of a page are walked where they were decompressed, and each is copied once.
 * PLAIN and dictionary pages of BYTE_ARRAY columns, nullable at any level, of the codecs of inflate.ts; every other column is left to parquet-wasm.
 * Source: Apache Parquet format, "Data Pages", "Plain", "Dictionary Encoding".
 */
import { crc32 } from '@node-rs/crc32';
import { LIMITS } from '../../config/limits.js';
import type { Rows } from '../decoder.js';
import type { EncodedChunk } from './encoded-slice.js';
import { inflateOf, type Inflate } from './inflate.js';
import { readRuns } from './levels.js';
import { pagesOf, type Page } from './pages.js';
import { releaseRowMemory, rowMemory } from './row-memory.js';
import { TextDictionary } from './text-dictionary.js';
import { ENDS_EARLY, plainValues, type TextValues } from './text-values.js';

type TextRows = Extract<Rows, { readonly kind: 'text' }>;

/**
 * `valueBytesMax`: a longer value is a row without one, whose problem says so: nothing of it is copied, and where it has a page to itself that is not even
 * decompressed. Throws an Error that says what is damaged; `undefined` where the slice is not of the kind that is decoded here.
 */
export function decodeTexts(slice: EncodedChunk, valueBytesMax = Infinity): TextRows | undefined {
  const { unit, schema, skipRows, rows: count, pageRows } = slice;
  const inflate = unit.type === 'BYTE_ARRAY' ? inflateOf(unit.codec) : undefined;
  const repetitions = schema.slice(1).map((element) => element.repetition_type);
  if (inflate === undefined || repetitions.includes('REPEATED')) return undefined;
  const levelMax = repetitions.filter((repetition) => repetition === 'OPTIONAL').length;
  const pages = [...pagesOf(slice.pages, unit.codec)];
  if (!pages.every(({ header }) => isKnown(header))) return undefined;
  const valueCount = pages.reduce((sum, { header }) => sum + countOf(header), 0);
  // of levels, a few bytes can claim any number: each takes 4 bytes here
  if (!(4 * valueCount <= LIMITS.pageBytesMax)) throw new Error(`the pages claim ${valueCount} values`);
  if (valueCount !== pageRows) throw new Error(`the pages hold ${valueCount} values where the metadata says ${pageRows} rows`);
  // a column of texts that are all different may have a dictionary of its first megabyte, which most slices do not need
  const dictionary = pages.every(({ header }) => encodingOf(header) === 'PLAIN') ? undefined : new TextDictionary(slice, inflate);
  const out = new TextWriter(skipRows, count, valueBytesMax);
  for (const page of pages) {
    const size = page.header.uncompressed_page_size;
    const key = size > LIMITS.keptPageBytesMax ? keyOf(slice, page, valueBytesMax) : undefined;
    readPage(page, { inflate, levelMax, dictionary, out, key, isSizeKnown: size <= slice.decodedBytes });
  }
  dictionary?.close();
  return out.rows();
}

function isKnown(header: Page['header']): boolean {
  const encoding = encodingOf(header);
  const isLevels = header.data_page_header === undefined || header.data_page_header.definition_level_encoding === 'RLE';
  return isLevels && (encoding === 'PLAIN' || encoding === 'PLAIN_DICTIONARY' || encoding === 'RLE_DICTIONARY');
}

function encodingOf({ data_page_header: v1, data_page_header_v2: v2 }: Page['header']): string | undefined {
  return v1?.encoding ?? v2?.encoding;
}

function countOf({ data_page_header: v1, data_page_header_v2: v2 }: Page['header']): number {
  return v1?.num_values ?? v2?.num_values ?? 0;
}

/** Of the values of one page. */
const KEPT_BYTES_MAX = 16 * 2 ** 20;

/**
 * A page of a gigabyte may have rows of many slices, which come one after the other, from several blocks: it is decompressed for the first of them, and its
 * values are kept but for those that are too long, which are most of it as a rule.
 */
let large: { readonly key: string; readonly values: TextValues; readonly levels: Int32Array | undefined } | undefined;

function keyOf({ uri, pagesByte }: EncodedChunk, { header, offset, body }: Page, valueBytesMax: number): string {
  return [pagesByte + offset, header.uncompressed_page_size, body.length, crc32(body), valueBytesMax, uri].join(' ');
}

/** The bytes of values that are not too long, in an array of their own; `undefined`: they are too many to be kept. The others have their lengths only. */
function withoutTooLong({ bytes, starts, ends }: TextValues, valueBytesMax: number): TextValues | undefined {
  const isKept = (i: number): boolean => ends[i] - starts[i] <= valueBytesMax;
  let length = 0;
  for (let i = 0; i < starts.length; i++) if (isKept(i)) length += ends[i] - starts[i];
  if (length > KEPT_BYTES_MAX) return undefined;
  const kept = new Uint8Array(length);
  const keptStarts = new Int32Array(starts.length);
  const keptEnds = new Int32Array(starts.length);
  let at = 0;
  for (let i = 0; i < starts.length; i++) {
    keptStarts[i] = at;
    keptEnds[i] = at + ends[i] - starts[i];
    if (!isKept(i)) continue;
    kept.set(bytes.subarray(starts[i], ends[i]), at);
    at = keptEnds[i];
  }
  return { bytes: kept, starts: keptStarts, ends: keptEnds };
}

interface Steps {
  readonly inflate: Inflate;
  /** The definition level of a value that is there; 0: all are. */
  readonly levelMax: number;
  /** Of pages that are not PLAIN. */
  readonly dictionary: TextDictionary | undefined;
  readonly out: TextWriter;
  /** Of a large page. */
  readonly key: string | undefined;
  /** Whether the footer, too, has room for the page's size: a damaged header alone would make a row too long that is not. */
  readonly isSizeKnown: boolean;
}

/** What a page has beside the bytes of its only value: two lengths, and a level, which writers put into a few bytes. */
const ONE_LEVEL_BYTES_MAX = 64;

function readPage({ header, body }: Page, { inflate, levelMax, dictionary, out, key, isSizeKnown }: Steps): void {
  const { data_page_header: v1, data_page_header_v2: v2, uncompressed_page_size: size } = header;
  const count = countOf(header);
  const isPlain = encodingOf(header) === 'PLAIN';
  if (isPlain && isSizeKnown && count === 1 && size > out.valueBytesMax + ONE_LEVEL_BYTES_MAX) {
    out.addTooLong(`lies in a page of ${size} bytes by itself`);
    return;
  }
  if (isPlain && key !== undefined && large?.key === key) {
    out.add(large.values, large.levels, levelMax, count);
    return;
  }
  const levelWidth = levelMax === 0 ? 0 : 32 - Math.clz32(levelMax);
  let levels: Int32Array | undefined;
  let bytes: Uint8Array;
  let at: number;
  if (v1 !== undefined) {
    bytes = inflate(body, size);
    at = 0;
    if (levelMax > 0) {
      if (size < 4) throw new Error(ENDS_EARLY);
      const levelBytes = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
      at = 4 + levelBytes;
      if (at > size) throw new Error(ENDS_EARLY);
      levels = levelsOf(bytes, 4, at, levelWidth, count);
    }
  } else {
    // version 2: levels without a length, never compressed, and then the values
    const levelBytes = v2?.definition_levels_byte_length ?? 0;
    if (!(v2?.repetition_levels_byte_length === 0 && levelBytes >= 0 && levelBytes <= Math.min(size, body.length))) {
      throw new Error('the levels of a page are damaged');
    }
    if (levelMax > 0) levels = levelsOf(body, 0, levelBytes, levelWidth, count);
    const stored = body.subarray(levelBytes);
    const isStored = v2.is_compressed === false || stored.length === 0;
    if (isStored && stored.length !== size - levelBytes) throw new Error(ENDS_EARLY);
    bytes = isStored ? stored : inflate(stored, size - levelBytes);
    at = 0;
  }
  const there = levels === undefined ? count : countThere(levels, levelMax);
  if (isPlain) {
    const values = plainValues(bytes, at, bytes.length, there);
    const kept = key === undefined ? undefined : withoutTooLong(values, out.valueBytesMax);
    if (key !== undefined && kept !== undefined) large = { key, values: kept, levels };
    out.add(kept ?? values, levels, levelMax, count);
    return;
  }
  if (dictionary === undefined) throw new Error('a page without its dictionary');
  const indices = new Int32Array(there);
  if (there > 0) {
    if (at >= bytes.length || bytes[at] > 32) throw new Error(ENDS_EARLY);
    readRuns(bytes, at + 1, bytes.length, bytes[at], there, indices);
  }
  out.addIndexed(dictionary, indices, levels, levelMax, count);
}

function levelsOf(bytes: Uint8Array, at: number, end: number, width: number, count: number): Int32Array {
  const levels = new Int32Array(count);
  readRuns(bytes, at, end, width, count, levels);
  return levels;
}

function countThere(levels: Int32Array, levelMax: number): number {
  let count = 0;
  for (const level of levels) {
    if (level > levelMax) throw new Error('the levels of a page are damaged');
    if (level === levelMax) count++;
  }
  return count;
}

/** Room that is made before it is known to be needed: of a slice of four of the default's windows. */
const ROOM_BYTES_MAX = 64 * 2 ** 20;
/** Pages differ. */
const ROOM_FACTOR = 1.1;

/** What a slice has of a page: rows [firstRow, endRow), and the places [start, end) of their values among those that are there. */
interface PagePlaces {
  readonly firstRow: number;
  readonly endRow: number;
  readonly start: number;
  readonly end: number;
}

/** The rows [skip, skip + count) of those that are added. */
class TextWriter {
  readonly #skip: number;
  readonly #count: number;
  readonly valueBytesMax: number;
  readonly #bounds: Int32Array;
  #bytes = new Uint8Array(0);
  #valid: Uint8Array | undefined;
  readonly #problems = new Map<number, string>();
  #row = 0;
  #length = 0;

  constructor(skip: number, count: number, valueBytesMax: number) {
    this.#skip = skip;
    this.#count = count;
    this.valueBytesMax = valueBytesMax;
    this.#bounds = new Int32Array(count + 1);
  }

  /** One row whose value nobody looked at. `problem`: the beginning of a sentence about it. */
  addTooLong(problem: string): void {
    const index = this.#row++ - this.#skip;
    if (index < 0 || index >= this.#count) return;
    this.#leaveOut(index, problem);
    this.#bounds[index + 1] = this.#length;
  }

  #leaveOut(index: number, problem?: string): void {
    this.#valid ??= new Uint8Array(this.#count).fill(1);
    this.#valid[index] = 0;
    if (problem !== undefined) this.#problems.set(index, `${problem}; a document has at most ${this.valueBytesMax}`);
  }

  /** Values one after the other. `levels`: by row; one below the highest has no value. */
  add(values: TextValues, levels: Int32Array | undefined, levelMax: number, rows: number): void {
    const places = this.#placesOf(levels, levelMax, rows);
    this.#copy(values, (place) => place, places, levels, levelMax, rows);
  }

  /** `indices`: of the values that are there, into the dictionary. */
  addIndexed(dictionary: TextDictionary, indices: Int32Array, levels: Int32Array | undefined, levelMax: number, rows: number): void {
    const places = this.#placesOf(levels, levelMax, rows);
    const values = dictionary.valuesOf(indices.subarray(places.start, places.end));
    this.#copy(values, (place) => indices[place], places, levels, levelMax, rows);
  }

  /** Of the page's values that are there, those of the slice; and its rows. */
  #placesOf(levels: Int32Array | undefined, levelMax: number, rows: number): PagePlaces {
    const firstRow = Math.min(rows, Math.max(0, this.#skip - this.#row));
    const endRow = Math.max(firstRow, Math.min(rows, this.#skip + this.#count - this.#row));
    if (levels === undefined) return { firstRow, endRow, start: firstRow, end: endRow };
    const start = countThere(levels.subarray(0, firstRow), levelMax);
    return { firstRow, endRow, start, end: start + countThere(levels.subarray(firstRow, endRow), levelMax) };
  }

  #copy(
    { bytes, starts, ends }: TextValues,
    valueAt: (place: number) => number,
    { firstRow, endRow, start, end }: PagePlaces,
    levels: Int32Array | undefined,
    levelMax: number,
    rows: number,
  ): void {
    const { valueBytesMax } = this;
    let length = 0;
    for (let place = start; place < end; place++) {
      const value = valueAt(place);
      const own = ends[value] - starts[value];
      if (own <= valueBytesMax) length += own;
    }
    this.#grow(length, endRow - firstRow);
    let next = start;
    for (let row = firstRow; row < endRow; row++) {
      const index = this.#row + row - this.#skip;
      if (levels !== undefined && levels[row] !== levelMax) {
        this.#leaveOut(index);
      } else {
        const value = valueAt(next++);
        const own = ends[value] - starts[value];
        if (own > valueBytesMax) this.#leaveOut(index, `has ${own} bytes of text`);
        else {
          this.#bytes.set(bytes.subarray(starts[value], ends[value]), this.#length);
          this.#length += own;
        }
      }
      this.#bounds[index + 1] = this.#length;
    }
    this.#row += rows;
  }

  /**
   * Many rows may mean one value of a dictionary: what they come to is bounded before it is allocated. The first of them say about how much room the others
   * will need: to grow by doubling costs more than to decode.
   */
  #grow(bytes: number, rows: number): void {
    const wanted = this.#length + bytes;
    if (wanted > LIMITS.pageBytesMax) throw new Error(`the rows of a slice have ${wanted} bytes of text`);
    if (wanted <= this.#bytes.length) return;
    const ofAll = rows >= this.#count ? wanted : Math.min(ROOM_BYTES_MAX, Math.ceil((wanted / rows) * this.#count * ROOM_FACTOR));
    const room = Math.max(wanted, this.#length === 0 ? ofAll : 2 * this.#bytes.length);
    const grown = new Uint8Array(rowMemory(room));
    grown.set(this.#bytes.subarray(0, this.#length));
    releaseRowMemory(this.#bytes.buffer);
    this.#bytes = grown;
  }

  rows(): TextRows {
    const bytes = this.#bytes;
    const own = { count: this.#count, bounds: this.#bounds, bytes: bytes.subarray(0, this.#length), valid: this.#valid };
    const release = (): void => releaseRowMemory(bytes.buffer);
    return { kind: 'text', ...own, ...(this.#problems.size > 0 && { problems: this.#problems }), release };
  }
}
