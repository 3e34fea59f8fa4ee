/**
 * AssemblyScript: the pages of a Parquet column of lists of integers, to token ids and row bounds.
 * `src/decode/parquet/list-kernel.ts` lays out the memory, calls these functions page by page, and says what they are for.
 * Source of the formats: Apache Parquet format ("Data Pages", "Nested Encoding", "Run Length Encoding / Bit-Packing Hybrid") and the Snappy format description.
 *
 * Every read of the input and every write is bounded by the arguments; an overshoot of the vector copies stays within SLACK bytes, which the caller
 * leaves free behind each buffer. Functions answer 0, or one of the codes below, which list-kernel.ts turns into words.
 */

const OK: i32 = 0;
const BAD_COMPRESSION: i32 = 1;
const BAD_LEVELS: i32 = 2;
const BAD_VALUES: i32 = 3;
const BAD_INDEX: i32 = 4;
const TOO_WIDE: i32 = 5;

/** Set once a slice: where rows, ids and the dictionary are. */
let bounds: usize = 0;
let valid: usize = 0;
let ids: usize = 0;
let dictionary: usize = 0;
let dictionaryCount: u32 = 0;
let rowsMax: u32 = 0;
let idsMax: u32 = 0;
let scratch: usize = 0;

let rowCount: u32 = 0;
let idCount: u32 = 0;
let invalidRows: u32 = 0;
/** The last row has elements, so that more may follow: a null or empty list ends with itself. */
let rowOpen: bool = false;
/** The largest id of the pages and the dictionary, read as an unsigned number: a negative id is larger than any other. */
let largest: u32 = 0;

/** Where the memory that the caller may use begins. */
export function heapStart(): usize {
  return __heap_base;
}

export function begin(boundsAt: usize, validAt: usize, rows: u32, idsAt: usize, idsRoom: u32, dictionaryAt: usize, scratchAt: usize): void {
  bounds = boundsAt;
  valid = validAt;
  rowsMax = rows;
  ids = idsAt;
  idsMax = idsRoom;
  dictionary = dictionaryAt;
  dictionaryCount = 0;
  scratch = scratchAt;
  rowCount = 0;
  idCount = 0;
  invalidRows = 0;
  rowOpen = false;
  largest = 0;
}

export function rows(): u32 {
  return rowCount;
}

export function idsWritten(): u32 {
  return idCount;
}

export function rowsInvalid(): u32 {
  return invalidRows;
}

export function largestId(): u32 {
  return largest;
}

/** Of literals that are copied here: a call for the others costs as much as some hundred bytes. */
const INLINE_MAX: usize = 256;

/**
 * Of each tag, what its element is; idea: google/snappy, `snappy-internal.h`.
 *
 *   bits 0–7    bytes that it makes
 *   bits 8–10   of a copy's offset, those that are in the tag, in their place
 *   bits 11–15  bytes that it takes with its tag: of a copy those of its offset, of a short literal its own
 *   bits 16–20  bits of the offset behind the tag; 0 of a literal, and of what is rare
 *   bit 31      of a literal that is as short as one vector
 */
const ELEMENTS: usize = memory.data(1024, 4);
/** The bytes of a vector: what is copied at once, whatever is wanted of it. */
const VECTOR: usize = 16;
/** No copy makes more. */
const COPY_MAX: usize = 64;

function fillElements(): void {
  for (let tag: u32 = 0; tag < 256; tag++) {
    const kind = tag & 3;
    const long = (tag >> 2) + 1;
    let element = long; // longer literals, and copies from beyond 64 KiB, which no writer makes
    if (kind == 0 && long <= <u32>VECTOR) element = long | ((1 + long) << 11) | (1 << 31);
    else if (kind == 1) element = (((tag >> 2) & 7) + 4) | ((tag >> 5) << 8) | (2 << 11) | (8 << 16);
    else if (kind == 2) element = long | (3 << 11) | (16 << 16);
    store<u32>(ELEMENTS + (<usize>tag << 2), element);
  }
}
fillElements();

/** Decodes a Snappy block of exactly `size` bytes. */
export function unsnap(from: usize, end: usize, to: usize, size: usize): i32 {
  let length: usize = 0;
  let shift: usize = 0;
  while (true) {
    if (from >= end || shift > 28) return BAD_COMPRESSION;
    const byte = load<u8>(from++);
    length |= (<usize>(byte & 0x7f)) << shift;
    if (byte < 0x80) break;
    shift += 7;
  }
  if (length != size) return BAD_COMPRESSION;
  const start = to;
  const stop = to + size;
  while (from < end) {
    // short literals and copies come in no order that could be guessed, and a wrong guess costs as much as several of them: both are copied from where one sum says
    // which never runs over an end, nor sees a copy from before the block: what it makes is exact as far as it comes
    if (to - start >= VECTOR && stop - to >= COPY_MAX && end - from > VECTOR) {
      const lastFrom = end - VECTOR - 1;
      const lastTo = stop - COPY_MAX;
      do {
        const element = load<u32>(ELEMENTS + (<usize>load<u8>(from) << 2));
        const offset = (element & 0x700) + (load<u32>(from + 1) & ~(<u32>-1 << (element >> 16)));
        const literal = <i32>element >> 31; // all bits, or none
        // of what is rare the offset is 0; and within a vector a copy repeats what it has made itself
        if ((offset | (literal & VECTOR)) - VECTOR > to - start - VECTOR) break;
        const source = to - offset + ((from + 1 - to) & literal);
        const count = <usize>(element & 0xff);
        v128.store(to, v128.load(source));
        if (count > VECTOR) {
          v128.store(to + 16, v128.load(source + 16));
          v128.store(to + 32, v128.load(source + 32));
          v128.store(to + 48, v128.load(source + 48));
        }
        from += (element >> 11) & 31;
        to += count;
      } while (from <= lastFrom && to <= lastTo);
      if (from == end) break;
    }
    const tag = <usize>load<u8>(from++);
    if ((tag & 3) == 0) {
      let count = (tag >> 2) + 1;
      if (count > 60) {
        const extra = count - 60;
        if (extra > end - from) return BAD_COMPRESSION;
        count = <usize>(load<u32>(from) & (0xffffffff >> ((4 - <u32>extra) << 3))) + 1;
        from += extra;
        if (count == 0) return BAD_COMPRESSION; // of 4 GiB
      }
      if (count > end - from || count > stop - to) return BAD_COMPRESSION;
      if (count <= INLINE_MAX) for (let copied: usize = 0; copied < count; copied += 16) v128.store(to + copied, v128.load(from + copied));
      else memory.copy(to, from, count);
      from += count;
      to += count;
      continue;
    }
    const copy = load<u32>(ELEMENTS + (tag << 2));
    const extra: usize = (tag & 3) == 3 ? 4 : tag & 3;
    if (extra > end - from) return BAD_COMPRESSION;
    const offset = <usize>(copy & 0x700) + <usize>(load<u32>(from) & (0xffffffff >> ((4 - <u32>extra) << 3)));
    const count = <usize>(copy & 0xff);
    from += extra;
    if (offset == 0 || offset > to - start || count > stop - to) return BAD_COMPRESSION;
    const match = to - offset;
    if (offset >= 16) {
      for (let copied: usize = 0; copied < count; copied += 16) v128.store(to + copied, v128.load(match + copied));
    } else if (offset >= 8) {
      for (let copied: usize = 0; copied < count; copied += 8) store<u64>(to + copied, load<u64>(match + copied));
    } else {
      for (let copied: usize = 0; copied < count; copied++) store<u8>(to + copied, load<u8>(match + copied));
    }
    to += count;
  }
  return to == stop ? OK : BAD_COMPRESSION;
}

/** Values of a dictionary page, PLAIN, of 4 or 8 bytes each. */
export function readDictionary(from: usize, end: usize, count: u32, width: u32): i32 {
  if (<u64>count * <u64>width > <u64>(end - from)) return BAD_VALUES;
  dictionaryCount = count;
  return copyPlain(from, count, width, dictionary);
}

function copyPlain(from: usize, count: u32, width: u32, to: usize): i32 {
  let seen = largest;
  if (width == 4) {
    let i: u32 = 0;
    let most = i32x4.splat(0);
    for (; i + 4 <= count; i += 4) {
      const four = v128.load(from + (<usize>i << 2));
      v128.store(to + (<usize>i << 2), four);
      most = i32x4.max_u(most, four);
    }
    seen = max(seen, max(max(<u32>i32x4.extract_lane(most, 0), <u32>i32x4.extract_lane(most, 1)), max(<u32>i32x4.extract_lane(most, 2), <u32>i32x4.extract_lane(most, 3))));
    for (; i < count; i++) {
      const id = load<u32>(from + (<usize>i << 2));
      store<u32>(to + (<usize>i << 2), id);
      seen = max(seen, id);
    }
  } else {
    for (let i: u32 = 0; i < count; i++) {
      const id = load<u64>(from + (<usize>i << 3));
      // what does not fit must keep its width, so that a message can show it
      if (id > 0x7fffffff) return TOO_WIDE;
      store<u32>(to + (<usize>i << 2), <u32>id);
      seen = max(seen, <u32>id);
    }
  }
  largest = seen;
  return OK;
}

/**
 * One data page: its levels, then `count` values and nulls.
 * `levelsNull` is the definition level under which a list is null (0: it cannot be), `levelElement` the one of an element that is there;
 * an element whose level is one less is null if `elementsNull`, else its list is empty.
 */
export function readPage(
  repetitions: usize,
  repetitionsEnd: usize,
  definitions: usize,
  definitionsEnd: usize,
  values: usize,
  valuesEnd: usize,
  count: u32,
  levelNull: u32,
  levelElement: u32,
  elementsNull: bool,
  width: u32,
  indexed: bool,
): i32 {
  let present = count;
  if (allLevelsAre(definitions, definitionsEnd, count, levelElement)) {
    if (count > idsMax - idCount) return BAD_LEVELS;
    const status = rowStarts(repetitions, repetitionsEnd, count);
    if (status != OK) return status;
    rowOpen = true;
  } else {
    const found = rowsOfLevels(repetitions, repetitionsEnd, definitions, definitionsEnd, count, levelNull, levelElement, elementsNull);
    if (found < 0) return BAD_LEVELS;
    present = <u32>found;
  }
  const to = ids + (<usize>idCount << 2);
  idCount += present;
  if (indexed) return readIndices(values, valuesEnd, present, to);
  if (<u64>present * <u64>width > <u64>(valuesEnd - values)) return BAD_VALUES;
  return copyPlain(values, present, width, to);
}

/** Where a varint ended, and its value. */
let cursor: usize = 0;

/** The header of a run; 0, which no run has, where there is none. */
// @ts-ignore: decorator
@inline
function runHeader(end: usize): u32 {
  let value: u32 = 0;
  let shift: u32 = 0;
  while (cursor < end && shift < 32) {
    const byte = <u32>load<u8>(cursor++);
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
    shift += 7;
  }
  return 0;
}

/** Whether the levels are one run of `level`: what a writer makes where nothing is null or empty. */
function allLevelsAre(from: usize, end: usize, count: u32, level: u32): bool {
  cursor = from;
  const header = runHeader(end);
  return header != 0 && (header & 1) == 0 && header >>> 1 >= count && cursor < end && <u32>load<u8>(cursor) == level;
}

/** Notes the places of the zeros in `count` repetition levels, which are one bit wide: each starts a row. */
function rowStarts(from: usize, end: usize, count: u32): i32 {
  cursor = from;
  let at: u32 = 0;
  while (at < count) {
    const header = runHeader(end);
    if (header == 0) return BAD_LEVELS;
    if ((header & 1) == 0) {
      if (cursor >= end) return BAD_LEVELS;
      const run = min(header >>> 1, count - at);
      const level = load<u8>(cursor++);
      if (level == 0) {
        if (run > rowsMax - rowCount) return BAD_LEVELS;
        for (let i: u32 = 0; i < run; i++) startRow(idCount + at + i);
      } else if (rowCount == 0) return BAD_LEVELS;
      at += run;
      continue;
    }
    for (let group = header >>> 1; group > 0 && at < count; group--) {
      if (cursor >= end) return BAD_LEVELS;
      const used = min<u32>(8, count - at);
      let zeros = ~(<u32>load<u8>(cursor++)) & (0xff >>> (8 - used));
      if (rowCount == 0 && (zeros & 1) == 0) return BAD_LEVELS;
      while (zeros != 0) {
        if (rowCount == rowsMax) return BAD_LEVELS;
        startRow(idCount + at + ctz(zeros));
        zeros &= zeros - 1;
      }
      at += used;
    }
  }
  return OK;
}

// @ts-ignore: decorator
@inline
function startRow(firstId: u32): void {
  store<u32>(bounds + (<usize>rowCount << 2), firstId);
  store<u8>(valid + <usize>rowCount, 1);
  rowCount++;
}

/** The general form of `rowStarts`: the ids that are there, or −1. */
function rowsOfLevels(
  repetitions: usize,
  repetitionsEnd: usize,
  definitions: usize,
  definitionsEnd: usize,
  count: u32,
  levelNull: u32,
  levelElement: u32,
  elementsNull: bool,
): i32 {
  const repeated = scratch;
  const defined = scratch + <usize>count;
  if (!expandLevels(repetitions, repetitionsEnd, count, 1, repeated)) return -1;
  if (!expandLevels(definitions, definitionsEnd, count, 32 - clz(levelElement), defined)) return -1;
  let present: u32 = 0;
  const room = idsMax - idCount;
  const levelSlot = elementsNull ? levelElement - 1 : levelElement;
  for (let i: u32 = 0; i < count; i++) {
    const level = <u32>load<u8>(defined + <usize>i);
    if (load<u8>(repeated + <usize>i) == 0) {
      if (rowCount == rowsMax) return -1;
      startRow(idCount + present);
      if (level < levelNull) markInvalid();
      rowOpen = level >= levelSlot;
    } else if (rowCount == 0 || !rowOpen || level < levelSlot) return -1;
    if (level == levelElement) {
      if (present == room) return -1;
      present++;
    } else if (level > levelElement) return -1;
    else if (elementsNull && level + 1 == levelElement) markInvalid();
  }
  return <i32>present;
}

function markInvalid(): void {
  store<u8>(valid + <usize>(rowCount - 1), 0);
  invalidRows++;
}

/** Levels of `bits` ≤ 8 bits, one byte each. */
function expandLevels(from: usize, end: usize, count: u32, bits: u32, to: usize): bool {
  cursor = from;
  let at: u32 = 0;
  while (at < count) {
    const header = runHeader(end);
    if (header == 0) return false;
    if ((header & 1) == 0) {
      if (cursor >= end) return false;
      const run = min(header >>> 1, count - at);
      memory.fill(to + <usize>at, load<u8>(cursor++), <usize>run);
      at += run;
      continue;
    }
    const levels = <u32>min<u64>(<u64>(header >>> 1) << 3, <u64>(count - at));
    if (((<u64>levels * <u64>bits + 7) >> 3) > <u64>(end - cursor)) return false;
    const mask = (<u32>1 << bits) - 1;
    for (let i: u32 = 0; i < levels; i++) {
      const bit = i * bits;
      store<u8>(to + <usize>(at + i), (<u32>load<u16>(cursor + <usize>(bit >>> 3)) >>> (bit & 7)) & mask);
    }
    cursor += <usize>(header >>> 1) * <usize>bits;
    at += levels;
  }
  return true;
}

/** Places in the dictionary, as runs; the ids that are there. */
function readIndices(from: usize, end: usize, count: u32, to: usize): i32 {
  if (count == 0) return OK;
  if (from >= end || dictionaryCount == 0) return BAD_VALUES;
  const bits = <u32>load<u8>(from);
  if (bits > 32) return BAD_VALUES;
  const mask = <u32>(((<u64>1) << (<u64>bits)) - 1);
  const table = dictionary;
  const last = dictionaryCount - 1;
  cursor = from + 1;
  let at: u32 = 0;
  while (at < count) {
    const header = runHeader(end);
    if (header == 0) return BAD_VALUES;
    if ((header & 1) == 0) {
      const bytes = <usize>((bits + 7) >>> 3);
      if (bytes > end - cursor) return BAD_VALUES;
      const index = load<u32>(cursor) & mask;
      cursor += bytes;
      if (index > last) return BAD_INDEX;
      const run = min(header >>> 1, count - at);
      const id = load<u32>(table + (<usize>index << 2));
      for (let i: u32 = 0; i < run; i++) store<u32>(to + (<usize>(at + i) << 2), id);
      at += run;
      continue;
    }
    const indices = <u32>min<u64>(<u64>(header >>> 1) << 3, <u64>(count - at));
    if (((<u64>indices * <u64>bits + 7) >> 3) > <u64>(end - cursor)) return BAD_VALUES;
    const start = to + (<usize>at << 2);
    let most: u32 = 0;
    let bit: usize = 0;
    for (let out = start, stop = start + (<usize>indices << 2); out < stop; out += 4, bit += <usize>bits) {
      const index = <u32>(load<u64>(cursor + (bit >>> 3)) >>> <u64>(bit & 7)) & mask;
      most = max(most, index);
      // an index beyond the dictionary reads its last entry, and the page is refused below
      store<u32>(out, load<u32>(table + (<usize>min(index, last) << 2)));
    }
    if (most > last) return BAD_INDEX;
    cursor += <usize>(header >>> 1) * <usize>bits;
    at += indices;
  }
  return OK;
}
