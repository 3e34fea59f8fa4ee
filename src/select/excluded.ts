/**
 * The documents that are left out, as sorted numbers in memory that all workers share: 8 bytes each.
 *
 * An id is 64 bits of its SHA-256. That one of D documents is taken for one of N ids by accident has a probability of D · N ÷ 2^64 at most: 0.5 % for
 * ten milliards of documents against ten millions of ids, and then one document is left out, the same in every run.
 */
import { createHash } from 'node:crypto';
import { lowerBound } from '../core/lower-bound.js';
import { hashId } from './id-hash.js';

/** Crosses to worker threads without a copy. Absent where there are none. */
export interface ExcludedDocuments {
  /** [2 × ids], the lower word of each hash before the upper one; ascending. */
  readonly ids: Uint32Array | undefined;
  /** `rowNumber` of each; ascending. */
  readonly rows: Float64Array | undefined;
}

/** Rows are int32 on the wire. */
const ROWS_OF_SHARD_MAX = 2 ** 31;
/** So that `rowNumber` is exact in a double. */
export const EXCLUDED_SHARDS_MAX = 2 ** 22;

const ID_KEY = 'headrace exclude\0';

/** Of a shard in canonical order, and a row in it. */
export function rowNumber(shard: number, row: number): number {
  return shard * ROWS_OF_SHARD_MAX + row;
}

export function isExcludedId(ids: Uint32Array, id: string): boolean {
  const [upper, lower] = hashId(ID_KEY, id);
  const place = lowerBound(ids.length / 2, (i) => ids[2 * i + 1] < upper || (ids[2 * i + 1] === upper && ids[2 * i] < lower));
  return place < ids.length / 2 && ids[2 * place + 1] === upper && ids[2 * place] === lower;
}

/** The first place whose number is at least `from`. */
export function firstRowFrom(rows: Float64Array, from: number): number {
  return lowerBound(rows.length, (i) => rows[i] < from);
}

export interface ExcludedBuilder {
  addId(id: string): void;
  addRow(shard: number, row: number): void;
  /** Entries so far; some may be the same. */
  readonly entries: number;
  build(): BuiltExclusions;
}

export interface BuiltExclusions extends ExcludedDocuments {
  /** Different ones. */
  readonly count: number;
  /** SHA-256 of what is left out, whatever the files, their form and their order were; undefined where nothing is. */
  readonly fingerprint: string | undefined;
}

/** Entries that there is room for at first. */
const FIRST_ENTRIES = 1024;

export function createExcludedBuilder(): ExcludedBuilder {
  // Node runs on little-endian machines only: of a pair, the upper word is the second
  let ids = new BigUint64Array(FIRST_ENTRIES);
  let words = new Uint32Array(ids.buffer);
  let idCount = 0;
  let rows = new Float64Array(FIRST_ENTRIES);
  let rowCount = 0;
  return {
    addId: (id) => {
      if (idCount === ids.length) {
        const larger = new BigUint64Array(2 * idCount);
        larger.set(ids);
        ids = larger;
        words = new Uint32Array(ids.buffer);
      }
      const [upper, lower] = hashId(ID_KEY, id);
      words[2 * idCount] = lower;
      words[2 * idCount + 1] = upper;
      idCount++;
    },
    addRow: (shard, row) => {
      if (rowCount === rows.length) {
        const larger = new Float64Array(2 * rowCount);
        larger.set(rows);
        rows = larger;
      }
      rows[rowCount++] = rowNumber(shard, row);
    },
    get entries() {
      return idCount + rowCount;
    },
    build: () => {
      const idSet = distinct(ids.subarray(0, idCount).sort());
      const rowSet = distinct(rows.subarray(0, rowCount).sort());
      const count = idSet.length + rowSet.length;
      const header = `${idSet.length} ids, ${rowSet.length} rows\n`;
      const digest = createHash('sha256').update(header).update(bytesOf(idSet)).update(bytesOf(rowSet));
      return {
        ids: idSet.length === 0 ? undefined : new Uint32Array(shared(idSet)),
        rows: rowSet.length === 0 ? undefined : new Float64Array(shared(rowSet)),
        count,
        fingerprint: count === 0 ? undefined : digest.digest('hex'),
      };
    },
  };
}

/** The different ones of sorted numbers, in place. */
function distinct<T extends BigUint64Array | Float64Array>(sorted: T): T {
  let count = 0;
  for (let i = 0; i < sorted.length; i++) if (i === 0 || sorted[i] !== sorted[count - 1]) sorted[count++] = sorted[i];
  return sorted.subarray(0, count) as T;
}

function bytesOf(array: BigUint64Array | Float64Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

function shared(array: BigUint64Array | Float64Array): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(array.byteLength);
  new Uint8Array(buffer).set(bytesOf(array));
  return buffer;
}
