/** A packed sequence, and the form of its segments: what packing makes, lanes carry, and batches are built from. */
import { releaseBuffer } from './raw-memory.js';

/** `source, shard, row, tokenStart, length, flags`; docs/wire.md has their meaning. */
export const SEGMENT_FIELDS = 6;
/** Place of `length` and `flags` in a segment. */
export const SEGMENT_LENGTH = 4;
export const SEGMENT_FLAGS = 5;
/** Flags: the segment holds the document's first token, its last one. */
export const SEGMENT_FIRST = 1;
export const SEGMENT_LAST = 2;
/** Source of a segment of padding. */
export const SOURCE_PADDING = -1;
/** SHA-256. */
export const DIGEST_BYTES = 32;

/** The bit of a token on its way through packing that does not count for the loss: the sign, which no id has. */
export const WITHOUT_LOSS = -0x80000000;

/** The ids of a document on their way into sequences: of 16 bits where these hold them, which is half of what a window of ids takes. */
export type TokenArray = Int32Array | Uint16Array;

export interface Sequence {
  /** [length]; of samples without tokens none */
  readonly ids: Int32Array;
  /** [segments × SEGMENT_FIELDS] */
  readonly segments: Int32Array;
  /** [length] 1 where a token counts for the loss; `undefined`: wherever it is no padding. */
  readonly lossMask?: Uint8Array | undefined;
  readonly digest: Uint8Array;
  /** Tokens that are not padding. */
  readonly tokens: number;
  /** Of samples: the bytes of each field, in order of name. */
  readonly fields?: readonly Uint8Array[] | undefined;
  /** Called once, by whoever drops it last: its arrays are empty as soon as those that share its memory were dropped, too. */
  readonly release?: (() => void) | undefined;
}

/** The fields of the samples of a chunk in one buffer: sample after sample, field after field. */
export interface ChunkFields {
  readonly count: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** [samples × count + 1] byte positions into `bytes`. */
  readonly bounds: Float64Array<ArrayBuffer>;
}

/** Sequences as columns: one buffer each, transferred between threads. */
export interface SequenceChunk {
  readonly count: number;
  /** [count × length] */
  readonly ids: Int32Array<ArrayBuffer>;
  /** [segments × SEGMENT_FIELDS] */
  readonly segments: Int32Array<ArrayBuffer>;
  /** [count + 1] segments before each sequence. */
  readonly segmentBounds: Int32Array<ArrayBuffer>;
  /** [count × 2] document and token of the position after each sequence. */
  readonly ends: Int32Array<ArrayBuffer>;
  /** [count × length], as of each sequence; `undefined` where none has one. */
  readonly lossMask: Uint8Array<ArrayBuffer> | undefined;
  /** [count × DIGEST_BYTES] SHA-256 of each sequence's ids and segments, and of its mask where that says more than these. */
  readonly digests: Uint8Array<ArrayBuffer>;
  /** Of samples. */
  readonly fields?: ChunkFields;
}

/** What it takes in memory, but for a few words. */
export function bytesOfSequence({ ids, fields }: Sequence): number {
  return fields === undefined ? ids.byteLength : fields.reduce((sum, { byteLength }) => sum + byteLength, ids.byteLength);
}

/** What each sequence of a chunk is released by: the last one gives the memory of all of them back. */
export function releaseOfChunk({ count, ids, lossMask, fields }: SequenceChunk): () => void {
  let held = count;
  return () => {
    held--;
    if (held > 0) return;
    releaseBuffer(ids.buffer);
    if (lossMask !== undefined) releaseBuffer(lossMask.buffer);
    if (fields !== undefined) releaseBuffer(fields.bytes.buffer);
  };
}

/** Sequence `index` of a chunk, as views. All have one form, since there are thousands a second. */
export function sequenceOfChunk(chunk: SequenceChunk, index: number, length: number, release?: () => void): Sequence {
  const segments = chunk.segments.subarray(chunk.segmentBounds[index] * SEGMENT_FIELDS, chunk.segmentBounds[index + 1] * SEGMENT_FIELDS);
  return {
    ids: chunk.ids.subarray(index * length, (index + 1) * length),
    segments,
    lossMask: chunk.lossMask?.subarray(index * length, (index + 1) * length),
    digest: chunk.digests.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES),
    tokens: length - paddingOf(segments),
    fields: chunk.fields && fieldsOfSample(chunk.fields, index),
    release,
  };
}

/** Views: a sample that is kept keeps its chunk. */
function fieldsOfSample({ count, bytes, bounds }: ChunkFields, index: number): Uint8Array[] {
  return Array.from({ length: count }, (_, field) => {
    const at = index * count + field;
    return bytes.subarray(bounds[at], bounds[at + 1]);
  });
}

/** Padding is a sequence's last segment. */
function paddingOf(segments: Int32Array): number {
  const last = segments.length - SEGMENT_FIELDS;
  return segments[last] === SOURCE_PADDING ? segments[last + SEGMENT_LENGTH] : 0;
}

/**
 * The mask of a row, where it says more than its padding: for that alone a digest has it, so that rows without a mask have the digest that they always had.
 * `rowStart`: of the row in `lossMask`. `segments`: of the row.
 */
export function tellingMask(
  lossMask: Uint8Array | undefined,
  rowStart: number,
  length: number,
  segments: Int32Array,
): Uint8Array | undefined {
  const masksTokens = lossMask?.subarray(rowStart, rowStart + length - paddingOf(segments)).includes(0);
  return masksTokens === true ? lossMask?.subarray(rowStart, rowStart + length) : undefined;
}
