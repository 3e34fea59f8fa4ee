/**
 * One entry of the cache is one file, which says itself what it holds and can be checked as a whole:
 *
 *   magic "HRCE" · version u32 · key length u32 · data length u64 · start u64 · key · CRC32C u32 of each 64 KiB of the data · data   (little-endian)
 *   └ header ────────────────────────────────────────────────────────────────────┘
 *
 * The data are the bytes of what the key names, from `start` on. The key stands there whole, and every checksum goes on from that of the header, so that no entry, and no block of one, passes for another's. Each block
 * is checked by itself: who wants a part of an entry reads the blocks that it lies in, and no others. CRC32C (Castagnoli) finds every error of up to three
 * bits in up to 256 MiB (Philip Koopman, "32-Bit Cyclic Redundancy Codes for Internet Applications", 2002), and is 5.0 GB/s with the processor's instruction
 * beside 4.2 GB/s of CRC-32 in zlib (one core of an EPYC): next to reading the file it is short enough for the main thread, in steps.
 */
import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { crc32c } from '@node-rs/crc32';
import { rawBytes } from '../core/raw-memory.js';
import { noSpace, unlessMissing, type Disk, type DiskFile } from './disk.js';
import { CACHE_LIMITS } from './limits.js';

const MAGIC = 0x45435248; // "HRCE"
/** Of the format. It is part of the name: programs of different versions share a directory, but no entries. */
const VERSION = 2;
const FIXED_BYTES = 28;
const CHECKSUM_BYTES = 4;
/** Half of it is read for nothing at each end of a part, on average: 6 % of 1 MiB; the checksums of a smaller one would take longer to ask for. */
const BLOCK_BYTES = 64 * 2 ** 10;
/** A key names an object and its version: 1 KiB of path at S3, doubled by escapes; what is longer is damage. */
const KEY_BYTES_MAX = 64 * 1024;
/** Of SHA-256, as many as tell more entries apart than there will ever be. */
const HASH_DIGITS = 32;

/** What is to be read or written. */
export interface Entry {
  /** The file's name: `hashOf` its key, bytes of the file, and `startByte`, so that a listing of names is an index. */
  readonly name: string;
  readonly header: Uint8Array;
  readonly startByte: number;
  readonly dataBytes: number;
  readonly fileBytes: number;
}

/** What the names of a key's entries start with, whatever they hold of it. */
export function hashOf(key: string): string {
  return createHash('sha256').update(`${VERSION} ${key}`).digest('hex').slice(0, HASH_DIGITS);
}

/** `hash`: that of the key, of which there may be many entries. */
export function entryOf(key: string, startByte: number, dataBytes: number, hash = hashOf(key)): Entry {
  const keyBytes = Buffer.from(key);
  const header = Buffer.alloc(FIXED_BYTES + keyBytes.length);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt32LE(VERSION, 4);
  header.writeUInt32LE(keyBytes.length, 8);
  header.writeUIntLE(dataBytes, 12, 6); // of eight bytes: no object is longer than 2⁴⁸
  header.writeUIntLE(startByte, 20, 6);
  header.set(keyBytes, FIXED_BYTES);
  const fileBytes = header.length + checksumBytesOf(dataBytes) + dataBytes;
  return { name: `${hash}-${fileBytes.toString(36)}-${startByte.toString(36)}`, header, startByte, dataBytes, fileBytes };
}

/** The entry of a key under this name; undefined where none can have it. */
export function entryOfName(key: string, name: string): Entry | undefined {
  const { fileBytes, startByte } = partsOfName(name) ?? { fileBytes: 0, startByte: 0 };
  const behindHeader = fileBytes - FIXED_BYTES - Buffer.byteLength(key);
  const dataBytes = behindHeader - CHECKSUM_BYTES * Math.ceil(behindHeader / (BLOCK_BYTES + CHECKSUM_BYTES));
  if (dataBytes < 0 || dataBytes > CACHE_LIMITS.entryBytesMax) return undefined;
  const entry = entryOf(key, startByte, dataBytes, name.slice(0, HASH_DIGITS));
  return entry.name === name ? entry : undefined;
}

/** Bytes of the file of this name, or undefined where it is no entry's name. */
export function bytesOfName(name: string): number | undefined {
  return partsOfName(name)?.fileBytes;
}

/** What the name of an entry says of its place: the hash of its key, and where it begins in what that names. */
export function placeOfName(name: string): { readonly hash: string; readonly startByte: number } {
  return { hash: name.slice(0, HASH_DIGITS), startByte: partsOfName(name)?.startByte ?? 0 };
}

function partsOfName(name: string): { readonly fileBytes: number; readonly startByte: number } | undefined {
  const found = /^[0-9a-f]{32}-([0-9a-z]{1,10})(?:-([0-9a-z]{1,11}))?$/.exec(name); // the first version's names say no start
  return found === null ? undefined : { fileBytes: parseInt(found[1], 36), startByte: parseInt(found.at(2) ?? '0', 36) };
}

function checksumBytesOf(dataBytes: number): number {
  return CHECKSUM_BYTES * Math.ceil(dataBytes / BLOCK_BYTES);
}

export type EntryRead = { readonly kind: 'whole'; readonly data: Uint8Array } | NotRead;
/** Of a part: it was read. */
export type EntryPartRead = { readonly kind: 'whole' } | NotRead;
type NotRead =
  | { readonly kind: 'missing' }
  /** `why`: what is wrong with it. */
  | { readonly kind: 'damaged'; readonly why: string };

/** Reads and checks an entry. `data` is the only view of its buffer. Errors: those of the disk, other than that there is no such file. */
export async function readEntry(disk: Disk, file: string, { header, dataBytes, fileBytes }: Entry): Promise<EntryRead> {
  return opened(disk, file, async (from) => {
    const head = new Uint8Array(header.length);
    const checksums = Buffer.alloc(checksumBytesOf(dataBytes));
    const data = rawBytes(dataBytes); // a buffer of its own; handed out only when all of it was read
    const after = new Uint8Array(1); // to see a file that is too long
    const found = await transfer((buffers, position) => from.read(buffers, position), [head, checksums, data, after], fileBytes);
    if (found !== fileBytes)
      return { kind: 'damaged', why: found < fileBytes ? `it ends after ${found} of ${fileBytes} bytes` : 'it is too long' };
    const why = await whatIsWrong(header, head, checksums, [data]);
    return why === undefined ? { kind: 'whole', data } : { kind: 'damaged', why };
  });
}

/**
 * Reads and checks as many bytes of an entry's data as `into` has, from `startByte` on, with no more of the rest than their blocks. What `into` holds means
 * something only if all of it was read. Errors: those of the disk, other than that there is no such file.
 */
export async function readEntryPart(
  disk: Disk,
  file: string,
  { header, dataBytes }: Entry,
  startByte: number,
  into: Uint8Array,
): Promise<EntryPartRead> {
  const firstBlock = Math.floor(startByte / BLOCK_BYTES);
  const endBlock = Math.ceil((startByte + into.length) / BLOCK_BYTES);
  const before = new Uint8Array(startByte - firstBlock * BLOCK_BYTES);
  const after = new Uint8Array(Math.min(endBlock * BLOCK_BYTES, dataBytes) - startByte - into.length);
  const head = new Uint8Array(header.length);
  const checksums = Buffer.alloc(checksumBytesOf(dataBytes));
  const front = [head, checksums];
  const blocks = [before, into, after];
  return opened(disk, file, async (from) => {
    const read = async (buffers: readonly Uint8Array[], startByte: number): Promise<boolean> =>
      (await transfer((rest, position) => from.read(rest, startByte + position), buffers)) === bytesIn(buffers);
    const blocksStart = bytesIn(front) + firstBlock * BLOCK_BYTES;
    const found =
      firstBlock === 0 ? [await read([...front, ...blocks], 0)] : await Promise.all([read(front, 0), read(blocks, blocksStart)]);
    if (!found.every(Boolean)) return { kind: 'damaged', why: 'it was cut short' };
    const own = checksums.subarray(firstBlock * CHECKSUM_BYTES, endBlock * CHECKSUM_BYTES);
    const why = await whatIsWrong(header, head, own, blocks);
    return why === undefined ? { kind: 'whole' } : { kind: 'damaged', why };
  });
}

async function opened<T extends { readonly kind: string }>(
  disk: Disk,
  file: string,
  read: (from: DiskFile) => Promise<T>,
): Promise<T | { readonly kind: 'missing' }> {
  const from = await unlessMissing(disk.open(file, 'r'));
  if (from === undefined) return { kind: 'missing' };
  try {
    return await read(from);
  } finally {
    await from.close();
  }
}

/** `blocks`: whole ones, in pieces. Undefined: nothing. */
async function whatIsWrong(
  header: Uint8Array,
  head: Uint8Array,
  checksums: Uint8Array,
  blocks: readonly Uint8Array[],
): Promise<string | undefined> {
  if (Buffer.compare(head, header) !== 0) return 'its header is not that of its key';
  return Buffer.compare(await checksumsOf(header, blocks), checksums) === 0 ? undefined : 'a checksum is wrong';
}

/** Writes an entry to a file that does not exist. Errors: those of the disk. */
export async function writeEntry(disk: Disk, file: string, { header, fileBytes }: Entry, data: Uint8Array, fsync: boolean): Promise<void> {
  const checksums = await checksumsOf(header, [data]);
  const opened = await disk.open(file, 'wx');
  try {
    const written = await transfer((buffers, position) => opened.write(buffers, position), [header, checksums, data]);
    if (written !== fileBytes) throw noSpace(`the disk took ${written} of ${fileBytes} bytes`);
    if (fsync) await opened.sync();
  } finally {
    await opened.close();
  }
}

/** What a file's header says. */
export interface EntryFacts {
  readonly key: string;
  readonly startByte: number;
  readonly dataBytes: number;
}

/** What a file says that it holds, without a look at its data. `other`: as another version of the program has it. Errors: those of the disk. */
export async function readFacts(disk: Disk, file: string): Promise<EntryFacts | 'damaged' | 'other'> {
  const from = await disk.open(file, 'r');
  try {
    return await readHeader(from);
  } finally {
    await from.close();
  }
}

/** Whether a file is a whole entry under the name that its key has. Errors: those of the disk. */
export async function verifyEntry(disk: Disk, file: string, name: string): Promise<EntryRead['kind'] | 'other'> {
  const facts = await unlessMissing(readFacts(disk, file));
  if (facts === undefined) return 'missing';
  if (typeof facts === 'string') return facts;
  if (facts.dataBytes > CACHE_LIMITS.entryBytesMax) return 'damaged';
  const entry = entryOf(facts.key, facts.startByte, facts.dataBytes);
  return entry.name === name ? (await readEntry(disk, file, entry)).kind : 'damaged';
}

async function readHeader(from: DiskFile): Promise<EntryFacts | 'damaged' | 'other'> {
  const fixed = Buffer.alloc(FIXED_BYTES);
  const read = (buffers: Uint8Array[], position: number): Promise<number> => from.read(buffers, position);
  const found = await transfer(read, [fixed]);
  if (found < FIXED_BYTES || fixed.readUInt32LE(0) !== MAGIC) return 'damaged';
  if (fixed.readUInt32LE(4) !== VERSION) return 'other';
  const keyBytes = fixed.readUInt32LE(8);
  if (keyBytes > KEY_BYTES_MAX) return 'damaged';
  const key = Buffer.alloc(keyBytes);
  if ((await transfer((buffers, position) => read(buffers, FIXED_BYTES + position), [key])) < keyBytes) return 'damaged';
  return { key: key.toString(), dataBytes: Number(fixed.readBigUInt64LE(12)), startByte: Number(fixed.readBigUInt64LE(20)) };
}

/** Moves the bytes of `buffers`, in as many calls as the disk needs, until `enough` are moved or none any more; answers how many. */
async function transfer(
  move: (buffers: Uint8Array[], position: number) => Promise<number>,
  buffers: readonly Uint8Array[],
  enough = Infinity,
): Promise<number> {
  let rest = buffers.filter((buffer) => buffer.length > 0);
  let done = 0;
  while (rest.length > 0 && done < enough) {
    const moved = await move(rest, done);
    if (moved === 0) break;
    done += moved;
    rest = without(rest, moved);
  }
  return done;
}

function without(buffers: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let skip = bytes;
  const rest: Uint8Array[] = [];
  for (const buffer of buffers) {
    if (skip < buffer.length) rest.push(buffer.subarray(skip));
    skip = Math.max(0, skip - buffer.length);
  }
  return rest;
}

function bytesIn(buffers: readonly Uint8Array[]): number {
  return buffers.reduce((sum, buffer) => sum + buffer.length, 0);
}

/** Of each block of data that lies in `pieces` one after the other, as they are in the file. */
async function checksumsOf(header: Uint8Array, pieces: readonly Uint8Array[]): Promise<Uint8Array> {
  const bytes = bytesIn(pieces);
  const checksums = Buffer.alloc(checksumBytesOf(bytes));
  const ofHeader = crc32c(header);
  let checksum = ofHeader;
  let done = 0;
  for (const piece of pieces) {
    for (let start = 0; start < piece.length;) {
      const end = Math.min(piece.length, start + BLOCK_BYTES - (done % BLOCK_BYTES));
      checksum = crc32c(piece.subarray(start, end), checksum);
      done += end - start;
      start = end;
      if (done % BLOCK_BYTES === 0 || done === bytes) {
        checksums.writeUInt32LE(checksum, checksumBytesOf(done) - CHECKSUM_BYTES);
        checksum = ofHeader;
      }
      if (done % CACHE_LIMITS.checksumStepBytes === 0 && done < bytes) await setImmediate();
    }
  }
  return checksums;
}
