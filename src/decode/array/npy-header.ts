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
  const [version, minor] = head.subarray(6, 8);
  if (version < 1 || version > 3 || minor !== 0) return unsupported(`it has version ${version}.${minor} of the format`);
  const lengthBytes = version === 1 ? 2 : 4;
  const start = 8 + lengthBytes;
  if (head.length < start) return damaged('its header ends early');
  const headerBytes = text.readUIntLE(8, lengthBytes);
  const dataByte = start + headerBytes;
  if (dataByte > size) return damaged(`its header claims ${headerBytes} bytes of ${size}`);
  if (dataByte > head.length) return unsupported(`its header has ${headerBytes} bytes`);
  const header = text.toString(version === 3 ? 'utf8' : 'latin1', start, dataByte);
  const items = itemsOf(header);
  const [order, shape] = [items?.get('fortran_order'), items?.get('shape')];
  if (items?.size !== 3 || !items.has('descr') || order === undefined || shape === undefined) return damaged('its header cannot be read');
  return {
    kind: 'header',
    descr: /^'(.*)'$/.exec(items.get('descr') ?? '')?.[1],
    isFortran: order === 'True',
    shape: (shape.match(/\d+/g) ?? []).map(Number),
    dataByte,
  };
}

/** Of one type, by its name in quotes; of records a list, which is looked into no further. */
const ITEM =
  /^[ \t\r\n]*(?:'(descr)'[ \t]*:[ \t]*('[^'\\\r\n]*'|\[.*\])|'(fortran_order)'[ \t]*:[ \t]*(True|False)|'(shape)'[ \t]*:[ \t]*(\([ \t]*\)|\([ \t]*\d+[ \t]*,[ \t]*(?:\d+[ \t]*,[ \t]*)*(?:\d+[ \t]*)?\)))[ \t\r\n]*(?:,|$)/;

/** Of the whole header, a dictionary as Python writes it: an array behind a header that is damaged anywhere may be another one. `undefined`: it is none. */
function itemsOf(header: string): ReadonlyMap<string, string> | undefined {
  const items = new Map<string, string>();
  let rest = /^[ \t]*\{([^]*)\}[ \t\r\n]*$/.exec(header)?.[1];
  while (rest !== undefined && /[^ \t\r\n]/.test(rest)) {
    const found: readonly (string | undefined)[] | null = ITEM.exec(rest);
    if (found === null) return undefined;
    const [whole, name, value] = found.filter((part) => part !== undefined);
    if (items.has(name)) return undefined;
    items.set(name, value);
    rest = rest.slice(whole.length);
  }
  return items;
}
