/** The formats that are fuzzed. Another one: a line here, and formats/NAME.py with its reference writer and reader. */
import type { FormatName } from '../../src/core/format.js';
import { arrowCuts } from './formats/arrow.js';
import { arrayCuts } from './formats/arrays.js';
import { CSV_FRAGMENTS, JSON_FRAGMENTS, NPY_FRAGMENTS, TAR_FRAGMENTS, TEXT_FRAGMENTS } from './formats/fragments.js';
import { itemCuts } from './formats/items.js';
import { lineCuts } from './formats/lines.js';
import { parquetCuts } from './formats/parquet.js';
import { mendTar, tarCuts } from './formats/tar.js';

export interface FuzzedFormat {
  readonly name: FormatName;
  /** Where parts of a file begin: pages, records, lines. */
  readonly cutsOf: (bytes: Uint8Array) => readonly number[];
  /** Pieces of the format's own grammar, which damage puts anywhere: bytes at random hardly ever are one. */
  readonly fragments?: readonly string[];
  /** Makes the checks of a damaged file's parts right again, in its bytes: what lies behind them is to be damaged too. For every other case. */
  readonly mend?: (bytes: Uint8Array) => void;
  /** Errors, beside those that say that data is not what it should be. */
  readonly codes?: readonly string[];
  /** Cases of `npm test`: ten seconds a format at most. */
  readonly cases: number;
}

export const FUZZED_FORMATS: readonly FuzzedFormat[] = [
  { name: 'parquet', cutsOf: parquetCuts, cases: 600 },
  { name: 'webdataset', cutsOf: tarCuts, fragments: TAR_FRAGMENTS, mend: mendTar, cases: 600 },
  { name: 'arrow', cutsOf: arrowCuts, cases: 600 },
  { name: 'mds', cutsOf: itemCuts, cases: 400 },
  { name: 'jsonl', cutsOf: lineCuts, fragments: JSON_FRAGMENTS, cases: 600 },
  { name: 'csv', cutsOf: lineCuts, fragments: CSV_FRAGMENTS, cases: 600 },
  { name: 'text', cutsOf: lineCuts, fragments: TEXT_FRAGMENTS, cases: 300 },
  { name: 'npy', cutsOf: arrayCuts, fragments: NPY_FRAGMENTS, cases: 600 },
  // ids have a header or none: where a damaged one is none, the configuration has to say what they are
  { name: 'tokens', cutsOf: arrayCuts, codes: ['CONFIG_INVALID'], cases: 300 },
  { name: 'megatron', cutsOf: arrayCuts, cases: 500 },
  { name: 'litdata', cutsOf: itemCuts, cases: 300 },
];
