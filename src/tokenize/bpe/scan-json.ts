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
    const model = scanner.members(scanner.start()).get('model');
    if (model === undefined) return undefined;
    const members = scanner.members(model.at);
    const vocab = members.get('vocab');
    const merges = members.get('merges');
    if (vocab === undefined || merges === undefined || bytes[vocab.at] !== OPEN_OBJECT || bytes[merges.at] !== OPEN_ARRAY) return undefined;
    const parts = [
      { ...vocab, stub: '{}' },
      { ...merges, stub: '[]' },
    ].sort((a, b) => a.at - b.at);
    const text = (start: number, end: number): string => Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
    const rest = text(0, parts[0].at) + parts[0].stub + text(parts[0].end, parts[1].at) + parts[1].stub + text(parts[1].end, bytes.length);
    const vocabulary = scanner.vocabulary(vocab);
    return { rest, vocabulary, merges: scanner.merges(merges.at, vocabulary) };
  } catch (error) {
    if (error instanceof UnexpectedShape) return undefined;
    throw error;
  }
}

/** Of a value in the file. */
interface Place {
  readonly at: number;
  readonly end: number;
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

  /** Where the values of an object's members are, by name; of equal names the last one counts. */
  members(object: number): Map<string, Place> {
    const bytes = this.#bytes;
    if (bytes[object] !== OPEN_OBJECT) throw new UnexpectedShape();
    const found = new Map<string, Place>();
    for (let at = this.#blank(object + 1); bytes[at] !== CLOSE_OBJECT;) {
      const nameEnd = this.#skip(at);
      const value = this.#blank(this.#expect(this.#blank(nameEnd), COLON));
      const end = this.#skip(value);
      found.set(Buffer.from(bytes.subarray(at + 1, nameEnd - 1)).toString('latin1'), { at: value, end });
      at = this.#next(end, CLOSE_OBJECT);
    }
    return found;
  }

  /** The place behind the value that starts at `at`. */
  #skip(at: number): number {
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

  vocabulary({ at: object, end }: Place): Vocabulary {
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
      const { middle, right, end } = this.#merge(at, text);
      if (right > text.length) {
        text = new Uint8Array(2 * right); // what was written beyond its end was dropped
        continue;
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

  /** Writes the text of a merge's two parts, `"left right"` or `["left", "right"]`, to `text`: they meet at `middle`, and end at `right`. */
  #merge(at: number, text: Uint8Array): { readonly middle: number; readonly right: number; readonly end: number } {
    const bytes = this.#bytes;
    if (bytes[at] === QUOTE) {
      const end = this.#readString(at, text, 0);
      const right = this.#stringEnd - 1;
      if (right >= text.length) return { middle: 0, right, end };
      let middle = 0;
      while (middle <= right && text[middle] !== SPACE) middle++;
      if (middle > right) throw new UnexpectedShape();
      for (let i = middle; i < right; i++) text[i] = text[i + 1];
      return { middle, right, end };
    }
    if (bytes[at] !== OPEN_ARRAY) throw new UnexpectedShape();
    const leftEnd = this.#readString(this.#blank(at + 1), text, 0);
    const middle = this.#stringEnd;
    const rightEnd = this.#readString(this.#blank(this.#expect(this.#blank(leftEnd), COMMA)), text, middle);
    return { middle, right: this.#stringEnd, end: this.#expect(this.#blank(rightEnd), CLOSE_ARRAY) };
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
      for (const unit of Buffer.from(String.fromCodePoint(point), 'utf8')) to[end++] = unit;
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
