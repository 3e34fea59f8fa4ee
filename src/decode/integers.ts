/** Little-endian integers of any width as token ids: at memory speed, without a decision an id. */
import * as z from 'zod';
import type { TokenArray } from '../core/sequence.js';

export const integerSchema = z.object({ bytes: z.union([z.literal(1), z.literal(2), z.literal(4), z.literal(8)]), signed: z.boolean() });

export type IntegerType = Readonly<z.output<typeof integerSchema>>;

export const DTYPES = ['uint8', 'int8', 'uint16', 'int16', 'uint32', 'int32', 'uint64', 'int64'] as const;
export type Dtype = (typeof DTYPES)[number];

export function integerOf(dtype: Dtype): IntegerType {
  const bytes = { 8: 1, 16: 2, 32: 4, 64: 8 }[dtype.replace(/\D+/, '')] as IntegerType['bytes'];
  return { bytes, signed: !dtype.startsWith('u') };
}

export interface TokenIds {
  /** Int64 where an id needs it, so that messages can name it; int32 with negative numbers for what is out of range. */
  readonly ids: TokenArray | BigInt64Array;
  /** All ids are at least 0 and below this; `undefined`: nobody looked. */
  readonly idsBelow: number | undefined;
}

/** A view where the bytes are integers of 32 bits already, or uint16, else a copy. What follows the last whole integer is left out. */
export function tokenIds(bytes: Uint8Array, { bytes: width, signed }: IntegerType): TokenIds {
  const count = Math.floor(bytes.length / width);
  const { buffer, byteOffset } = aligned(bytes, width);
  switch (width) {
    case 1:
      return signed
        ? { ids: Int32Array.from(new Int8Array(buffer, byteOffset, count)), idsBelow: undefined }
        : { ids: new Uint16Array(new Uint8Array(buffer, byteOffset, count)), idsBelow: 2 ** 8 };
    case 2:
      return signed
        ? { ids: new Int32Array(new Int16Array(buffer, byteOffset, count)), idsBelow: undefined }
        : { ids: new Uint16Array(buffer, byteOffset, count), idsBelow: 2 ** 16 };
    case 4:
      return { ids: new Int32Array(buffer, byteOffset, count), idsBelow: undefined };
    case 8:
      return {
        ids: narrowed(new Int32Array(buffer, byteOffset, 2 * count)) ?? new BigInt64Array(buffer, byteOffset, count),
        idsBelow: undefined,
      };
  }
}

/** In 32 bits at most: what does not fit, or is negative, is −1, which no vocabulary has. */
export function narrowIds(ids: TokenArray | BigInt64Array): TokenArray {
  return ids instanceof BigInt64Array ? Int32Array.from(ids, (id) => (id >= 0n && id < 2n ** 31n ? Number(id) : -1)) : ids;
}

/** The same integers as one typed array of their own width; those of 64 bits with a sign or without, as they say. */
export function integersOf(bytes: Uint8Array, { bytes: width, signed }: IntegerType) {
  const count = Math.floor(bytes.length / width);
  const { buffer, byteOffset } = aligned(bytes, width);
  switch (width) {
    case 1:
      return signed ? new Int8Array(buffer, byteOffset, count) : new Uint8Array(buffer, byteOffset, count);
    case 2:
      return signed ? new Int16Array(buffer, byteOffset, count) : new Uint16Array(buffer, byteOffset, count);
    case 4:
      return signed ? new Int32Array(buffer, byteOffset, count) : new Uint32Array(buffer, byteOffset, count);
    case 8:
      return signed ? new BigInt64Array(buffer, byteOffset, count) : new BigUint64Array(buffer, byteOffset, count);
  }
}

function aligned(bytes: Uint8Array, width: number): Uint8Array {
  return bytes.byteOffset % width === 0 ? bytes : bytes.slice();
}

/** 64-bit integers as int32; `undefined` where one does not fit, or is negative. */
function narrowed(halves: Int32Array): Int32Array | undefined {
  const ids = new Int32Array(halves.length / 2);
  let upper = 0;
  let lower = 0;
  for (let i = 0; i < ids.length; i++) {
    lower |= ids[i] = halves[2 * i];
    upper |= halves[2 * i + 1];
  }
  return upper === 0 && lower >= 0 ? ids : undefined;
}
