/**
 * One line of JSON, checked as strictly as `JSON.parse` does, without making anything of it but the place of the wanted field: a scanner over bytes.
 * What is rare (the field twice, names with escapes) is left to `JSON.parse` itself.
 *
 * A path names fields in fields, `meta.lang`; a name that has the dots itself comes first, and a longer name before a shorter one.
 */
import type { JsonValue } from '../../core/canonical-json.js';

/** The line is not valid JSON. */
export class JsonLineError extends Error {
  override readonly name = 'JsonLineError';
  readonly byte: number;

  /** `byte`: of the line, from 0. */
  constructor(byte: number) {
    super(`is not valid JSON at byte ${byte}`);
    this.byte = byte;
  }
}

export type FieldKind = 'string' | 'number' | 'literal' | 'array' | 'object';

/** A field's place in the bytes; of kind `missing` where there is none. `rare`: ask `JSON.parse`. */
export type FieldPlace =
  | { readonly kind: FieldKind; readonly start: number; readonly end: number; readonly hasEscapes: boolean }
  | { readonly kind: 'missing' }
  /** The line is valid, but no object. */
  | { readonly kind: 'no-object' }
  | { readonly kind: 'rare' };

const MISSING = { kind: 'missing' } as const;
const RARE = { kind: 'rare' } as const;
const NO_OBJECT = { kind: 'no-object' } as const;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const COMMA = 0x2c;
const COLON = 0x3a;
const MINUS = 0x2d;
const DOT = 0x2e;

/** One for a column; its fields are of the last line. */
export class JsonLineScanner {
  /** The path's bytes, and where its names may end: after each name, and at the end. */
  readonly #path: Uint8Array;
  #bytes: Uint8Array = new Uint8Array(0);
  #start = 0;
  #end = 0;
  #at = 0;
  #hasEscapes = false;
  /** What is open while a value is skipped: 1 an object, 0 an array. */
  #open = new Uint8Array(64);

  constructor(path: string) {
    this.#path = new TextEncoder().encode(path);
  }

  /** The field in the line [start, end). Throws `JsonLineError`. */
  find(bytes: Uint8Array, start: number, end: number): FieldPlace {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    this.#at = start;
    this.#skipSpace();
    const isObject = this.#peek() === OPEN_OBJECT;
    let place: FieldPlace = NO_OBJECT;
    if (isObject) place = this.#findIn(0);
    else this.#skipValue();
    this.#skipSpace();
    if (this.#at !== this.#end) this.#fail();
    return place;
  }

  /** In the object that begins here, what the path from `from` on names. */
  #findIn(from: number): FieldPlace {
    const bytes = this.#bytes;
    let found: FieldPlace = MISSING;
    let candidates = 0;
    this.#at++;
    this.#skipSpace();
    if (this.#peek() === CLOSE_OBJECT) {
      this.#at++;
      return MISSING;
    }
    for (;;) {
      if (this.#peek() !== QUOTE) this.#fail();
      const nameStart = this.#at + 1;
      this.#skipString();
      const nameEnd = this.#at - 1;
      const isRare = this.#hasEscapes;
      this.#skipSpace();
      if (this.#peek() !== COLON) this.#fail();
      this.#at++;
      this.#skipSpace();
      const rest = isRare ? -1 : this.#match(nameStart, nameEnd, from);
      if (isRare) {
        found = RARE;
        candidates = 2;
        this.#skipValue();
      } else if (rest < 0) this.#skipValue();
      else {
        candidates++;
        if (rest > this.#path.length) found = this.#takeValue();
        else if (bytes[this.#at] === OPEN_OBJECT && this.#at < this.#end) found = this.#findIn(rest);
        else this.#skipValue();
      }
      this.#skipSpace();
      const next = this.#peek();
      this.#at++;
      if (next === CLOSE_OBJECT) break;
      if (next !== COMMA) this.#fail(this.#at - 1);
      this.#skipSpace();
    }
    return candidates > 1 ? RARE : found;
  }

  /** Where the path goes on behind a name: beyond its end where the name is all of it; −1: it is another name. */
  #match(start: number, end: number, from: number): number {
    const path = this.#path;
    const length = end - start;
    if (length > path.length - from) return -1;
    for (let i = 0; i < length; i++) if (this.#bytes[start + i] !== path[from + i]) return -1;
    const after = from + length;
    if (after === path.length) return path.length + 1;
    return path[after] === DOT ? after + 1 : -1;
  }

  #takeValue(): FieldPlace {
    const start = this.#at;
    const first = this.#peek();
    this.#hasEscapes = false;
    this.#skipValue();
    const kind =
      first === QUOTE
        ? 'string'
        : first === OPEN_OBJECT
          ? 'object'
          : first === OPEN_ARRAY
            ? 'array'
            : isLetter(first)
              ? 'literal'
              : 'number';
    return { kind, start, end: this.#at, hasEscapes: kind === 'string' && this.#hasEscapes };
  }

  #skipValue(): void {
    let depth = 0;
    for (;;) {
      // a value begins here
      const first = this.#peek();
      if (first === QUOTE) this.#skipString();
      else if (first === OPEN_OBJECT) {
        this.#at++;
        this.#skipSpace();
        if (this.#peek() === CLOSE_OBJECT) this.#at++;
        else {
          depth = this.#push(depth, 1);
          this.#skipName();
          continue;
        }
      } else if (first === OPEN_ARRAY) {
        this.#at++;
        this.#skipSpace();
        if (this.#peek() === CLOSE_ARRAY) this.#at++;
        else {
          depth = this.#push(depth, 0);
          continue;
        }
      } else if (isLetter(first)) this.#skipLiteral(first);
      else this.#skipNumber();
      // a value has ended
      for (;;) {
        if (depth === 0) return;
        this.#skipSpace();
        const next = this.#peek();
        const isObject = this.#open[depth - 1] === 1;
        if (next === COMMA) {
          this.#at++;
          this.#skipSpace();
          if (isObject) this.#skipName();
          break;
        }
        if (next !== (isObject ? CLOSE_OBJECT : CLOSE_ARRAY)) this.#fail();
        this.#at++;
        depth--;
      }
    }
  }

  #push(depth: number, kind: number): number {
    if (depth === this.#open.length) {
      const larger = new Uint8Array(2 * depth);
      larger.set(this.#open);
      this.#open = larger;
    }
    this.#open[depth] = kind;
    return depth + 1;
  }

  #skipName(): void {
    if (this.#peek() !== QUOTE) this.#fail();
    this.#skipString();
    this.#skipSpace();
    if (this.#peek() !== COLON) this.#fail();
    this.#at++;
    this.#skipSpace();
  }

  /** Notes whether it has escapes. */
  #skipString(): void {
    const bytes = this.#bytes;
    const end = this.#end;
    let hasEscapes = false;
    let at = this.#at + 1;
    for (; at < end; at++) {
      const byte = bytes[at];
      if (byte === QUOTE) {
        this.#at = at + 1;
        this.#hasEscapes = hasEscapes;
        return;
      }
      if (byte === BACKSLASH) {
        hasEscapes = true;
        at++;
        const escape = at < end ? bytes[at] : 0;
        if (escape === 0x75) {
          for (let i = 1; i <= 4; i++) if (at + i >= end || HEX[bytes[at + i]] > 15) this.#fail(Math.min(at + i, end));
          at += 4;
        } else if (ESCAPES[escape] === 0) this.#fail(at);
      } else if (byte < 0x20) this.#fail(at);
    }
    this.#fail(end);
  }

  #skipNumber(): void {
    if (this.#peek() === MINUS) this.#at++;
    if (this.#peek() === 0x30) this.#at++;
    else this.#skipDigits();
    if (this.#peek() === DOT) {
      this.#at++;
      this.#skipDigits();
    }
    const exponent = this.#peek();
    if (exponent === 0x65 || exponent === 0x45) {
      this.#at++;
      const sign = this.#peek();
      if (sign === MINUS || sign === 0x2b) this.#at++;
      this.#skipDigits();
    }
  }

  #skipDigits(): void {
    const start = this.#at;
    const bytes = this.#bytes;
    let at = start;
    while (at < this.#end && bytes[at] >= 0x30 && bytes[at] <= 0x39) at++;
    this.#at = at;
    if (at === start) this.#fail();
  }

  #skipLiteral(first: number): void {
    const literal = first === 0x74 ? TRUE : first === 0x66 ? FALSE : NULL;
    for (let i = 0; i < literal.length; i++, this.#at++) if (this.#peek() !== literal[i]) this.#fail();
  }

  #skipSpace(): void {
    const bytes = this.#bytes;
    let at = this.#at;
    while (at < this.#end) {
      const byte = bytes[at];
      if (byte > 0x20 || (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) break;
      at++;
    }
    this.#at = at;
  }

  /** −1 at the end of the line. */
  #peek(): number {
    return this.#at < this.#end ? this.#bytes[this.#at] : -1;
  }

  #fail(at = this.#at): never {
    throw new JsonLineError(at - this.#start);
  }
}

/** The same in a parsed line; `undefined` where there is no such field. */
export function fieldOf(value: JsonValue, path: string): JsonValue | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const object = value as Readonly<Record<string, JsonValue>>;
  for (let end = path.length; end >= 0; end = end > 0 ? path.lastIndexOf('.', end - 1) : -1) {
    const name = path.slice(0, end);
    if (!Object.hasOwn(object, name)) continue;
    if (end === path.length) return object[name];
    const found = fieldOf(object[name], path.slice(end + 1));
    if (found !== undefined) return found;
  }
  return undefined;
}

function isLetter(byte: number): boolean {
  return byte === 0x74 || byte === 0x66 || byte === 0x6e;
}

const encoder = new TextEncoder();
const TRUE = encoder.encode('true');
const FALSE = encoder.encode('false');
const NULL = encoder.encode('null');

/** By byte: the value of a hexadecimal digit; 16 where it is none. */
const HEX = new Uint8Array(256).fill(16);
for (let i = 0; i < 16; i++) for (const digit of [i.toString(16), i.toString(16).toUpperCase()]) HEX[digit.charCodeAt(0)] = i;

/** By the byte after a backslash: what it stands for; 0 where it is none of JSON's. `u` stands for itself here. */
const ESCAPES = new Uint8Array(256);
for (const [name, byte] of Object.entries({ '"': 0x22, '\\': 0x5c, '/': 0x2f, b: 8, f: 12, n: 10, r: 13, t: 9 }))
  ESCAPES[name.charCodeAt(0)] = byte;

/** What stands for half a surrogate pair, which UTF-8 cannot say: never valid, and one U+FFFD where that is wanted. */
const NO_CHARACTER = 0xff;

/** Writes the text of a checked string, in quotes at [start, end), as UTF-8 to `out` from `to` on, and answers where it ends: never more bytes. */
export function writeString(bytes: Uint8Array, start: number, end: number, out: Uint8Array, to: number): number {
  const last = end - 1;
  for (let at = start + 1; at < last;) {
    const byte = bytes[at];
    if (byte !== BACKSLASH) {
      out[to++] = byte;
      at++;
      continue;
    }
    const escape = bytes[at + 1];
    if (escape !== 0x75) {
      out[to++] = ESCAPES[escape];
      at += 2;
      continue;
    }
    let code = hexAt(bytes, at + 2);
    at += 6;
    if (code >= 0xd800 && code < 0xdc00 && bytes[at] === BACKSLASH && bytes[at + 1] === 0x75 && at + 6 <= last) {
      const low = hexAt(bytes, at + 2);
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
      }
    }
    if (code < 0x80) out[to++] = code;
    else if (code < 0x800) {
      out[to++] = 0xc0 | (code >> 6);
      out[to++] = 0x80 | (code & 0x3f);
    } else if (code >= 0xd800 && code < 0xe000) out[to++] = NO_CHARACTER;
    else if (code < 0x10000) {
      out[to++] = 0xe0 | (code >> 12);
      out[to++] = 0x80 | ((code >> 6) & 0x3f);
      out[to++] = 0x80 | (code & 0x3f);
    } else {
      out[to++] = 0xf0 | (code >> 18);
      out[to++] = 0x80 | ((code >> 12) & 0x3f);
      out[to++] = 0x80 | ((code >> 6) & 0x3f);
      out[to++] = 0x80 | (code & 0x3f);
    }
  }
  return to;
}

function hexAt(bytes: Uint8Array, at: number): number {
  return (HEX[bytes[at]] << 12) | (HEX[bytes[at + 1]] << 8) | (HEX[bytes[at + 2]] << 4) | HEX[bytes[at + 3]];
}
