/** What an array of token ids says of itself, before its first id: NumPy's header, that of llm.c, or nothing. Pure: bytes in, a form out. */
import { HeadraceError } from '../../core/errors.js';
import { integerOf, type Dtype, type IntegerType } from '../integers.js';
import { readNpyHeader } from './npy-header.js';
import type { ArrayOptions } from './options.js';

export interface ArrayForm {
  readonly type: IntegerType;
  /** Where the ids start. */
  readonly dataByte: number;
  readonly ids: number;
  /** Ids in a row of a two-dimensional array; `undefined`: it is one stream. */
  readonly rowIds: number | undefined;
}

export interface ArrayHead {
  readonly uri: string;
  /** The first bytes of the object, `HEAD_BYTES` where it has as many. */
  readonly head: Uint8Array;
  readonly size: number;
}

/** More than any header that is read: NumPy's is 128 bytes, and grows with the description of a type. */
export const HEAD_BYTES = 64 * 2 ** 10;

const READ = 'little-endian integers of 8 to 64 bits';
const NPY_HINT = `Write it anew: numpy.save of an array of ${READ} (\`<u2\`, \`<i4\` …), C order, one or two dimensions.`;

/** NumPy's format, versions 1 to 3. Errors: `SHARD_INVALID`, `SHARD_UNSUPPORTED`. */
export function npyForm({ uri, head, size }: ArrayHead): ArrayForm {
  const damaged = (problem: string): HeadraceError => invalid(uri, 'NumPy array', problem);
  const found = readNpyHeader(head, size);
  if (found.kind === 'damaged') throw damaged(found.problem);
  if (found.kind === 'unsupported') throw unsupported(uri, found.problem, NPY_HINT);
  const { descr, isFortran, shape: dimensions, dataByte } = found;
  if (descr === undefined) throw unsupported(uri, 'it is an array of records', NPY_HINT);
  const parts = /^([<>|])([iu])([1248])$/.exec(descr);
  if (parts === null) throw unsupported(uri, `it holds ${descr}, and ${READ} are read`, NPY_HINT);
  const [, byteOrder, sign, width] = parts;
  if (byteOrder === '>' && width !== '1') throw unsupported(uri, `it is big-endian (${descr})`, NPY_HINT);
  if (dimensions.length < 1 || dimensions.length > 2) throw unsupported(uri, `it has ${dimensions.length} dimensions`, NPY_HINT);
  if (isFortran && dimensions.length > 1) throw unsupported(uri, 'it is in Fortran order', NPY_HINT);
  const [rows] = dimensions;
  const rowIds = dimensions.at(1);
  const ids = rows * (rowIds ?? 1);
  const type: IntegerType = { bytes: Number(width) as IntegerType['bytes'], signed: sign === 'i' };
  if (!Number.isSafeInteger(ids) || ids * type.bytes > size - dataByte) {
    throw damaged(`its shape (${dimensions.join(', ')}) needs ${ids * type.bytes} bytes, and ${size - dataByte} follow the header`);
  }
  if (ids * type.bytes < size - dataByte) {
    throw unsupported(uri, `${size - dataByte - ids * type.bytes} bytes follow the array`, 'Write one array a file.');
  }
  if (rowIds === 0 && rows > 0) throw unsupported(uri, 'its rows have no ids', NPY_HINT);
  return { type, dataByte, ids, rowIds };
}

/** llm.c's headers have 256 int32: a magic number, a version, the number of ids. Source: dev/data/data_common.py of that project. */
const LLMC_HEADERS: ReadonlyMap<number, { readonly version: number; readonly dtype: Dtype }> = new Map([
  [20240520, { version: 1, dtype: 'uint16' }],
  [20240801, { version: 7, dtype: 'uint32' }],
]);
const LLMC_HEADER_BYTES = 1024;

/** Ids and nothing else, or after a header. Errors: `SHARD_INVALID`, `SHARD_UNSUPPORTED`, `CONFIG_INVALID`. */
export function rawForm({ uri, head, size }: ArrayHead, { dtype, header }: ArrayOptions): ArrayForm {
  const known = header === undefined ? llmcForm({ uri, head, size }) : undefined;
  if (known !== undefined && (dtype === undefined || sameType(integerOf(dtype), known.type))) return known;
  if (known !== undefined) {
    throw unsupported(
      uri,
      `it has a header of llm.c, whose ids are uint${8 * known.type.bytes}, and array.dtype is ${dtype}`,
      'Leave array.dtype out, or say array.header.',
    );
  }
  if (dtype === undefined) {
    throw new HeadraceError('CONFIG_INVALID', `nothing says what the ids of ${uri} are`, {
      detail: { uri, field: 'array.dtype' },
      hint: /(^|\/)chunk-\d+-\d+(\.\w+)?\.bin$/.test(uri)
        ? 'It has the name of a chunk of litData: say format: litdata (inspect: --format litdata).'
        : 'Set array.dtype in its source: uint16 for vocabularies up to 65,536, as nanoGPT and llm.c write them, uint32 or int32 for larger ones.',
    });
  }
  const type = integerOf(dtype);
  const dataByte = header ?? 0;
  if (dataByte > size) throw invalid(uri, 'file of token ids', `it has ${size} bytes, and array.header is ${dataByte}`);
  if ((size - dataByte) % type.bytes !== 0) {
    throw invalid(
      uri,
      'file of token ids',
      `${size - dataByte} bytes are no whole number of ${dtype}: it is cut off, or array.dtype or array.header is another`,
    );
  }
  return { type, dataByte, ids: (size - dataByte) / type.bytes, rowIds: undefined };
}

function llmcForm({ uri, head, size }: ArrayHead): ArrayForm | undefined {
  if (head.length < LLMC_HEADER_BYTES) return undefined;
  const view = new DataView(head.buffer, head.byteOffset, LLMC_HEADER_BYTES);
  const known = LLMC_HEADERS.get(view.getInt32(0, true));
  if (known === undefined || view.getInt32(4, true) !== known.version) return undefined;
  const type = integerOf(known.dtype);
  const ids = view.getInt32(8, true);
  if (ids * type.bytes !== size - LLMC_HEADER_BYTES) {
    throw invalid(uri, 'file of llm.c', `its header says ${ids} ids, and ${size - LLMC_HEADER_BYTES} bytes follow it`);
  }
  return { type, dataByte: LLMC_HEADER_BYTES, ids, rowIds: undefined };
}

function sameType(a: IntegerType, b: IntegerType): boolean {
  return a.bytes === b.bytes && a.signed === b.signed;
}

function invalid(uri: string, what: string, problem: string): HeadraceError {
  return new HeadraceError('SHARD_INVALID', `${uri} is not a readable ${what}: ${problem}`, {
    detail: { uri },
    hint: 'Write the file again, or take it out of the source.',
  });
}

function unsupported(uri: string, problem: string, hint: string): HeadraceError {
  return new HeadraceError('SHARD_UNSUPPORTED', `${uri} cannot be read: ${problem}`, { detail: { uri }, hint });
}
