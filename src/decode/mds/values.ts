/** Where the values of a column are in the samples of a slice, and what they are by their encoding. The worker's half of MDS reads nothing otherwise. */
import { SIZE_BYTES } from './columns.js';
import { dtypeOfCode, encodingOf, widthOf, type MdsDtype, type MdsEncoding } from './encoding.js';
import type { EncodedMdsSlice } from './encoded-slice.js';
import { mdsInvalid } from './mds-error.js';
import { halfValue } from '../half-float.js';

/** A column of the slice's rows. */
export interface ColumnValues {
  readonly name: string;
  readonly encoding: MdsEncoding;
  /** Views, as they are stored. */
  readonly at: (row: number) => Uint8Array;
}

/** Errors: `SHARD_INVALID` where the values of a sample have other than its bytes. */
export function columnValues(
  { uri, startRow, startByte, rows, bytes, bounds, wanted: { columns } }: EncodedMdsSlice,
  names: readonly string[],
): ColumnValues[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const read = [...new Set(names)];
  const own = columns.map(({ name }) => read.indexOf(name));
  const fixed = columns.map((column) => column.bytes);
  const headBytes = SIZE_BYTES * fixed.filter((size) => size === null).length;
  const starts = read.map(() => new Int32Array(rows));
  const ends = read.map(() => new Int32Array(rows));
  for (let row = 0; row < rows; row++) {
    const end = bounds[row + 1];
    let sizeAt = bounds[row];
    let at = sizeAt + headBytes;
    for (let column = 0; column < fixed.length && at <= end; column++) {
      let size = fixed[column];
      if (size === null) {
        size = view.getUint32(sizeAt, true);
        sizeAt += SIZE_BYTES;
      }
      const wanted = own[column];
      if (wanted >= 0) {
        starts[wanted][row] = at;
        ends[wanted][row] = at + size;
      }
      at += size;
    }
    if (at !== end) {
      const place = { uri, row: startRow + row, byte: startByte + bounds[row] };
      throw mdsInvalid(place, `the values of a sample have other than its ${end - bounds[row]} bytes`);
    }
  }
  return names.map((name) => {
    const i = read.indexOf(name);
    const encoding = encodingOf(columns.find((column) => column.name === name)?.encoding ?? '');
    return { name, encoding, at: (row) => bytes.subarray(starts[i][row], ends[i][row]) };
  });
}

/** The values of all rows, one after the other, and [rows + 1] positions in them. */
export function joinedValues({ at }: ColumnValues, rows: number): { readonly bytes: Uint8Array; readonly bounds: Int32Array } {
  const bounds = new Int32Array(rows + 1);
  for (let row = 0; row < rows; row++) bounds[row + 1] = bounds[row] + at(row).length;
  const bytes = new Uint8Array(bounds[rows]);
  for (let row = 0; row < rows; row++) bytes.set(at(row), bounds[row]);
  return { bytes, bounds };
}

export interface MdsArray {
  readonly dtype: MdsDtype;
  readonly shape: readonly number[];
  /** Little-endian, as many as the shape says. */
  readonly values: Uint8Array;
}

/** What encodings leave out stands before the numbers. A problem is what is wrong, in the middle of a sentence. */
export function readArray(value: Uint8Array, encoding: Extract<MdsEncoding, { kind: 'array' }>): MdsArray | { readonly problem: string } {
  const cut = { problem: 'ends early' };
  const view = viewOf(value);
  let at = 0;
  let { dtype, shape } = encoding;
  if (dtype === undefined) {
    if (value.length === 0) return cut;
    const code = value[at++];
    dtype = dtypeOfCode(code);
    if (dtype === undefined) return { problem: `has numbers of the unknown type ${code}` };
  }
  if (shape === undefined) {
    if (value.length <= at) return cut;
    const dimensions = value[at] >> 2;
    const width = 1 << (value[at] & 3);
    at++;
    if (value.length < at + dimensions * width) return cut;
    shape = Array.from({ length: dimensions }, (_, i) => unsignedAt(view, at + i * width, width));
    at += dimensions * width;
  }
  const values = value.subarray(at);
  const bytes = shape.reduce((product, size) => product * size, widthOf(dtype));
  if (values.length !== bytes) return { problem: `has ${values.length} bytes, and with its shape (${shape.join(', ')}) ${bytes}` };
  return { dtype, shape, values };
}

function unsignedAt(view: DataView, at: number, width: number): number {
  switch (width) {
    case 1:
      return view.getUint8(at);
    case 2:
      return view.getUint16(at, true);
    case 4:
      return view.getUint32(at, true);
    default:
      return Number(view.getBigUint64(at, true));
  }
}

/** The number at a byte. */
export function numberAt(view: DataView, at: number, dtype: MdsDtype): number | bigint {
  switch (dtype) {
    case 'int8':
      return view.getInt8(at);
    case 'int16':
      return view.getInt16(at, true);
    case 'int32':
      return view.getInt32(at, true);
    case 'int64':
      return view.getBigInt64(at, true);
    case 'uint64':
      return view.getBigUint64(at, true);
    case 'float16':
      return halfValue(view.getUint16(at, true));
    case 'float32':
      return view.getFloat32(at, true);
    case 'float64':
      return view.getFloat64(at, true);
    default:
      return unsignedAt(view, at, widthOf(dtype));
  }
}

/** Of a column that is one number a row. */
export function numberOf(value: Uint8Array, dtype: MdsDtype): number | bigint {
  return numberAt(viewOf(value), 0, dtype);
}

export function viewOf({ buffer, byteOffset, length }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, length);
}
