/** The formats that are fuzzed. Another one: a line here, and formats/NAME.py with its reference writer and reader. */
import type { FormatName } from '../../src/core/format.js';
import { itemCuts } from './formats/items.js';
import { parquetCuts } from './formats/parquet.js';

export interface FuzzedFormat {
  readonly name: FormatName;
  /** Where parts of a file begin: pages, records, lines. */
  readonly cutsOf: (bytes: Uint8Array) => readonly number[];
  /** Cases of `npm test`: twenty seconds a format at most. */
  readonly cases: number;
}

export const FUZZED_FORMATS: readonly FuzzedFormat[] = [
  { name: 'parquet', cutsOf: parquetCuts, cases: 600 },
  { name: 'mds', cutsOf: itemCuts, cases: 400 },
  { name: 'litdata', cutsOf: itemCuts, cases: 300 },
];
