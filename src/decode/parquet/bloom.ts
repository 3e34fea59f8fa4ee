/** Split-block bloom filters of column chunks (parquet-format, BloomFilter.md): they say of a value that it is certainly not there, or that it may be. */
import type { SchemaElement } from 'hyparquet';
import { readBloomFilter, sbbfContains } from 'hyparquet/src/bloom.js';
import { deserializeTCompactProtocol } from 'hyparquet/src/thrift.js';
import { xxhash64 } from 'hyparquet/src/xxhash.js';
import { LIMITS } from '../../config/limits.js';
import type { Bound } from '../../core/filter/operand.js';
import type { ByteRange } from '../../store/store.js';

/** Words of the filter; undefined where it is of a kind that is not known, or too large to be worth it. */
export type BloomWords = Uint32Array | undefined;

/** Where older writers do not say how long one is, its header does: it is a few dozen bytes. */
const HEADER_BYTES_MAX = 256;

/** `length` as the footer has it. Throws an Error that says what is wrong, and those of `read`. */
export async function readBloom(
  startByte: number,
  length: number | undefined,
  objectSize: number,
  read: (range: ByteRange) => Promise<Uint8Array>,
): Promise<BloomWords> {
  if (!(startByte > 0 && startByte < objectSize)) throw new Error(`a bloom filter at byte ${startByte} of ${objectSize}`);
  let endByte = startByte + (length ?? 0);
  if (length === undefined) {
    const bytes = await read({ startByte, endByte: Math.min(objectSize, startByte + HEADER_BYTES_MAX) });
    const reader = { view: viewOf(bytes), offset: 0 };
    const header = deserializeTCompactProtocol(reader) as { readonly field_1?: unknown };
    if (typeof header.field_1 !== 'number' || header.field_1 <= 0) return undefined;
    endByte = startByte + reader.offset + header.field_1;
  }
  if (!(endByte > startByte && endByte <= objectSize))
    throw new Error(`a bloom filter of ${endByte - startByte} bytes at byte ${startByte} of ${objectSize}`);
  if (endByte - startByte > LIMITS.bloomBytesMax) return undefined;
  return readBloomFilter({ view: viewOf(await read({ startByte, endByte })), offset: 0 })?.blocks;
}

export function mayContain(words: Uint32Array, hash: bigint): boolean {
  return sbbfContains(words, hash);
}

/** Of an operand as a column stores it, in PLAIN encoding; undefined where it has no one form there. */
export function bloomHash(bound: Bound, leaf: SchemaElement): bigint | undefined {
  const bytes = plainBytes(bound, leaf);
  return bytes && xxhash64(bytes);
}

function plainBytes(bound: Bound, leaf: SchemaElement): Uint8Array | undefined {
  if (bound.kind === 'bytes') return leaf.type === 'BYTE_ARRAY' ? bound.bytes : undefined;
  const bytes = new Uint8Array(leaf.type === 'INT32' || leaf.type === 'FLOAT' ? 4 : 8);
  const view = viewOf(bytes);
  if (bound.kind === 'integer') {
    if (!bound.isExact) return undefined;
    // a number that the column cannot hold is equal to none of its values, but its bits may be those of one
    const bits = 8 * bytes.length;
    const fits = BigInt.asIntN(bits, bound.floor) === bound.floor || BigInt.asUintN(bits, bound.floor) === bound.floor;
    if (!fits) return undefined;
    if (leaf.type === 'INT32') view.setUint32(0, Number(BigInt.asUintN(32, bound.floor)), true);
    else if (leaf.type === 'INT64') view.setBigUint64(0, BigInt.asUintN(64, bound.floor), true);
    else return undefined;
    return bytes;
  }
  // two zeros are equal, and have different bits
  if (bound.kind !== 'float' || bound.value === 0) return undefined;
  if (leaf.type === 'FLOAT') view.setFloat32(0, bound.value, true);
  else if (leaf.type === 'DOUBLE') view.setFloat64(0, bound.value, true);
  else return undefined;
  return bytes;
}

function viewOf(bytes: Uint8Array): DataView<ArrayBuffer> {
  return new DataView(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
}
