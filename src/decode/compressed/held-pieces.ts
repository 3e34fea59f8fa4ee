/** What is held of content that comes in pieces, one after the other: from the first byte that may still be asked for to the last that has come. */
export class HeldPieces {
  #pieces: Uint8Array[] = [];
  #startByte: number;
  #endByte: number;

  /** `byte`: where the first piece will start. */
  constructor(byte = 0) {
    this.#startByte = this.#endByte = byte;
  }

  get isEmpty(): boolean {
    return this.#pieces.length === 0;
  }

  get startByte(): number {
    return this.#startByte;
  }

  get endByte(): number {
    return this.#endByte;
  }

  push(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.#endByte += piece.length;
  }

  /** Whole pieces: nobody asks for what is before this byte. */
  dropBefore(byte: number): void {
    while (this.#pieces.length > 0 && this.#startByte + this.#pieces[0].length <= byte)
      this.#startByte += this.#pieces.shift()?.length ?? 0;
  }

  /** Bytes [startByte, endByte), or fewer where less has come, in a buffer of their own. None of them was dropped. */
  copy(startByte: number, endByte: number): Uint8Array<ArrayBuffer> {
    const copy = new Uint8Array(Math.max(0, Math.min(endByte, this.#endByte) - startByte));
    let at = this.#startByte;
    for (const piece of this.#pieces) {
      const from = Math.max(startByte, at);
      const to = Math.min(endByte, at + piece.length);
      if (from < to) copy.set(piece.subarray(from - at, to - at), from - startByte);
      at += piece.length;
    }
    return copy;
  }
}
