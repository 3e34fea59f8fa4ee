/**
 * Where the frames of a compressed object end, and the elements in them, found while its bytes pass by: nothing is decompressed, and nothing is held but
 * the bytes of a header.
 *
 *   bgzip   member │ member │ …            a member's header says how long it is (the SAM specification, section 4.1)
 *   zstd    header │ block │ … │ checksum   each block's header says how long it is (RFC 8878, section 3.1)
 *   gzip    one part, whatever is in it: only decompressing it shows where a member ends
 */
import type { ContentCodec } from './codec.js';

export interface ZstdFrameHeader {
  readonly windowBytes: number;
  /** What the frame says of its content; `undefined`: nothing. */
  readonly contentBytes: number | undefined;
  readonly dictionaryId: number;
  readonly hasChecksum: boolean;
}

/** What has just ended. */
export type FrameElement =
  | { readonly kind: 'header'; readonly header: ZstdFrameHeader }
  | { readonly kind: 'block' }
  /** The frame, with all that belongs to it. `contentBytes`: as the frame says; `undefined`: it does not. */
  | { readonly kind: 'frame'; readonly contentBytes: number | undefined };

export interface PlacedElement {
  /** In the bytes that were pushed. */
  readonly endByte: number;
  readonly element: FrameElement;
}

/** These are no frames. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
}

/** What a walk asks for: to see bytes, to pass over bytes, or to tell of an element. */
type Step = { readonly take: number } | { readonly skip: number } | { readonly element: FrameElement };
type Walk = Generator<Step, void, Uint8Array>;

/** Throws `FrameError` from `push`. */
export class FrameWalker {
  readonly #walk: Walk;
  #step: Step | undefined;
  /** Of what is to be seen. */
  #seen: Uint8Array = new Uint8Array(0);
  #skipped = 0;
  #isBetween = true;

  constructor(codec: Exclude<ContentCodec, 'plain'>) {
    this.#walk = codec === 'zstd' ? walkZstd() : walkBgzip();
    this.#step = this.#walk.next().value ?? undefined;
  }

  /** Nothing of a frame has begun that has not ended, as far as is known. */
  get isBetweenFrames(): boolean {
    return this.#isBetween || this.#step === undefined;
  }

  /** The elements that end in these bytes, which follow those of the calls before. */
  push(bytes: Uint8Array): PlacedElement[] {
    const elements: PlacedElement[] = [];
    let at = 0;
    for (;;) {
      const step = this.#step;
      if (step === undefined) return elements;
      if ('element' in step) {
        elements.push({ endByte: at, element: step.element });
        if (step.element.kind === 'frame') this.#isBetween = true;
        this.#advance(NOTHING);
        continue;
      }
      const wanted = 'take' in step ? step.take - this.#seen.length : step.skip - this.#skipped;
      const count = Math.min(wanted, bytes.length - at);
      if (count > 0) this.#isBetween = false;
      if ('take' in step) this.#seen = joined(this.#seen, bytes.subarray(at, at + count));
      else this.#skipped += count;
      at += count;
      if (count < wanted) return elements;
      this.#advance(this.#seen);
    }
  }

  #advance(seen: Uint8Array): void {
    this.#seen = NOTHING;
    this.#skipped = 0;
    this.#step = this.#walk.next(seen).value ?? undefined;
  }
}

const NOTHING = new Uint8Array(0);

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

const GZIP_HEADER_BYTES = 12;
const FLAG_EXTRA = 4;

/** Ends, and tells of nothing more, where a member is not one of bgzip's: from there on the object is one stream of gzip. */
function* walkBgzip(): Walk {
  for (;;) {
    const header = yield { take: GZIP_HEADER_BYTES };
    if (header[0] !== 0x1f || header[1] !== 0x8b || header[3] !== FLAG_EXTRA) return;
    const extra = yield { take: u16(header, 10) };
    const size = bgzipSize(extra);
    const restBytes = size === undefined ? -1 : size - GZIP_HEADER_BYTES - extra.length - 4;
    if (restBytes < 4) return;
    yield { skip: restBytes };
    const length = yield { take: 4 };
    yield { element: { kind: 'frame', contentBytes: u32(length, 0) } };
  }
}

/** Of the whole member: the subfield BC of two bytes holds one less. */
function bgzipSize(extra: Uint8Array): number | undefined {
  for (let at = 0; at + 4 <= extra.length; at += 4 + u16(extra, at + 2)) {
    if (extra[at] === 0x42 && extra[at + 1] === 0x43 && u16(extra, at + 2) === 2 && at + 6 <= extra.length) return u16(extra, at + 4) + 1;
  }
  return undefined;
}

const ZSTD_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const BLOCK_RLE = 1;
const BLOCK_RESERVED = 3;

function* walkZstd(): Walk {
  for (;;) {
    const magic = u32(yield { take: 4 }, 0);
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
      yield { skip: u32(yield { take: 4 }, 0) };
      yield { element: { kind: 'frame', contentBytes: 0 } };
      continue;
    }
    if (magic !== ZSTD_MAGIC) throw new FrameError('no zstd frame begins where one should');
    const header = yield* readZstdHeader();
    yield { element: { kind: 'header', header } };
    for (let isLast = false; !isLast;) {
      const block = yield { take: 3 };
      isLast = (block[0] & 1) === 1;
      const type = (block[0] >> 1) & 3;
      if (type === BLOCK_RESERVED) throw new FrameError('a zstd block of no known type');
      const size = (block[0] >> 3) | (block[1] << 5) | (block[2] << 13);
      if (size > Math.min(BLOCK_BYTES_MAX, header.windowBytes)) throw new FrameError('a zstd block is larger than any may be');
      yield { skip: type === BLOCK_RLE ? 1 : size };
      yield { element: { kind: 'block' } };
    }
    if (header.hasChecksum) yield { skip: 4 };
    yield { element: { kind: 'frame', contentBytes: header.contentBytes } };
  }
}

/** Of any block's content. */
export const BLOCK_BYTES_MAX = 128 * 2 ** 10;

function* readZstdHeader(): Generator<Step, ZstdFrameHeader, Uint8Array> {
  const [flags] = yield { take: 1 };
  if ((flags & 8) !== 0) throw new FrameError('a zstd frame header with a reserved bit');
  const singleSegment = (flags & 32) !== 0;
  const sizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][flags >> 6];
  const dictionaryBytes = [0, 1, 2, 4][flags & 3];
  const rest = yield { take: (singleSegment ? 0 : 1) + dictionaryBytes + sizeBytes };
  const dictionaryAt = singleSegment ? 0 : 1;
  const size = number(rest, dictionaryAt + dictionaryBytes, sizeBytes) + (sizeBytes === 2 ? 256 : 0);
  const contentBytes = sizeBytes === 0 ? undefined : size;
  return {
    windowBytes: singleSegment ? size : windowOf(rest[0]),
    contentBytes,
    dictionaryId: number(rest, dictionaryAt, dictionaryBytes),
    hasChecksum: (flags & 4) !== 0,
  };
}

/** An exponent, and eighths of it. */
function windowOf(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

function number(bytes: Uint8Array, at: number, width: number): number {
  let value = 0;
  for (let i = width - 1; i >= 0; i--) value = value * 256 + bytes[at + i];
  return value;
}

function u16(bytes: Uint8Array, at: number): number {
  return number(bytes, at, 2);
}

function u32(bytes: Uint8Array, at: number): number {
  return number(bytes, at, 4);
}
