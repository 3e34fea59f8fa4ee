/** The first bytes of a Snappy block: the repetition levels of a page come first, and the values after them need not be decompressed to count rows. */

/**
 * At least `bytesWanted` decoded bytes (fewer where the block has fewer). Throws where the block is damaged.
 * Source: Snappy compressed format description (google/snappy, format_description.txt).
 */
export function snappyPrefix(block: Uint8Array, bytesWanted: number): Uint8Array {
  let at = 0;
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = block[at++];
    length += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
    if (shift > 28 || at >= block.length) throw new Error('a Snappy block without a length');
  }
  const goal = Math.min(bytesWanted, length);
  // an element that crosses the goal is decoded whole: a literal can be as long as the page, a copy has at most 64 bytes
  let out = new Uint8Array(goal + 64);
  let end = 0;
  while (end < goal) {
    if (at >= block.length) throw new Error('a Snappy block that ends early');
    const tag = block[at++];
    if ((tag & 3) === 0) {
      let literal = tag >>> 2;
      if (literal >= 60) {
        const bytes = literal - 59;
        literal = 0;
        for (let i = 0; i < bytes; i++) literal += block[at++] * 2 ** (8 * i);
      }
      const taken = Math.min(literal + 1, goal + 64 - end);
      if (!(at + taken <= block.length)) throw new Error('a Snappy literal beyond its block');
      out.set(block.subarray(at, at + taken), end);
      at += literal + 1;
      end += taken;
      continue;
    }
    let copied: number;
    let offset: number;
    if ((tag & 3) === 1) {
      copied = 4 + ((tag >>> 2) & 7);
      offset = ((tag >>> 5) << 8) | block[at++];
    } else {
      copied = 1 + (tag >>> 2);
      offset = block[at] | (block[at + 1] << 8);
      at += 2;
      if ((tag & 3) === 3) {
        offset += (block[at] + block[at + 1] * 256) * 65_536;
        at += 2;
      }
    }
    if (!(offset > 0 && offset <= end)) throw new Error('a Snappy copy from before its block');
    if (end + copied > out.length) {
      const larger = new Uint8Array(end + copied);
      larger.set(out);
      out = larger;
    }
    for (let i = 0; i < copied; i++, end++) out[end] = out[end - offset];
  }
  return out.subarray(0, end);
}
