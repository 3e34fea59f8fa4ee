/**
 * Reads the two large parts of a `tokenizer.json`, `model.vocab` and `model.merges`, straight from its bytes: JSON.parse would make half a million strings
 * of them, which takes most of a second. The rest of the file is small, and goes through JSON.parse.
 */
import { createVocabulary, type Vocabulary } from './vocabulary.js';

export interface ScannedJson {
  /** The file without the two parts: `{}` and `[]` are in their places. */
  readonly rest: string;
  readonly vocabulary: Vocabulary;
  /** [merges × 3] ids of left, right, merged, by rank; or the text of the first merge that is not of tokens. */
  readonly merges: Int32Array | string;
}

/** `undefined` where the file is of another shape: then it is for JSON.parse to say what it is. */
export function scanTokenizerJson(bytes: Uint8Array): ScannedJson | undefined {
  const scanner = new JsonScanner(bytes);
  try {
    const model = scanner.member(scanner.start(), 'model');
    const vocab = model === undefined ? undefined : scanner.member(model, 'vocab');
    const merges = model === undefined ? undefined : scanner.member(model, 'merges');
    if (vocab === undefined || merges === undefined || bytes[vocab] !== OPEN_OBJECT || bytes[merges] !== OPEN_ARRAY) return undefined;
    const parts = [
      { at: vocab, end: scanner.skip(vocab), stub: '{}' },
      { at: merges, end: scanner.skip(merges), stub: '[]' },
    ].sort((a, b) => a.at - b.at);
    const text = (start: number, end: number): string => Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
    const rest = text(0, parts[0].at) + parts[0].stub + text(parts[0].end, parts[1].at) + parts[1].stub + text(parts[1].end, bytes.length);
    const vocabulary = scanner.vocabulary(vocab, scanner.skip(vocab));
    return { rest, vocabulary, merges: scanner.merges(merges, vocabulary) };
  } catch (error) {
    if (error instanceof UnexpectedShape) return undefined;
    throw error;
  }
}

class UnexpectedShape extends Error {
  override readonly name = 'UnexpectedShape';
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const COMMA = 0x2c;
const SPACE = 0x20;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const ESCAPES: Readonly<Record<number, number>> = { 0x22: 0x22, 0x5c: 0x5c, 0x2f: 0x2f, 0x62: 8, 0x66: 12, 0x6e: 10, 0x72: 13, 0x74: 9 };

class JsonScanner {
  readonly #bytes: Uint8Array;
  /** Where the string that `readString` has written ends. */
  #stringEnd = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  start(): number {
    const start = this.#bytes[0] === 0xef ? 3 : 0; // a byte order mark
    return this.#blank(start);
  }

  /** Where the value of an object's member starts; the last one of that name. */
  member(object: number, name: string): number | undefined {
    const bytes = this.#bytes;
    if (bytes[object] !== OPEN_OBJECT) throw new UnexpectedShape();
    let found: number | undefined;
    for (let at = this.#blank(object + 1); bytes[at] !== CLOSE_OBJECT;) {
      const end = this.skip(at);
      const value = this.#blank(this.#expect(this.#blank(end), COLON));
      if (end - at === name.length + 2 && Buffer.from(bytes.subarray(at + 1, end - 1)).toString('latin1') === name) found = value;
      at = this.#next(this.skip(value), CLOSE_OBJECT);
    }
    return found;
  }

  /** The place behind the value that starts at `at`. */
  skip(at: number): number {
    const bytes = this.#bytes;
    const first = bytes[at];
    if (first === QUOTE) return this.#skipString(at);
    if (first === OPEN_OBJECT || first === OPEN_ARRAY) {
      let depth = 0;
      for (let i = at; i < bytes.length;) {
        const byte = bytes[i];
        if (byte === QUOTE) {
          i = this.#skipString(i);
          continue;
        }
        if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) depth++;
        else if ((byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) && --depth === 0) return i + 1;
        i++;
      }
      throw new UnexpectedShape();
    }
    let end = at;
    while (end < bytes.length && bytes[end] > SPACE && bytes[end] !== COMMA && bytes[end] !== CLOSE_OBJECT && bytes[end] !== CLOSE_ARRAY)
      end++;
    if (end === at) throw new UnexpectedShape();
    return end;
  }

  vocabulary(object: number, end: number): Vocabulary {
    const bytes = this.#bytes;
    // a token's UTF-8 is never longer than its JSON
    const text = new Uint8Array(end - object);
    let starts = new Int32Array(65_536);
    let ids = new Int32Array(65_536);
    let count = 0;
    let length = 0;
    for (let at = this.#blank(object + 1); bytes[at] !== CLOSE_OBJECT;) {
      at = this.#readString(at, text, length);
      length = this.#stringEnd;
      at = this.#blank(this.#expect(this.#blank(at), COLON));
      let id = 0;
      const digits = at;
      while (bytes[at] >= 0x30 && bytes[at] <= 0x39) id = 10 * id + bytes[at++] - 0x30;
      if (at === digits || at - digits > 9) throw new UnexpectedShape();
      if (count + 1 === starts.length) {
        starts = doubled(starts);
        ids = doubled(ids);
      }
      ids[count++] = id;
      starts[count] = length;
      at = this.#next(at, CLOSE_OBJECT);
    }
    return createVocabulary(text.subarray(0, length), starts.subarray(0, count + 1), ids.subarray(0, count));
  }

  merges(array: number, vocabulary: Vocabulary): Int32Array | string {
    const bytes = this.#bytes;
    let merges = new Int32Array(3 * 65_536);
    let length = 0;
    let text = new Uint8Array(4096);
    for (let at = this.#blank(array + 1); bytes[at] !== CLOSE_ARRAY;) {
      const end = this.skip(at);
      if (end - at > text.length) text = new Uint8Array(2 * (end - at));
      let middle: number;
      let right: number;
      if (bytes[at] === QUOTE) {
        this.#readString(at, text, 0);
        right = this.#stringEnd;
        middle = text.indexOf(SPACE);
        if (middle < 0 || middle >= right) throw new UnexpectedShape();
        text.copyWithin(middle, middle + 1, right--);
      } else {
        if (bytes[at] !== OPEN_ARRAY) throw new UnexpectedShape();
        let part = this.#readString(this.#blank(at + 1), text, 0);
        middle = this.#stringEnd;
        part = this.#blank(this.#expect(this.#blank(part), COMMA));
        this.#readString(part, text, middle);
        right = this.#stringEnd;
      }
      if (length + 3 > merges.length) merges = doubled(merges);
      const leftId = (merges[length++] = vocabulary.find(text, 0, middle));
      const rightId = (merges[length++] = vocabulary.find(text, middle, right));
      const mergedId = (merges[length++] = vocabulary.find(text, 0, right));
      if (leftId < 0 || rightId < 0 || mergedId < 0) return Buffer.from(bytes.subarray(at, end)).toString('utf8');
      at = this.#next(end, CLOSE_ARRAY);
    }
    return merges.subarray(0, length);
  }

  /** Writes a string's UTF-8 to `to`; answers the place behind it, and leaves where the text ends in #stringEnd. */
  #readString(at: number, to: Uint8Array, start: number): number {
    const bytes = this.#bytes;
    let end = start;
    let i = this.#expect(at, QUOTE);
    for (;;) {
      const byte = bytes[i];
      if (byte === QUOTE) break;
      if (i >= bytes.length) throw new UnexpectedShape();
      if (byte !== BACKSLASH) {
        to[end++] = byte;
        i++;
        continue;
      }
      const escaped = bytes[i + 1];
      if (escaped !== 0x75) {
        if (!Object.hasOwn(ESCAPES, escaped)) throw new UnexpectedShape();
        to[end++] = ESCAPES[escaped];
        i += 2;
        continue;
      }
      let point = this.#hex(i + 2);
      i += 6;
      if (point >= 0xd800 && point < 0xdc00 && bytes[i] === BACKSLASH && bytes[i + 1] === 0x75) {
        point = 0x10000 + ((point - 0xd800) << 10) + (this.#hex(i + 2) - 0xdc00);
        i += 6;
      }
      const utf8 = Buffer.from(String.fromCodePoint(point), 'utf8');
      to.set(utf8, end);
      end += utf8.length;
    }
    this.#stringEnd = end;
    return i + 1;
  }

  #hex(at: number): number {
    const value = Number.parseInt(Buffer.from(this.#bytes.subarray(at, at + 4)).toString('latin1'), 16);
    if (!(value >= 0 && value <= 0xffff)) throw new UnexpectedShape();
    return value;
  }

  #skipString(at: number): number {
    const bytes = this.#bytes;
    for (let i = at + 1; i < bytes.length; i++) {
      if (bytes[i] === BACKSLASH) i++;
      else if (bytes[i] === QUOTE) return i + 1;
    }
    throw new UnexpectedShape();
  }

  /** Over white space. */
  #blank(at: number): number {
    const bytes = this.#bytes;
    while (bytes[at] === SPACE || bytes[at] === 10 || bytes[at] === 13 || bytes[at] === 9) at++;
    return at;
  }

  #expect(at: number, byte: number): number {
    if (this.#bytes[at] !== byte) throw new UnexpectedShape();
    return at + 1;
  }

  /** From behind a value to the next one, or to the end of what holds it. */
  #next(at: number, close: number): number {
    const next = this.#blank(at);
    return this.#bytes[next] === close ? next : this.#blank(this.#expect(next, COMMA));
  }
}

function doubled(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * array.length);
  larger.set(array);
  return larger;
}
