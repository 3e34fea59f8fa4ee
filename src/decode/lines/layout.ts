/** What the manifest keeps of an object whose rows are lines: where its units are in it, and where they can be entered. Plain JSON. */
import * as z from 'zod';
import type { JsonValue } from '../../core/canonical-json.js';

const count = z.int().min(0);

const unitLayoutSchema = z.object({
  /** Stored bytes; of a compressed object those of the parts that have the unit. */
  startByte: count,
  endByte: count,
  /** Content of these before the unit's first byte. */
  skipBytes: count,
  /** Lines of the object before the unit. */
  line: count,
  /**
   * Three numbers a mark: rows and bytes of the unit before it, and by how much its lines before it are more than its rows. The first is the unit's start,
   * the last its end.
   */
  marks: z.array(count),
  /** Three numbers for each row that is longer than a document may be, which is never read: its place in the unit, and the bytes it has there. */
  long: z.array(count),
});

export type LineUnitLayout = Readonly<z.output<typeof unitLayoutSchema>>;

export function lineUnitLayout(layout: JsonValue): LineUnitLayout {
  return unitLayoutSchema.parse(layout);
}

/** A place between two rows, counted from the start of its unit. */
export interface Mark {
  readonly row: number;
  readonly byte: number;
  readonly extraLines: number;
}

/** A row that is not read, counted likewise. */
export interface LongRow {
  readonly row: number;
  readonly startByte: number;
  readonly endByte: number;
}

export function marksOf({ marks }: LineUnitLayout): Mark[] {
  return triples(marks).map(([row, byte, extraLines]) => ({ row, byte, extraLines }));
}

export function longRowsOf({ long }: LineUnitLayout): LongRow[] {
  return triples(long).map(([row, startByte, endByte]) => ({ row, startByte, endByte }));
}

function triples(numbers: readonly number[]): number[][] {
  return Array.from({ length: Math.floor(numbers.length / 3) }, (_, i) => numbers.slice(3 * i, 3 * i + 3));
}
