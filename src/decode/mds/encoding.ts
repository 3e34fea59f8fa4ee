/**
 * The encodings of MDS columns: what a column's name for its encoding says of its values.
 *
 *   str bytes json pkl jpeg png …    any number of bytes
 *   int int8 … float64               one number, little-endian
 *   ndarray                          [dtype: 1] [dimensions ‖ width of each: 1] [each dimension] [numbers]; what the encoding names is left out
 *   ndarray:uint16                              [dimensions ‖ width of each: 1] [each dimension] [numbers]
 *   ndarray:uint16:2048                                                                          [numbers]
 *
 * Source: `streaming/base/format/mds/encodings.py` of MosaicML Streaming 0.13.
 */
import { widthOf, type StoredDtype } from '../stored-numbers.js';

/** With the byte that stands for each at the start of an array. */
const DTYPE_CODES = {
  uint8: 8,
  int8: 9,
  uint16: 16,
  int16: 17,
  float16: 18,
  uint32: 32,
  int32: 33,
  float32: 34,
  uint64: 64,
  int64: 65,
  float64: 66,
} as const satisfies Readonly<Record<StoredDtype, number>>;

const DTYPES = Object.keys(DTYPE_CODES) as StoredDtype[];

export type MdsEncoding =
  | { readonly kind: 'text' | 'bytes' | 'json' | 'pickle' }
  /** A number in decimal digits. */
  | { readonly kind: 'digits'; readonly isInteger: boolean }
  | { readonly kind: 'number'; readonly dtype: StoredDtype }
  /** What is `undefined` stands before the numbers of each array. */
  | { readonly kind: 'array'; readonly dtype: StoredDtype | undefined; readonly shape: readonly number[] | undefined }
  /** One that is newer than this reader. */
  | { readonly kind: 'unknown' };

const NAMED: ReadonlyMap<string, MdsEncoding> = new Map<string, MdsEncoding>([
  ['str', { kind: 'text' }],
  ['bytes', { kind: 'bytes' }],
  ['json', { kind: 'json' }],
  ['pkl', { kind: 'pickle' }],
  ['str_int', { kind: 'digits', isInteger: true }],
  ['str_float', { kind: 'digits', isInteger: false }],
  ['str_decimal', { kind: 'digits', isInteger: false }],
  ['int', { kind: 'number', dtype: 'int64' }],
  ...DTYPES.map((dtype) => [dtype, { kind: 'number', dtype }] as const),
  ...['pil', 'jpeg', 'png', 'jpeg_array', 'jpegarray', 'list[pil]', 'list[jpeg]', 'list[png]'].map(
    (name) => [name, { kind: 'bytes' }] as const,
  ),
]);

export function encodingOf(name: string): MdsEncoding {
  const known = NAMED.get(name);
  if (known !== undefined) return known;
  const parts = /^ndarray(?::(?:([a-z]+\d+)(?::([1-9]\d*(?:,[1-9]\d*)*))?)?)?$/.exec(name);
  if (parts === null) return { kind: 'unknown' };
  const dtype = DTYPES.find((own) => own === parts.at(1));
  if (parts.at(1) !== undefined && dtype === undefined) return { kind: 'unknown' };
  return { kind: 'array', dtype, shape: parts.at(2)?.split(',').map(Number) };
}

/** Of every value; `undefined`: values have any number, which stands before each sample. */
export function fixedBytesOf(encoding: MdsEncoding): number | undefined {
  if (encoding.kind === 'number') return widthOf(encoding.dtype);
  if (encoding.kind !== 'array' || encoding.dtype === undefined || encoding.shape === undefined) return undefined;
  return encoding.shape.reduce((product, size) => product * size, widthOf(encoding.dtype));
}

export function dtypeOfCode(code: number): StoredDtype | undefined {
  return DTYPES.find((dtype) => DTYPE_CODES[dtype] === code);
}
