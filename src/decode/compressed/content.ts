/**
 * The content of an object, decompressed where it is compressed, by positions in that content: what every format without compression of its own reads.
 *
 *   stored   [ part 0 ][ part 1 ][ part 2 ] …        frames of zstd, members of bgzip, some together; else one part
 *   content  0 ········ c1 ······ c2 ······ …        each part can be read without those before it
 *
 * `passContent` goes over an object once, and finds its parts; `openContent` reads within a run of parts, forward, in bounded memory.
 */
import { HeadraceError } from '../../core/errors.js';
import { throwIfAborted } from '../../core/abort.js';
import type { ByteRange, Store } from '../../store/store.js';
import { requestEnd } from '../request-end.js';
import { codecOfPath, type ContentCodec } from './codec.js';
import { ContentError, decompress } from './decompress.js';
import { FrameError, FrameWalker } from './frames.js';
import { HeldPieces } from './held-pieces.js';
import { CONTENT_LIMITS } from './limits.js';

/** Which object, and in which version. */
export interface ContentObject {
  /** Path in the store: its ending says how the content is stored, where `codec` does not. */
  readonly path: string;
  readonly codec?: ContentCodec;
  /** For messages. */
  readonly uri: string;
  readonly size: number;
  readonly etag: string;
}

/** Content that can be read alone. Stored bytes [startByte, endByte) hold content from `contentByte` on, up to the next part's. */
export interface ContentPart {
  readonly startByte: number;
  readonly endByte: number;
  readonly contentByte: number;
}

/** Reads forward; goes back at the price of starting again. Not for two calls at once. */
export interface ContentReader {
  /** Stored ranges that were read since the content was last begun: to be read anew, where they are damaged. */
  readonly ranges: readonly ByteRange[];
  /**
   * Content bytes [startByte, endByte), counted from the first of the stored range: fewer only where the content ends, and it is known then that all of it
   * is whole. What was read from the last `startByte` on is held. The caller owns the array, the only view of its buffer. Errors: those of `Store.read`,
   * `SHARD_INVALID`, `SHARD_UNSUPPORTED`.
   */
  read(startByte: number, endByte: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
}

/** `range`: stored bytes of one or more parts; of a plain object any. */
export function openContent(store: Store, object: ContentObject, range: ByteRange): ContentReader {
  return new HeldContent(store, object, range);
}

/** Parts are known as they begin; the last one ends where it is known to when the pieces have come to their end. */
export interface ContentPass {
  readonly pieces: AsyncGenerator<Uint8Array, void, undefined>;
  /** A plain object has none: any range of it can be read. */
  readonly parts: readonly ContentPart[];
}

/** The part that has a byte of the content. */
export function partOf(parts: readonly ContentPart[], byte: number): ContentPart {
  let low = 0;
  let high = parts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (parts[middle].contentByte <= byte) low = middle;
    else high = middle - 1;
  }
  return parts[low];
}

/** Every byte of the content, once, in order. Errors: those of `ContentReader.read`. */
export function passContent(store: Store, object: ContentObject, signal?: AbortSignal): ContentPass {
  const parts: ContentPart[] = [];
  const codec = object.codec ?? codecOfPath(object.path);
  const stored = new StoredParts(store, object, { startByte: 0, endByte: object.size }, codec === 'plain' ? undefined : codec, signal);
  const pieces = codec === 'plain' ? plainPieces(() => stored.pull()) : partPieces(codec, stored, parts, object);
  return { pieces, parts };
}

async function* plainPieces(pull: () => Promise<Uint8Array | undefined>): AsyncGenerator<Uint8Array, void, undefined> {
  for (let bytes = await pull(); bytes !== undefined; bytes = await pull()) yield bytes;
}

async function* partPieces(
  codec: Exclude<ContentCodec, 'plain'>,
  stored: StoredParts,
  parts: ContentPart[],
  object: ContentObject,
): AsyncGenerator<Uint8Array, void, undefined> {
  let contentByte = 0;
  for (let startByte = 0; startByte < object.size; startByte = stored.position) {
    const part = { startByte, endByte: object.size, contentByte };
    parts.push(part);
    try {
      for await (const piece of decompress(codec, () => stored.pull())) {
        contentByte += piece.length;
        yield piece;
      }
    } catch (error) {
      throw contentError(error, object, contentByte);
    }
    part.endByte = stored.position;
    stored.nextPart();
  }
}

/** Stored bytes in order, cut where a part ends. */
class StoredParts {
  readonly #store: Store;
  readonly #object: ContentObject;
  readonly #range: ByteRange;
  readonly #walker: FrameWalker | undefined;
  signal: AbortSignal | undefined;
  /** Read and not yet pulled; and where parts end in it. */
  #bytes: Uint8Array = new Uint8Array(0);
  #cuts: number[] = [];
  #at = 0;
  #partStored = 0;
  #partContent = 0;
  #partEnded = false;
  #readEnd: number;

  constructor(
    store: Store,
    object: ContentObject,
    range: ByteRange,
    codec: Exclude<ContentCodec, 'plain'> | undefined,
    signal?: AbortSignal,
  ) {
    this.#store = store;
    this.#object = object;
    this.#range = range;
    this.#walker = codec && new FrameWalker(codec);
    this.#readEnd = range.startByte;
    this.signal = signal;
  }

  /** Of the next byte to be pulled. */
  get position(): number {
    return this.#readEnd - this.#bytes.length + this.#at;
  }

  get readRange(): ByteRange {
    return { startByte: this.#range.startByte, endByte: this.#readEnd };
  }

  /** `undefined` where the part, or everything, has ended. */
  async pull(): Promise<Uint8Array | undefined> {
    if (this.#partEnded) return undefined;
    if (this.#at === this.#bytes.length) {
      if (this.#readEnd === this.#range.endByte) return undefined;
      await this.#read();
    }
    const [cut] = this.#cuts;
    const end = this.#cuts.length === 0 ? this.#bytes.length : cut;
    const piece = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    if (this.#cuts.length > 0) {
      this.#cuts.shift();
      this.#partEnded = true;
    }
    return piece;
  }

  nextPart(): void {
    this.#partEnded = false;
  }

  async #read(): Promise<void> {
    const { path, etag } = this.#object;
    const startByte = this.#readEnd;
    const endByte = Math.min(this.#range.endByte, startByte + CONTENT_LIMITS.readBytes);
    throwIfAborted(this.signal);
    this.#bytes = await this.#store.read(path, { startByte, endByte }, { ifMatch: etag, ...(this.signal && { signal: this.signal }) });
    this.#readEnd = endByte;
    this.#at = 0;
    this.#cuts = this.#walker === undefined ? [] : this.#cutsIn(this.#walker);
  }

  #cutsIn(walker: FrameWalker): number[] {
    const cuts: number[] = [];
    let before = 0;
    try {
      for (const { endByte, element } of walker.push(this.#bytes)) {
        this.#partStored += endByte - before;
        before = endByte;
        if (element.kind !== 'frame') continue;
        this.#partContent += element.contentBytes ?? 0;
        const isLarge = this.#partContent >= CONTENT_LIMITS.partContentBytesMin || this.#partStored >= CONTENT_LIMITS.partStoredBytesMin;
        if (!isLarge || endByte === 0) continue;
        cuts.push(endByte);
        this.#partStored = 0;
        this.#partContent = 0;
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      return cuts; // whoever decompresses it finds the same
    }
    this.#partStored += this.#bytes.length - before;
    return cuts;
  }
}

/** A stream, and the content that is held of it. */
class HeldContent implements ContentReader {
  readonly #store: Store;
  readonly #object: ContentObject;
  readonly #range: ByteRange;
  readonly #codec: ContentCodec;
  #stored: StoredParts | undefined;
  #pieces: AsyncGenerator<Uint8Array, void, undefined> | undefined;
  #held = new HeldPieces();
  #plainRanges: ByteRange[] = [];

  constructor(store: Store, object: ContentObject, range: ByteRange) {
    this.#store = store;
    this.#object = object;
    this.#range = range;
    this.#codec = object.codec ?? codecOfPath(object.path);
  }

  get ranges(): readonly ByteRange[] {
    return this.#stored === undefined ? this.#plainRanges : [this.#stored.readRange];
  }

  async read(startByte: number, endByte: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    throwIfAborted(signal);
    if (startByte < this.#held.startByte) this.#restart();
    try {
      this.#held.dropBefore(startByte);
      while (this.#held.endByte < endByte) {
        const piece = this.#codec === 'plain' ? await this.#readPlain(startByte, endByte, signal) : await this.#next(this.#codec, signal);
        if (piece === undefined) break;
        this.#held.push(piece);
        this.#held.dropBefore(startByte);
      }
    } catch (error) {
      const content = this.#held.endByte;
      const { ranges } = this;
      this.#restart(); // the stream is of no use any more; who reads again begins again
      this.#plainRanges = [...ranges];
      throw contentError(error, this.#object, content);
    }
    return this.#held.copy(startByte, endByte);
  }

  async #next(codec: Exclude<ContentCodec, 'plain'>, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const stored = (this.#stored ??= new StoredParts(this.#store, this.#object, this.#range, undefined));
    this.#pieces ??= decompress(codec, () => stored.pull());
    stored.signal = signal;
    const next = await this.#pieces.next();
    return next.done === true ? undefined : next.value;
  }

  /** What nobody asks for is not read. */
  async #readPlain(startByte: number, endByte: number, signal: AbortSignal): Promise<Uint8Array | undefined> {
    if (this.#held.isEmpty && startByte > this.#held.endByte) this.#held = new HeldPieces(startByte);
    const start = this.#range.startByte + this.#held.endByte;
    const { endByte: lastByte } = this.#range;
    const end = requestEnd(start, Math.min(lastByte, this.#range.startByte + endByte), lastByte);
    if (start >= end) return undefined;
    const held = this.#range.startByte + this.#held.startByte;
    this.#plainRanges = [...this.#plainRanges.filter((range) => range.endByte > held), { startByte: start, endByte: end }];
    return this.#store.read(this.#object.path, { startByte: start, endByte: end }, { ifMatch: this.#object.etag, signal });
  }

  #restart(): void {
    void this.#pieces?.return(undefined).catch(() => undefined); // it is over either way
    this.#pieces = undefined;
    this.#stored = undefined;
    this.#held = new HeldPieces();
    this.#plainRanges = [];
  }
}

/** What is wrong with an object whose content cannot be read. */
function contentError(error: unknown, { uri }: ContentObject, contentByte: number): unknown {
  if (!(error instanceof ContentError)) return error;
  const after = `after ${contentByte} bytes of content`;
  return error.isUnsupported
    ? new HeadraceError('SHARD_UNSUPPORTED', `${uri}, ${after}: ${error.message}`, {
        detail: { uri, contentByte },
        hint: 'Write it again: without a dictionary, with a window of at most 128 MiB, or not compressed.',
        cause: error.cause,
      })
    : new HeadraceError('SHARD_INVALID', `${uri} is damaged ${after}: ${error.message}`, {
        detail: { uri, contentByte },
        hint: 'Write the file again, or take it out of the source; `badBlocks: skip` leaves damaged rows out.',
        cause: error.cause,
      });
}
