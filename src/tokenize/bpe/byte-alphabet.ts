/** The alphabet of byte-level BPE: each byte as a printable character (GPT-2, `bytes_to_unicode`). */

/** [256] the code point that stands for a byte: itself where it is printable, else the next one from U+0100. */
export const CODE_POINT_OF_BYTE: readonly number[] = makeAlphabet();

/** The byte that a code point stands for; −1 where it stands for none. */
export const BYTE_OF_CODE_POINT: Int16Array = new Int16Array(Math.max(...CODE_POINT_OF_BYTE) + 1).fill(-1);
for (const [byte, point] of CODE_POINT_OF_BYTE.entries()) BYTE_OF_CODE_POINT[point] = byte;

function makeAlphabet(): number[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    return printable ? byte : next++;
  });
}
