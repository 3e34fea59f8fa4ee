/** Where the headers and the bodies of a tar begin, and the checksums of damaged headers. */
import { partCuts } from './lines.js';

const BLOCK = 512;
const CHECKSUM_AT = 148;
const CHECKSUM_END = 156;

export function tarCuts(bytes: Uint8Array): number[] {
  return partCuts(bytes) ?? headersOf(bytes).flatMap((at) => [at, at + BLOCK]);
}

/** By their magic, which damage mostly leaves. */
function headersOf(bytes: Uint8Array): number[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const starts = Array.from({ length: Math.floor(bytes.length / BLOCK) }, (_, block) => BLOCK * block);
  return starts.filter((at) => text.toString('latin1', at + 257, at + 262) === 'ustar');
}

/** A header whose checksum is wrong says nothing else: right again, what it says is believed. */
export function mendTar(bytes: Uint8Array): void {
  for (const at of headersOf(bytes)) {
    bytes.fill(0x20, at + CHECKSUM_AT, at + CHECKSUM_END);
    const sum = bytes.subarray(at, at + BLOCK).reduce((total, byte) => total + byte, 0);
    bytes.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `), at + CHECKSUM_AT);
  }
}
