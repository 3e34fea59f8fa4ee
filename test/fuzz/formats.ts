/** The formats that are fuzzed. Another one: a line here, and formats/NAME.py with its reference writer and reader. */
import type { FormatName } from '../../src/core/format.js';
import { arrowCuts } from './formats/arrow.js';
import { arrayCuts } from './formats/arrays.js';
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

const NPY_FRAGMENTS = [
  ...[
    "'<i4'",
    "'>i4'",
    "'<f4'",
    "'|O'",
    "'<u2'",
    "[('a', '<i4')]",
    'True',
    'False',
    '(3,)',
    '(3)',
    '()',
    '(0,)',
    '(100, 6)',
    '(6, 100)',
    '(-1,)',
    '(1, 2, 3)',
    '(999999999999,)',
  ],
  ...["'descr': ", "'shape': ", "'fortran_order': ", '{', '}', ',', "'", ' ', '\n', '\0', '0', '9', 'L'],
];
const CSV_FRAGMENTS = [
  ...[
    '"',
    '""',
    '"""',
    ',',
    '\t',
    '\n',
    '\r',
    '\r\n',
    '\n\n',
    '",',
    ',"',
    '"\n',
    '"\r\n',
    '"x',
    'x"',
    '\0',
    ' ',
    '\u00e9',
    '\ufeff',
    '\u00a0',
  ],
  ...['-0', '+1', '1e5', '.5', '5.', '1e400', '0x1', 'NaN', '9223372036854775808', '300', ' TRUE ', 'false', 'text', 'id', 'n'],
];
const TEXT_FRAGMENTS = ['\n', '\r', '\r\n', '\n\n', ' ', '\t', '\0', '\ufeff', '\u2028'];
const JSON_FRAGMENTS = [
  ...['{', '}', '[', ']', '"', ',', ':', '\\', '\n', '\r', '\t', '\0', '\u007f', '\u00e9', '-', '+', '.', 'e', 'E', '0', ' '],
  ...[
    '""',
    '{}',
    '[]',
    '[[]]',
    'null',
    'true',
    'false',
    'nul',
    'NaN',
    '-Infinity',
    '-0',
    '-0.0',
    '01',
    '.5',
    '5.',
    '1e5',
    '1E+2',
    '1e400',
    '-1e-9',
  ],
  ...['9007199254740993', '-9223372036854775809', '18446744073709551616', '2147483648', '0.1e1', '1e', '0x10'],
  ...[
    '\\u0041',
    '\\ud83d\\ude42',
    '\\ud800',
    '\\udc00',
    '\\u00e',
    '\\x41',
    '\\n',
    '\\"',
    '\\\\',
    '/*',
    '//',
    '"text":',
    '"meta":{',
    '"meta.text":"dots",',
  ],
  ...['"text":null,', '"ids":[1],', '"n":7,', ',"id":null', '\u2028', '\ufeff', '\uff41'],
];

/** What a header has for sizes, types and names, and what PAX says in records. */
const TAR_FRAGMENTS = [
  ...[
    '00000000000\0',
    '00000001000\0',
    '77777777777\0',
    '\u0001',
    '7777777 ',
    '-0000000001',
    '        ',
    '0',
    '1',
    '2',
    '5',
    '6',
    '7',
    'L',
    'K',
    'x',
    'g',
    'X',
    'S',
    'M',
    'V',
    'D',
    'N',
  ],
  ...[
    '30 GNU.sparse.realsize=5\n',
    '12 size=100\n',
    '14 size=-1000\n',
    '17 path=../../a.b\n',
    '21 hdrcharset=BINARY\n',
    '9 path=\n',
    '99999 path=a\n',
    '0 \n',
  ],
  ...[
    '.txt',
    '.json',
    '.',
    '/',
    '..',
    '../',
    '__a__/',
    '\0',
    'ustar\0' + '00',
    'ustar  \0',
    '{',
    '}',
    '"',
    ',',
    ':',
    'null',
    '"meta":',
    "'<i8'",
    "'>i4'",
    "'|O'",
    '(3,)',
    'True',
  ],
];

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
