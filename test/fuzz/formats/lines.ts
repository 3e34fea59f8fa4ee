/** Where lines begin; of a compressed object, where its members or frames do. */

const GZIP = [0x1f, 0x8b, 0x08];
const ZSTD = [0x28, 0xb5, 0x2f, 0xfd];

export function lineCuts(bytes: Uint8Array): number[] {
  return partCuts(bytes) ?? startsAfter(bytes, [0x0a]);
}

/** `undefined`: it is not compressed. A pair of members is two of three parts, which are swapped and repeated: the end is one as well. */
export function partCuts(bytes: Uint8Array): number[] | undefined {
  const magic = [GZIP, ZSTD].find((own) => startsWith(bytes, 0, own));
  if (magic === undefined) return undefined;
  const starts = bytes.reduce<number[]>((found, _byte, at) => (startsWith(bytes, at, magic) ? [...found, at] : found), []);
  return [...starts, bytes.length];
}

function startsAfter(bytes: Uint8Array, mark: readonly number[]): number[] {
  const cuts = [0];
  for (let at = 0; at < bytes.length; at++) if (startsWith(bytes, at, mark)) cuts.push(at + mark.length);
  return cuts;
}

function startsWith(bytes: Uint8Array, at: number, mark: readonly number[]): boolean {
  return mark.every((byte, i) => bytes[at + i] === byte);
}
