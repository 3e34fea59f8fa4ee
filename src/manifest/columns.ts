/** Columns of numbers and of bytes: what a manifest of a million shards is kept in, in memory and in its file. */

/** Whole numbers from 0 on, in the narrowest array that holds all of them. */
export type NumberColumn = Uint8Array | Uint16Array | Uint32Array | Float64Array;

/** Values of any length, one after the other: value i is bytes [ends[i − 1], ends[i]). */
export interface BytesColumn {
  readonly bytes: Uint8Array;
  readonly ends: NumberColumn;
}

export function bytesOf({ bytes, ends }: BytesColumn, index: number): Uint8Array {
  return bytes.subarray(index === 0 ? 0 : ends[index - 1], ends[index]);
}

export function textOf({ bytes, ends }: BytesColumn, index: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8', index === 0 ? 0 : ends[index - 1], ends[index]);
}

/** The number of values before the first that is greater than `value`; they ascend. */
export function countUpTo(ascending: NumberColumn, value: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle] > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

const CAPACITY_MIN = 1024;

export class NumberColumnBuilder {
  #values = new Float64Array(CAPACITY_MIN);
  #length = 0;

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const grown = new Float64Array(2 * this.#length);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.#length++] = value;
  }

  finish(): NumberColumn {
    return narrowest(this.#values.subarray(0, this.#length));
  }
}

export class BytesColumnBuilder {
  readonly #ends = new NumberColumnBuilder();
  #bytes = Buffer.alloc(CAPACITY_MIN);
  #length = 0;

  pushText(text: string): void {
    this.#reserve(3 * text.length);
    this.#length += this.#bytes.write(text, this.#length);
    this.endValue();
  }

  /** Seven bits a byte, the lowest first; the last byte is below 128. */
  addVarint(value: number): void {
    this.#reserve(8); // 56 bits
    let rest = value;
    while (rest >= 128) {
      this.#bytes[this.#length++] = (rest % 128) + 128;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#length++] = rest;
  }

  addBytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** What was added since the last end is a value. */
  endValue(): void {
    this.#ends.push(this.#length);
  }

  finish(): BytesColumn {
    return { bytes: Uint8Array.from(this.#bytes.subarray(0, this.#length)), ends: this.#ends.finish() };
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const grown = Buffer.alloc(2 * Math.max(this.#bytes.length, bytes));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

function narrowest(values: Float64Array): NumberColumn {
  let max = 0;
  for (const value of values) if (value > max) max = value;
  if (max < 2 ** 8) return new Uint8Array(values);
  if (max < 2 ** 16) return new Uint16Array(values);
  if (max < 2 ** 32) return new Uint32Array(values);
  return values.slice();
}
