/** Cuts counted items into units by the table of where they start, and checks that they lie one after the other. The worker's half of a scan. */
import { createHash } from 'node:crypto';
import { integersOf } from '../integers.js';

/** Of an entry: uint32, little-endian. */
export const ITEM_OFFSET_BYTES = 4;

export interface ItemTableRequest {
  /** Where items start, and where the last one ends. Transferred. */
  readonly bytes: Uint8Array;
  /** The first of them, counted in the whole table. For messages. */
  readonly firstItem: number;
  /** Where the first must start; where the object ends. */
  readonly startByte: number;
  readonly endByte: number;
  /** A unit has at most so many bytes, or one item; and at most so many items. */
  readonly unitBytes: number;
  readonly unitItems: number;
  /** And an item at most so many bytes. */
  readonly itemBytesMax: number;
}

export interface ItemTable {
  /** Two numbers a unit: its items, and where the last one ends. */
  readonly units: Float64Array;
  /** SHA-256 (hex). */
  readonly digest: string;
  /** The shortest item, and its bytes. */
  readonly shortest: { readonly item: number; readonly bytes: number };
  readonly problem: ItemProblem | undefined;
}

export interface ItemProblem {
  /** Which item it is about, counted in the whole table. */
  readonly item: number;
  /** The table is whole, and an item too long. */
  readonly isLong: boolean;
  readonly message: string;
}

export function cutItemTable(request: ItemTableRequest): ItemTable {
  const { bytes, firstItem, startByte, endByte, unitBytes, unitItems, itemBytesMax } = request;
  const digest = createHash('sha256').update(bytes).digest('hex');
  const offsets = integersOf(bytes, { bytes: ITEM_OFFSET_BYTES, signed: false }) as Uint32Array;
  let shortest = { item: firstItem, bytes: Infinity };
  const refused = (item: number, message: string, isLong = false): ItemTable => ({
    units: new Float64Array(0),
    digest,
    shortest,
    problem: { item, isLong, message },
  });
  if (offsets[0] !== startByte) return refused(firstItem, `sample ${firstItem} starts at byte ${offsets[0]}, where ${startByte} is next`);
  const units: number[] = [];
  let unit = { items: 0, startByte };
  for (let i = 1; i < offsets.length; i++) {
    const [start, end] = [offsets[i - 1], offsets[i]];
    const item = firstItem + i - 1;
    if (!(end >= start && end <= endByte)) return refused(item, `sample ${item} is said to be bytes ${start} to ${end} of ${endByte}`);
    if (end - start > itemBytesMax)
      return refused(item, `sample ${item} has ${end - start} bytes, and at most ${itemBytesMax} are read`, true);
    if (end - start < shortest.bytes) shortest = { item, bytes: end - start };
    if (unit.items > 0 && (end - unit.startByte > unitBytes || unit.items === unitItems)) {
      units.push(unit.items, start);
      unit = { items: 0, startByte: start };
    }
    unit.items++;
  }
  if (unit.items > 0) units.push(unit.items, offsets[offsets.length - 1]);
  return { units: Float64Array.from(units), digest, shortest, problem: undefined };
}
