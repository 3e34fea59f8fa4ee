/** Collects packed sequences into the arrays that cross from a worker to the main thread. */
import { createHash } from 'node:crypto';
import { rawBytes, rawInt32 } from '../core/raw-memory.js';
import {
  DIGEST_BYTES,
  SEGMENT_FIELDS,
  SEGMENT_FIRST,
  SEGMENT_LAST,
  SOURCE_PADDING,
  tellingMask,
  WITHOUT_LOSS,
  type ChunkFields,
  type SequenceChunk,
  type TokenArray,
} from '../core/sequence.js';
import type { PackPosition, Sample } from './packer.js';
import { documentOfToken } from './row-documents.js';

/** Where a document comes from: what a segment says besides its tokens. */
export interface Provenance {
  readonly source: number;
  shard(document: number): number;
  row(document: number): number;
}

export class SequenceWriter {
  readonly length: number;
  readonly #padId: number;
  readonly #sequencesMax: number;
  readonly #masked: boolean;
  readonly #provenance: Provenance;
  readonly #ids: Int32Array<ArrayBuffer>;
  readonly #ends: number[] = [];
  readonly #segmentBounds: number[] = [0];
  #segments: number[] = [];
  #count = 0;
  #filled = 0;
  #dropped = 0;
  /** Of samples: the fields of each, in copies of their own once the chunk is made. */
  readonly #samples: (readonly Uint8Array[])[] = [];
  #fieldBytes = 0;

  constructor(options: {
    readonly length: number;
    readonly padId: number;
    readonly sequencesMax: number;
    readonly provenance: Provenance;
    /** `false`: samples without tokens. */
    readonly hasIds?: boolean;
    /** Tokens may have the bit `WITHOUT_LOSS`. */
    readonly masked?: boolean;
  }) {
    this.length = options.length;
    this.#padId = options.padId;
    this.#sequencesMax = options.sequencesMax;
    this.#provenance = options.provenance;
    this.#masked = options.masked ?? false;
    this.#ids = rawInt32(options.hasIds === false ? 0 : options.sequencesMax * options.length);
  }

  get isFull(): boolean {
    return this.#count === this.#sequencesMax;
  }

  /** Tokens in the open sequence. */
  get filled(): number {
    return this.#filled;
  }

  /** Appends tokens [start, start + take) of a document to the open sequence: a segment, or with `ends` (see `DocumentSource`) as many as it has documents there. */
  add(document: number, tokens: TokenArray, start: number, take: number, ends?: Int32Array): void {
    this.#ids.set(tokens.subarray(start, start + take), this.#count * this.length + this.#filled);
    this.#filled += take;
    if (ends === undefined) {
      this.#addSegment(document, start, start + take, 0, tokens.length);
      return;
    }
    let at = start;
    for (let own = documentOfToken(ends, start); at < start + take; own++) {
      const end = Math.min(start + take, ends[own]);
      this.#addSegment(document, at, end, own === 0 ? 0 : ends[own - 1], ends[own]);
      at = end;
    }
  }

  /** Tokens [start, end) of the row, of its document [documentStart, documentEnd). */
  #addSegment(document: number, start: number, end: number, documentStart: number, documentEnd: number): void {
    const flags = (start === documentStart ? SEGMENT_FIRST : 0) | (end === documentEnd ? SEGMENT_LAST : 0);
    const { source } = this.#provenance;
    this.#segments.push(source, this.#provenance.shard(document), this.#provenance.row(document), start, end - start, flags);
  }

  /** A sample: what of its tokens fits. One without tokens has a segment of length 1: the row's samples count as its tokens. */
  addSample(document: number, { tokens, tokenStart, fields }: Sample): void {
    if (tokens === undefined) {
      this.#addSegment(document, tokenStart, tokenStart + 1, tokenStart, tokenStart + 1);
      this.#filled = this.length;
    } else {
      const take = Math.min(this.length, tokens.length);
      this.#ids.set(tokens.subarray(0, take), this.#count * this.length);
      this.#filled = take;
      this.#addSegment(document, tokenStart, tokenStart + take, tokenStart, tokenStart + tokens.length);
      this.drop(tokens.length - take);
    }
    this.#samples.push(fields);
    for (const { byteLength } of fields) this.#fieldBytes += byteLength;
  }

  /** Of all samples. */
  get fieldBytes(): number {
    return this.#fieldBytes;
  }

  /** Tokens that are in no sequence, as the configuration says. */
  get dropped(): number {
    return this.#dropped;
  }

  drop(tokens: number): void {
    this.#dropped += tokens;
  }

  /** Pads and closes the open sequence; `end` is the position after it. */
  finish(end: PackPosition): void {
    const padding = this.length - this.#filled;
    if (padding > 0) {
      const start = this.#count * this.length + this.#filled;
      this.#ids.fill(this.#masked ? this.#padId | WITHOUT_LOSS : this.#padId, start, start + padding);
      this.#segments.push(SOURCE_PADDING, 0, 0, 0, padding, 0);
    }
    this.#ends.push(end.document, end.token);
    this.#segmentBounds.push(this.#segments.length / SEGMENT_FIELDS);
    this.#count++;
    this.#filled = 0;
  }

  toChunk(): SequenceChunk {
    const count = this.#count;
    const ids = count === this.#sequencesMax ? this.#ids : this.#ids.slice(0, count * this.length);
    const lossMask = this.#masked ? takeMask(ids) : undefined;
    const segments = Int32Array.from(this.#segments);
    const segmentBounds = Int32Array.from(this.#segmentBounds);
    const digests = new Uint8Array(count * DIGEST_BYTES);
    for (let i = 0; i < count; i++) {
      const row = ids.subarray(i * this.length, (i + 1) * this.length);
      const own = segments.subarray(segmentBounds[i] * SEGMENT_FIELDS, segmentBounds[i + 1] * SEGMENT_FIELDS);
      const mask = tellingMask(lossMask, i * this.length, this.length, own);
      digests.set(sequenceDigest(row, own, mask, this.#samples.at(i)), i * DIGEST_BYTES);
    }
    const fields = this.#samples.length === 0 ? undefined : joinFields(this.#samples, this.#fieldBytes);
    return { count, ids, segments, segmentBounds, lossMask, ends: Int32Array.from(this.#ends), digests, ...(fields && { fields }) };
  }
}

function joinFields(samples: readonly (readonly Uint8Array[])[], total: number): ChunkFields {
  const count = samples[0].length;
  const bytes = rawBytes(total);
  const bounds = new Float64Array(samples.length * count + 1);
  let at = 0;
  let next = 1;
  for (const fields of samples) {
    for (const field of fields) {
      bytes.set(field, at);
      at += field.byteLength;
      bounds[next++] = at;
    }
  }
  return { count, bytes, bounds };
}

/** Takes the bits out of the ids. A mask beside them from the start would have to go the way of every packer. */
function takeMask(ids: Int32Array): Uint8Array<ArrayBuffer> {
  const mask = new Uint8Array(ids.length);
  for (let i = 0; i < ids.length; i++) {
    mask[i] = ids[i] >= 0 ? 1 : 0;
    ids[i] &= ~WITHOUT_LOSS;
  }
  return mask;
}

/**
 * SHA-256 over the ids, the segments, and the mask where it says more (see `tellingMask`), as they are on the wire; of samples then of each field the number of
 * its bytes (int64), and these.
 */
export function sequenceDigest(
  ids: Int32Array,
  segments: Int32Array,
  lossMask?: Uint8Array,
  fields: readonly Uint8Array[] = [],
): Uint8Array {
  const hash = createHash('sha256').update(littleEndian(ids)).update(littleEndian(segments));
  if (lossMask !== undefined) hash.update(lossMask);
  for (const field of fields) hash.update(new Uint8Array(BigInt64Array.of(BigInt(field.byteLength)).buffer)).update(field);
  return hash.digest();
}

/** Node runs on little-endian machines only, as its typed arrays do. */
function littleEndian(array: Int32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
