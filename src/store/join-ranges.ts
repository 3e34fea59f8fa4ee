/** Which byte ranges of one object are better read by one request. After `merge_ranges` of the Rust crate object_store. */
import type { ByteRange } from './store.js';

export interface JoinLimits {
  /** Bytes between two ranges that may be read for nothing. */
  readonly gapBytesMax: number;
  /** No joined range is longer; one that is longer by itself stays as it is. */
  readonly joinedBytesMax: number;
}

/** A range to read, and the ranges that lie in it. */
export interface JoinedRange<R extends ByteRange> extends ByteRange {
  readonly ranges: readonly R[];
}

/** In ascending order, each of `ranges` in exactly one. */
export function joinRanges<R extends ByteRange>(ranges: readonly R[], { gapBytesMax, joinedBytesMax }: JoinLimits): JoinedRange<R>[] {
  const joined: { startByte: number; endByte: number; readonly ranges: R[] }[] = [];
  for (const range of [...ranges].sort((a, b) => a.startByte - b.startByte || b.endByte - a.endByte)) {
    const last = joined.at(-1);
    const inside = last !== undefined && range.endByte <= last.endByte;
    const near = last !== undefined && range.startByte - last.endByte <= gapBytesMax && range.endByte - last.startByte <= joinedBytesMax;
    if (last !== undefined && (inside || near)) {
      last.endByte = Math.max(last.endByte, range.endByte);
      last.ranges.push(range);
    } else {
      joined.push({ startByte: range.startByte, endByte: range.endByte, ranges: [range] });
    }
  }
  return joined;
}
