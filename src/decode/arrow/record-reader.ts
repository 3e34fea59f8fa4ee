/**
 * Fetches the values of records: a list says which items its rows have, and those are the values of the arrays inside it that are read then. Where a record
 * batch is compressed only a worker can say it, so that it is given all items.
 *
 *   messages: list ──offsets of rows [10, 20)──▶ items [31, 58) ──▶ struct ──▶ role [31, 58), content [31, 58)
 */
import type { ByteRange } from '../../store/store.js';
import { allOrNone } from '../all-or-none.js';
import type { ColumnReader } from './column-reader.js';
import type { EncodedArrowRecord } from './encoded-slice.js';
import type { ArrowColumnLayout, ArrowRecordArray } from './layout.js';

/** Opens the reader of values [first, end) of an array. */
export type OpenArray = (array: ArrowRecordArray, layout: ArrowColumnLayout, first: number, end: number) => ColumnReader;

/** Of a block's part of one column of records. */
export class RecordReader {
  readonly #array: ArrowRecordArray;
  /** Of itself and the arrays inside it, depth first. */
  readonly #layouts: readonly ArrowColumnLayout[];
  readonly #open: OpenArray;
  readonly #own: ColumnReader;
  readonly #first: number;
  readonly #end: number;
  #children: Promise<readonly RecordReader[]> | undefined;
  #opened: readonly RecordReader[] = [];

  constructor(array: ArrowRecordArray, layouts: readonly ArrowColumnLayout[], open: OpenArray, first: number, end: number) {
    this.#array = array;
    this.#layouts = layouts;
    this.#open = open;
    this.#first = first;
    this.#end = end;
    this.#own = open(array, layouts[0], first, end);
  }

  get ranges(): readonly ByteRange[] {
    return [...this.#own.ranges, ...this.#opened.flatMap(({ ranges }) => ranges)];
  }

  /** Values [first, end) of the array, after those of the calls before. `isLast`: no more will be asked for. Errors: those of `Store.read`, `SHARD_INVALID`. */
  async read(first: number, end: number, isLast: boolean, signal: AbortSignal): Promise<EncodedArrowRecord> {
    const { name, leaf } = this.#array;
    const [array, inner] = await allOrNone([this.#own.read(first, end, isLast, signal), this.#innerRange(first, end, signal)]);
    const readers = await this.#openChildren(signal);
    const children = await allOrNone(readers.map((reader) => reader.read(inner[0], inner[1], isLast, signal)));
    return { name, first, array, leaf, children };
  }

  /** The values of the arrays inside it that belong to [first, end). */
  async #innerRange(first: number, end: number, signal: AbortSignal): Promise<readonly [number, number]> {
    const { type } = this.#array;
    if (type.kind === 'struct' || this.#array.leaf !== undefined) return [first, end];
    if (this.#own.isWhole) return [0, this.#layouts[0].items];
    return [await this.#own.itemsStart(first, signal), await this.#own.itemsStart(end, signal)];
  }

  async #openChildren(signal: AbortSignal): Promise<readonly RecordReader[]> {
    this.#children ??= this.#innerRange(this.#first, this.#end, signal).then(([first, end]) => {
      const readers: RecordReader[] = [];
      let at = 1;
      for (const child of this.#array.children) {
        const layouts = this.#layouts.slice(at, (at += arraysIn(child)));
        readers.push(new RecordReader(child, layouts, this.#open, first, end));
      }
      return (this.#opened = readers);
    });
    const opening = this.#children;
    opening.catch(() => (this.#children = undefined)); // the next one tries again
    return opening;
  }
}

/** Itself and those inside it. */
export function arraysIn({ children }: ArrowRecordArray): number {
  return children.reduce((sum, child) => sum + arraysIn(child), 1);
}
