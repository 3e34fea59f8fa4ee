/** UTF-8 from outside. */
import { isUtf8 } from 'node:buffer';

/** The text itself where it is valid; else with U+FFFD for what is not, as WHATWG's decoders and Python's `errors="replace"` have it. */
export function toValidUtf8(text: Uint8Array): Uint8Array {
  return isUtf8(text) ? text : Buffer.from(new TextDecoder('utf-8', { ignoreBOM: true }).decode(text), 'utf8');
}
