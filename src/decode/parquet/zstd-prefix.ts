/** The first bytes of a zstd frame, as of a Snappy block (snappy-prefix.ts): an eighth of a page of 1 MiB says where its rows begin. */
import { BLOCK_BYTES_MAX, FrameWalker } from '../compressed/frames.js';
import { decompressZstdUpTo } from '../zstd.js';

/** What a frame's header says of its window: an exponent, in the upper five bits of a byte, above this one. */
const WINDOW_EXPONENT_MIN = 10;
/** Larger ones are rare, and a decoder may refuse them: what they are of is left to be decompressed whole. */
const WINDOW_BYTES_MAX = 8 * 2 ** 20;
const LAST_BLOCK = 1;

/**
 * At least `bytesWanted` decoded bytes, or all that the frame has; `undefined` where it has to be decompressed whole. Its first blocks are a frame of their
 * own, if the last of them says that it is the last, and the header nothing of the content (RFC 8878, section 3.1.1). Throws where the frame is damaged.
 */
export function zstdPrefix(frame: Uint8Array, bytesWanted: number): Uint8Array | undefined {
  const elements = new FrameWalker('zstd').push(frame);
  const first = elements.at(0);
  if (first?.element.kind !== 'header') return undefined;
  const { windowBytes, dictionaryId } = first.element.header;
  const frameEnd = elements.findIndex(({ element }) => element.kind === 'frame');
  if (dictionaryId !== 0 || windowBytes > WINDOW_BYTES_MAX || frameEnd < 0) return undefined;
  const blocks = elements.slice(1, frameEnd);
  // blocks are full, mostly, but for the last; where they are not, twice as many are tried
  for (let count = Math.max(1, Math.ceil(bytesWanted / BLOCK_BYTES_MAX)); count < blocks.length; count *= 2) {
    const lastStart = count < 2 ? first.endByte : blocks[count - 2].endByte;
    const own = frameOf(frame.subarray(first.endByte, blocks[count - 1].endByte), lastStart - first.endByte, windowBytes);
    const content = decompressZstdUpTo(own, count * BLOCK_BYTES_MAX);
    if (content.length >= bytesWanted) return content;
  }
  return undefined;
}

/** `lastStart`: where the last of the blocks begins. */
function frameOf(blocks: Uint8Array, lastStart: number, windowBytes: number): Uint8Array {
  const exponent = Math.max(WINDOW_EXPONENT_MIN, Math.ceil(Math.log2(windowBytes)));
  const header = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, (exponent - WINDOW_EXPONENT_MIN) << 3);
  const frame = new Uint8Array(header.length + blocks.length);
  frame.set(header);
  frame.set(blocks, header.length);
  frame[header.length + lastStart] |= LAST_BLOCK;
  return frame;
}
