/**
 * The tokens of one slice, as the token cache keeps them: made and read in a worker, moved by the main thread.
 *
 *   version · bytes of an id · rows · rejected rows · ids     each u32
 *   tokens of each row, u32, or REJECTED                      in the order of the shard
 *   ids, u16 or u32                                           without what is appended to a document
 *
 * Words are in the byte order of the machine: on one of the other order the version is another, and nothing is found.
 */
import { LIMITS } from '../config/limits.js';
import type { TokenArray } from '../core/sequence.js';

/** Of the format. It is part of the key. */
export const TOKEN_ENTRY_VERSION = 1;

export type IdBytes = 2 | 4;

/** Told of the tokens of a slice when all its rows are tokenized. `entry` owns its buffer. */
export type OnTokenEntry = (key: string, entry: Uint8Array<ArrayBuffer>) => void;

/** The tokens of a slice. Arrays are views into the entry. */
export interface TokenEntry {
  /** [rows + 1] positions into `ids`. */
  readonly bounds: Int32Array;
  readonly ids: Uint16Array | Uint32Array;
  /** Rows that cannot be delivered. */
  readonly rejectedRows: number;
  isRejected(row: number): boolean;
}

export interface TokenEntryWriter {
  /** The tokens of a row, in any order of rows; a row's second time is ignored. */
  add(row: number, ids: TokenArray): void;
  /** Notes that the row cannot be delivered. */
  reject(row: number): void;
  /** The entry, in a buffer of its own, once all rows are known; undefined before, afterwards, and where there is too much to be kept. */
  take(): Uint8Array<ArrayBuffer> | undefined;
}

const HEADER_WORDS = 5;
/** No row has as many tokens: a document has at most `LIMITS.documentBytesMax` bytes. */
const REJECTED = 0xffffffff;
const UNKNOWN = 0xfffffffe;
/** Ids that there is room for at first: those of about 64 KiB of English, which are tokenized in one call. */
const FIRST_IDS = 16 * 2 ** 10;

/** Two bytes are enough for the ids of a vocabulary of 65,536. */
export function idBytesOf(vocabSize: number): IdBytes {
  return vocabSize <= 2 ** 16 ? 2 : 4;
}

export function createTokenEntryWriter(rows: number, idBytes: IdBytes): TokenEntryWriter {
  const idsMax = Math.floor((LIMITS.tokenEntryBytesMax - 4 * (HEADER_WORDS + rows)) / idBytes);
  const lengths = new Uint32Array(rows).fill(UNKNOWN);
  const starts = new Uint32Array(rows);
  /** As they come: rows are visited in the window's order. `undefined`: given up, or taken. */
  let ids: Uint16Array | Uint32Array | undefined = arrayOf(idBytes, FIRST_IDS);
  let idCount = 0;
  let known = 0;
  let rejectedRows = 0;

  const isNew = (row: number): boolean => ids !== undefined && lengths[row] === UNKNOWN;
  return {
    add: (row, tokens) => {
      if (!isNew(row) || ids === undefined) return;
      const end = idCount + tokens.length;
      let bits = 0; // of all ids: an id that does not fit would come back as another
      for (let i = 0; i < tokens.length; i++) bits |= tokens[i];
      if (end > idsMax || bits < 0 || (idBytes === 2 && bits > 0xffff)) {
        ids = undefined;
        return;
      }
      if (end > ids.length) {
        const larger = arrayOf(idBytes, Math.min(idsMax, Math.max(end, 2 * ids.length)));
        larger.set(ids.subarray(0, idCount));
        ids = larger;
      }
      ids.set(tokens, idCount);
      lengths[row] = tokens.length;
      starts[row] = idCount;
      idCount = end;
      known++;
    },
    reject: (row) => {
      if (!isNew(row)) return;
      lengths[row] = REJECTED;
      rejectedRows++;
      known++;
    },
    take: () => {
      if (ids === undefined || known < rows) return undefined;
      const entry = new Uint8Array(4 * (HEADER_WORDS + rows) + idBytes * idCount);
      const words = new Uint32Array(entry.buffer, 0, HEADER_WORDS + rows);
      words.set([TOKEN_ENTRY_VERSION, idBytes, rows, rejectedRows, idCount]);
      words.set(lengths, HEADER_WORDS);
      const sorted = arrayOf(idBytes, idCount, entry.buffer, words.byteLength);
      let at = 0;
      for (let row = 0; row < rows; row++) {
        if (lengths[row] === REJECTED) continue;
        sorted.set(ids.subarray(starts[row], starts[row] + lengths[row]), at);
        at += lengths[row];
      }
      ids = undefined;
      return entry;
    },
  };
}

/** Ids of an entry as a writer has made it. */
export function idCountOf(entry: Uint8Array<ArrayBuffer>): number {
  return new Uint32Array(entry.buffer, 0, HEADER_WORDS)[HEADER_WORDS - 1];
}

/**
 * The tokens of a slice of so many rows, where a stream can do with them: under `badRows: fail`, a rejected row ends the run with an error that its text is
 * needed for. `entry` starts at the start of its buffer.
 */
export function readUsableEntry(entry: Uint8Array, rows: number, badRows: 'fail' | 'skip'): TokenEntry | undefined {
  const read = readTokenEntry(entry, rows);
  return read !== undefined && (badRows === 'skip' || read.rejectedRows === 0) ? read : undefined;
}

/** The tokens of a slice of so many rows; undefined where these are not an entry of one. `entry` starts at the start of its buffer. */
export function readTokenEntry(entry: Uint8Array, rows: number): TokenEntry | undefined {
  const idsStart = 4 * (HEADER_WORDS + rows);
  if (entry.byteOffset !== 0 || entry.length < idsStart) return undefined;
  const [version, idBytes, rowCount, rejectedRows, idCount] = new Uint32Array(entry.buffer, 0, HEADER_WORDS);
  if (version !== TOKEN_ENTRY_VERSION || (idBytes !== 2 && idBytes !== 4) || rowCount !== rows) return undefined;
  if (entry.length !== idsStart + idBytes * idCount) return undefined;
  const lengths = new Uint32Array(entry.buffer, 4 * HEADER_WORDS, rows);
  const bounds = new Int32Array(rows + 1);
  let [ids, rejected] = [0, 0];
  for (let row = 0; row < rows; row++) {
    if (lengths[row] === REJECTED) rejected++;
    else ids += lengths[row];
    if (ids > idCount) return undefined;
    bounds[row + 1] = ids;
  }
  if (ids !== idCount || rejected !== rejectedRows) return undefined;
  return {
    bounds,
    ids: arrayOf(idBytes, idCount, entry.buffer, idsStart),
    rejectedRows,
    isRejected: (row) => lengths[row] === REJECTED,
  };
}

function arrayOf(idBytes: IdBytes, length: number, buffer?: ArrayBufferLike, start = 0): Uint16Array | Uint32Array {
  const own = buffer ?? new ArrayBuffer(idBytes * length);
  return idBytes === 2 ? new Uint16Array(own, start, length) : new Uint32Array(own, start, length);
}
