/** Arrays in NumPy's format that are members of samples: token ids, and numbers of fields. A problem is what is wrong, in the middle of a sentence: "a member that …". */
import { numbersOf, type FieldDtype, type FieldNumbers, type FieldType } from '../../core/fields.js';
import { HEAD_BYTES } from '../array/array-file.js';
import { readNpyHeader } from '../array/npy-header.js';
import { halfValue } from '../half-float.js';
import { tokenIds, type IntegerType } from '../integers.js';

interface NpyArray {
  readonly descr: string;
  readonly shape: readonly number[];
  readonly isFortran: boolean;
  readonly data: Uint8Array;
}

type Problem = { readonly problem: string };

/** The data is as long as its type and shape say. */
function readNpy(bytes: Uint8Array): NpyArray | Problem {
  const header = readNpyHeader(bytes.subarray(0, HEAD_BYTES), bytes.length);
  if (header.kind !== 'header') return { problem: `is no NumPy array that is read: ${header.problem}` };
  const { descr, shape, isFortran, dataByte } = header;
  if (descr === undefined) return { problem: 'is a NumPy array of records' };
  const width = WIDTHS.get(descr);
  if (width === undefined) return { problem: `is a NumPy array of ${descr}; little-endian integers and floats are read` };
  const count = shape.reduce((product, length) => product * length, 1);
  const data = bytes.subarray(dataByte);
  if (data.length !== count * width) {
    return { problem: `is a NumPy array whose ${shownShape(shape)} values take other than its ${data.length} bytes` };
  }
  return { descr, shape, isFortran: isFortran && shape.length > 1, data };
}

const WIDTHS: ReadonlyMap<string, number> = new Map(
  ['|b1', '|u1', '|i1', '<u2', '<i2', '<u4', '<i4', '<u8', '<i8', '<f2', '<f4', '<f8'].map((descr) => [descr, Number(descr[2])]),
);

function shownShape(shape: readonly number[]): string {
  return `(${shape.join(', ')})`;
}

/** Token ids: those that are no int32 are −1, which no vocabulary has. */
export function readNpyTokens(bytes: Uint8Array): { readonly ids: Int32Array } | Problem {
  const array = readNpy(bytes);
  if ('problem' in array) return array;
  const type = integerTypeOf(array.descr);
  if (type === undefined) return { problem: `is a NumPy array of ${array.descr}, and token ids are integers` };
  if (array.shape.length !== 1) return { problem: 'is a NumPy array of other than one dimension' };
  const { ids } = tokenIds(array.data, type);
  return { ids: ids instanceof Int32Array ? ids : Int32Array.from(ids, (id) => (id >= 0n && id < 2n ** 31n ? Number(id) : -1)) };
}

function integerTypeOf(descr: string): IntegerType | undefined {
  const [, kind, width] = descr;
  return kind === 'u' || kind === 'i' ? { bytes: Number(width) as IntegerType['bytes'], signed: kind === 'i' } : undefined;
}

type NumbersType = Extract<FieldType, { kind: 'numbers' }>;

/** What an array may be stored as, to be served as a type: wider or the same; of floats also narrower, as models take them. */
const STORED_AS: Readonly<Record<FieldDtype, readonly string[]>> = {
  uint8: ['|u1', '|b1'],
  int32: ['<i4', '<i2', '<u2', '|i1', '|u1', '|b1'],
  int64: ['<i8', '<i4', '<u4', '<i2', '<u2', '|i1', '|u1', '|b1'],
  float32: ['<f4', '<f2', '<f8'],
  float64: ['<f8', '<f4', '<f2'],
};

/** The values as they are served, in the order of the array's own indices: the last one fastest. A view where they lie so, and at a multiple of their width. */
export function readNpyNumbers(bytes: Uint8Array, { dtype, size }: NumbersType): { readonly values: FieldNumbers } | Problem {
  const array = readNpy(bytes);
  if ('problem' in array) return array;
  const { descr, shape, isFortran, data } = array;
  if (!STORED_AS[dtype].includes(descr)) return { problem: `is a NumPy array of ${descr}, and is served as ${dtype}` };
  if (isFortran) return { problem: 'is a NumPy array in Fortran order' };
  const count = data.length / Number(descr[2]);
  if (count !== (size ?? 1)) {
    return { problem: `is a NumPy array of shape ${shownShape(shape)}, which are ${count} values, and not ${size ?? 1}` };
  }
  const { buffer, byteOffset } = Uint8Array.from(data); // aligned, and of its own
  if (descr === STORED_AS[dtype][0]) return { values: numbersOf(dtype, buffer, byteOffset, count) };
  return { values: converted(dtype, storedNumbers(descr, buffer)) };
}

function storedNumbers(descr: string, buffer: ArrayBuffer): ArrayLike<number> {
  switch (descr) {
    case '|i1':
      return new Int8Array(buffer);
    case '<u2':
      return new Uint16Array(buffer);
    case '<i2':
      return new Int16Array(buffer);
    case '<u4':
      return new Uint32Array(buffer);
    case '<i4':
      return new Int32Array(buffer);
    case '<f2':
      return Float32Array.from(new Uint16Array(buffer), halfValue);
    case '<f4':
      return new Float32Array(buffer);
    case '<f8':
      return new Float64Array(buffer);
    default:
      return new Uint8Array(buffer);
  }
}

function converted(dtype: FieldDtype, values: ArrayLike<number>): FieldNumbers {
  switch (dtype) {
    case 'uint8':
      return Uint8Array.from(values);
    case 'int32':
      return Int32Array.from(values);
    case 'int64':
      return BigInt64Array.from(values, BigInt);
    case 'float32':
      return Float32Array.from(values);
    case 'float64':
      return Float64Array.from(values);
  }
}
