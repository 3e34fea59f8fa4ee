/**
 * Cuts a large page that is stored as it is decoded: of a gigabyte with a thousand rows a slice needs its own rows only, which become a page by themselves.
 * Otherwise each of the page's slices would fetch, hold and send all of it.
 *
 *   page   [header][levels][length, value][length, value] … [length, value]       rows 0 … 999, passed over once for where they lie
 *   slice            [header][levels][length, value][length, value]                rows 40 … 49
 *
 * PLAIN pages of flat BYTE_ARRAY columns, of both versions. Source: Apache Parquet format, "Data Pages", "Plain", "Run Length Encoding"; Thrift compact protocol.
 */
import { parquetHeader } from 'hyparquet/src/column.js';
import { crc32 } from '@node-rs/crc32';
import { LIMITS } from '../../config/limits.js';
import { checkThrift } from './check-thrift.js';
import type { ParquetChunkLayout } from './layout.js';
import { readRuns } from './levels.js';

/** Reads bytes [startByte, endByte) of the object. */
type Read = (startByte: number, endByte: number) => Promise<Uint8Array>;

export interface LargePage {
  readonly startByte: number;
  /** By row, and where the last one ends: where in the object its length and value begin; a row without one takes nothing. */
  readonly bounds: Float64Array;
  /** By row; `undefined` where the column has none. */
  readonly levels: Uint8Array | undefined;
  readonly levelMax: number;
}

/** A page of some of its rows: `head`, and behind it the bytes [startByte, endByte) of the object. */
export interface PageOfRows {
  readonly head: Uint8Array;
  readonly startByte: number;
  readonly endByte: number;
}

/** Of a flat column, where more is not worth it: where the rows lie takes 9 bytes each. */
const ROWS_MAX = 2 ** 20;
/** Of the page's start, with its levels: a header has some dozen bytes, and statistics as long as its writer likes. */
const HEAD_BYTES = 2 ** 20;

/** Whether pages of a flat column chunk can be cut. */
export function isCuttable({ codec, type }: ParquetChunkLayout): boolean {
  return codec === 'UNCOMPRESSED' && type === 'BYTE_ARRAY';
}

/**
 * `undefined`: a page of another kind, or one that is not what its header says, of which whoever decodes it whole has to tell. A page with a checksum is read
 * whole, in pieces; of others long values are leapt over.
 */
export async function openLargePage(startByte: number, endByte: number, levelMax: number, read: Read): Promise<LargePage | undefined> {
  const first = await read(startByte, Math.min(endByte, startByte + HEAD_BYTES));
  const place = placeOf(first, levelMax);
  if (place === undefined || startByte + place.bodyAt + place.bodyBytes !== endByte) return undefined;
  const { rows, levels, bodyAt, valuesAt, crc } = place;
  const bounds = new Float64Array(rows + 1);
  let sum = crc32(first.subarray(bodyAt));
  let piece = first;
  let pieceByte = startByte;
  const readPiece = async (byte: number): Promise<void> => {
    pieceByte = byte;
    piece = await read(byte, Math.min(endByte, byte + LIMITS.surveyBytes));
    if (crc !== undefined) sum = crc32(piece, sum);
  };
  let next = startByte + valuesAt;
  for (let row = 0; row < rows; row++) {
    bounds[row] = next;
    if (levels !== undefined && levels[row] !== levelMax) continue;
    if (next + 4 > endByte) return undefined;
    let length = 0;
    // byte by byte: a length may lie on both sides of a piece's end
    for (let i = 0; i < 4; i++) {
      while (next + i >= pieceByte + piece.length) await readPiece(crc === undefined ? next + i : pieceByte + piece.length);
      length += piece[next + i - pieceByte] * 2 ** (8 * i);
    }
    next += 4 + length;
    if (next > endByte) return undefined;
  }
  bounds[rows] = next;
  while (crc !== undefined && pieceByte + piece.length < endByte) await readPiece(pieceByte + piece.length);
  if (crc !== undefined && sum !== crc >>> 0) return undefined;
  return { startByte, bounds, levels, levelMax };
}

interface Place {
  readonly rows: number;
  readonly levels: Uint8Array | undefined;
  /** In the page. */
  readonly bodyAt: number;
  readonly bodyBytes: number;
  readonly valuesAt: number;
  readonly crc: number | undefined;
}

function placeOf(bytes: Uint8Array, levelMax: number): Place | undefined {
  try {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const reader = { view, offset: 0 };
    checkThrift(bytes, 0);
    const { data_page_header: v1, data_page_header_v2: v2, compressed_page_size: bodyBytes, crc } = parquetHeader(reader);
    const bodyAt = reader.offset;
    const rows = v1?.num_values ?? v2?.num_values ?? Infinity;
    const isPlain = (v1 ?? v2)?.encoding === 'PLAIN' && (v1 === undefined || v1.definition_level_encoding === 'RLE');
    if (!isPlain || !(rows >= 0 && rows <= ROWS_MAX) || (v2 !== undefined && v2.repetition_levels_byte_length !== 0)) return undefined;
    const lengthBytes = v1 !== undefined && levelMax > 0 ? 4 : 0;
    const levelBytes = v2 !== undefined ? v2.definition_levels_byte_length : lengthBytes === 0 ? 0 : view.getUint32(bodyAt, true);
    const levelsAt = bodyAt + lengthBytes;
    const valuesAt = levelsAt + levelBytes;
    if (!(levelBytes >= 0 && valuesAt <= bytes.length)) return undefined;
    if (levelMax === 0) return { rows, levels: undefined, bodyAt, bodyBytes, valuesAt, crc };
    const levels = new Int32Array(rows);
    readRuns(bytes, levelsAt, valuesAt, 32 - Math.clz32(levelMax), rows, levels);
    return { rows, levels: Uint8Array.from(levels), bodyAt, bodyBytes, valuesAt, crc };
  } catch {
    return undefined; // of whatever is damaged there, decoding the page tells
  }
}

/** Rows [startRow, endRow) of the page. */
export function pageOfRows({ bounds, levels, levelMax }: LargePage, startRow: number, endRow: number): PageOfRows {
  const [startByte, endByte] = [bounds[startRow], bounds[endRow]];
  const runs = levels === undefined ? [] : runsOf(levels.subarray(startRow, endRow));
  const ownLevels = levelMax === 0 ? [] : [...bytesOfUint32(runs.length), ...runs];
  const size = ownLevels.length + endByte - startByte;
  const header = [
    ...[0x15, ...zigzag(0)], // 1: a data page
    ...[0x15, ...zigzag(size), 0x15, ...zigzag(size)], // 2, 3: its size, decoded and stored
    ...[0x2c, 0x15, ...zigzag(endRow - startRow), 0x15, ...zigzag(0), 0x15, ...zigzag(3), 0x15, ...zigzag(3), 0], // 5: values, PLAIN, levels in RLE
    0,
  ];
  return { head: Uint8Array.from([...header, ...ownLevels]), startByte, endByte };
}

/** Runs of equal levels, of one byte each: a level is below 256. */
function runsOf(levels: Uint8Array): number[] {
  const runs: number[] = [];
  for (let start = 0, end = 0; start < levels.length; start = end) {
    while (end < levels.length && levels[end] === levels[start]) end++;
    runs.push(...varint((end - start) * 2), levels[start]);
  }
  return runs;
}

function zigzag(value: number): number[] {
  return varint(value * 2);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return [...bytes, rest];
}

function bytesOfUint32(value: number): number[] {
  return [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
}
