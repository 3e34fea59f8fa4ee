/** Where the messages of an Arrow file or stream begin, and their bodies' buffers as far as they have the alignment: every continuation marker. */

export function arrowCuts(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const cuts: number[] = [];
  for (let at = 0; at + 8 <= bytes.length; at += 8) {
    const length = view.getInt32(at + 4, true);
    if (view.getUint32(at, true) !== 0xffffffff || length <= 0 || at + 8 + length > bytes.length) continue;
    cuts.push(at, at + 8 + length); // metadata, body
  }
  return [...cuts, bytes.length];
}
