/** The alphabet of byte-level BPE: each byte as a printable character (GPT-2, `bytes_to_unicode`). */

/** [256] the code point that stands for a byte: itself where it is printable, else the next one from U+0100. */
export const CODE_POINT_OF_BYTE: readonly number[] = makeAlphabet();

const BYTE_OF_CODE_POINT = new Map(CODE_POINT_OF_BYTE.map((point, byte) => [point, byte]));

function makeAlphabet(): number[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    return printable ? byte : next++;
  });
}

/** Writes the bytes that `text` stands for to `target`; answers their number, or −1 where a character stands for none. */
export function writeAlphabetBytes(text: string, target: Uint8Array, at: number): number {
  for (let i = 0; i < text.length; i++) {
    const byte = BYTE_OF_CODE_POINT.get(text.charCodeAt(i));
    if (byte === undefined) return -1;
    target[at + i] = byte;
  }
  return text.length;
}
