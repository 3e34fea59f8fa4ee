/** UTF-8 from outside. */
import { isUtf8 } from 'node:buffer';

/** Bytes of the character that starts with `lead`, in valid UTF-8. */
export function widthOf(lead: number): number {
  return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/** The text itself where it is valid; else with U+FFFD for what is not, as WHATWG's decoders and Python's `errors="replace"` have it. */
export function toValidUtf8(text: Uint8Array): Uint8Array {
  return isUtf8(text) ? text : Buffer.from(new TextDecoder('utf-8', { ignoreBOM: true }).decode(text), 'utf8');
}
