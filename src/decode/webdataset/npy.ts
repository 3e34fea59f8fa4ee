/** Arrays in NumPy's format that are members of samples: token ids, and numbers of fields. A problem is what is wrong, in the middle of a sentence: "a member that …". */
import { LIMITS } from '../../config/limits.js';
import type { TokenArray } from '../../core/sequence.js';
import { numbersOf, type FieldDtype, type FieldNumbers, type FieldType } from '../../core/fields.js';
import { HEAD_BYTES } from '../array/array-file.js';
import { offeredField, type OfferedField } from '../offered-field.js';
import { readNpyHeader } from '../array/npy-header.js';
import { narrowIds, tokenIds, type IntegerType } from '../integers.js';
import { putNumbers, widthOf, type StoredDtype } from '../stored-numbers.js';

interface NpyArray {
  readonly descr: string;
  readonly dtype: StoredDtype;
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
  const dtype = STORED.get(descr);
  if (dtype === undefined) return { problem: `is a NumPy array of ${descr}; little-endian integers and floats are read` };
  const count = shape.reduce((product, length) => product * length, 1);
  const data = bytes.subarray(dataByte);
  if (data.length !== count * widthOf(dtype)) {
    return { problem: `is a NumPy array whose ${shownShape(shape)} values take other than its ${data.length} bytes` };
  }
  return { descr, dtype, shape, isFortran: isFortran && shape.length > 1, data };
}

/** By NumPy's name; a truth is a byte, 0 or 1. */
const STORED: ReadonlyMap<string, StoredDtype> = new Map([
  ['|b1', 'uint8'],
  ['|u1', 'uint8'],
  ['|i1', 'int8'],
  ['<u2', 'uint16'],
  ['<i2', 'int16'],
  ['<u4', 'uint32'],
  ['<i4', 'int32'],
  ['<u8', 'uint64'],
  ['<i8', 'int64'],
  ['<f2', 'float16'],
  ['<f4', 'float32'],
  ['<f8', 'float64'],
]);

/** What arrays could be served as, by the headers of some: `undefined` where they have several lengths or types, or are of none that is served. */
export function arrayField(
  name: string,
  heads: readonly { readonly bytes: Uint8Array; readonly size: number }[],
  isWithout: boolean,
): OfferedField | undefined {
  const offered = heads.map((head) => {
    const header = readNpyHeader(head.bytes, head.size);
    const stored = header.kind === 'header' && header.descr !== undefined ? STORED.get(header.descr) : undefined;
    if (header.kind !== 'header' || stored === undefined || stored === 'uint64') return undefined;
    if (header.isFortran && header.shape.length > 1) return undefined;
    const count = header.shape.reduce((product, length) => product * length, 1);
    if (count === 0 || count > LIMITS.fieldSizeMax) return undefined;
    const dtype = SERVED[stored];
    const size = header.shape.length === 0 ? null : count;
    return offeredField(
      name,
      { kind: 'numbers', dtype, size },
      { ...(size !== null && { size }), ...((size === null || dtype !== 'float32') && { type: dtype }) },
      isWithout,
    );
  });
  const [first] = offered;
  return offered.every((own) => own?.type === first?.type) ? first : undefined;
}

/** Arrays are what models take: floats as float32, integers as a type that holds them all. */
const SERVED: Readonly<Record<Exclude<StoredDtype, 'uint64'>, FieldDtype>> = {
  uint8: 'uint8',
  int8: 'int32',
  uint16: 'int32',
  int16: 'int32',
  int32: 'int32',
  uint32: 'int64',
  int64: 'int64',
  float16: 'float32',
  float32: 'float32',
  float64: 'float32',
};

function shownShape(shape: readonly number[]): string {
  return `(${shape.join(', ')})`;
}

/** Token ids: those that are no int32 are −1, which no vocabulary has. */
export function readNpyTokens(bytes: Uint8Array): { readonly ids: TokenArray } | Problem {
  const array = readNpy(bytes);
  if ('problem' in array) return array;
  const type = integerTypeOf(array.descr);
  if (type === undefined) return { problem: `is a NumPy array of ${array.descr}, and token ids are integers` };
  if (array.shape.length !== 1) return { problem: 'is a NumPy array of other than one dimension' };
  return { ids: narrowIds(tokenIds(array.data, type).ids) };
}

function integerTypeOf(descr: string): IntegerType | undefined {
  const [, kind, width] = descr;
  return kind === 'u' || kind === 'i' ? { bytes: Number(width) as IntegerType['bytes'], signed: kind === 'i' } : undefined;
}

type NumbersType = Extract<FieldType, { kind: 'numbers' }>;

/** What an array may be stored as, to be served as a type: wider or the same; of floats also narrower, as models take them. */
const STORED_AS: Readonly<Record<FieldDtype, readonly StoredDtype[]>> = {
  uint8: ['uint8'],
  int32: ['int32', 'int16', 'uint16', 'int8', 'uint8'],
  int64: ['int64', 'int32', 'uint32', 'int16', 'uint16', 'int8', 'uint8'],
  float32: ['float32', 'float16', 'float64'],
  float64: ['float64', 'float32', 'float16'],
};

/** The values as they are served, in the order of the array's own indices: the last one fastest. A view where they lie so, and at a multiple of their width. */
export function readNpyNumbers(bytes: Uint8Array, { dtype: served, size }: NumbersType): { readonly values: FieldNumbers } | Problem {
  const array = readNpy(bytes);
  if ('problem' in array) return array;
  const { descr, dtype, shape, isFortran, data } = array;
  if (!STORED_AS[served].includes(dtype)) return { problem: `is a NumPy array of ${descr}, and is served as ${served}` };
  if (isFortran) return { problem: 'is a NumPy array in Fortran order' };
  const count = data.length / widthOf(dtype);
  if (count !== (size ?? 1)) {
    return { problem: `is a NumPy array of shape ${shownShape(shape)}, which are ${count} values, and not ${size ?? 1}` };
  }
  // aligned, and of its own
  if (dtype === served) return { values: numbersOf(served, Uint8Array.from(data).buffer) };
  const values = numbersOf(served, new ArrayBuffer(count * widthOf(served)));
  putNumbers({ dtype, bytes: data }, values, 0, count);
  return { values };
}
