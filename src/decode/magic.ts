/** What a file is by its first bytes: an object that is not of its format is named as what it is. */

interface Magic {
  readonly name: string;
  readonly bytes: string | readonly number[];
  readonly offset?: number;
}

/** Bytes of an object's start that are enough to tell: the magic of a tar archive is the last one. */
export const MAGIC_BYTES = 264;

/** Sources: the formats' own specifications. */
const MAGICS: readonly Magic[] = [
  { name: 'a Parquet file', bytes: 'PAR1' },
  { name: 'a Parquet file with an encrypted footer', bytes: 'PARE' },
  { name: 'an Arrow file', bytes: 'ARROW1' },
  { name: 'a Feather file of version 1', bytes: 'FEA1' },
  { name: 'an Arrow stream', bytes: [0xff, 0xff, 0xff, 0xff] },
  { name: 'a gzip file', bytes: [0x1f, 0x8b] },
  { name: 'a Zstandard file', bytes: [0x28, 0xb5, 0x2f, 0xfd] },
  { name: 'an LZ4 file', bytes: [0x04, 0x22, 0x4d, 0x18] },
  { name: 'a bzip2 file', bytes: 'BZh' },
  { name: 'an xz file', bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] },
  { name: 'a ZIP archive', bytes: 'PK\u0003\u0004' },
  { name: 'a tar archive', bytes: 'ustar', offset: 257 },
  { name: 'an ORC file', bytes: 'ORC' },
  { name: 'an Avro file', bytes: 'Obj\u0001' },
  { name: 'a NumPy array', bytes: [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59] },
  { name: 'an index of Megatron', bytes: 'MMIDIDX' },
  { name: 'an HDF5 file', bytes: [0x89, 0x48, 0x44, 0x46] },
  { name: 'an SQLite database', bytes: 'SQLite format 3' },
  { name: 'a pointer of Git LFS, in place of the file', bytes: 'version https://git-lfs' },
];

/** Of text, after white space. */
const TEXTS: readonly (readonly [RegExp, string])[] = [
  [/^<(?:!doctype html|html|head|body)\b/i, 'an HTML page'],
  [/^<\?xml\b/i, 'an XML document'],
  [/^<Error>/i, "a store's error message"],
  [/^[{[]/, 'JSON'],
];

/** `undefined`: nothing that is known here. */
export function nameOfMagic(start: Uint8Array): string | undefined {
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.byteLength);
  const found = MAGICS.find(({ bytes: magic, offset = 0 }) => {
    const wanted = typeof magic === 'string' ? Buffer.from(magic, 'latin1') : Buffer.from(magic);
    return bytes.subarray(offset, offset + wanted.length).equals(wanted);
  });
  if (found !== undefined) return found.name;
  const text = bytes
    .toString('latin1')
    .replace(/^\u00ef\u00bb\u00bf/, '')
    .trimStart();
  return TEXTS.find(([pattern]) => pattern.test(text))?.[1];
}
