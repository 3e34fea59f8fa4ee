/** Thrift's compact protocol, walked without building anything: what it claims is checked before a parser allocates arrays for it. */

/** A footer nests five deep (footer, row group, column chunk, metadata, statistics); its logical types two more. */
const DEPTH_MAX = 16;

/** How a field's type is written. Source: Apache Thrift, "Thrift Compact protocol encoding". */
const STOP = 0;
const TRUE = 1;
const FALSE = 2;
const BYTE = 3;
const I64 = 6;
const DOUBLE = 7;
const BINARY = 8;
const LIST = 9;
const STRUCT = 12;

/** Walks the struct at `offset`. Throws where it ends beyond the bytes, nests absurdly, or claims a list longer than all that follows. */
export function checkThrift(bytes: Uint8Array, offset = 0): void {
  new Walk(bytes, offset).struct(0);
}

class Walk {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  struct(depth: number): void {
    if (depth > DEPTH_MAX) throw new Error(`its metadata nests more than ${DEPTH_MAX} deep`);
    for (;;) {
      const head = this.#byte();
      const type = head & 0x0f;
      if (type === STOP) return;
      if (head >> 4 === 0) this.#varint(); // the field's number
      if (type !== TRUE && type !== FALSE) this.#value(type, depth);
    }
  }

  #value(type: number, depth: number): void {
    if (type === BINARY) {
      this.#skip(this.#varint());
      return;
    }
    if (type === STRUCT) {
      this.struct(depth + 1);
      return;
    }
    if (type === LIST) {
      this.#list(depth);
      return;
    }
    if (type === DOUBLE) {
      this.#skip(8);
      return;
    }
    if (type > BYTE && type <= I64) return void this.#varint();
    if (type >= TRUE && type <= BYTE) {
      this.#skip(1);
      return;
    }
    throw new Error(`its metadata has a field of type ${type}`);
  }

  #list(depth: number): void {
    const head = this.#byte();
    const length = head >> 4 === 15 ? this.#varint() : head >> 4;
    // each element takes a byte at least
    if (length > this.#bytes.length - this.#at)
      throw new Error(`its metadata claims a list of ${length} elements in ${this.#bytes.length - this.#at} bytes`);
    // a list of lists nests as well
    if (depth >= DEPTH_MAX) throw new Error(`its metadata nests more than ${DEPTH_MAX} deep`);
    for (let i = 0; i < length; i++) this.#value(head & 0x0f, depth + 1);
  }

  #byte(): number {
    if (this.#at >= this.#bytes.length) throw new Error('its metadata ends in the middle');
    return this.#bytes[this.#at++];
  }

  #skip(bytes: number): void {
    if (!(bytes <= this.#bytes.length - this.#at)) throw new Error('its metadata ends in the middle');
    this.#at += bytes;
  }

  #varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      if (scale > 2 ** 63) throw new Error('its metadata has a number of more than 64 bits');
    }
  }
}
