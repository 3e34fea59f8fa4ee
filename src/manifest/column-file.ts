/**
 * A file of columns, which can be checked as a whole, and used as it was read: columns are views of its bytes.
 *
 *   magic "HRIX" u32 · version u32 · bytes of the file f64 · bytes of the header u32 · 0 u32 · header, JSON · columns · CRC32C u32 of all before it
 *
 * Numbers are little-endian; the header and each column start at a multiple of 8, with zeros before them. CRC32C: see cache/entry.ts.
 */
import { crc32c } from '@node-rs/crc32';
import * as z from 'zod';
import type { JsonValue } from '../core/canonical-json.js';
import type { NumberColumn } from './columns.js';

const MAGIC = 0x58495248; // "HRIX"; on a machine of the other byte order it reads as no magic, and nothing is taken for what it is not
const FIXED_BYTES = 24;
const CHECKSUM_BYTES = 4;
const ALIGNMENT = 8;

const ARRAYS = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, f64: Float64Array } as const;
type ArrayName = keyof typeof ARRAYS;

const headerSchema = z.object({
  columns: z.array(
    z.object({ name: z.string(), array: z.enum(['u8', 'u16', 'u32', 'f64']), startByte: z.int().min(0), length: z.int().min(0) }),
  ),
  facts: z.unknown(),
});

export interface ColumnFile {
  /** What is known beside the columns; whoever reads it checks it. */
  readonly facts: unknown;
  readonly columns: ReadonlyMap<string, NumberColumn>;
}

/** The file in parts, which are to be written one after the other. `version`: of what facts and columns mean. */
export function* encodeColumnFile(
  version: number,
  facts: JsonValue,
  columns: ReadonlyMap<string, NumberColumn>,
): Generator<Uint8Array, void, undefined> {
  // places are counted from the end of the header, whose length depends on them
  let end = 0;
  const places = [...columns].map(([name, column]) => {
    const place = { name, array: arrayName(column), startByte: end, length: column.length };
    end = aligned(end + column.byteLength);
    return place;
  });
  const header = Buffer.from(JSON.stringify({ columns: places, facts }));
  const columnsStart = aligned(FIXED_BYTES + header.length);
  const start = Buffer.alloc(columnsStart);
  start.writeUInt32LE(MAGIC, 0);
  start.writeUInt32LE(version, 4);
  start.writeDoubleLE(columnsStart + end + CHECKSUM_BYTES, 8);
  start.writeUInt32LE(header.length, 16);
  start.set(header, FIXED_BYTES);

  let checksum = 0;
  const checked = (part: Uint8Array): Uint8Array => {
    checksum = crc32c(bufferOf(part), checksum);
    return part;
  };
  yield checked(start);
  for (const column of columns.values()) {
    yield checked(new Uint8Array(column.buffer, column.byteOffset, column.byteLength));
    yield checked(new Uint8Array(aligned(column.byteLength) - column.byteLength));
  }
  const last = Buffer.alloc(CHECKSUM_BYTES);
  last.writeUInt32LE(checksum);
  yield last;
}

/** `bytes` start at a multiple of 8 of their buffer; the columns are views of them. Errors: `Error`, which says what is wrong. */
export function decodeColumnFile(bytes: Uint8Array<ArrayBuffer>, version: number): ColumnFile {
  const file = bufferOf(bytes);
  if (file.length < FIXED_BYTES + CHECKSUM_BYTES) throw new Error('it is too short');
  if (new Uint32Array(bytes.buffer, bytes.byteOffset, 1)[0] !== MAGIC) throw new Error('it is no index');
  const found = file.readUInt32LE(4);
  if (found !== version) throw new Error(`it has version ${found}, and this program reads version ${version}`);
  if (file.readDoubleLE(8) !== file.length) throw new Error('it is not whole');
  if (crc32c(file.subarray(0, -CHECKSUM_BYTES)) !== file.readUInt32LE(file.length - CHECKSUM_BYTES)) {
    throw new Error('its checksum is wrong');
  }
  const headerEnd = FIXED_BYTES + file.readUInt32LE(16);
  const header = headerSchema.parse(JSON.parse(file.toString('utf8', FIXED_BYTES, headerEnd)));
  const columnsStart = aligned(headerEnd);
  const columns = new Map<string, NumberColumn>();
  for (const { name, array, startByte, length } of header.columns) {
    columns.set(name, new ARRAYS[array](bytes.buffer, bytes.byteOffset + columnsStart + startByte, length));
  }
  return { facts: header.facts, columns };
}

function arrayName(column: NumberColumn): ArrayName {
  if (column instanceof Uint8Array) return 'u8';
  if (column instanceof Uint16Array) return 'u16';
  return column instanceof Uint32Array ? 'u32' : 'f64';
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function bufferOf({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}
