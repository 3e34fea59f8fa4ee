/** Where the values of a column are in the samples of a slice, and what they are by their encoding. The worker's half of MDS reads nothing otherwise. */
import { numberAt, viewOf, widthOf, type StoredDtype } from '../stored-numbers.js';
import { SIZE_BYTES } from './columns.js';
import { dtypeOfCode, encodingOf, type MdsEncoding } from './encoding.js';
import type { EncodedMdsSlice } from './encoded-slice.js';
import { mdsInvalid } from './mds-error.js';

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
  readonly dtype: StoredDtype;
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
    const dtypeOfSize = SIZE_DTYPES[width] ?? 'uint64';
    shape = Array.from({ length: dimensions }, (_, i) => Number(numberAt(view, at + i * width, dtypeOfSize)));
    at += dimensions * width;
  }
  const values = value.subarray(at);
  const bytes = shape.reduce((product, size) => product * size, widthOf(dtype));
  if (values.length !== bytes) return { problem: `has ${values.length} bytes, and with its shape (${shape.join(', ')}) ${bytes}` };
  return { dtype, shape, values };
}

/** Unsigned, by their width. */
const SIZE_DTYPES: Readonly<Record<number, StoredDtype | undefined>> = { 1: 'uint8', 2: 'uint16', 4: 'uint32' };

/** Of a column that is one number a row. */
export function numberOf(value: Uint8Array, dtype: StoredDtype): number | bigint {
  return numberAt(viewOf(value), 0, dtype);
}
