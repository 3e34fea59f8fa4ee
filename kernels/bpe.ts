/**
 * AssemblyScript: the inner loops of byte-pair encoding. UTF-8 in, token ids out.
 * `src/tokenize/bpe/kernel-encoder.ts` lays out the memory and calls `encodeBatch`; `src/tokenize/bpe/reference-encoder.ts` is the same algorithm to read.
 *
 *   document ─added tokens─▶ segments ─automata─▶ pretokens ─cache─▶ ids
 *                                                              └─miss─▶ merges ─▶ cache
 *
 * The text must be valid UTF-8. Memory may be shared between instances: tables are read only; what an instance writes lies in its own region.
 * Vector reads and writes run over the ends of buffers by at most 64 bytes, which their owner leaves free.
 */

/** The descriptor is a list of words of 4 bytes, in the order in which kernel-tables.ts writes them and `attach` reads them. */
// @ts-ignore: decorator
@inline
function word(descriptor: usize, index: usize): u32 {
  return load<u32>(descriptor + (index << 2));
}

/** Sizes of a level's record, in bytes. */
const LEVEL_BYTES: usize = 44;
/** Columns of a transition table are 2^6. */
const CLASS_BITS: u32 = 6;
/**
 * A remembered pretoken has at most this many bytes in its slot; longer ones are in a table of their own. What is looked for first is small on purpose:
 * beyond some MB a look-up misses the processor's page table cache as well, and costs ten times as much. A large table behind it has what came less
 * often: that still costs a fifth of merging it again.
 */
const KEY_BYTES: usize = 15;
/** Most pretokens are no longer than this: a table of their own has half of a slot's bytes, and more of them stay near the processor. */
const SHORT_KEY_BYTES: usize = 7;
/** Longer pretokens are not remembered: they are rare, and seldom come again. */
const LONG_KEY_BYTES: usize = 256;
/** A value is three ids of 21 bits, ID_NONE where there are fewer; or, with the highest bit set, the place of a list of ids and, from bit 32, its length. */
const ID_BITS: u64 = 21;
const ID_NONE: u64 = 0x1fffff;
const IS_LIST: u64 = 0x8000000000000000;
/** Tokens have 20 bits each in the table of merges; the rank has the other 24. */
const PAIR_MASK: u64 = 0x000fffff000fffff;
/** Up to so many symbols are merged by searching all of them for the best pair; more by a heap. */
const SCAN_SYMBOLS: u32 = 60;

const NONE: u32 = 0xffffffff;

/** Pretokens that are looked up together: their places and values stay in the processor's first cache. */
const QUEUE_PIECES: u32 = 512;
/** A block of text gives at most 64, which are written by fours. */
const QUEUE_SLACK: u32 = 72;
/** Starts, values, and three lists of places. */
const QUEUE_VALUES: usize = 4 * <usize>(QUEUE_PIECES + QUEUE_SLACK);
const QUEUE_SHORTS: usize = 12 * <usize>(QUEUE_PIECES + QUEUE_SLACK);
const QUEUE_MIDDLES: usize = 14 * <usize>(QUEUE_PIECES + QUEUE_SLACK);
const QUEUE_COLDS: usize = 16 * <usize>(QUEUE_PIECES + QUEUE_SLACK);
const QUEUE_BYTES: usize = 18 * <usize>(QUEUE_PIECES + QUEUE_SLACK);

/** Of the classes of normal-form.ts. */
const FORM_CHANGES: u32 = 0xff;
const FORM_COMPOSITE: u32 = 0x80;
const FORM_COMPOSES: u32 = 0x40;
/** Of the table of compositions in kernel-tables.ts. */
const COMPOSITION_SLOTS: u32 = 2048;
const COMPOSITION_SHIFT: u32 = 21;

// tables, shared
let classIndex: usize = 0;
let classBlocks: usize = 0;
let levels: usize = 0;
let lastLevel: usize = 0;
let levelCount: u32 = 0;
/** [256] id of each byte: as a symbol, or, for characters, as the fallback. */
let byteIds: usize = 0;
/** [65536] rank of the merge of the symbols of two bytes (first × 256 + second); NONE: there is none. 0: symbols are characters. */
let bytePairs: usize = 0;
/** Merges by their pair, 8 bytes a slot: right and the rank's low 12 bits, left and its high 12; all ones: empty. */
let merges: usize = 0;
let mergeSlots: u32 = 0;
/** A bit for each hash of a merge's pair: most pairs that are asked for are none, and need not go to the large table. */
let mergeFilter: usize = 0;
let filterShift: u32 = 0;
/** What the merge of a rank makes; 0: the id that is the rank. */
let mergedIds: usize = 0;
/** Tokens by their bytes, 4 bytes a slot: id, and 12 bits of the hash; all ones: empty. [ids × 2] start and length, and the bytes. */
let words: usize = 0;
let wordMask: u32 = 0;
let wordPlaces: usize = 0;
let wordBytes: usize = 0;
let wholeWords: bool = false;
/** Symbols are characters (with bytes as the fallback), and a space is U+2581. */
let characters: bool = false;
let spaceId: u32 = 0;
/** 0: no normal form is needed. Else classes of code points, as normal-form.ts makes them. */
let formIndex: usize = 0;
let formBlocks: usize = 0;
/** Lead bytes below this one lead no such code point. */
let formLead: v128 = i8x16.splat(0);
/** Pairs that compose. */
let compositions: usize = 0;
/** [256] first node of the added tokens that start with a byte, and the nodes. */
let trieRoots: usize = 0;
let trieNodes: usize = 0;
let trieStarts: v128 = i8x16.splat(0);
let trieBeyondAscii: bool = false;
/** What comes before a segment: 0 nothing, 1 a space, 2 a space unless there is one, 3 likewise or U+2581. */
let prefix: u32 = 0;
let prefixFirstOnly: bool = false;

// this instance's own
let short: usize = 0;
let shortShift: u64 = 0;
let cache: usize = 0;
let cacheShift: u64 = 0;
let second: usize = 0;
let secondShift: u64 = 0;
let long: usize = 0;
let longMask: u32 = 0;
let ownEnd: usize = 0;
let arenaStart: usize = 0;
let arenaEnd: usize = 0;
let arena: usize = 0;
/** Room for the symbols and pairs of one pretoken while it is merged. */
let scratch: usize = 0;
let scratchEnd: usize = 0;
/** [17 × 16] masks of the first n of 16 bytes. */
let masks: usize = 0;

/**
 * Pretokens that wait for their look-up, each of which ends where the next one starts: [QUEUE_PIECES + QUEUE_SLACK] starts, values; the places of the short
 * ones, of the middle ones, and of those that the first tables do not know.
 */
let queue: usize = 0;
/** Where the next start goes, and where the last one's pretoken ends. */
let queueNext: usize = 0;
let queueEnd: usize = 0;

/** How often everything was forgotten: lists that were found before lie there no longer. */
let cleared: u32 = 0;

let out: usize = 0;
/** Bytes of scratch that a pretoken would need, and did not find: its document is to be encoded again with as much. */
let scratchWanted: usize = 0;

export function heapStart(): usize {
  return __heap_base;
}

export function attach(d: usize): void {
  classIndex = word(d, 0);
  classBlocks = word(d, 1);
  levels = word(d, 2);
  levelCount = word(d, 3);
  lastLevel = levels + <usize>(levelCount - 1) * LEVEL_BYTES;
  byteIds = word(d, 4);
  bytePairs = word(d, 5);
  merges = word(d, 6);
  mergeSlots = word(d, 7);
  mergedIds = word(d, 8);
  words = word(d, 9);
  wordMask = ((<u32>1) << word(d, 10)) - 1;
  wordPlaces = word(d, 11);
  wordBytes = word(d, 12);
  wholeWords = word(d, 13) != 0;
  characters = word(d, 14) != 0;
  spaceId = word(d, 15);
  formIndex = word(d, 16);
  formBlocks = word(d, 17);
  formLead = i8x16.splat(<i8>word(d, 18));
  compositions = word(d, 19);
  trieRoots = word(d, 20);
  trieNodes = word(d, 21);
  const starts = word(d, 22);
  trieStarts = starts == 0 ? i8x16.splat(0) : v128.load(starts);
  trieBeyondAscii = word(d, 23) != 0;
  prefix = word(d, 24);
  prefixFirstOnly = word(d, 25) != 0;
  masks = word(d, 26);
  mergeFilter = word(d, 27);
  filterShift = 32 - word(d, 28);
}

/**
 * Tables of 2^bits, one behind the other: sets of 2 × 16 bytes for short pretokens; sets of 2 × 24 bytes; slots of 32 bytes, of the second table; slots
 * of 16 bytes for long pretokens.
 */
export function attachOwn(at: usize, shortBits: u32, cacheBits: u32, secondBits: u32, longBits: u32, arenaAt: usize, arenaBytes: usize, queueAt: usize): void {
  short = at;
  shortShift = 64 - <u64>shortBits;
  cache = short + ((<usize>32) << <usize>shortBits);
  cacheShift = 64 - <u64>cacheBits;
  second = cache + ((<usize>48) << <usize>cacheBits);
  secondShift = 64 - <u64>secondBits;
  long = second + ((<usize>32) << <usize>secondBits);
  longMask = ((<u32>1) << longBits) - 1;
  ownEnd = long + ((<usize>16) << <usize>longBits);
  arenaStart = arenaAt;
  arenaEnd = arenaAt + arenaBytes;
  queue = queueAt;
  queueNext = queueAt;
  queueEnd = 0;
  clearCache();
}

/** Bytes of the queue that `attachOwn` wants. */
export function queueBytes(): usize {
  return QUEUE_BYTES;
}

export function attachScratch(at: usize, bytes: usize): void {
  scratch = at;
  scratchEnd = at + bytes;
}

export function scratchNeeded(): usize {
  return scratchWanted;
}

/** Forgets all pretokens: what is found again is the same. */
export function clearCache(): void {
  cleared++;
  memory.fill(short, 0, ownEnd - short);
  arena = arenaStart;
}

/**
 * Encodes documents [from, count), whose bounds are in `bounds` (text positions from `text`), as far as it can, to `ids`; writes `idBounds[i + 1]`.
 * Answers the document it stopped before: `count`, or one that has to be brought into its normal form first, or one that wants more scratch.
 */
export function encodeBatch(text: usize, bounds: usize, from: u32, count: u32, ids: usize, idBounds: usize): u32 {
  scratchWanted = 0;
  out = ids + (<usize>load<u32>(idBounds + (<usize>from << 2)) << 2);
  for (let i = from; i < count; i++) {
    const start = text + <usize>load<u32>(bounds + (<usize>i << 2));
    const end = text + <usize>load<u32>(bounds + (<usize>(i + 1) << 2));
    if (formIndex != 0 && mayChange(start, end)) return i;
    const before = out;
    encodeDocument(start, end);
    encodeQueue();
    if (scratchWanted != 0) {
      out = before;
      return i;
    }
    store<u32>(idBounds + (<usize>(i + 1) << 2), <u32>((out - ids) >> 2));
  }
  return count;
}

/** One segment without added tokens: what JavaScript calls after it has split and normalized a document. Answers the number of ids. */
export function encodeOne(start: usize, end: usize, ids: usize, first: bool): u32 {
  scratchWanted = 0;
  out = ids;
  encodeSegment(start, end, first);
  encodeQueue();
  return <u32>((out - ids) >> 2);
}

/** Whether a text might not be in its normal form: something changes by itself, composes with what is before it, or moves before another mark. */
function mayChange(start: usize, end: usize): bool {
  let at = start;
  const lead = formLead;
  while (at < end) {
    const high = i8x16.bitmask(i8x16.ge_u(v128.load(at), lead));
    if (high == 0) {
      at += 16;
      continue;
    }
    at += <usize>ctz(high);
    if (at >= end) return false;
    // walk the characters until ASCII comes again
    let starter = at == start ? 0 : pointBefore(at);
    let rank: u32 = 0;
    while (at < end) {
      const byte = <u32>load<u8>(at);
      if (byte < 0x80) break;
      const point = decode(at, byte);
      at += width(byte);
      const cls = formClass(point);
      if (cls == 0) {
        starter = point;
        rank = 0;
        continue;
      }
      if (cls == FORM_CHANGES) return true;
      // what a starter is made of may compose with it, too
      if ((cls & FORM_COMPOSES) != 0 && ((formClass(starter) & FORM_COMPOSITE) != 0 || composes(starter, point))) return true;
      const ownRank = cls & (FORM_COMPOSES - 1);
      if (ownRank == 0) starter = point;
      else if (ownRank < rank) return true;
      rank = ownRank;
    }
  }
  return false;
}

// @ts-ignore: decorator
@inline
function formClass(point: u32): u32 {
  return <u32>load<u8>(formBlocks + (<usize>load<u16>(formIndex + (<usize>(point >>> 7) << 1)) << 7) + <usize>(point & 127));
}

/** The last code point of valid text. */
function pointBefore(end: usize): u32 {
  let at = end - 1;
  while ((load<u8>(at) & 0xc0) == 0x80) at--;
  const lead = <u32>load<u8>(at);
  return lead < 0x80 ? lead : decode(at, lead);
}

function composes(first: u32, second: u32): bool {
  let slot = (((first * 0x9e3779b1) ^ second) * 0x85ebca77) >>> COMPOSITION_SHIFT;
  while (true) {
    const pair = load<u64>(compositions + (<usize>slot << 3));
    if (pair == ((<u64>first << 32) | <u64>second)) return true;
    if (pair == 0) return false;
    slot = (slot + 1) & (COMPOSITION_SLOTS - 1);
  }
}

// @ts-ignore: decorator
@inline
function width(lead: u32): usize {
  return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

// @ts-ignore: decorator
@inline
function decode(at: usize, lead: u32): u32 {
  if (lead < 0xe0) return ((lead & 0x1f) << 6) | (<u32>load<u8>(at, 1) & 0x3f);
  if (lead < 0xf0) return ((lead & 0x0f) << 12) | ((<u32>load<u8>(at, 1) & 0x3f) << 6) | (<u32>load<u8>(at, 2) & 0x3f);
  return (((lead & 0x07) << 18) | ((<u32>load<u8>(at, 1) & 0x3f) << 12) | ((<u32>load<u8>(at, 2) & 0x3f) << 6) | (<u32>load<u8>(at, 3) & 0x3f)) & 0x1fffff;
}

/**
 * A set of bytes is a table of 16 entries: the entry of a byte is its low half, the bit its high half, so none is beyond ASCII. Here: the bit of each byte.
 * Source: the nibble look-ups of simdjson (Langdale & Lemire, "Parsing Gigabytes of JSON per Second", 2019).
 */
// @ts-ignore: decorator
@inline
function bitsOf(bytes: v128): v128 {
  return i8x16.swizzle(i8x16(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0), i8x16.shr_u(bytes, 4));
}

// @ts-ignore: decorator
@inline
function entriesOf(bytes: v128): v128 {
  return v128.and(bytes, i8x16.splat(0x0f));
}

/** A bit for each byte that is not in the set. */
// @ts-ignore: decorator
@inline
function notIn(set: v128, bits: v128, entries: v128): u32 {
  return <u32>i8x16.bitmask(i8x16.eq(v128.and(bits, i8x16.swizzle(set, entries)), i8x16.splat(0)));
}

/** A bit for each byte that is in the set. */
// @ts-ignore: decorator
@inline
function inSet(bytes: v128, set: v128): u32 {
  return notIn(set, bitsOf(bytes), entriesOf(bytes)) ^ 0xffff;
}

/** Splits a document at its added tokens: leftmost, then longest. */
function encodeDocument(start: usize, end: usize): void {
  if (trieRoots == 0) {
    encodeSegment(start, end, true);
    return;
  }
  let segment = start;
  let at = start;
  while (at < end) {
    const bytes = v128.load(at);
    let candidates = inSet(bytes, trieStarts);
    if (trieBeyondAscii) candidates |= <u32>i8x16.bitmask(bytes);
    if (candidates == 0) {
      at += 16;
      continue;
    }
    at += <usize>ctz(candidates);
    if (at >= end) break;
    // walk the trie: nodes are byte, id + 1, first child, next sibling
    let node = load<u32>(trieRoots + (<usize>load<u8>(at) << 2));
    let found: u32 = 0;
    let foundEnd: usize = 0;
    let next = at + 1;
    while (node != 0) {
      const record = trieNodes + (<usize>node << 4);
      const id = load<u32>(record, 4);
      if (id != 0) {
        found = id;
        foundEnd = next;
      }
      if (next >= end) break;
      const byte = <u32>load<u8>(next++);
      node = load<u32>(record, 8);
      while (node != 0 && load<u32>(trieNodes + (<usize>node << 4)) != byte) node = load<u32>(trieNodes + (<usize>node << 4), 12);
    }
    if (found == 0) {
      at++;
      continue;
    }
    if (at > segment) encodeSegment(segment, at, segment == start);
    encodeQueue();
    store<u32>(out, found - 1);
    out += 4;
    at = foundEnd;
    segment = at;
  }
  if (end > segment) encodeSegment(segment, end, segment == start);
}

function encodeSegment(start: usize, end: usize, first: bool): void {
  if (start == end) return;
  if (prefix != 0 && (first || !prefixFirstOnly)) {
    const byte = load<u8>(start);
    const spaced = (prefix >= 2 && byte == 0x20) || (prefix == 3 && byte == 0xe2 && end - start >= 3 && load<u16>(start, 1) == 0x8196);
    if (!spaced) {
      // what lies before is consumed (the caller leaves a byte before the first document), but for what waits in the queue
      encodeQueue();
      start--;
      store<u8>(start, 0x20);
    }
  }
  if (levelCount == 0) addPiece(start, end - start);
  else split(levels, start, end);
}

/** Parts [start, end) by a level's automaton; what it gives goes to the next level, or is a pretoken. */
function split(level: usize, start: usize, end: usize): void {
  const kinds = <usize>load<u32>(level, 40);
  if (kinds != 0 && level == lastLevel) {
    splitKinds(level, kinds, start, end);
    return;
  }
  const keepMatches = load<u32>(level, 32) != 0;
  const keepGaps = load<u32>(level, 36) != 0;
  const noStarts = v128.load(load<u32>(level, 28));
  let at = start;
  let gap = start;
  while (at < end) {
    const matchEnd = match(level, at, end);
    if (matchEnd != 0) {
      if (gap < at && keepGaps) pass(level, gap, at);
      if (keepMatches) pass(level, at, matchEnd);
      at = matchEnd;
      gap = at;
      continue;
    }
    // on to the next character that a match could start with
    at = skip(at + width(<u32>load<u8>(at)), end, noStarts);
  }
  if (gap < end && keepGaps) pass(level, gap, end);
}

/** What a level gives. */
function pass(level: usize, start: usize, end: usize): void {
  if (level == lastLevel) addPiece(start, end - start);
  else split(level + LEVEL_BYTES, start, end);
}

/** The first byte that is not in a set, or `end`. */
// @ts-ignore: decorator
@inline
function skip(from: usize, end: usize, set: v128): usize {
  let at = from;
  while (at < end) {
    const bytes = v128.load(at);
    const stops = notIn(set, bitsOf(bytes), entriesOf(bytes));
    if (stops != 0) {
      at += <usize>ctz(stops);
      break;
    }
    at += 16;
  }
  return min(at, end);
}

/** A bit for each of 64 bytes that is in the set. */
// @ts-ignore: decorator
@inline
function members(set: v128, bits0: v128, bits1: v128, bits2: v128, bits3: v128, entries0: v128, entries1: v128, entries2: v128, entries3: v128): u64 {
  return ~(<u64>notIn(set, bits0, entries0) | (<u64>notIn(set, bits1, entries1) << 16) | (<u64>notIn(set, bits2, entries2) << 32) | (<u64>notIn(set, bits3, entries3) << 48));
}

/**
 * What `split` does, for automata that do what the machine of character-kinds.ts does. Where pretokens begin is known for 64 bytes at once, from masks with a
 * bit for each byte of a kind. What the machine does not know, or ends before a character of no kind, goes through the automaton, and so does what is longer
 * than a block.
 */
function splitKinds(level: usize, kinds: usize, start: usize, end: usize): void {
  const keepGaps = load<u32>(level, 36) != 0;
  const plane0 = v128.load(kinds);
  const plane1 = v128.load(kinds, 16);
  const plane2 = v128.load(kinds, 32);
  const plane3 = v128.load(kinds, 48);
  let block = start;
  while (block < end) {
    const inText = end - block >= 64 ? <u64>-1 : ((<u64>1) << <u64>(end - block)) - 1;
    const bytes0 = v128.load(block);
    const bytes1 = v128.load(block, 16);
    const bytes2 = v128.load(block, 32);
    const bytes3 = v128.load(block, 48);
    const b0 = bitsOf(bytes0);
    const b1 = bitsOf(bytes1);
    const b2 = bitsOf(bytes2);
    const b3 = bitsOf(bytes3);
    const e0 = entriesOf(bytes0);
    const e1 = entriesOf(bytes1);
    const e2 = entriesOf(bytes2);
    const e3 = entriesOf(bytes3);
    const k0 = members(plane0, b0, b1, b2, b3, e0, e1, e2, e3) & inText;
    const k1 = members(plane1, b0, b1, b2, b3, e0, e1, e2, e3) & inText;
    const k2 = members(plane2, b0, b1, b2, b3, e0, e1, e2, e3) & inText;
    const k3 = members(plane3, b0, b1, b2, b3, e0, e1, e2, e3) & inText;
    // the kinds by their numbers, four bits each
    const letters = ~(k3 | k2) & (k1 ^ k0);
    const anyWhites = k2 & ~k3;
    const lineEnds = anyWhites & k1 & k0;
    const blanks = anyWhites & ~lineEnds;
    const spaces = anyWhites & ~(k1 | k0);
    const wordApostrophes = k3 & k2 & ~(k1 | k0);
    const anyMarks = (k3 & ~k2) | wordApostrophes;
    const digits = k3 & k2 & (k1 | k0);
    const others = ~(letters | anyWhites | k3);
    // line ends behind marks, and the marks among these, belong to them: a sum carries through each such run from where it begins
    const tailBegins = (anyMarks << 1) & lineEnds;
    const tailable = lineEnds | (anyMarks & k1 & ~k0);
    const tails = (((tailable + tailBegins) ^ tailable) | tailBegins) & tailable;
    const whites = anyWhites & ~tails;
    const marks = anyMarks & ~tails;
    const bareMarks = marks & ~((marks | spaces) << 1);
    const leads = (anyWhites & ~k1) | (bareMarks & ~k2 & (k1 | k0));
    // the last blank before what is not white begins a pretoken, whether it leads or not
    const known = ~(anyWhites | others);
    const threeDigits = digits & k1 & ~k0;
    const ledDigits = digits & k1 & k0;
    let starts =
      1 |
      others |
      (letters & ~((letters | leads) << 1)) |
      (letters & k1 & ((letters & k0) << 1)) |
      bareMarks |
      (digits & ~k1) |
      (threeDigits & ~(threeDigits << 1)) |
      (ledDigits & ~((ledDigits | spaces) << 1)) |
      (whites & ~(whites << 1)) |
      (blanks & (known >> 1));
    // where a run of digits is longer, every third one begins a pretoken, too
    const fourthDigits = threeDigits & (threeDigits << 1) & (threeDigits << 2) & (threeDigits << 3);
    for (let at = ((starts & threeDigits) << 3) & fourthDigits; at != 0; at = (at << 3) & fourthDigits) starts |= at;
    // blanks behind line ends begin one, too, but where another line end comes
    const behind = blanks & ((lineEnds & whites) << 1);
    if (behind != 0) {
      starts |= behind;
      for (let ends = (blanks + behind) & ~(blanks | known); ends != 0; ends &= ends - 1) {
        starts &= ~((<u64>1) << (64 - clz(~blanks & ((ends & (0 - ends)) - 1))));
      }
    }
    // what comes behind blanks that reach the block's end is not known
    if (<i64>whites < 0) starts &= ((<u64>2) << (64 - clz(~whites))) - 1;
    const isUnknown = others | (bareMarks & (wordApostrophes | (marks & k1 & k0)) & (letters >> 1));
    const badEnds = others | ((letters << 1) & wordApostrophes);
    // what the automaton has taken may belong together with what is behind it
    const joined = ((anyMarks | lineEnds) & ((anyMarks | spaces | lineEnds) << 1)) | (digits & (digits << 1));
    let offset: u64 = 0;
    while (true) {
      const rest = (<u64>-1) << offset;
      const ends = badEnds & (rest << 1);
      const bad = ends | (isUnknown & rest);
      // where the next pretoken begins that is for the automaton, or is one whose end is not in the block
      const limit = bad == 0 ? (<u64>1) << 63 : bad & (0 - bad);
      const last = 63 - clz(starts & ((limit - 1) | (limit & ~ends)));
      let found = starts & rest & (((<u64>1) << last) - 1);
      if (found != 0) {
        if (block + <usize>offset != queueEnd) encodeQueue();
        const count = popcnt(found);
        for (let to = queueNext, full = to + (<usize>count << 2); to < full; to += 16) {
          store<u32>(to, <u32>(block + <usize>ctz(found)));
          found &= found - 1;
          store<u32>(to, <u32>(block + <usize>ctz(found)), 4);
          found &= found - 1;
          store<u32>(to, <u32>(block + <usize>ctz(found)), 8);
          found &= found - 1;
          store<u32>(to, <u32>(block + <usize>ctz(found)), 12);
          found &= found - 1;
        }
        queueNext += <usize>count << 2;
        queueEnd = block + <usize>last;
      }
      let at = block + <usize>last;
      if (at >= end || (bad == 0 && last > 0)) {
        block = at;
        break;
      }
      const matchEnd = match(level, at, end);
      if (matchEnd == 0) {
        // no match: the character belongs to the gap before the next one
        const gap = at;
        at += width(<u32>load<u8>(at));
        while (at < end && match(level, at, end) == 0) at += width(<u32>load<u8>(at));
        if (at > end) at = end;
        if (keepGaps) addPiece(gap, at - gap);
      } else {
        addPiece(at, matchEnd - at);
        at = matchEnd;
      }
      offset = <u64>(at - block);
      // beyond 48 a pretoken would often go over the block's end
      if (offset >= 48 || ((joined >> offset) & 1) != 0) {
        block = at;
        break;
      }
      starts |= (<u64>1) << offset;
    }
    if (queueNext >= queue + 4 * <usize>QUEUE_PIECES) encodeQueue();
  }
}

/** The end of the match that starts at `start`; 0 where there is none. */
// @ts-ignore: decorator
@inline
function match(level: usize, start: usize, end: usize): usize {
  const table = <usize>load<u32>(level, 0);
  const firstMatch = load<u32>(level, 8);
  const firstBack = load<u32>(level, 12);
  const hasLoop = <usize>load<u32>(level, 20);
  const loops = <usize>load<u32>(level, 24);
  const ascii = classBlocks + (<usize>load<u16>(classIndex) << 7);
  let state = load<u32>(level, 4);
  let at = start;
  let matched: usize = 0;
  while (at < end) {
    const byte = <u32>load<u8>(at);
    let next: usize;
    let cls: usize;
    if (byte < 0x80) {
      cls = <usize>load<u8>(ascii + <usize>byte);
      next = at + 1;
    } else {
      const point = decode(at, byte);
      cls = <usize>load<u8>(classBlocks + (<usize>load<u16>(classIndex + (<usize>(point >>> 7) << 1)) << 7) + <usize>(point & 127));
      next = at + width(byte);
    }
    const previous = state;
    state = <u32>load<u8>(table + (<usize>state << CLASS_BITS) + cls);
    if (state == 0) return matched;
    if (state >= firstMatch) matched = state < firstBack ? next : at;
    at = next;
    // a run has begun: most that are worth it are longer than two
    if (state == previous && load<u8>(hasLoop + <usize>state) != 0) {
      const from = at;
      at = skip(from, end, v128.load(loops + (<usize>state << 4)));
      if (at > from && state >= firstMatch) matched = state < firstBack ? at : at - 1;
    }
  }
  return load<u8>(<usize>load<u32>(level, 16) + <usize>state) != 0 ? end : matched;
}

/** A pretoken, to the queue. */
// @ts-ignore: decorator
@inline
function addPiece(start: usize, length: usize): void {
  // where some text is left out, or ids of added tokens come between
  if (start != queueEnd) encodeQueue();
  store<u32>(queueNext, <u32>start);
  queueNext += 4;
  queueEnd = start + length;
  if (queueNext >= queue + 4 * <usize>QUEUE_PIECES) encodeQueue();
}

/**
 * The ids of the pretokens that wait, in three steps, so that no step has to guess what a pretoken is like, and many look-ups are under way at once: all are
 * sorted by the table that would know them; these are asked; and what they said is written in order. Whatever was not found at once is encoded then; the
 * second table's slots for it are far from the processor, and are read before, so that they come together.
 */
function encodeQueue(): void {
  const starts = queue;
  const count = <u32>((queueNext - starts) >> 2);
  if (count == 0) return;
  store<u32>(queueNext, <u32>queueEnd);
  queueNext = starts;
  queueEnd = 0;
  if (scratchWanted != 0) return;
  const values = starts + QUEUE_VALUES;
  const shorts = starts + QUEUE_SHORTS;
  const middles = starts + QUEUE_MIDDLES;
  let shortsEnd = shorts;
  let middlesEnd = middles;
  for (let i: u32 = 0; i < count; i++) {
    const length = load<u32>(starts + (<usize>i << 2), 4) - load<u32>(starts + (<usize>i << 2));
    store<u16>(shortsEnd, <u16>i);
    shortsEnd += <usize>(length <= <u32>SHORT_KEY_BYTES) << 1;
    store<u16>(middlesEnd, <u16>i);
    middlesEnd += <usize>(length - <u32>SHORT_KEY_BYTES - 1 < <u32>(KEY_BYTES - SHORT_KEY_BYTES)) << 1;
    store<u64>(values + (<usize>i << 3), 0);
  }
  const colds = starts + QUEUE_COLDS;
  let coldsEnd = colds;
  let seen: u64 = 0;
  const shortTable = short;
  const shortTableShift = shortShift;
  for (let at = shorts; at < shortsEnd; at += 2) {
    const i = <usize>load<u16>(at);
    const start = <usize>load<u32>(starts + (i << 2));
    const key = shortKey(start, <usize>load<u32>(starts + (i << 2), 4) - start);
    const set = shortTable + (<usize>((key * 0x9e3779b97f4a7c15) >> shortTableShift) << 5);
    const isKnown = load<u64>(set) == key;
    store<u64>(values + (i << 3), select<u64>(load<u64>(set, 8), 0, isKnown));
    store<u16>(coldsEnd, <u16>i);
    coldsEnd += select<usize>(0, 2, isKnown);
  }
  for (let at = colds; at < coldsEnd; at += 2) {
    const i = <usize>load<u16>(at);
    const start = <usize>load<u32>(starts + (i << 2));
    const length = <usize>load<u32>(starts + (i << 2), 4) - start;
    seen ^= load<u64>(secondSlot(hashOf(wideKey(shortKey(start, length), length))));
  }
  coldsEnd = colds;
  const table = cache;
  const tableShift = cacheShift;
  const keyMasks = masks;
  for (let at = middles; at < middlesEnd; at += 2) {
    const i = <usize>load<u16>(at);
    const start = <usize>load<u32>(starts + (i << 2));
    const key = middleKey(start, <usize>load<u32>(starts + (i << 2), 4) - start, keyMasks);
    const set = table + <usize>(hashOf(key) >> tableShift) * 48;
    const isKnown = i8x16.all_true(i8x16.eq(v128.load(set), key));
    store<u64>(values + (i << 3), select<u64>(load<u64>(set, 16), 0, isKnown));
    store<u16>(coldsEnd, <u16>i);
    coldsEnd += select<usize>(0, 2, isKnown);
  }
  for (let at = colds; at < coldsEnd; at += 2) {
    const i = <usize>load<u16>(at);
    const start = <usize>load<u32>(starts + (i << 2));
    seen ^= load<u64>(secondSlot(hashOf(middleKey(start, <usize>load<u32>(starts + (i << 2), 4) - start, keyMasks))));
  }
  // a read of which nothing comes would be left out
  store<u64>(colds, seen);
  const clearedBefore = cleared;
  for (let i: usize = 0; i < <usize>count; i++) {
    const value = load<u64>(values + (i << 3));
    if (<i64>value > 0 || (value != 0 && cleared == clearedBefore)) {
      emit(value);
      continue;
    }
    const start = <usize>load<u32>(starts + (i << 2));
    encodePiece(start, <usize>load<u32>(starts + (i << 2), 4) - start);
    if (scratchWanted != 0) return;
  }
}

/** The bytes above, the length below: what comes behind the pretoken is shifted out. */
// @ts-ignore: decorator
@inline
function shortKey(start: usize, length: usize): u64 {
  return (load<u64>(start) << (64 - (<u64>length << 3))) | <u64>length;
}

/** 15 bytes, and the length. */
// @ts-ignore: decorator
@inline
function middleKey(start: usize, length: usize, keyMasks: usize): v128 {
  return v128.replace_lane<u8>(v128.and(v128.load(start), v128.load(keyMasks + (length << 4))), 15, <u8>length);
}

/** What `middleKey` makes of the pretoken of a short key. */
// @ts-ignore: decorator
@inline
function wideKey(key: u64, length: usize): v128 {
  return i64x2.replace_lane(i64x2.splat(<i64>(key >> (64 - (<u64>length << 3)))), 1, <i64>(<u64>length << 56));
}

// @ts-ignore: decorator
@inline
function secondSlot(hash: u64): usize {
  return second + (<usize>(hash >> secondShift) << 5);
}

/**
 * A pretoken that was not the first of its set when the queue was looked up (it is now, where it waited there twice): remembered elsewhere, or merged. A set
 * has two slots of the key, with its length, and the value.
 */
function encodePiece(start: usize, length: usize): void {
  if (length <= SHORT_KEY_BYTES) {
    const key = shortKey(start, length);
    const set = short + (<usize>((key * 0x9e3779b97f4a7c15) >> shortShift) << 5);
    if (load<u64>(set) == key) emit(load<u64>(set, 8));
    else encodeColdShort(start, length, key, set);
    return;
  }
  if (length > KEY_BYTES) {
    encodeLongPiece(start, length);
    return;
  }
  const key = middleKey(start, length, masks);
  const hash = hashOf(key);
  const set = cache + <usize>(hash >> cacheShift) * 48;
  if (i8x16.all_true(i8x16.eq(v128.load(set), key))) emit(load<u64>(set, 16));
  else encodeColdPiece(start, length, key, hash, set);
}

// @ts-ignore: decorator
@inline
function hashOf(key: v128): u64 {
  let hash = v128.extract_lane<u64>(key, 0) * 0x9e3779b97f4a7c15;
  hash = (hash ^ (hash >> 32) ^ v128.extract_lane<u64>(key, 1)) * 0xbf58476d1ce4e5b9;
  return (hash ^ (hash >> 29)) * 0x94d049bb133111eb;
}

/** As `encodeColdPiece`, of a set of short pretokens. */
function encodeColdShort(start: usize, length: usize, key: u64, set: usize): void {
  if (load<u64>(set, 16) == key) {
    const value = load<u64>(set, 24);
    v128.store(set, v128.load(set), 16);
    store<u64>(set, key);
    store<u64>(set, value, 8);
    emit(value);
    return;
  }
  const place = load<u64>(set) == 0 ? set : set + 16;
  const wide = wideKey(key, length);
  const slot = secondSlot(hashOf(wide));
  let value: u64;
  if (i8x16.all_true(i8x16.eq(v128.load(slot), wide))) {
    value = load<u64>(slot, 16);
    emit(value);
  } else {
    const before = out;
    encodeNew(start, length);
    if (scratchWanted != 0) return;
    value = valueOf(before);
    if (value == 0) return;
    v128.store(slot, wide);
    store<u64>(slot, value, 16);
  }
  store<u64>(place, key);
  store<u64>(place, value, 8);
}

// @ts-ignore: decorator
@inline
function emit(value: u64): void {
  if (value >= IS_LIST) {
    emitList(<usize><u32>value, <u32>(value >> 32) & 0x7fffffff);
    return;
  }
  const second = value >> ID_BITS & ID_NONE;
  const third = value >> (2 * ID_BITS);
  store<u32>(out, <u32>(value & ID_NONE));
  store<u32>(out, <u32>second, 4);
  store<u32>(out, <u32>third, 8);
  out += 4 + (<usize>(second != ID_NONE) << 2) + (<usize>(third != ID_NONE) << 2);
}

function emitList(at: usize, count: u32): void {
  copyDown(out, at, <usize>count << 2);
  out += <usize>count << 2;
}

/** What a slot keeps of the ids that were just written from `from` on; 0 where there is no room for them. */
function valueOf(from: usize): u64 {
  const count = (out - from) >> 2;
  if (count > 3) {
    const list = keepInArena(from, count << 2);
    return list == 0 ? 0 : IS_LIST | (<u64>count << 32) | <u64>list;
  }
  const second = count > 1 ? <u64>load<u32>(from, 4) : ID_NONE;
  const third = count > 2 ? <u64>load<u32>(from, 8) : ID_NONE;
  return <u64>load<u32>(from) | (second << ID_BITS) | (third << (2 * ID_BITS));
}

/**
 * A pretoken that is not the first of its set. The second place is for what was seen once: only what is seen again there takes the first one, so that
 * words that come once do not drive out those that come often.
 */
function encodeColdPiece(start: usize, length: usize, key: v128, hash: u64, set: usize): void {
  if (i8x16.all_true(i8x16.eq(v128.load(set, 24), key))) {
    const value = load<u64>(set, 40);
    v128.store(set, v128.load(set), 24);
    store<u64>(set, load<u64>(set, 16), 40);
    v128.store(set, key);
    store<u64>(set, value, 16);
    emit(value);
    return;
  }
  const place = load<u8>(set, 15) == 0 ? set : set + 24;
  const slot = secondSlot(hash);
  if (i8x16.all_true(i8x16.eq(v128.load(slot), key))) {
    const value = load<u64>(slot, 16);
    v128.store(place, key);
    store<u64>(place, value, 16);
    emit(value);
    return;
  }
  const before = out;
  encodeNew(start, length);
  if (scratchWanted != 0) return;
  const value = valueOf(before);
  if (value == 0) return;
  v128.store(place, key);
  store<u64>(place, value, 16);
  v128.store(slot, key);
  store<u64>(slot, value, 16);
}

/** Copies bytes to the arena; 0 when it was full: then everything is forgotten, and the arena is empty again. */
function keepInArena(from: usize, bytes: usize): usize {
  const size = (bytes + 15) & ~(<usize>15);
  if (size > arenaEnd - arena) {
    clearCache();
    return 0;
  }
  const at = arena;
  memory.copy(at, from, bytes);
  arena += size;
  return at;
}

/** Long pretokens: a slot is the hash's 8 bytes, the place of key and ids in the arena, length and count in 2 bytes each. */
function encodeLongPiece(start: usize, length: usize): void {
  if (length > LONG_KEY_BYTES) {
    encodeNew(start, length);
    return;
  }
  let hash: u64 = <u64>length * 0x9e3779b97f4a7c15;
  let i: usize = 0;
  for (; i + 8 <= length; i += 8) {
    hash = (hash ^ load<u64>(start + i)) * 0xbf58476d1ce4e5b9;
    hash ^= hash >> 29;
  }
  if (i < length) hash = (hash ^ (load<u64>(start + i) & load<u64>(masks + ((length - i) << 4)))) * 0xbf58476d1ce4e5b9;
  hash ^= hash >> 32;
  const slot = long + ((<usize>(<u32>hash & longMask)) << 4);
  if (load<u64>(slot) == hash && <usize>load<u16>(slot, 12) == length) {
    const key = <usize>load<u32>(slot, 8);
    if (sameBytes(key, start, length)) {
      emitList(key + ((length + 15) & ~(<usize>15)), <u32>load<u16>(slot, 14));
      return;
    }
  }
  const before = out;
  encodeNew(start, length);
  if (scratchWanted != 0) return;
  const bytes = out - before;
  const room = ((length + 15) & ~(<usize>15)) + bytes + 32;
  if (room > arenaEnd - arena) clearCache();
  if (room > arenaEnd - arena) return;
  const key = keepInArena(start, length);
  keepInArena(before, bytes);
  store<u64>(slot, hash);
  store<u32>(slot, <u32>key, 8);
  store<u16>(slot, <u16>length, 12);
  store<u16>(slot, <u16>(bytes >> 2), 14);
}

/** Compares 16 bytes at a time; the last ones overlap. At least 16. */
function sameBytes(a: usize, b: usize, length: usize): bool {
  for (let i: usize = 0; i + 16 <= length; i += 16) if (!i8x16.all_true(i8x16.eq(v128.load(a + i), v128.load(b + i)))) return false;
  return i8x16.all_true(i8x16.eq(v128.load(a + length - 16), v128.load(b + length - 16)));
}

/** A pretoken that is not in the cache. */
function encodeNew(start: usize, length: usize): void {
  if (wholeWords) {
    const id = findWord(start, length);
    if (id != NONE) {
      store<u32>(out, id);
      out += 4;
      return;
    }
  }
  // ids, ranks (or links and heap): at most one symbol a byte; the heap holds at most twice as many entries as symbols
  if (length * 48 + 1024 > scratchEnd - scratch) {
    scratchWanted = length * 48 + 1024;
    return;
  }
  const count = characters ? characterSymbols(start, length, scratch) : byteSymbols(start, length, scratch);
  if (count <= SCAN_SYMBOLS) mergeByScan(scratch, count, start);
  else mergeByHeap(scratch, count);
}

function byteSymbols(start: usize, length: usize, to: usize): u32 {
  for (let i: usize = 0; i < length; i++) store<u32>(to + (i << 2), load<u32>(byteIds + (<usize>load<u8>(start + i) << 2)));
  return <u32>length;
}

/** A character that is no token becomes the tokens of its bytes. */
function characterSymbols(start: usize, length: usize, to: usize): u32 {
  let count: u32 = 0;
  const end = start + length;
  for (let at = start; at < end; ) {
    const lead = <u32>load<u8>(at);
    const bytes = min(width(lead), end - at);
    const id = lead == 0x20 ? spaceId : findWord(at, bytes);
    if (id != NONE) {
      store<u32>(to + (<usize>count << 2), id);
      count++;
    } else {
      count += byteSymbols(at, bytes, to + (<usize>count << 2));
    }
    at += bytes;
  }
  return count;
}

/** The id of the token with these bytes; NONE where there is none. */
function findWord(start: usize, length: usize): u32 {
  const hash = hashBytes(start, length);
  let i = hash & wordMask;
  while (true) {
    const slot = load<u32>(words + (<usize>i << 2));
    if (slot == NONE) return NONE;
    if (slot >>> 20 == hash >>> 20) {
      const id = slot & 0xfffff;
      const place = wordPlaces + (<usize>id << 3);
      if (<usize>load<u32>(place, 4) == length && memory.compare(wordBytes + <usize>load<u32>(place), start, length) == 0) return id;
    }
    i = (i + 1) & wordMask;
  }
}

/** FNV-1a, mixed so that its high bits depend on all: kernel-tables.ts computes the same when it builds the table. */
function hashBytes(start: usize, length: usize): u32 {
  let hash: u32 = 0x811c9dc5;
  for (let i: usize = 0; i < length; i++) hash = (hash ^ <u32>load<u8>(start + i)) * 0x01000193;
  return (hash ^ (hash >>> 15)) * 0x85ebca77;
}

/** The rank of the merge of two tokens; NONE where there is none. */
function rankOf(left: u32, right: u32): u32 {
  const hash = ((left * 0x9e3779b1) ^ (right * 0x85ebca77)) * 0xc2b2ae3d;
  const bit = hash >>> filterShift;
  if (((<u32>load<u8>(mergeFilter + <usize>(bit >>> 3)) >>> (bit & 7)) & 1) == 0) return NONE;
  const key = (<u64>left << 32) | <u64>right;
  let i = <u32>((<u64>hash * <u64>mergeSlots) >> 32);
  while (true) {
    const slot = load<u64>(merges + (<usize>i << 3));
    if ((slot & PAIR_MASK) == key) return (<u32>slot >>> 20) | ((<u32>(slot >> 32) >>> 20) << 12);
    if (slot == 0xffffffffffffffff) return NONE;
    if (++i == mergeSlots) i = 0;
  }
}

// @ts-ignore: decorator
@inline
function mergedOf(rank: u32): u32 {
  return mergedIds == 0 ? rank : load<u32>(mergedIds + (<usize>rank << 2));
}

/**
 * Short pieces: the best pair is looked for among all, four at a time. Symbols keep their places and are linked; a pair is rank × 64 + place, so that the
 * smallest of them is the best, and the leftmost of equal ones. At `ids`: the symbols; behind them pairs; behind those links forwards and backwards.
 */
function mergeByScan(ids: usize, symbols: u32, text: usize): void {
  const pairs = ids + (<usize>SCAN_SYMBOLS << 2);
  const next = pairs + (<usize>SCAN_SYMBOLS << 2);
  const previous = next + <usize>SCAN_SYMBOLS + 16;
  const pairsEnd = pairs + (<usize>((symbols + 3) & ~3) << 2);
  v128.store(pairsEnd - 16, i32x4.splat(-1));
  for (let i: u32 = 0; i + 1 < symbols; i++) {
    let rank: u32;
    if (bytePairs != 0) {
      const pair = <u32>load<u16>(text + <usize>i);
      rank = load<u32>(bytePairs + (<usize>(((pair & 0xff) << 8) | (pair >>> 8)) << 2));
    } else rank = rankOf(load<u32>(ids + (<usize>i << 2)), load<u32>(ids + (<usize>i << 2), 4));
    store<u32>(pairs + (<usize>i << 2), pairOf(rank, i));
  }
  for (let i: u32 = 0; i < symbols; i++) {
    store<u8>(next + <usize>i, <u8>(i + 1));
    store<u8>(previous + <usize>i, <u8>(i - 1));
  }
  while (true) {
    let least = v128.load(pairs);
    for (let at = pairs + 16; at < pairsEnd; at += 16) least = i32x4.min_u(least, v128.load(at));
    least = i32x4.min_u(least, i8x16.shuffle(least, least, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    const best = min(<u32>i32x4.extract_lane(least, 0), <u32>i32x4.extract_lane(least, 1));
    if (best == NONE) break;
    const at = <usize>(best & 63);
    const gone = <usize>load<u8>(next + at);
    const after = <usize>load<u8>(next + gone);
    const merged = mergedOf(best >>> 6);
    store<u32>(ids + (at << 2), merged);
    store<u8>(next + at, <u8>after);
    store<u32>(pairs + (gone << 2), NONE);
    let pair = NONE;
    if (<u32>after < symbols) {
      store<u8>(previous + after, <u8>at);
      pair = pairOf(rankOf(merged, load<u32>(ids + (after << 2))), <u32>at);
    }
    store<u32>(pairs + (at << 2), pair);
    if (at > 0) {
      const before = <usize>load<u8>(previous + at);
      store<u32>(pairs + (before << 2), pairOf(rankOf(load<u32>(ids + (before << 2)), merged), <u32>before));
    }
  }
  for (let i: usize = 0; <u32>i < symbols; i = <usize>load<u8>(next + i)) {
    store<u32>(out, load<u32>(ids + (i << 2)));
    out += 4;
  }
}

// @ts-ignore: decorator
@inline
function pairOf(rank: u32, at: u32): u32 {
  return rank == NONE ? NONE : (rank << 6) | at;
}

/** Copies to a lower place or one apart, 16 bytes at a time: for so few bytes quicker than the engine's own call. */
// @ts-ignore: decorator
@inline
function copyDown(to: usize, from: usize, bytes: usize): void {
  for (let i: usize = 0; i < bytes; i += 16) v128.store(to + i, v128.load(from + i));
}

let heap: usize = 0;
let heapSize: u32 = 0;

/**
 * Long pieces: symbols in a linked list, pairs in a heap by rank and place, so that n symbols cost O(n log n).
 * Entries whose pair has changed since are skipped when they come up.
 */
function mergeByHeap(ids: usize, symbols: u32): void {
  const previous = ids + (<usize>symbols << 2);
  const following = previous + (<usize>symbols << 2);
  heap = (following + (<usize>symbols << 2) + 15) & ~(<usize>15);
  heapSize = 0;
  for (let i: u32 = 0; i < symbols; i++) {
    store<u32>(previous + (<usize>i << 2), i - 1);
    store<u32>(following + (<usize>i << 2), i + 1);
    if (i + 1 < symbols) pushPair(ids, i, i + 1);
  }
  store<u32>(following + (<usize>(symbols - 1) << 2), NONE);
  while (heapSize > 0) {
    const rank = load<u32>(heap);
    const at = load<u32>(heap, 4);
    const left = load<u32>(heap, 8);
    const right = load<u32>(heap, 12);
    popPair();
    if (load<u32>(ids + (<usize>at << 2)) != left) continue;
    const next = load<u32>(following + (<usize>at << 2));
    if (next == NONE || load<u32>(ids + (<usize>next << 2)) != right) continue;
    store<u32>(ids + (<usize>at << 2), mergedOf(rank));
    store<u32>(ids + (<usize>next << 2), NONE);
    const after = load<u32>(following + (<usize>next << 2));
    store<u32>(following + (<usize>at << 2), after);
    if (after != NONE) {
      store<u32>(previous + (<usize>after << 2), at);
      pushPair(ids, at, after);
    }
    const before = load<u32>(previous + (<usize>at << 2));
    if (before != NONE) pushPair(ids, before, at);
  }
  for (let i: u32 = 0; i != NONE; i = load<u32>(following + (<usize>i << 2))) {
    store<u32>(out, load<u32>(ids + (<usize>i << 2)));
    out += 4;
  }
}

/** An entry is rank, place, left, right: the order is that of the first two, as one number of 64 bits. */
// @ts-ignore: decorator
@inline
function orderOf(entry: usize): u64 {
  return (<u64>load<u32>(entry) << 32) | <u64>load<u32>(entry, 4);
}

function pushPair(ids: usize, at: u32, next: u32): void {
  const left = load<u32>(ids + (<usize>at << 2));
  const right = load<u32>(ids + (<usize>next << 2));
  const rank = rankOf(left, right);
  if (rank == NONE) return;
  const order = (<u64>rank << 32) | <u64>at;
  let child = heapSize++;
  while (child > 0) {
    const parent = (child - 1) >>> 1;
    const entry = heap + (<usize>parent << 4);
    if (orderOf(entry) <= order) break;
    v128.store(heap + (<usize>child << 4), v128.load(entry));
    child = parent;
  }
  const entry = heap + (<usize>child << 4);
  store<u32>(entry, rank);
  store<u32>(entry, at, 4);
  store<u32>(entry, left, 8);
  store<u32>(entry, right, 12);
}

function popPair(): void {
  heapSize--;
  if (heapSize == 0) return;
  const last = v128.load(heap + (<usize>heapSize << 4));
  const order = orderOf(heap + (<usize>heapSize << 4));
  let parent: u32 = 0;
  while (true) {
    let child: u32 = 2 * parent + 1;
    if (child >= heapSize) break;
    if (child + 1 < heapSize && orderOf(heap + (<usize>(child + 1) << 4)) < orderOf(heap + (<usize>child << 4))) child++;
    const entry = heap + (<usize>child << 4);
    if (orderOf(entry) >= order) break;
    v128.store(heap + (<usize>parent << 4), v128.load(entry));
    parent = child;
  }
  v128.store(heap + (<usize>parent << 4), last);
}
