/** The bytes of an archive in ascending order, for the pass over its headers: those of a plain object where they lie, or the content of a compressed one. */
import type { ObjectInfo, Store } from '../../store/store.js';
import { codecOfPath } from './codec.js';
import { passContent, type ContentPart } from './content.js';

export interface Archive {
  /** In bytes; `undefined` as long as a compressed one has not come to its end. */
  readonly size: number | undefined;
  /** Of a compressed object, as far as they have begun: see `ContentPass`. */
  readonly parts: readonly ContentPart[] | undefined;
  /** Bytes [startByte, endByte), or fewer where the archive ends; never before an earlier `startByte`. The caller owns them. Errors: those of `Store.read`, `ContentReader.read`. */
  read(startByte: number, endByte: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

export function openArchive(store: Store, object: ObjectInfo, signal: AbortSignal): Archive {
  return codecOfPath(object.path) === 'plain' ? plainArchive(store, object, signal) : new PassedArchive(store, object, signal);
}

function plainArchive(store: Store, { path, size, etag }: ObjectInfo, signal: AbortSignal): Archive {
  return {
    size,
    parts: undefined,
    read: (startByte, endByte) => store.read(path, { startByte, endByte: Math.min(size, endByte) }, { ifMatch: etag, signal }),
    close: () => Promise.resolve(),
  };
}

/** All of it is decompressed, and what nobody asks for is dropped: it is known to be whole then. */
class PassedArchive implements Archive {
  readonly #pieces: AsyncGenerator<Uint8Array, void, undefined>;
  readonly parts: readonly ContentPart[];
  /** Consecutive, up to #endByte. */
  #held: Uint8Array[] = [];
  #startByte = 0;
  #endByte = 0;
  #hasEnded = false;

  constructor(store: Store, object: ObjectInfo, signal: AbortSignal) {
    ({ pieces: this.#pieces, parts: this.parts } = passContent(store, { ...object, uri: store.uri + object.path }, signal));
  }

  get size(): number | undefined {
    return this.#hasEnded ? this.#endByte : undefined;
  }

  async read(startByte: number, endByte: number): Promise<Uint8Array> {
    this.#dropBefore(startByte);
    // a byte more, so that the end is known where it is read
    while (this.#endByte <= endByte && !this.#hasEnded) {
      const next = await this.#pieces.next();
      if (next.done === true) this.#hasEnded = true;
      else {
        this.#held.push(next.value);
        this.#endByte += next.value.length;
        this.#dropBefore(startByte);
      }
    }
    const bytes = new Uint8Array(Math.max(0, Math.min(endByte, this.#endByte) - startByte));
    let at = this.#startByte;
    for (const piece of this.#held) {
      const from = Math.max(startByte, at);
      const to = Math.min(endByte, at + piece.length);
      if (from < to) bytes.set(piece.subarray(from - at, to - at), from - startByte);
      at += piece.length;
    }
    return bytes;
  }

  async close(): Promise<void> {
    await this.#pieces.return(undefined);
  }

  #dropBefore(byte: number): void {
    while (this.#held.length > 0 && this.#startByte + this.#held[0].length <= byte) this.#startByte += this.#held.shift()?.length ?? 0;
  }
}
