/** The values of a PLAIN page of BYTE_ARRAYs, where they lie. Source: Apache Parquet format, "Plain". */

/** One after the other: value i is bytes [starts[i], ends[i]). */
export interface TextValues {
  readonly bytes: Uint8Array;
  readonly starts: Int32Array;
  readonly ends: Int32Array;
}

/** Of bytes [at, end). Throws an Error where they do not hold so many. */
export function plainValues(bytes: Uint8Array, at: number, end: number, count: number): TextValues {
  // each takes the 4 bytes of its length
  if (!(count >= 0 && 4 * count <= end - at)) throw new Error(`${end - at} bytes that claim ${count} values`);
  const starts = new Int32Array(count);
  const ends = new Int32Array(count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let next = at;
  for (let i = 0; i < count; i++) {
    if (next + 4 > end) throw new Error(ENDS_EARLY);
    const length = view.getUint32(next, true);
    starts[i] = next + 4;
    next += 4 + length;
    if (next > end) throw new Error(ENDS_EARLY);
    ends[i] = next;
  }
  return { bytes, starts, ends };
}

export const ENDS_EARLY = 'a page ends before its values do';
