/** Where an array, or an index of Megatron, has something new: its header's end, and the arrays of the index. */

export function arrayCuts(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1', 0, 9);
  if (text.startsWith('\x93NUMPY'))
    return [0, 10, bytes[6] === 1 ? 10 + view.getUint16(8, true) : 12 + view.getUint32(8, true), bytes.length];
  if (!text.startsWith('MMIDIDX')) return [0];
  const sequences = Number(view.getBigUint64(18, true));
  return [9, 34, 34 + 4 * sequences, 34 + 12 * sequences, bytes.length];
}
