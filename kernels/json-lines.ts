/**
 * AssemblyScript: lines of JSON to the text of one of their fields, in UTF-8. `src/decode/lines/text-kernel.ts` lays out the memory and calls these functions;
 * `src/decode/lines/json-line.ts` is the same algorithm to read, and does what is refused here: a line that is no valid JSON, that has the field twice or not
 * at all, names with escapes, values nested very deeply. So a row that is taken is a good one, and nothing here has to say what is wrong.
 *
 *   line ─▶ checked, the field found ─▶ text without escapes ─▶ out, and its end ─▶ bounds
 *
 * Behind the input is a line feed, which no token of JSON goes over: it ends every loop. Vector reads and writes run over the ends of buffers by less than 32
 * bytes, which the caller leaves free.
 */

/** Why it stopped: it has as many rows as it may take; the last row needs more input; the next one is not for here. */
const ENOUGH: i32 = 0;
const INPUT: i32 = 1;
const REFUSED: i32 = 2;

const LINE_FEED: u32 = 0x0a;
const QUOTE: u32 = 0x22;
const COMMA: u32 = 0x2c;
const MINUS: u32 = 0x2d;
const DOT: u32 = 0x2e;
const COLON: u32 = 0x3a;
const OPEN_ARRAY: u32 = 0x5b;
const BACKSLASH: u32 = 0x5c;
const CLOSE_ARRAY: u32 = 0x5d;
const LETTER_U: u32 = 0x75;
/** A backslash and u, in the order of memory. */
const START_OF_U: u32 = 0x755c;
const OPEN_OBJECT: u32 = 0x7b;
const CLOSE_OBJECT: u32 = 0x7d;
/** In the order of memory. */
const TRUE: u32 = 0x65757274;
const ALSE: u32 = 0x65736c61;
const NULL: u32 = 0x6c6c756e;
/** What is open has a bit each. */
const DEPTH_MAX: u32 = 64;
/** Half a surrogate pair, as json-line.ts writes it. */
const NO_CHARACTER: u32 = 0xff;

/** [256] what the byte after a backslash stands for; 0: it is none of JSON's. */
const ESCAPES: usize = memory.data(256);
store<u8>(ESCAPES + 0x22, 0x22);
store<u8>(ESCAPES + 0x5c, 0x5c);
store<u8>(ESCAPES + 0x2f, 0x2f);
store<u8>(ESCAPES + 0x62, 8);
store<u8>(ESCAPES + 0x66, 12);
store<u8>(ESCAPES + 0x6e, 10);
store<u8>(ESCAPES + 0x72, 13);
store<u8>(ESCAPES + 0x74, 9);

/** [256] the value of a hexadecimal digit; 255: it is none. */
const HEX: usize = memory.data(256);
memory.fill(HEX, 255, 256);
for (let i: u32 = 0; i < 10; i++) store<u8>(HEX + 0x30 + i, i);
for (let i: u32 = 10; i < 16; i++) {
  store<u8>(HEX + 0x41 - 10 + i, i);
  store<u8>(HEX + 0x61 - 10 + i, i);
}

let path: usize = 0;
let pathEnd: usize = 0;
let out: usize = 0;
let bounds: usize = 0;

/** Of the line that is read. */
let at: usize = 0;
let hasEscapes: bool = false;
/** Where text goes that is read; behind the text of the rows that were taken. */
let target: usize = 0;

/** Of the last call of `take`. */
let stopped: i32 = 0;
let rowStart: usize = 0;
let lineCount: u32 = 0;
let to: usize = 0;

/** Where the memory that the caller may use begins. */
export function heapStart(): usize {
  return __heap_base;
}

/** The field's path, and where results go: text from `outAt` on, and 4 bytes a row from `boundsAt` on. */
export function begin(pathAt: usize, pathEndAt: usize, outAt: usize, boundsAt: usize): void {
  path = pathAt;
  pathEnd = pathEndAt;
  out = outAt;
  bounds = boundsAt;
}

/** Takes the rows that begin at `from`, and answers how many. `base`: what the bounds count from. `isLast`: a row needs no line feed at `end`. */
export function take(from: usize, end: usize, isLast: bool, rowsMax: u32, base: u32): u32 {
  rowStart = from;
  lineCount = 0;
  to = out;
  stopped = ENOUGH;
  let rows: u32 = 0;
  while (rows < rowsMax) {
    skipBlankLines(end);
    target = to;
    if (at >= end || !readLine() || (at == end && !isLast)) {
      stopped = isLast || hasLineFeed(end) ? REFUSED : INPUT;
      break;
    }
    to = target;
    store<u32>(bounds + (rows << 2), base + <u32>(to - out));
    rows++;
    lineCount++;
    rowStart = at < end ? at + 1 : end;
  }
  return rows;
}

export function whyStopped(): i32 {
  return stopped;
}

/** Where the next row begins. */
export function position(): usize {
  return rowStart;
}

/** Line ends before it. */
export function lines(): u32 {
  return lineCount;
}

/** Bytes of text. */
export function written(): usize {
  return to - out;
}

function skipBlankLines(end: usize): void {
  at = rowStart;
  while (true) {
    skipSpace();
    if (at >= end || load<u8>(at) != LINE_FEED) return;
    rowStart = ++at;
    lineCount++;
  }
}

function hasLineFeed(end: usize): bool {
  let p = rowStart;
  while (load<u8>(p) != LINE_FEED) p++;
  return p < end;
}

/** To its line feed; false: it is not for here. */
function readLine(): bool {
  if (load<u8>(at) != OPEN_OBJECT || !findIn(path)) return false;
  skipSpace();
  return load<u8>(at) == LINE_FEED;
}

/** In the object that begins here, what the path from `from` on names: a string, once. */
function findIn(from: usize): bool {
  let isFound = false;
  at++;
  skipSpace();
  while (true) {
    if (load<u8>(at) != QUOTE) return false;
    const nameStart = at + 1;
    if (!skipString() || hasEscapes) return false;
    const nameEnd = at - 1;
    if (!skipColon()) return false;
    const rest = match(nameStart, nameEnd, from);
    if (rest == 0) {
      if (!skipValue()) return false;
    } else {
      if (isFound) return false;
      isFound = true;
      if (rest <= pathEnd) {
        if (load<u8>(at) != OPEN_OBJECT || !findIn(rest)) return false;
      } else if (load<u8>(at) != QUOTE || !readString()) return false;
    }
    skipSpace();
    const next: u32 = load<u8>(at++);
    if (next == CLOSE_OBJECT) return isFound;
    if (next != COMMA) return false;
    skipSpace();
  }
}

/** Where the path goes on behind a name: beyond its end where the name is all of it; 0: it is another name. */
function match(start: usize, end: usize, from: usize): usize {
  const length = end - start;
  if (length > pathEnd - from) return 0;
  for (let i: usize = 0; i < length; i++) if (load<u8>(start + i) != load<u8>(from + i)) return 0;
  const after = from + length;
  if (after == pathEnd) return pathEnd + 1;
  return load<u8>(after) == DOT ? after + 1 : 0;
}

function skipValue(): bool {
  let depth: u32 = 0;
  /** A bit for each that is open, the last one lowest: 1 an object, 0 an array. */
  let open: u64 = 0;
  while (true) {
    // a value begins here
    const first: u32 = load<u8>(at);
    if (first == QUOTE) {
      if (!skipString()) return false;
    } else if (first == OPEN_OBJECT || first == OPEN_ARRAY) {
      at++;
      skipSpace();
      if (load<u8>(at) == first + 2) at++;
      else {
        if (depth++ == DEPTH_MAX) return false;
        open = (open << 1) | u64(first == OPEN_OBJECT);
        if (first == OPEN_OBJECT && !skipName()) return false;
        continue;
      }
    } else if (first == 0x74) {
      if (load<u32>(at) != TRUE) return false;
      at += 4;
    } else if (first == 0x66) {
      if (load<u32>(at + 1) != ALSE) return false;
      at += 5;
    } else if (first == 0x6e) {
      if (load<u32>(at) != NULL) return false;
      at += 4;
    } else if (!skipNumber()) return false;
    // a value has ended
    while (true) {
      if (depth == 0) return true;
      skipSpace();
      const next: u32 = load<u8>(at);
      const isObject = (open & 1) == 1;
      if (next == COMMA) {
        at++;
        skipSpace();
        if (isObject && !skipName()) return false;
        break;
      }
      if (next != (isObject ? CLOSE_OBJECT : CLOSE_ARRAY)) return false;
      at++;
      depth--;
      open >>= 1;
    }
  }
}

function skipName(): bool {
  return load<u8>(at) == QUOTE && skipString() && skipColon();
}

/** With the space around it. */
function skipColon(): bool {
  skipSpace();
  if (load<u8>(at) != COLON) return false;
  at++;
  skipSpace();
  return true;
}

/** Notes whether it has escapes. */
function skipString(): bool {
  const quotes = i8x16.splat(<i8>QUOTE);
  const backslashes = i8x16.splat(<i8>BACKSLASH);
  const spaces = i8x16.splat(0x20);
  let escapes = false;
  let p = at + 1;
  while (true) {
    const bytes = v128.load(p);
    const special = v128.or(v128.or(i8x16.eq(bytes, quotes), i8x16.eq(bytes, backslashes)), i8x16.lt_u(bytes, spaces));
    const mask = i8x16.bitmask(special);
    if (mask == 0) {
      p += 16;
      continue;
    }
    p += ctz(mask);
    const byte: u32 = load<u8>(p);
    if (byte == QUOTE) {
      at = p + 1;
      hasEscapes = escapes;
      return true;
    }
    if (byte != BACKSLASH) return false;
    escapes = true;
    const escape: u32 = load<u8>(p + 1);
    if (escape != LETTER_U) {
      if (load<u8>(ESCAPES + escape) == 0) return false;
      p += 2;
    } else {
      if (hexAt(p + 2) > 0xffff) return false;
      p += 6;
    }
  }
}

function skipNumber(): bool {
  if (load<u8>(at) == MINUS) at++;
  if (load<u8>(at) == 0x30) at++;
  else if (!skipDigits()) return false;
  if (load<u8>(at) == DOT) {
    at++;
    if (!skipDigits()) return false;
  }
  const exponent: u32 = load<u8>(at);
  if (exponent != 0x65 && exponent != 0x45) return true;
  at++;
  const sign: u32 = load<u8>(at);
  if (sign == MINUS || sign == 0x2b) at++;
  return skipDigits();
}

function skipDigits(): bool {
  const start = at;
  while (<u32>load<u8>(at) - 0x30 < 10) at++;
  return at > start;
}

/** But for line feeds: they end the line. */
function skipSpace(): void {
  while (true) {
    const byte: u32 = load<u8>(at);
    if (byte != 0x20 && byte != 0x09 && byte != 0x0d) return;
    at++;
  }
}

/** Checks a string as `skipString` does, and writes its text as UTF-8: never more bytes. */
function readString(): bool {
  const quotes = i8x16.splat(<i8>QUOTE);
  const backslashes = i8x16.splat(<i8>BACKSLASH);
  const spaces = i8x16.splat(0x20);
  let from = at + 1;
  let next = target;
  while (true) {
    const bytes = v128.load(from);
    v128.store(next, bytes);
    const special = v128.or(v128.or(i8x16.eq(bytes, quotes), i8x16.eq(bytes, backslashes)), i8x16.lt_u(bytes, spaces));
    const mask = i8x16.bitmask(special);
    if (mask == 0) {
      from += 16;
      next += 16;
      continue;
    }
    const run: usize = ctz(mask);
    from += run;
    next += run;
    const byte: u32 = load<u8>(from);
    if (byte != BACKSLASH) {
      at = from + 1;
      target = next;
      return byte == QUOTE;
    }
    const escape: u32 = load<u8>(from + 1);
    if (escape != LETTER_U) {
      const meant = load<u8>(ESCAPES + escape);
      if (meant == 0) return false;
      store<u8>(next++, meant);
      from += 2;
      continue;
    }
    let code = hexAt(from + 2);
    if (code > 0xffff) return false;
    from += 6;
    if (code >> 10 == 0x36 && load<u16>(from) == START_OF_U) {
      const low = hexAt(from + 2);
      if (low >> 10 == 0x37) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        from += 6;
      }
    }
    next = writeCharacter(code, next);
  }
}

/** Answers where it ends. */
function writeCharacter(code: u32, next: usize): usize {
  if (code < 0x80) store<u8>(next, code);
  else if (code < 0x800) {
    store<u8>(next, 0xc0 | (code >> 6));
    store<u8>(++next, 0x80 | (code & 0x3f));
  } else if (code >> 11 == 0x1b) store<u8>(next, NO_CHARACTER);
  else {
    if (code < 0x10000) store<u8>(next, 0xe0 | (code >> 12));
    else {
      store<u8>(next, 0xf0 | (code >> 18));
      store<u8>(++next, 0x80 | ((code >> 12) & 0x3f));
    }
    store<u8>(++next, 0x80 | ((code >> 6) & 0x3f));
    store<u8>(++next, 0x80 | (code & 0x3f));
  }
  return next + 1;
}

/** More than 0xffff where there are no four digits. */
function hexAt(from: usize): u32 {
  const first = <u32>load<u8>(HEX + <usize>load<u8>(from));
  const second = <u32>load<u8>(HEX + <usize>load<u8>(from + 1));
  const third = <u32>load<u8>(HEX + <usize>load<u8>(from + 2));
  const fourth = <u32>load<u8>(HEX + <usize>load<u8>(from + 3));
  return (first | second | third | fourth) > 15 ? u32.MAX_VALUE : (first << 12) | (second << 8) | (third << 4) | fourth;
}
