/** What an array in NumPy's format says of itself before its data. Source: NumPy Enhancement Proposal 1, and the documentation of numpy.lib.format. Pure. */

export interface NpyHeader {
  readonly kind: 'header';
  /** As NumPy writes types (`<f4`); `undefined`: the array is one of records. */
  readonly descr: string | undefined;
  /** The first index varies fastest, where there are several. */
  readonly isFortran: boolean;
  /** Empty: one value, which is no list. */
  readonly shape: readonly number[];
  /** Where the data starts. */
  readonly dataByte: number;
}

/** A problem is what is wrong, as a sentence that begins with "it". */
export type NpyHeaderResult =
  NpyHeader | { readonly kind: 'damaged'; readonly problem: string } | { readonly kind: 'unsupported'; readonly problem: string };

const MAGIC = '\x93NUMPY';

/** `head`: the first bytes of an array of `size` bytes, header included; as many as any header that is read has, or all. */
export function readNpyHeader(head: Uint8Array, size: number): NpyHeaderResult {
  const damaged = (problem: string): NpyHeaderResult => ({ kind: 'damaged', problem });
  const unsupported = (problem: string): NpyHeaderResult => ({ kind: 'unsupported', problem });
  const text = Buffer.from(head.buffer, head.byteOffset, head.length);
  if (text.toString('latin1', 0, 6) !== MAGIC || head.length < 10) return damaged('it does not start with \\x93NUMPY');
  const version = head[6];
  if (version < 1 || version > 3) return unsupported(`it has version ${version} of the format`);
  const lengthBytes = version === 1 ? 2 : 4;
  const start = 8 + lengthBytes;
  if (head.length < start) return damaged('its header ends early');
  const headerBytes = text.readUIntLE(8, lengthBytes);
  const dataByte = start + headerBytes;
  if (dataByte > size) return damaged(`its header claims ${headerBytes} bytes of ${size}`);
  if (dataByte > head.length) return unsupported(`its header has ${headerBytes} bytes`);
  const header = text.toString(version === 3 ? 'utf8' : 'latin1', start, dataByte);
  const order = /'fortran_order':\s*(True|False)/.exec(header)?.[1];
  const shape = /'shape':\s*\(([\d,\s]*)\)/.exec(header)?.[1];
  if (order === undefined || shape === undefined) return damaged('its header cannot be read');
  return {
    kind: 'header',
    descr: /'descr':\s*'([^']*)'/.exec(header)?.[1],
    isFortran: order === 'True',
    shape: shape
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '')
      .map(Number),
    dataByte,
  };
}
