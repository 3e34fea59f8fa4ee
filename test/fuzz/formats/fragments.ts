/** Pieces of the grammars of formats that are mostly grammar: what opens, ends, names and counts something in them. */

function words(text: string): string[] {
  return text.split(' ');
}

export const NPY_FRAGMENTS: readonly string[] = [
  ...words("'<i4' '>i4' '<f4' '|O' '<u2' True False (3,) (3) () (0,) (-1,) (999999999999,) { } , ' 0 9 L"),
  ...["[('a', '<i4')]", '(100, 6)', '(6, 100)', '(1, 2, 3)', "'descr': ", "'shape': ", "'fortran_order': "],
  ...[' ', '\n', '\u0000'],
];

export const CSV_FRAGMENTS: readonly string[] = [
  ...words('" "" """ , ", ," "x x" -0 +1 1e5 .5 5. 1e400 0x1 NaN 9223372036854775808 300 false text id n'),
  ...['\t', '\n', '\r', '\r\n', '\n\n', '"\n', '"\r\n', '\u0000', ' ', '\u00e9', '\ufeff', '\u00a0'],
  ...[' TRUE '],
];

export const TEXT_FRAGMENTS: readonly string[] = ['\n', '\r', '\r\n', '\n\n', ' ', '\t', '\u0000', '\ufeff', '\u2028'];

export const JSON_FRAGMENTS: readonly string[] = [
  ...words('{ } [ ] " , : \\ - + . e E 0 "" {} [] [[]] null true false nul NaN -Infinity -0 -0.0 01 .5 5. 1e5 1E+2 1e400 -1e-9'),
  ...words('9007199254740993 -9223372036854775809 18446744073709551616 2147483648 0.1e1 1e 0x10 \\u0041 \\ud83d\\ude42 \\ud800'),
  ...words('\\udc00 \\u00e \\x41 \\n \\" \\\\ /* // "text": "meta":{ "meta.text":"dots", "text":null, "ids":[1], "n":7, ,"id":null'),
  ...['\n', '\r', '\t', '\u0000', '\u007f', '\u00e9', ' ', '\u2028', '\ufeff', '\uff41'],
];

/** What a header has for sizes, types and names, and what PAX says in records. */
export const TAR_FRAGMENTS: readonly string[] = [
  ...words("-0000000001 0 1 2 5 6 7 L K x g X S M V D N .txt .json . / .. ../ __a__/ { } \" , : null \"meta\": '<i8' '>i4' '|O'"),
  ...words('(3,) True'),
  ...['00000000000\u0000', '00000001000\u0000', '77777777777\u0000', '\u0001', '7777777 ', '        '],
  ...['30 GNU.sparse.realsize=5\n', '12 size=100\n', '14 size=-1000\n', '17 path=../../a.b\n'],
  ...['21 hdrcharset=BINARY\n', '9 path=\n', '99999 path=a\n', '0 \n', '\u0000', 'ustar\u000000'],
  ...['ustar  \u0000'],
];
