/** Fields: what samples carry beside tokens. Their types, and the form in which their values travel: of each sample, the bytes of each field. */
import { HeadraceError } from './errors.js';

/** Numbers as they are served, and on the wire. */
export type FieldDtype = 'uint8' | 'int32' | 'int64' | 'float32' | 'float64';

export type FieldType =
  /** Any number of bytes a sample: `text` is UTF-8. */
  | { readonly kind: 'bytes' | 'text' }
  /** `size` of them a sample; `null`: one, which is no list. */
  | { readonly kind: 'numbers'; readonly dtype: FieldDtype; readonly size: number | null };

/** In order of name wherever there are several. */
export type Field = FieldType & { readonly name: string };

/** What a source's tokens are made of; `records`: of several columns of a row; `none`: it serves fields only. */
export type SourceKind = 'text' | 'tokens' | 'records' | 'none';

/** What a source may say that a field is, of one number or of a list of `size`. */
export const FIELD_TYPE_NAMES = ['text', 'bytes', 'uint8', 'int32', 'int64', 'float32', 'float64'] as const satisfies readonly (
  'text' | 'bytes' | FieldDtype
)[];
export type FieldTypeName = (typeof FIELD_TYPE_NAMES)[number];

/** What a source says of a field. */
export interface FieldRequest {
  readonly name: string;
  /** A column, or what a format has in its place; parts of a struct after dots. */
  readonly column: string;
  /** Numbers of a list in each sample; `undefined`: as the format's metadata says. */
  readonly size: number | undefined;
  /** `undefined`: as the format's metadata says, and text where a format has none. */
  readonly type?: FieldTypeName | undefined;
  /** Samples may be without it: they are no bad rows, and a field beside it says which have it. */
  readonly isOptional?: boolean | undefined;
}

/** Beside a field that samples may be without: 1 of those that have it. In order of name it follows that field. */
export function presenceField(name: string): Field {
  return { name: `${name}.present`, kind: 'numbers', dtype: 'uint8', size: null };
}

/** One field of the rows of a batch. The caller owns the arrays. */
export type FieldArrays =
  | {
      readonly kind: 'bytes' | 'text';
      /** [rows + 1] byte positions into `bytes`. */
      readonly bounds: BigInt64Array<ArrayBuffer>;
      readonly bytes: Uint8Array<ArrayBuffer>;
    }
  | {
      readonly kind: 'numbers';
      readonly dtype: FieldDtype;
      /** As in `FieldType`. */
      readonly size: number | null;
      /** [rows] or [rows × size] */
      readonly values: FieldNumbers;
    };

export type FieldNumbers =
  Uint8Array<ArrayBuffer> | Int32Array<ArrayBuffer> | BigInt64Array<ArrayBuffer> | Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>;

/** The fields of a batch, by name. */
export type BatchFields = Readonly<Record<string, FieldArrays>>;

/** One row of a field: bytes, text, a number, or the numbers of a list. Bytes and lists are views. */
export function fieldOfRow(field: FieldArrays, row: number): Uint8Array | string | number | bigint | FieldNumbers {
  if (field.kind === 'numbers') {
    return field.size === null ? field.values[row] : field.values.subarray(row * field.size, (row + 1) * field.size);
  }
  const bytes = field.bytes.subarray(Number(field.bounds[row]), Number(field.bounds[row + 1]));
  return field.kind === 'bytes' ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/** The same as the bytes that are on the wire, and in the digest. A view. */
export function fieldBytesOfRow(field: FieldArrays, row: number): Uint8Array {
  if (field.kind !== 'numbers') return field.bytes.subarray(Number(field.bounds[row]), Number(field.bounds[row + 1]));
  const bytes = bytesOfNumbers(field);
  const { buffer, byteOffset } = field.values;
  return new Uint8Array(buffer, byteOffset + row * bytes, bytes);
}

/** The rows [start, end) of a field: views, but for bounds, which start at 0 again. */
export function fieldRows(field: FieldArrays, start: number, end: number): FieldArrays {
  if (field.kind === 'numbers') {
    const size = field.size ?? 1;
    return { ...field, values: field.values.subarray(start * size, end * size) };
  }
  const { kind, bounds, bytes } = field;
  const first = bounds[start];
  return {
    kind,
    bounds: bounds.slice(start, end + 1).map((bound) => bound - first),
    bytes: bytes.subarray(Number(first), Number(bounds[end])),
  };
}

/** Of one sample. */
export function bytesOfNumbers({ dtype, size }: { readonly dtype: FieldDtype; readonly size: number | null }): number {
  return BYTES_OF_DTYPE[dtype] * (size ?? 1);
}

/** Numbers in a buffer of their own. */
export function numbersOf(dtype: FieldDtype, buffer: ArrayBuffer, startByte = 0, count?: number): FieldNumbers {
  switch (dtype) {
    case 'uint8':
      return new Uint8Array(buffer, startByte, count);
    case 'int32':
      return new Int32Array(buffer, startByte, count);
    case 'int64':
      return new BigInt64Array(buffer, startByte, count);
    case 'float32':
      return new Float32Array(buffer, startByte, count);
    case 'float64':
      return new Float64Array(buffer, startByte, count);
  }
}

/** What a sample of padding has. */
export function paddingOfField(type: FieldType): Uint8Array {
  return new Uint8Array(type.kind === 'numbers' ? bytesOfNumbers(type) : 0);
}

/** For people: `bytes`, `text`, `float32`, `float32 × 512`. */
export function describeField(type: FieldType): string {
  if (type.kind !== 'numbers') return type.kind;
  return type.size === null ? type.dtype : `${type.dtype} × ${type.size}`;
}

/** Errors: `COLUMN_TYPE` where fields of two places that are served together are not of one type. */
export function checkSameField(name: string, a: FieldType, whereA: string, b: FieldType, whereB: string): void {
  if (describeField(a) === describeField(b)) return;
  throw new HeadraceError('COLUMN_TYPE', `the field ${name} is ${describeField(a)} in ${whereA}, and ${describeField(b)} in ${whereB}`, {
    detail: { field: name, first: describeField(a), other: describeField(b) },
    hint: `Fields that are served together have one type everywhere: ${declaredWider(a, b)}write the data with one, or name another column.`,
  });
}

/** What to declare of numbers that differ in their width alone. */
function declaredWider(a: FieldType, b: FieldType): string {
  if (a.kind !== 'numbers' || b.kind !== 'numbers' || a.size !== b.size) return '';
  const holdsB = [b.dtype, ...WIDER[b.dtype]];
  const both = [a.dtype, ...WIDER[a.dtype]].find((type) => holdsB.includes(type));
  return both === undefined ? '' : `declare one that holds both (\`type: ${both}\`), `;
}

/** What a field is in a format that has no types of its own. Errors: `COLUMN_TYPE`. */
export function declaredType({ name, column, size, type = 'text' }: FieldRequest): FieldType {
  if (type !== 'text' && type !== 'bytes') return { kind: 'numbers', dtype: type, size: size ?? null };
  if (size === undefined) return { kind: type };
  throw new HeadraceError('COLUMN_TYPE', `the field ${name} has lists of ${size}, and nothing says of what`, {
    detail: { field: name, column },
    hint: `Say it: ${name}: {column: ${column}, size: ${size}, type: float32}.`,
  });
}

/** Of what numbers are served as, what a source may have them served as instead: types that hold every value of theirs exactly. */
const WIDER: Readonly<Record<FieldDtype, readonly string[]>> = {
  uint8: ['int32', 'int64', 'float32', 'float64'],
  int32: ['int64', 'float64'],
  int64: [],
  float32: ['float64'],
  float64: [],
};

/** The declared type where it is wider than the data's own: shards may differ in theirs, and are served as one. */
export function widened(own: FieldDtype, declared: string | undefined): FieldDtype {
  return declared !== undefined && WIDER[own].includes(declared) ? (declared as FieldDtype) : own;
}

/** Where a format has types of its own, a source may say what it relies on. Errors: `COLUMN_TYPE`. */
export function checkDeclaredType({ name, column, type: declared }: FieldRequest, type: FieldType, uri: string): void {
  const own = type.kind === 'numbers' ? type.dtype : type.kind;
  if (declared === undefined || declared === own) return;
  throw new HeadraceError('COLUMN_TYPE', `column ${column} of ${uri} is served as ${own}, and the field ${name} is declared ${declared}`, {
    detail: { uri, column, type: own },
    hint: 'Numbers are served as the data has them, or as a wider type that holds all of them: leave `type` out, or name one.',
  });
}

const BYTES_OF_DTYPE: Readonly<Record<FieldDtype, number>> = { uint8: 1, int32: 4, int64: 8, float32: 4, float64: 8 };
