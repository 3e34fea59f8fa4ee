/**
 * The dictionary of a column chunk of texts, as its slices read it.
 *
 * Writers put texts into a dictionary even where they are all different: a row group of a thousand rows, which is how many datasets are written, often has
 * nothing else, and its data page is a few bytes of indices. A slice has a part of these rows only, but each would decompress all of the dictionary. It holds
 * values in the order in which rows first have them, so what later slices need lies behind what this one has read:
 *
 *   dictionary   ──── read by this slice ────┊──── kept for the next ────
 *
 * It is decompressed again where that is wrong: where a later row has an early value, or where what was kept had to make room.
 */
import { crc32 } from '@node-rs/crc32';
import type { EncodedChunk } from './encoded-slice.js';
import { lasting, type Inflate } from './inflate.js';
import { pagesOf } from './pages.js';
import { releaseRowMemory, rowMemory } from './row-memory.js';
import { plainValues, type TextValues } from './text-values.js';

/** Of one dictionary: writers end it at 1 MiB by default, but look only once in a thousand rows. */
const KEPT_BYTES_MAX = 16 * 2 ** 20;
/** Of a worker: as many rests of 2 MiB as the default's lanes have open blocks. */
const ALL_KEPT_BYTES_MAX = 64 * 2 ** 20;
/** What is no larger is kept whole: few values for many rows are what dictionaries are for. */
const SMALL_BYTES = 64 * 2 ** 10;
/**
 * What nobody asked for while so many slices were decoded makes room: its lane was closed, or the tokens of its other rows are known. Lanes come to what
 * they left in turn, so what is full keeps what it has: the oldest is the next to be asked for.
 */
const STALE_AFTER = 256;

interface Held {
  readonly values: TextValues;
  /** Values before this one are gone. */
  readonly first: number;
  /** Whether later slices may want all of it. */
  readonly isShared: boolean;
  /** Whether it was kept. */
  readonly isKept: boolean;
  readonly release: () => void;
}

/** That of one slice: asked for, page by page, then closed. */
export class TextDictionary {
  readonly #chunk: EncodedChunk;
  readonly #inflate: Inflate;
  readonly #key: string;
  #held: Held | undefined;
  /** No value from here on was asked for. */
  #end = 0;

  constructor(chunk: EncodedChunk, inflate: Inflate) {
    const { uri, dictionary, dictionaryByte } = chunk;
    this.#chunk = chunk;
    this.#inflate = inflate;
    // what was read anew may have other bytes
    this.#key = [dictionaryByte, dictionary.length, crc32(dictionary), uri].join(' ');
  }

  /** Values that hold those of these indices, at least; valid until the next call. Throws an Error that says what is damaged. */
  valuesOf(indices: Int32Array): TextValues {
    let first = Infinity;
    let last = -1;
    for (const index of indices) {
      first = Math.min(first, index);
      last = Math.max(last, index);
    }
    this.#held ??= takeKept(this.#key) ?? this.#decode(false);
    if (first < this.#held.first) {
      this.#held.release();
      this.#held = this.#decode(true);
    }
    const { values } = this.#held;
    if (first < 0 || last >= values.starts.length) throw new Error('a value points outside its dictionary');
    this.#end = Math.max(this.#end, last + 1);
    return values;
  }

  /** What was asked for has been copied. */
  close(): void {
    const held = this.#held;
    this.#held = undefined;
    if (held === undefined) return;
    closed++;
    const { values, isShared, isKept } = held;
    const first = isShared ? 0 : Math.max(held.first, this.#end);
    if (first === values.starts.length) held.release();
    else if (isKept) keep(this.#key, { ...held, first });
    else {
      const rest = restOf(values, first, isShared);
      held.release();
      if (rest !== undefined) keep(this.#key, rest);
    }
  }

  /** `repeats`: a row has an early value again, and others may. */
  #decode(repeats: boolean): Held {
    const { dictionary, unit } = this.#chunk;
    if (dictionary.length === 0) throw new Error('a page without its dictionary');
    const [{ header, body }] = pagesOf(dictionary, unit.codec);
    const { bytes, release } = lasting(this.#inflate(body, header.uncompressed_page_size));
    const values = plainValues(bytes, 0, bytes.length, header.dictionary_page_header?.num_values ?? 0);
    return { values, first: 0, isShared: repeats || bytes.length <= SMALL_BYTES, isKept: false, release };
  }
}

/** The values from `first` on, in memory of their own; `undefined` where there is no room for so many. */
function restOf({ bytes, starts, ends }: TextValues, first: number, isShared: boolean): Held | undefined {
  const startByte = starts[first];
  const length = bytes.length - startByte;
  if (length > KEPT_BYTES_MAX || !makeRoom(length)) return undefined;
  const memory = rowMemory(length);
  const rest = new Uint8Array(memory, 0, length);
  rest.set(bytes.subarray(startByte));
  const values = { bytes: rest, starts: starts.map((start) => start - startByte), ends: ends.map((end) => end - startByte) };
  return { values, first, isShared, isKept: true, release: () => releaseRowMemory(memory) };
}

interface Kept {
  readonly held: Held;
  /** `closed`, when it was kept. */
  readonly since: number;
}

/** By dictionary; the one that was kept last is at the end. */
const kept = new Map<string, Kept>();
let keptBytes = 0;
/** Dictionaries so far. */
let closed = 0;

function takeKept(key: string): Held | undefined {
  const found = kept.get(key);
  if (found === undefined) return undefined;
  kept.delete(key);
  keptBytes -= sizeOf(found.held);
  return found.held;
}

function keep(key: string, held: Held): void {
  takeKept(key)?.release(); // of a slice that was read twice
  if (!makeRoom(sizeOf(held))) {
    held.release();
    return;
  }
  kept.set(key, { held, since: closed });
  keptBytes += sizeOf(held);
}

/** Drops what is stale; says whether there is room for `bytes` then. */
function makeRoom(bytes: number): boolean {
  for (const [oldest, { held, since }] of kept) {
    if (closed - since <= STALE_AFTER) break;
    takeKept(oldest);
    held.release();
  }
  return keptBytes + bytes <= ALL_KEPT_BYTES_MAX;
}

function sizeOf({ values }: Held): number {
  return values.bytes.buffer.byteLength + values.starts.byteLength + values.ends.byteLength;
}
