/** Runs of small numbers, as Parquet writes levels and dictionary indices. Source: Apache Parquet format, "Run Length Encoding / Bit-Packing Hybrid". */

/**
 * The first `count` numbers of `width` bits (0 to 32) in bytes [at, end), into `to`. Throws an Error where there are fewer.
 * A run is a varint with its lowest bit 0, count × 2, and the value in whole bytes; or groups of 8 packed values, their number × 2 + 1 before them.
 */
export function readRuns(bytes: Uint8Array, at: number, end: number, width: number, count: number, to: Int32Array): void {
  let seen = 0;
  let byte = at;
  const valueBytes = (width + 7) >> 3;
  while (seen < count) {
    let header = 0;
    for (let shift = 0; ; shift += 7) {
      if (byte >= end || shift > 28) throw new Error(ENDS_EARLY);
      header |= (bytes[byte] & 0x7f) << shift;
      if (bytes[byte++] < 0x80) break;
    }
    if ((header & 1) === 0) {
      const own = Math.min(header >>> 1, count - seen);
      if (byte + valueBytes > end) throw new Error(ENDS_EARLY);
      let value = 0;
      for (let i = 0; i < valueBytes; i++) value |= bytes[byte++] << (8 * i);
      to.fill(value, seen, seen + own);
      seen += own;
      if (own === 0) throw new Error('a run without values');
      continue;
    }
    const own = Math.min(8 * (header >>> 1), count - seen);
    if (own === 0) throw new Error('a run without values');
    // writers leave the last group as long as it is needed
    if (byte + ((own * width + 7) >> 3) > end) throw new Error(ENDS_EARLY);
    unpack(bytes, byte, width, own, to, seen);
    seen += own;
    byte += width * (header >>> 1);
  }
}

const ENDS_EARLY = 'a page ends before its values do';

function unpack(bytes: Uint8Array, from: number, width: number, count: number, to: Int32Array, at: number): void {
  let byte = from;
  let bits = 0; // of `held`
  let held = 0; // exact up to 2^53: at most 32 + 7 bits
  const limit = 2 ** width;
  for (let i = 0; i < count; i++) {
    while (bits < width) {
      held += bytes[byte++] * 2 ** bits;
      bits += 8;
    }
    const value = held % limit;
    to[at + i] = value;
    held = (held - value) / limit;
    bits -= width;
  }
}
