/**
 * One line of JSON, checked as strictly as `JSON.parse` does, without making anything of it but the places of the wanted fields: a scanner over bytes.
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

/** What is looked for in an object: of each path, what follows the names that led there. */
class Wanted {
  count = 0;
  readonly paths: Int32Array;
  readonly froms: Int32Array;
  /** How many names of the object the path begins with, or goes on with: more than one are for `JSON.parse` to judge. */
  readonly candidates: Int32Array;

  constructor(paths: number) {
    this.paths = new Int32Array(paths);
    this.froms = new Int32Array(paths);
    this.candidates = new Int32Array(paths);
  }

  add(path: number, from: number): void {
    this.paths[this.count] = path;
    this.froms[this.count++] = from;
  }
}

/** One for a set of columns, which are found in one pass over a line. */
export class JsonLineScanner {
  /** Of each path its bytes. */
  readonly #paths: readonly Uint8Array[];
  readonly #places: FieldPlace[];
  /** By depth. */
  readonly #wanted: Wanted[] = [];
  /** Paths that end with the last name, by depth as well. */
  readonly #ending: Int32Array[] = [];
  #bytes: Uint8Array = new Uint8Array(0);
  #start = 0;
  #end = 0;
  #at = 0;
  #hasEscapes = false;
  /** What is open while a value is skipped: 1 an object, 0 an array. */
  #open = new Uint8Array(64);

  constructor(...paths: readonly string[]) {
    const encoder = new TextEncoder();
    this.#paths = paths.map((path) => encoder.encode(path));
    this.#places = new Array<FieldPlace>(paths.length).fill(MISSING);
  }

  /** The field of the first path in the line [start, end). Throws `JsonLineError`. */
  find(bytes: Uint8Array, start: number, end: number): FieldPlace {
    return this.findAll(bytes, start, end)[0];
  }

  /** Those of all paths, in an array that the next call fills again. Throws `JsonLineError`. */
  findAll(bytes: Uint8Array, start: number, end: number): readonly FieldPlace[] {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    this.#at = start;
    this.#skipSpace();
    const isObject = this.#peek() === OPEN_OBJECT;
    this.#places.fill(isObject ? MISSING : NO_OBJECT);
    if (isObject) {
      const wanted = this.#wantedAt(0);
      wanted.count = 0;
      for (let path = 0; path < this.#paths.length; path++) wanted.add(path, 0);
      this.#findIn(0);
    } else this.#skipValue();
    this.#skipSpace();
    if (this.#at !== this.#end) this.#fail();
    return this.#places;
  }

  /** In the object that begins here, what is wanted at this depth. */
  #findIn(depth: number): void {
    const { count, paths, candidates } = this.#wantedAt(depth);
    candidates.fill(0, 0, count);
    this.#at++;
    this.#skipSpace();
    if (this.#peek() === CLOSE_OBJECT) {
      this.#at++;
      return;
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
      if (isRare) {
        candidates.fill(2, 0, count);
        this.#skipValue();
      } else this.#takeNamed(depth, nameStart, nameEnd);
      this.#skipSpace();
      const next = this.#peek();
      this.#at++;
      if (next === CLOSE_OBJECT) break;
      if (next !== COMMA) this.#fail(this.#at - 1);
      this.#skipSpace();
    }
    for (let i = 0; i < count; i++) if (candidates[i] > 1) this.#places[paths[i]] = RARE;
  }

  /** The value that begins here has this name. */
  #takeNamed(depth: number, nameStart: number, nameEnd: number): void {
    const { count, paths, froms, candidates } = this.#wantedAt(depth);
    const ending = this.#ending[depth];
    const inner = this.#wantedAt(depth + 1);
    inner.count = 0;
    let endings = 0;
    for (let i = 0; i < count; i++) {
      const path = this.#paths[paths[i]];
      const rest = this.#match(path, nameStart, nameEnd, froms[i]);
      if (rest < 0) continue;
      candidates[i]++;
      if (rest > path.length) ending[endings++] = paths[i];
      else inner.add(paths[i], rest);
    }
    const start = this.#at;
    const first = this.#peek();
    this.#hasEscapes = false;
    if (inner.count > 0 && first === OPEN_OBJECT) this.#findIn(depth + 1);
    else this.#skipValue();
    if (endings === 0) return;
    const kind = kindOf(first);
    const place = { kind, start, end: this.#at, hasEscapes: kind === 'string' && this.#hasEscapes };
    for (let i = 0; i < endings; i++) this.#places[ending[i]] = place;
  }

  #wantedAt(depth: number): Wanted {
    if (depth === this.#wanted.length) {
      this.#wanted.push(new Wanted(this.#paths.length));
      this.#ending.push(new Int32Array(this.#paths.length));
    }
    return this.#wanted[depth];
  }

  /** Where the path goes on behind a name: beyond its end where the name is all of it; −1: it is another name. */
  #match(path: Uint8Array, start: number, end: number, from: number): number {
    const length = end - start;
    if (length > path.length - from) return -1;
    for (let i = 0; i < length; i++) if (this.#bytes[start + i] !== path[from + i]) return -1;
    const after = from + length;
    if (after === path.length) return path.length + 1;
    return path[after] === DOT ? after + 1 : -1;
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

/** The fields of a line, or what is wrong with it. */
export function findFields(scanner: JsonLineScanner, bytes: Uint8Array, start: number, end: number): readonly FieldPlace[] | string {
  try {
    return scanner.findAll(bytes, start, end);
  } catch (error) {
    if (error instanceof JsonLineError) return error.message;
    throw error;
  }
}

const NUMERAL = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** What `JSON.parse` makes of it, but for integers that no number holds: these are their digits, as text. Throws as that does. */
export function exactJson(text: string): JsonValue {
  const value = JSON.parse(text) as JsonValue;
  if (!/\d{16}/.test(text)) return value;
  const quoted = (numeral: string): string =>
    /^-?\d{16,}$/.test(numeral) && !Number.isSafeInteger(Number(numeral)) ? `"${numeral}"` : numeral;
  const parts: string[] = [];
  for (let at = 0; at < text.length;) {
    const quote = text.indexOf('"', at);
    const end = quote < 0 ? text.length : quote;
    parts.push(text.slice(at, end).replace(NUMERAL, quoted));
    at = quote < 0 ? end : stringEnd(text, quote);
    parts.push(text.slice(end, at));
  }
  return JSON.parse(parts.join('')) as JsonValue;
}

/** After the string that begins at `start`, of valid JSON. */
function stringEnd(text: string, start: number): number {
  for (let at = start + 1; ; at++) {
    at = text.indexOf('"', at);
    let escapes = 0;
    while (text[at - 1 - escapes] === '\\') escapes++;
    if (escapes % 2 === 0) return at + 1;
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

/** Of the value that begins with the byte. */
function kindOf(first: number): FieldKind {
  if (first === QUOTE) return 'string';
  if (first === OPEN_OBJECT) return 'object';
  if (first === OPEN_ARRAY) return 'array';
  return isLetter(first) ? 'literal' : 'number';
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
