/**
 * Reads the headers of a tar where they lie: ustar, GNU's long names, PAX attributes, sizes in base 256 (POSIX.1-2017 "pax", "ustar Interchange Format";
 * GNU tar manual, "Basic Tar Format"). Nothing is copied but names.
 *
 *   ┌ entry ──────────────────────────────────────────────────────────┐
 *   [PAX header][its records][long-name header][its name][main header][body, padded to 512]
 *   └ startByte                                                       └ bodyByte
 */
import { isUtf8 } from 'node:buffer';
import { LIMITS } from '../../config/limits.js';
import { HeadraceError } from '../../core/errors.js';

export const BLOCK_BYTES = 512;

/** What a header and those before it say of one entry. Places count in the bytes that were given. */
export interface TarEntry {
  /** Of the first header that belongs to it. */
  readonly startByte: number;
  readonly bodyByte: number;
  /** Of the body, without padding. */
  readonly size: number;
  /** Where the next entry starts: after the body, padded. */
  readonly endByte: number;
  /** A regular file; not a directory, a link, a device, or anything else that has no place in a sample. */
  readonly isFile: boolean;
  readonly name: string;
}

/** `more`: the headers do not end in these bytes. `end`: the archive ends here, with a block of zeros. */
export type TarStep = TarEntry | 'more' | 'end';

/** Which object the bytes are of, and where in it they start: for messages. */
export interface TarPlace {
  readonly uri: string;
  readonly startByte: number;
  /** Places are those in the content of a compressed object. */
  readonly isContent: boolean;
}

/** A part of an archive, for its headers: as bytes, and as words, which are summed four bytes at a time. */
export interface TarBytes {
  readonly bytes: Buffer;
  readonly view: DataView;
}

/** Without a copy. */
export function tarBytes({ buffer, byteOffset, length }: Uint8Array): TarBytes {
  return { bytes: Buffer.from(buffer, byteOffset, length), view: new DataView(buffer, byteOffset, length) };
}

/** Of the entry that starts at `at`. Errors: `SHARD_INVALID`, `SHARD_UNSUPPORTED`. */
export function readTarEntry({ bytes, view }: TarBytes, at: number, place: TarPlace): TarStep {
  let header = at;
  let attributes: PaxAttributes = {};
  for (;;) {
    if (header + BLOCK_BYTES > bytes.length) return 'more';
    const problem = checksumProblem(bytes, view, header);
    if (problem === 'zeros') {
      if (header === at) return 'end';
      throw tarInvalid(place, header, 'ends after a header that says more of the next one');
    }
    if (problem !== undefined) throw tarInvalid(place, header, problem);
    const type = bytes[header + TYPE_AT];
    const bodyByte = header + BLOCK_BYTES;
    if (!isExtension(type)) {
      refuseOddTypes(type, attributes, header, place);
      const size = hasBody(type) ? (attributes.size ?? numberAt(bytes, header, SIZE_AT, SIZE_BYTES, place)) : 0;
      const name = attributes.path ?? nameOf(bytes, header);
      const isFile = isRegular(type) && !(type === 0 && name.endsWith('/')); // version 7 had no type for directories
      return { startByte: at, bodyByte, size, endByte: padded(bodyByte + size), isFile, name };
    }
    const size = numberAt(bytes, header, SIZE_AT, SIZE_BYTES, place);
    const next = padded(bodyByte + size);
    if (next - at > LIMITS.tarHeaderBytesMax) {
      throw tarInvalid(
        place,
        header,
        `says that the headers of one member take ${next - at} bytes; at most ${LIMITS.tarHeaderBytesMax} do`,
      );
    }
    if (next > bytes.length) return 'more';
    const body = bytes.subarray(bodyByte, bodyByte + size);
    if (type === PAX_GLOBAL) refuseGlobals(readPax(body, header, place), header, place);
    else if (type !== GNU_LONG_LINK) {
      // GNU tar and Python take a name up to a NUL in the padding, others as long as its size: where there is more, they differ in which member it is
      const isCut = type === GNU_LONG_NAME && next > bodyByte + size && !body.includes(0) && bytes[bodyByte + size] !== 0;
      if (isCut) throw tarInvalid(place, header, 'has a long name that goes on behind its end');
      const said: PaxAttributes = type === GNU_LONG_NAME ? { path: textOf(body, 0, size) } : readPax(body, header, place);
      // the member of the first one was lost; readers differ in which of the two they take
      if (said.path !== undefined && attributes.path !== undefined) throw tarInvalid(place, header, 'has a second name for one member');
      if (said.size !== undefined && attributes.size !== undefined) throw tarInvalid(place, header, 'has a second size for one member');
      attributes = { ...attributes, ...said };
    }
    header = next;
  }
}

/** `byte`: counted as `place` does. */
export function tarInvalid({ uri, startByte, isContent }: TarPlace, byte: number, problem: string): HeadraceError {
  const at = startByte + byte;
  return new HeadraceError('SHARD_INVALID', `${uri} is no tar that can be read: at byte ${at}${ofContent(isContent)} it ${problem}`, {
    detail: { uri, byte: at },
    hint: 'Write the archive again, or take it out of the source.',
  });
}

// the fields of a header that are read: where they are, and how long
const NAME_BYTES = 100;
const SIZE_AT = 124;
const SIZE_BYTES = 12;
const CHECKSUM_AT = 148;
const CHECKSUM_BYTES = 8;
const TYPE_AT = 156;
const MAGIC_AT = 257;
const PREFIX_AT = 345;
const PREFIX_BYTES = 155;

const [GNU_LONG_NAME, GNU_LONG_LINK, PAX_LOCAL, PAX_GLOBAL, PAX_SOLARIS, GNU_SPARSE, GNU_VOLUME_PART] = Buffer.from('LKxgXSM');
const [FILE, FIRST_BODILESS, LAST_BODILESS, CONTIGUOUS] = Buffer.from('0167');

function isExtension(type: number): boolean {
  return type === GNU_LONG_NAME || type === GNU_LONG_LINK || type === PAX_LOCAL || type === PAX_GLOBAL || type === PAX_SOLARIS;
}

function isRegular(type: number): boolean {
  return type === FILE || type === 0 || type === CONTIGUOUS;
}

/** Links, devices, directories and pipes have none, whatever their size says; a type that nobody knows has one (POSIX). */
function hasBody(type: number): boolean {
  return type < FIRST_BODILESS || type > LAST_BODILESS;
}

function refuseOddTypes(type: number, { isSparse = false }: PaxAttributes, header: number, place: TarPlace): void {
  if (isSparse || type === GNU_SPARSE) throw unsupported(place, header, 'a sparse file', 'Write it without `--sparse`.');
  if (type === GNU_VOLUME_PART) {
    throw unsupported(place, header, 'a part of a file of several volumes', 'Write each shard as an archive of its own.');
  }
}

function ofContent(isContent: boolean): string {
  return isContent ? ' of its content' : '';
}

function unsupported({ uri, startByte, isContent }: TarPlace, byte: number, what: string, hint: string): HeadraceError {
  const at = startByte + byte;
  return new HeadraceError('SHARD_UNSUPPORTED', `${uri} has ${what} at byte ${at}${ofContent(isContent)}`, {
    detail: { uri, byte: at },
    hint,
  });
}

/** The sum of the header's bytes, with the sum itself as spaces; some old writers took bytes for signed. `zeros`: no header. */
function checksumProblem(bytes: Buffer, view: DataView, header: number): string | undefined {
  const sum = sumOfBlock(view, header);
  if (sum === 0) return 'zeros';
  let own = 0;
  for (let i = header + CHECKSUM_AT; i < header + CHECKSUM_AT + CHECKSUM_BYTES; i++) own += bytes[i];
  const unsigned = sum - own + CHECKSUM_BYTES * SPACE;
  const said = octalAt(bytes, header + CHECKSUM_AT, CHECKSUM_BYTES);
  if (said === unsigned) return undefined;
  let negative = 0;
  for (let i = header; i < header + BLOCK_BYTES; i++) {
    if (bytes[i] >= 128 && (i < header + CHECKSUM_AT || i >= header + CHECKSUM_AT + CHECKSUM_BYTES)) negative++;
  }
  if (said === unsigned - 256 * negative) return undefined;
  return said === undefined
    ? 'has no header, where one should be'
    : `has a header whose checksum is ${said}, and its bytes have ${unsigned}`;
}

/** Of its bytes, four at a time: two sums of 16 bits in a word, which 64 words of four bytes cannot overflow. */
function sumOfBlock(view: DataView, start: number): number {
  let [even, odd] = [0, 0];
  for (let at = start; at < start + BLOCK_BYTES; at += 8) {
    const [first, second] = [view.getInt32(at, true), view.getInt32(at + 4, true)];
    even += (first & 0x00ff00ff) + ((first >>> 8) & 0x00ff00ff);
    odd += (second & 0x00ff00ff) + ((second >>> 8) & 0x00ff00ff);
  }
  return (even & 0xffff) + (even >>> 16) + (odd & 0xffff) + (odd >>> 16);
}

const SPACE = 0x20;

/** Digits with spaces around them, up to a NUL; `undefined`: something else. Nothing at all is 0. */
function octalAt(bytes: Buffer, start: number, length: number): number | undefined {
  let value = 0;
  let i = start;
  const end = start + length;
  while (i < end && bytes[i] === SPACE) i++;
  for (; i < end && bytes[i] !== 0 && bytes[i] !== SPACE; i++) {
    const digit = bytes[i] - 0x30;
    if (digit < 0 || digit > 7) return undefined;
    value = value * 8 + digit;
  }
  for (; i < end && bytes[i] !== 0; i++) if (bytes[i] !== SPACE) return undefined;
  return value;
}

/** Octal; or base 256, big-endian, where the highest bit is set (GNU, for files of 8 GiB and more). */
function numberAt(bytes: Buffer, header: number, at: number, length: number, place: TarPlace): number {
  const first = bytes[header + at];
  if (first < 0x80) {
    const value = octalAt(bytes, header + at, length);
    if (value === undefined) throw tarInvalid(place, header, 'has a header whose size is no number');
    return value;
  }
  if (first !== 0x80) throw tarInvalid(place, header, 'has a header whose size is negative, or no number');
  let value = 0;
  for (let i = header + at + 1; i < header + at + length; i++) value = value * 256 + bytes[i];
  return checkedSize(value, header, place);
}

function checkedSize(value: number, header: number, place: TarPlace): number {
  if (value <= Number.MAX_SAFE_INTEGER - 2 ** 20) return value;
  throw tarInvalid(place, header, 'has a header whose size is beyond any object');
}

/** POSIX splits long names in two; GNU's own headers (magic `ustar` and two spaces) have something else in the place of the first part. */
function nameOf(bytes: Buffer, header: number): string {
  const name = textOf(bytes, header, NAME_BYTES);
  const isGnu = bytes[header + MAGIC_AT + 5] === SPACE;
  if (bytes[header + PREFIX_AT] === 0 || isGnu) return name;
  return `${textOf(bytes, header + PREFIX_AT, PREFIX_BYTES)}/${name}`;
}

/** Up to a NUL. Names that are not UTF-8 stay different from each other. */
function textOf(bytes: Buffer, start: number, length: number): string {
  const end = start + length;
  let stop = start;
  let high = 0;
  for (; stop < end && bytes[stop] !== 0; stop++) high |= bytes[stop];
  if (high < 128) return bytes.toString('latin1', start, stop);
  const text = bytes.subarray(start, stop);
  return isUtf8(text) ? text.toString('utf8') : text.toString('latin1');
}

interface PaxAttributes {
  readonly path?: string;
  readonly size?: number;
  readonly isSparse?: boolean;
}

/** Records `LENGTH KEY=VALUE\n`, where the length counts the whole record. Those of other keys say nothing that is needed here. */
function readPax(body: Buffer, header: number, place: TarPlace): PaxAttributes {
  let attributes: PaxAttributes = {};
  const wrong = (): HeadraceError => tarInvalid(place, header, 'has a PAX header whose records do not fit together');
  for (let at = 0; at < body.length && body[at] !== 0;) {
    const space = body.indexOf(SPACE, at);
    const digits = space < 0 ? '' : body.toString('latin1', at, space);
    const end = at + Number(digits);
    const equals = body.indexOf('=', space);
    if (!/^\d{1,9}$/.test(digits) || end > body.length || equals < 0 || equals >= end || body[end - 1] !== 0x0a) throw wrong();
    const key = body.toString('latin1', space + 1, equals);
    const value = body.subarray(equals + 1, end - 1);
    // no path has one: what follows it would be lost
    if (key === 'path' && value.includes(0)) throw tarInvalid(place, header, 'has a PAX header whose name holds a NUL');
    if (key === 'path') attributes = { ...attributes, path: textOf(value, 0, value.length) };
    else if (key === 'size') {
      const text = value.toString('latin1');
      if (!/^\d{1,20}$/.test(text)) throw tarInvalid(place, header, 'has a PAX header whose size is negative, or no number');
      attributes = { ...attributes, size: checkedSize(Number(text), header, place) };
    } else if (key.startsWith('GNU.sparse.')) attributes = { ...attributes, isSparse: true };
    at = end;
  }
  return attributes;
}

/** A global name or size would be that of every member after it: no writer means that, and a stretch that is read alone could not know it. */
function refuseGlobals({ path, size, isSparse }: PaxAttributes, header: number, place: TarPlace): void {
  if (path === undefined && size === undefined && isSparse === undefined) return;
  throw unsupported(place, header, 'a global PAX header that names or measures all members after it', 'Write it without one.');
}

export function padded(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
}
