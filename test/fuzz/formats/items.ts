/** Where the samples of an MDS shard or of a chunk of litData begin: the count, where each starts, and the end. Nowhere in a compressed one. */

export function itemCuts(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const count = view.getUint32(0, true);
  if (4 * (count + 2) > bytes.length) return [];
  return [4, ...Array.from({ length: count + 1 }, (_, i) => view.getUint32(4 + 4 * i, true))];
}
