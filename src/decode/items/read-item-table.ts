/**
 * Items that are counted and lie one after the other, as chunks of litData and shards of MosaicML's MDS have them: read in parts, cut into units.
 *
 *   count │ offset 0 │ offset 1 │ … │ offset count │ (what the format has there) │ item 0 │ item 1 │ …
 */
import { LIMITS } from '../../config/limits.js';
import type { Scan } from '../decoder.js';
import { ITEM_OFFSET_BYTES, type ItemProblem, type ItemTable } from './item-table.js';

/** Bytes of the object, or of its content where that is compressed. Asked for in ascending order. */
export type ReadItemBytes = (startByte: number, endByte: number) => Promise<Uint8Array>;

export interface ItemPlaces {
  /** Where the offsets start. */
  readonly tableByte: number;
  readonly items: number;
  /** Where the first item starts. */
  readonly startByte: number;
  /** No item ends after it. */
  readonly endByte: number;
}

export interface ItemUnit {
  readonly startRow: number;
  readonly rows: number;
  readonly startByte: number;
  readonly endByte: number;
}

export interface ItemUnits {
  readonly units: readonly ItemUnit[];
  /** Of the last item. */
  readonly endByte: number;
  /** SHA-256 (hex) of the table's parts. */
  readonly digests: readonly string[];
  /** The shortest item, and its bytes; of no item they are infinite. */
  readonly shortest: ItemTable['shortest'];
}

/** `invalid` makes the error of what is wrong with the table, at a byte of it. Errors: that, and those of `read`. */
export async function readItemTable(
  read: ReadItemBytes,
  { tableByte, items, startByte, endByte }: ItemPlaces,
  scan: Scan,
  invalid: (problem: ItemProblem, byte: number) => Error,
  signal: AbortSignal,
): Promise<ItemUnits> {
  const units: ItemUnit[] = [];
  const digests: string[] = [];
  let end = startByte;
  let shortest: ItemTable['shortest'] = { item: 0, bytes: Infinity };
  for (let firstItem = 0; firstItem < items; firstItem += LIMITS.itemPartItems) {
    const own = Math.min(LIMITS.itemPartItems, items - firstItem);
    const partByte = tableByte + ITEM_OFFSET_BYTES * firstItem;
    const bytes = await read(partByte, partByte + ITEM_OFFSET_BYTES * (own + 1));
    const { itemUnitBytes: unitBytes, itemUnitItems: unitItems, itemBytesMax } = LIMITS;
    const request = { bytes, firstItem, startByte: end, endByte, unitBytes, unitItems, itemBytesMax };
    const part = await scan('item-table', request, signal);
    if (part.problem !== undefined) throw invalid(part.problem, tableByte + ITEM_OFFSET_BYTES * part.problem.item);
    if (part.shortest.bytes < shortest.bytes) ({ shortest } = part);
    digests.push(part.digest);
    let startRow = firstItem;
    for (let i = 0; i < part.units.length; i += 2) {
      const [rows, unitEnd] = part.units.subarray(i, i + 2);
      units.push({ startRow, rows, startByte: end, endByte: unitEnd });
      startRow += rows;
      end = unitEnd;
    }
  }
  return { units, endByte: end, digests, shortest };
}
