/** The bytes of an archive in ascending order, for the pass over its headers: those of a plain object where they lie, or the content of a compressed one. */
import type { ObjectInfo, Store } from '../../store/store.js';
import { codecOfPath } from './codec.js';
import { passContent, type ContentPart } from './content.js';
import { HeldPieces } from './held-pieces.js';

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
    read: (startByte, endByte) =>
      store.read(path, { startByte, endByte: Math.min(size, endByte) }, { ifMatch: etag, signal, patient: true }),
    close: () => Promise.resolve(),
  };
}

/** All of it is decompressed, and what nobody asks for is dropped: it is known to be whole then. */
class PassedArchive implements Archive {
  readonly #pieces: AsyncGenerator<Uint8Array, void, undefined>;
  readonly parts: readonly ContentPart[];
  readonly #held = new HeldPieces();
  #hasEnded = false;

  constructor(store: Store, object: ObjectInfo, signal: AbortSignal) {
    ({ pieces: this.#pieces, parts: this.parts } = passContent(store, { ...object, uri: store.uri + object.path }, signal));
  }

  get size(): number | undefined {
    return this.#hasEnded ? this.#held.endByte : undefined;
  }

  async read(startByte: number, endByte: number): Promise<Uint8Array> {
    this.#held.dropBefore(startByte);
    // a byte more, so that the end is known where it is read
    while (this.#held.endByte <= endByte && !this.#hasEnded) {
      const next = await this.#pieces.next();
      if (next.done === true) this.#hasEnded = true;
      else {
        this.#held.push(next.value);
        this.#held.dropBefore(startByte);
      }
    }
    return this.#held.copy(startByte, endByte);
  }

  async close(): Promise<void> {
    await this.#pieces.return(undefined);
  }
}
