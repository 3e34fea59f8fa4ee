/**
 * Decodes LZ4 frames, as Arrow's buffers are compressed. Checksums are passed over: Arrow's writers leave them out.
 * Source: "LZ4 Frame Format Description" and "LZ4 Block Format Description" of the lz4 project.
 *
 *   frame   magic │ flags, sizes │ block │ block │ … │ 0      blocks may refer to those before them
 *   block   length (highest bit: stored as it is) │ sequences of literals and matches
 */

const MAGIC = 0x184d2204;
const SKIPPABLE = 0x184d2a50;
/** Under this many bytes a loop is quicker than a call. */
const CALL_BYTES = 24;

/** So many bytes of one or more frames, exactly. Throws an Error that says what is damaged. */
export function decodeLz4Frames(frames: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(length);
  const view = new DataView(frames.buffer, frames.byteOffset, frames.length);
  let at = 0;
  let written = 0;
  while (at < frames.length) {
    const magic = uint32(view, at);
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE) {
      at += 8 + uint32(view, at + 4);
      continue;
    }
    if (magic !== MAGIC || at + 7 > frames.length) throw new Error('a buffer is no LZ4 frame');
    const flags = frames[at + 4];
    if (flags >>> 6 !== 1) throw new Error('a buffer has another version of LZ4 frames');
    const hasBlockChecksums = (flags & 0x10) !== 0;
    at += 7 + ((flags & 8) !== 0 ? 8 : 0) + ((flags & 1) !== 0 ? 4 : 0);
    for (;;) {
      const blockLength = uint32(view, at);
      at += 4;
      if (blockLength === 0) break;
      const end = at + (blockLength & 0x7fffffff);
      if (end > frames.length) throw new Error('a block of a buffer ends beyond it');
      if (blockLength >>> 31 === 1) {
        if (written + end - at > length) throw new Error('a buffer decodes to more than it says');
        out.set(frames.subarray(at, end), written);
        written += end - at;
      } else {
        written = decodeBlock(frames, at, end, out, written);
      }
      at = end + (hasBlockChecksums ? 4 : 0);
    }
    if ((flags & 4) !== 0) at += 4;
  }
  if (written !== length) throw new Error(`a buffer decodes to ${written} bytes where it says ${length}`);
  return out;
}

function uint32(view: DataView, at: number): number {
  if (at + 4 > view.byteLength) throw new Error('an LZ4 frame ends early');
  return view.getUint32(at, true);
}

/** Answers where the decoded bytes end. */
function decodeBlock(bytes: Uint8Array, start: number, end: number, out: Uint8Array, written: number): number {
  let at = start;
  let to = written;
  while (at < end) {
    const token = bytes[at++];
    let literals = token >>> 4;
    if (literals === 15) {
      let byte = 255;
      while (byte === 255 && at < end) literals += byte = bytes[at++];
    }
    const literalsEnd = at + literals;
    if (literalsEnd > end || to + literals > out.length) throw new Error('a buffer is compressed wrongly');
    if (literals > CALL_BYTES) {
      out.set(bytes.subarray(at, literalsEnd), to);
      to += literals;
      at = literalsEnd;
    } else while (at < literalsEnd) out[to++] = bytes[at++];
    if (at === end) return to; // the last sequence has no match
    if (at + 2 > end) throw new Error('a buffer is compressed wrongly');
    const distance = bytes[at] | (bytes[at + 1] << 8);
    at += 2;
    let match = (token & 15) + 4;
    if (match === 19) {
      let byte = 255;
      while (byte === 255 && at < end) match += byte = bytes[at++];
    }
    let from = to - distance;
    const matchEnd = to + match;
    if (distance === 0 || from < 0 || matchEnd > out.length) throw new Error('a buffer is compressed wrongly');
    if (match > CALL_BYTES && distance >= match) {
      out.copyWithin(to, from, from + match);
      to = matchEnd;
    } else while (to < matchEnd) out[to++] = out[from++];
  }
  return to;
}
