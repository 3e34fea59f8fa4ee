/** The arrays of an Arrow column in a worker: buffers in, text, offsets, bits and numbers out; what is not compressed are views of what was fetched. */
import { LIMITS } from '../../config/limits.js';
import type { Rows } from '../decoder.js';
import { integersOf } from '../integers.js';
import type { ArrowCodec, EncodedArrow, EncodedBits, EncodedDictionary } from './encoded-slice.js';
import type { ArrowItem } from './layout.js';
import { decodeLz4Frames } from './lz4-frame.js';
import { decompressZstd } from '../zstd.js';

export type TextRows = Extract<Rows, { readonly kind: 'text' }>;

/** Numbers of any width; of float16 and of bits the bytes that they are in. */
export type DecodedNumbers = ReturnType<typeof integersOf> | Float32Array | Float64Array;

/** Text, or bytes: of rows that are null anything, or nothing. */
export function textOf(slice: EncodedArrow): TextRows {
  const { type, codec, rows: count, skipRows, valuesStart } = slice;
  switch (type.kind) {
    case 'text': {
      const bytes = decompress(slice.values, codec);
      const offsets = decompress(slice.main, codec);
      const bounds = boundsOf(offsets, type.offsetBytes, { first: skipRows, count, start: valuesStart, length: bytes.length });
      return { kind: 'text', count, bounds, bytes, valid: validityOf(slice) };
    }
    case 'view':
      return viewsOf(slice);
    case 'bytes': {
      const bytes = decompress(slice.main, codec);
      if (bytes.length < type.bytes * (skipRows + count)) throw new Error('a buffer has fewer values than rows');
      const bounds = Int32Array.from({ length: count + 1 }, (_, row) => (skipRows + row) * type.bytes);
      return { kind: 'text', count, bounds, bytes, valid: validityOf(slice) };
    }
    case 'dictionary':
      return fromDictionary(slice, type.offsetBytes);
    default:
      throw new Error(`a column of kind ${type.kind} is no text`);
  }
}

interface OffsetRange {
  /** Index of the first offset. */
  readonly first: number;
  /** Rows. */
  readonly count: number;
  /** What is taken off each. */
  readonly start: number;
  /** Where the last may end. */
  readonly length: number;
}

/** A row's null may have any length: only that it lies inside matters. */
export function boundsOf(bytes: Uint8Array, offsetBytes: 4 | 8, { first, count, start, length }: OffsetRange): Int32Array {
  const bounds = new Int32Array(count + 1);
  if (count === 0) return bounds;
  const words = integersOf(bytes, { bytes: 4, signed: true }) as Int32Array;
  const step = offsetBytes / 4;
  if (words.length < step * (first + count + 1)) throw new Error('a buffer has fewer offsets than rows');
  let previous = 0;
  for (let row = 0; row <= count; row++) {
    const at = step * (first + row);
    const offset = (step === 1 ? words[at] : (words[at] >>> 0) + 2 ** 32 * words[at + 1]) - start;
    if (!(offset >= previous && offset <= length))
      throw new Error(`row ${row} of a slice ends at ${offset}, after ${previous}, of ${length}`);
    bounds[row] = previous = offset;
  }
  return bounds;
}

/** 0 where the column is null, or a struct around it. */
export function validityOf({ valid: bitmaps, rows, skipRows, codec }: EncodedArrow): Uint8Array | undefined {
  if (bitmaps.length === 0) return undefined;
  const valid = new Uint8Array(rows).fill(1);
  for (const bits of bitmaps) andBits(valid, bits, skipRows, codec);
  return valid;
}

export function andBits(valid: Uint8Array, { bytes, firstBit }: EncodedBits, skip: number, codec: ArrowCodec): void {
  const bitmap = decompress(bytes, codec);
  const start = firstBit + skip;
  if (8 * bitmap.length < start + valid.length) throw new Error('a bitmap has fewer bits than rows');
  for (let i = 0; i < valid.length; i++) valid[i] &= bitmap[(start + i) >>> 3] >>> ((start + i) & 7);
}

/** A view of 16 bytes: a length, and the text itself, or where it is: its first bytes, number of a buffer, and offset. */
function viewsOf(slice: EncodedArrow): TextRows {
  const { codec, rows: count, skipRows } = slice;
  const views = decompress(slice.main, codec);
  const data = slice.data.map((bytes) => decompress(bytes, codec));
  if (views.length < 16 * (skipRows + count)) throw new Error('a buffer has fewer views than rows');
  const valid = validityOf(slice);
  const view = new DataView(views.buffer, views.byteOffset, views.length);
  const dataViews = data.map(({ buffer, byteOffset, length }) => new DataView(buffer, byteOffset, length));
  const textAt = (row: number): Uint8Array => {
    if (valid?.[row] === 0) return NO_BYTES;
    const at = 16 * (skipRows + row);
    const length = view.getInt32(at, true);
    if (length >= 0 && length <= 12) return views.subarray(at + 4, at + 4 + length);
    const buffer = data.at(view.getInt32(at + 8, true));
    const offset = view.getInt32(at + 12, true);
    if (!(length > 0 && buffer !== undefined && view.getInt32(at + 8, true) >= 0 && offset >= 0 && offset + length <= buffer.length)) {
      throw new Error(`row ${row} of a slice lies outside its buffers`);
    }
    if (view.getInt32(at + 4, true) !== dataViews[view.getInt32(at + 8, true)].getInt32(offset, true)) {
      throw new Error(`row ${row} of a slice does not begin as its view says`);
    }
    return buffer.subarray(offset, offset + length);
  };
  return gathered(count, textAt, valid);
}

const NO_BYTES = new Uint8Array(0);

function fromDictionary(slice: EncodedArrow, offsetBytes: 4 | 8): TextRows {
  const { type, codec, rows: count, skipRows, dictionary } = slice;
  if (type.kind !== 'dictionary') throw new Error('a column without a dictionary');
  const indices = integersOf(decompress(slice.main, codec), type.index);
  if (indices.length < skipRows + count) throw new Error('a buffer has fewer indices than rows');
  const parts = dictionary.map((part) => dictionaryText(part, offsetBytes));
  const valid = validityOf(slice) ?? (parts.some((part) => part.valid !== undefined) ? new Uint8Array(count).fill(1) : undefined);
  const textAt = (row: number): Uint8Array => {
    if (valid?.[row] === 0) return NO_BYTES;
    let index = Number(indices[skipRows + row]);
    for (const part of parts) {
      if (index >= 0 && index < part.count) {
        if (valid !== undefined && part.valid?.[index] === 0) valid[row] = 0;
        return part.bytes.subarray(part.bounds[index], part.bounds[index + 1]);
      }
      index -= part.count;
    }
    throw new Error(`row ${row} of a slice points outside its dictionary`);
  };
  return gathered(count, textAt, valid);
}

function dictionaryText({ rows: count, codec, valid: bitmap, offsets, values }: EncodedDictionary, offsetBytes: 4 | 8): TextRows {
  const bytes = decompress(values, codec);
  const bounds = boundsOf(decompress(offsets, codec), offsetBytes, { first: 0, count, start: 0, length: bytes.length });
  let valid: Uint8Array | undefined;
  if (bitmap !== undefined) andBits((valid = new Uint8Array(count).fill(1)), { bytes: bitmap, firstBit: 0 }, 0, codec);
  return { kind: 'text', count, bounds, bytes, valid };
}

/** Texts that lie anywhere, one after the other. Many rows may mean the same bytes: what they come to is bounded before it is allocated. */
function gathered(count: number, textAt: (row: number) => Uint8Array, valid: Uint8Array | undefined): TextRows {
  const bounds = new Int32Array(count + 1);
  const texts: Uint8Array[] = [];
  let length = 0;
  for (let row = 0; row < count; row++) {
    const text = textAt(row);
    texts.push(text);
    length += text.length;
    if (length > LIMITS.pageBytesMax) throw new Error(`${row + 1} rows have ${length} bytes of text`);
    bounds[row + 1] = length;
  }
  const bytes = new Uint8Array(length);
  for (const [row, text] of texts.entries()) bytes.set(text, bounds[row]);
  return { kind: 'text', count, bounds, bytes, valid };
}

/** Throws where there are fewer than `count`. */
export function numbersOf(bytes: Uint8Array, item: ArrowItem, count: number): DecodedNumbers {
  const numbers = typedNumbers(bytes, item);
  const perValue = 'boolean' in item ? 1 / 8 : 'float' in item && item.float === 2 ? 2 : 1;
  if (numbers.length < perValue * count) throw new Error('a buffer has fewer numbers than it should');
  return numbers;
}

function typedNumbers(bytes: Uint8Array, item: ArrowItem): DecodedNumbers {
  if ('bytes' in item) return integersOf(bytes, item);
  if ('boolean' in item || item.float === 2) return bytes;
  const { buffer, byteOffset, length } = bytes.byteOffset % item.float === 0 ? bytes : bytes.slice();
  const count = Math.floor(length / item.float);
  return item.float === 4 ? new Float32Array(buffer, byteOffset, count) : new Float64Array(buffer, byteOffset, count);
}

/** The bytes of a buffer: after its decoded length, or as they are where that is −1. */
export function decompress(buffer: Uint8Array, codec: ArrowCodec): Uint8Array {
  if (codec === 'none' || buffer.length === 0) return buffer;
  if (buffer.length < 8) throw new Error('a compressed buffer ends early');
  const length = Number(new DataView(buffer.buffer, buffer.byteOffset, 8).getBigInt64(0, true));
  const body = buffer.subarray(8);
  if (length === -1) return body;
  if (!(length >= 0 && length <= LIMITS.pageBytesMax && length <= body.length * (codec === 'lz4' ? 255 : 32_768))) {
    throw new Error(`a buffer of ${body.length} bytes claims ${length} decoded bytes`);
  }
  if (codec === 'lz4') return decodeLz4Frames(body, length);
  return decompressZstd(body, length);
}
