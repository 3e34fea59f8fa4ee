/** One-dimensional arrays of integers in NumPy's format (NEP 1). */

const MAGIC = Buffer.from('\x93NUMPY', 'latin1');
/** Room for the description of any array of one dimension, many times over. */
const HEADER_BYTES_MAX = 64 * 2 ** 10;

/** Token ids: those that are no int32 are −1, which no vocabulary has. A problem is what is wrong, in the middle of a sentence. */
export type NpyTokens = { readonly ids: Int32Array } | { readonly problem: string };

export function readNpyTokens(bytes: Uint8Array): NpyTokens {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (file.length < 12 || !file.subarray(0, 6).equals(MAGIC)) return { problem: 'is no .npy file' };
  const version = file[6];
  if (version < 1 || version > 3) return { problem: `is an .npy file of version ${version}` };
  const headerStart = version === 1 ? 10 : 12;
  const headerEnd = headerStart + (version === 1 ? file.readUInt16LE(8) : file.readUInt32LE(8));
  if (headerEnd > Math.min(file.length, headerStart + HEADER_BYTES_MAX)) return { problem: 'is an .npy file that was cut short' };
  const header = file.toString('latin1', headerStart, headerEnd);
  const type = /'descr':\s*'([^']*)'/.exec(header)?.[1] ?? '';
  const length = /'shape':\s*\((\d{1,15}),\)/.exec(header)?.[1];
  if (length === undefined) return { problem: 'is an .npy array of other than one dimension' };
  const width = WIDTHS.get(type);
  if (width === undefined)
    return { problem: `is an .npy array of ${type === '' ? 'structures' : type}, and token ids are little-endian integers` };
  const count = Number(length);
  if (file.length - headerEnd !== count * width)
    return { problem: `is an .npy array whose ${count} values take other than its ${file.length - headerEnd} bytes` };
  return { ids: idsOf(file.subarray(headerEnd), count, type) };
}

const WIDTHS: ReadonlyMap<string, number> = new Map([
  ['|u1', 1],
  ['|i1', 1],
  ['<u2', 2],
  ['<i2', 2],
  ['<u4', 4],
  ['<i4', 4],
  ['<u8', 8],
  ['<i8', 8],
]);

function idsOf(data: Buffer, count: number, type: string): Int32Array {
  // a copy lies at a multiple of 8, which the view of a file need not
  const { buffer } = Uint8Array.from(data);
  switch (type) {
    case '|u1':
      return Int32Array.from(new Uint8Array(buffer));
    case '|i1':
      return Int32Array.from(new Int8Array(buffer));
    case '<u2':
      return Int32Array.from(new Uint16Array(buffer));
    case '<i2':
      return Int32Array.from(new Int16Array(buffer));
    case '<u4': // above 2³¹ they become negative
    case '<i4':
      return new Int32Array(buffer);
    default: {
      const halves = new Int32Array(buffer);
      return Int32Array.from({ length: count }, (_, i) => (halves[2 * i + 1] === 0 && halves[2 * i] >= 0 ? halves[2 * i] : -1));
    }
  }
}
