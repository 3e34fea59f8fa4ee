/**
 * Decodes columns of token ids in WebAssembly (`kernels/parquet-lists.ts`), several times as fast as through Arrow, because it does one thing:
 * lists of INT32 or INT64, PLAIN or with a dictionary, of the codecs of inflate.ts. Every other column is left to parquet-wasm.
 *
 *   memory   dictionary │ bounds │ valid │ ids │ compressed page │ decoded page │ levels
 */
import { LIMITS } from '../../config/limits.js';
import { ensureMemory, kernelRuns, loadKernel, type KernelMemory } from '../../core/kernel.js';
import type { Rows } from '../decoder.js';
import type { EncodedParquetSlice } from './encoded-slice.js';
import { inflateOf } from './inflate.js';
import { pagesOf, type Page, type PageHeader } from './pages.js';
import { releaseRowMemory, rowMemory } from './row-memory.js';

interface ListKernel {
  readonly memory: KernelMemory;
  heapStart(): number;
  begin(bounds: number, valid: number, rows: number, ids: number, idsRoom: number, dictionary: number, scratch: number): void;
  unsnap(from: number, end: number, to: number, size: number): number;
  readDictionary(from: number, end: number, count: number, width: number): number;
  readPage(...args: [...positions: number[], elementsNull: number, width: number, indexed: number]): number;
  rows(): number;
  idsWritten(): number;
  rowsInvalid(): number;
  largestId(): number;
}

/** How lists are nested, from the schema: definition levels, and the width of an id in bytes. */
interface ListShape {
  /** Under this definition level a list is null. */
  readonly levelNull: number;
  /** At this one its element is there. */
  readonly levelElement: number;
  readonly elementsNull: boolean;
  readonly width: number;
}

/** By the kernel's status codes. */
const PROBLEMS = [
  '',
  'a page is compressed wrongly',
  'the repetition or definition levels of a page are damaged',
  'a page ends before its values do',
  'a value points outside its dictionary',
];
/** The status for an id that needs 64 bits. */
const TOO_WIDE = 5;
/** The kernel's vector copies may run over a buffer's end by less than this. */
const SLACK = 64;

/** The kernel takes levels of up to 8 bits; nobody nests deeper. */
const LEVELS_MAX = 100;

let kernel: ListKernel | undefined;

/** Throws an Error that says what is damaged; `undefined` where the slice is not of the kind that is decoded here. */
export function decodeLists(slice: EncodedParquetSlice): Rows | undefined {
  const shape = slice.kind === 'tokens' && kernelRuns('parquet-lists') ? shapeOf(slice) : undefined;
  if (shape === undefined) return undefined;
  const dictionary = [...pagesOf(slice.dictionary, slice.unit.codec)].at(0);
  const pages = [...pagesOf(slice.pages, slice.unit.codec)];
  if (!pages.every(({ header }) => isKnown(header))) return undefined;

  kernel ??= loadKernel('parquet-lists') as ListKernel;
  const values = pages.reduce((sum, { header }) => sum + valuesOf(header), 0);
  const dictionaryCount = dictionary?.header.dictionary_page_header?.num_values ?? 0;
  const all = dictionary === undefined ? pages : [dictionary, ...pages];
  const layout = layOut(kernel, {
    dictionary: 4 * dictionaryCount,
    bounds: 4 * (slice.pageRows + 1),
    valid: slice.pageRows,
    ids: 4 * values,
    compressed: Math.max(...all.map(({ body }) => body.length)),
    decoded: Math.max(...all.map(({ header }) => header.uncompressed_page_size)),
    levels: 2 * Math.max(0, ...pages.map(({ header }) => valuesOf(header))),
  });
  kernel.begin(layout.bounds, layout.valid, slice.pageRows, layout.ids, values, layout.dictionary, layout.levels);
  const steps = { kernel, layout, shape, codec: slice.unit.codec };
  if (dictionary !== undefined && readDictionary(dictionary, dictionaryCount, steps) === TOO_WIDE) return undefined;
  for (const page of pages) if (readPage(page, steps) === TOO_WIDE) return undefined;
  return rowsOf(slice, kernel, layout);
}

function shapeOf({ schema, unit }: EncodedParquetSlice): ListShape | undefined {
  if (unit.type !== 'INT32' && unit.type !== 'INT64') return undefined;
  if (inflateOf(unit.codec) === undefined) return undefined;
  const repetitions = schema.slice(1).map((element) => element.repetition_type);
  const repeated = repetitions.indexOf('REPEATED');
  const [inner = 'REQUIRED', ...others] = repetitions.slice(repeated + 1);
  if (repeated < 0 || inner === 'REPEATED' || others.length > 0) return undefined;
  // structs above the list, and the list itself: any of them may be null
  const levelNull = repetitions.slice(0, repeated).filter((repetition) => repetition === 'OPTIONAL').length;
  if (levelNull > LEVELS_MAX) return undefined;
  const elementsNull = inner === 'OPTIONAL';
  return { levelNull, levelElement: levelNull + 1 + (elementsNull ? 1 : 0), elementsNull, width: unit.type === 'INT32' ? 4 : 8 };
}

function isKnown({ data_page_header: v1, data_page_header_v2: v2 }: PageHeader): boolean {
  const encoding = v1?.encoding ?? v2?.encoding;
  const levels = v1 === undefined || (v1.repetition_level_encoding === 'RLE' && v1.definition_level_encoding === 'RLE');
  return levels && (encoding === 'PLAIN' || encoding === 'PLAIN_DICTIONARY' || encoding === 'RLE_DICTIONARY');
}

function valuesOf(header: PageHeader): number {
  return header.data_page_header?.num_values ?? header.data_page_header_v2?.num_values ?? 0;
}

type Layout = Readonly<Record<'dictionary' | 'bounds' | 'valid' | 'ids' | 'compressed' | 'decoded' | 'levels', number>>;

/** Gives each buffer its place; sizes in bytes. Page headers are input: what they claim is refused where it is absurd. */
function layOut(kernel: ListKernel, sizes: Layout): Layout {
  let end = kernel.heapStart();
  const places: Record<string, number> = {};
  for (const [name, size] of Object.entries(sizes)) {
    if (!(size >= 0 && size <= LIMITS.pageBytesMax)) throw new Error(`the pages claim ${size} bytes of ${name}`);
    places[name] = end;
    end += Math.ceil((size + SLACK) / 16) * 16;
  }
  ensureMemory(kernel.memory, end);
  return places as Layout;
}

interface Steps {
  readonly kernel: ListKernel;
  readonly layout: Layout;
  readonly shape: ListShape;
  readonly codec: string;
}

/** Copies a page's bytes into the kernel's memory, decoded; answers where they end. */
function place(body: Uint8Array, size: number, at: number, codec: string, { kernel, layout }: Steps): number {
  if (codec === 'SNAPPY') {
    new Uint8Array(kernel.memory.buffer, layout.compressed).set(body);
    check(kernel.unsnap(layout.compressed, layout.compressed + body.length, at, size));
  } else {
    const bytes = inflateOf(codec)?.(body, size);
    if (bytes === undefined) throw new Error(`a page of codec ${codec}`);
    new Uint8Array(kernel.memory.buffer, at).set(bytes);
  }
  return at + size;
}

function readDictionary({ header, body }: Page, count: number, steps: Steps): number {
  const { kernel, layout, shape, codec } = steps;
  const end = place(body, header.uncompressed_page_size, layout.decoded, codec, steps);
  return check(kernel.readDictionary(layout.decoded, end, count, shape.width));
}

function readPage({ header, body }: Page, steps: Steps): number {
  const { kernel, layout, shape, codec } = steps;
  const { decoded } = layout;
  const { data_page_header: v1, data_page_header_v2: v2, uncompressed_page_size: size } = header;
  const levels = [shape.levelNull, shape.levelElement] as const;
  if (v1 !== undefined) {
    const end = place(body, size, decoded, codec, steps);
    // version 1: each kind of levels after its length in 4 bytes, all compressed together
    const view = new DataView(kernel.memory.buffer);
    const lengthAt = (at: number): number => (at + 4 <= end ? view.getUint32(at, true) : end);
    const repetitions = decoded + 4;
    const repetitionsEnd = repetitions + lengthAt(decoded);
    const definitions = repetitionsEnd + 4;
    const values = definitions + lengthAt(repetitionsEnd);
    if (values > end) throw new Error(PROBLEMS[2]);
    const indexed = v1.encoding === 'PLAIN' ? 0 : 1;
    const ranges = [repetitions, repetitionsEnd, definitions, values, values, end] as const;
    return check(kernel.readPage(...ranges, v1.num_values, ...levels, Number(shape.elementsNull), shape.width, indexed));
  }
  if (v2 === undefined) throw new Error('a page is no data page');
  // version 2: levels without lengths, never compressed, and then the values
  const repetitionsEnd = decoded + v2.repetition_levels_byte_length;
  const definitionsEnd = repetitionsEnd + v2.definition_levels_byte_length;
  const levelBytes = definitionsEnd - decoded;
  if (!(repetitionsEnd >= decoded && definitionsEnd >= repetitionsEnd && levelBytes <= Math.min(size, body.length)))
    throw new Error(PROBLEMS[2]);
  new Uint8Array(kernel.memory.buffer, decoded).set(body.subarray(0, levelBytes));
  const isStored = v2.is_compressed === false || body.length === levelBytes;
  const end = place(body.subarray(levelBytes), size - levelBytes, definitionsEnd, isStored ? 'UNCOMPRESSED' : codec, steps);
  const indexed = v2.encoding === 'PLAIN' ? 0 : 1;
  const ranges = [decoded, repetitionsEnd, repetitionsEnd, definitionsEnd, definitionsEnd, end] as const;
  return check(kernel.readPage(...ranges, v2.num_values, ...levels, Number(shape.elementsNull), shape.width, indexed));
}

function check(status: number): number {
  if (status !== 0 && status !== TOO_WIDE) throw new Error(PROBLEMS[status]);
  return status;
}

/** Copies the result out of the kernel's memory, which the next slice will use. */
function rowsOf({ skipRows, rows: count, pageRows }: EncodedParquetSlice, kernel: ListKernel, layout: Layout): Rows {
  if (kernel.rows() !== pageRows) throw new Error(`${kernel.rows()} rows where the metadata says ${pageRows}`);
  const { buffer } = kernel.memory;
  const all = new Int32Array(buffer, layout.bounds, pageRows + 1);
  all[pageRows] = kernel.idsWritten();
  const bounds = all.slice(skipRows, skipRows + count + 1);
  const length = bounds[count] - bounds[0];
  const largest = kernel.largestId() >>> 0;
  const isNarrow = largest < 2 ** 16;
  const memory = rowMemory((isNarrow ? 2 : 4) * length);
  const ids = isNarrow ? new Uint16Array(memory, 0, length) : new Int32Array(memory, 0, length);
  ids.set(new Int32Array(buffer, layout.ids + 4 * bounds[0], length));
  const first = bounds[0];
  for (let i = 0; i < bounds.length; i++) bounds[i] -= first;
  const valid = kernel.rowsInvalid() === 0 ? undefined : new Uint8Array(buffer, layout.valid + skipRows, count).slice();
  return {
    kind: 'tokens',
    count,
    bounds,
    ids,
    valid,
    idsBelow: largest < 2 ** 31 ? largest + 1 : undefined,
    release: () => releaseRowMemory(memory),
  };
}
