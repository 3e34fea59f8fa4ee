import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CODE_POINT_OF_BYTE } from '../../src/tokenize/bpe/byte-alphabet.js';
import { compileBpe } from '../../src/tokenize/bpe/compile.js';
import { createReferenceEncoder } from '../../src/tokenize/bpe/reference-encoder.js';
import { scanTokenizerJson } from '../../src/tokenize/bpe/scan-json.js';
import type { TokenizerJson } from '../../src/tokenize/bpe/tokenizer-json.js';
import { parseTokenizer } from '../../src/tokenize/load-tokenizer.js';
import { buildAutomata } from '../../src/tokenize/pattern/automaton.js';
import { KINDS } from '../../src/tokenize/pattern/character-kinds.js';
import { parsePattern } from '../../src/tokenize/pattern/parse-pattern.js';
import { packDocuments } from './documents.js';

const GPT2 = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;
const CL100K = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const QWEN = CL100K.replace('{1,3}', '');
const O200K = [
  String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
  String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
  String.raw`\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
].join('|');

/** Patterns that are almost such a one: where the kinds are not what they seem, the automaton has to be asked. */
const UNUSUAL: Readonly<Record<string, string>> = {
  'two digits': CL100K.replace('{1,3}', '{1,2}'),
  'digits led by any blank': GPT2.replace(String.raw` ?\p{N}+`, String.raw`\s?\p{N}+`),
  'no blanks before line ends': CL100K.replace(String.raw`\s*[\r\n]+|`, ''),
  'no line ends behind marks': CL100K.replace(String.raw`[\r\n]*|\s*`, String.raw`|\s*`),
  'one line end behind marks': CL100K.replace(String.raw`[\r\n]*`, String.raw`[\r\n]?`),
  'blanks all together': CL100K.replace(String.raw`\s+(?!\S)|`, ''),
  'only brackets lead words': CL100K.replace(String.raw`[^\r\n\p{L}\p{N}]?\p{L}+`, String.raw`[(\[{]?\p{L}+`),
  'a tail of line ends and stars': CL100K.replace(String.raw`+[\r\n]*`, String.raw`+[\r\n*]*`),
  'marks by themselves': CL100K.replace(String.raw` ?[^\s\p{L}\p{N}]+[\r\n]*`, String.raw` ?[^\s\p{L}\p{N}]`),
  'four marks at most': GPT2.replace(String.raw`[^\s\p{L}\p{N}]+`, String.raw`[^\s\p{L}\p{N}]{1,4}`),
  'words with underscores': GPT2.replaceAll(String.raw`\p{L}`, String.raw`\p{L}_`).replace(String.raw`?\p{L}_+`, String.raw`?[\p{L}_]+`),
  'words of one case': GPT2.replace(String.raw` ?\p{L}+`, String.raw` ?\p{Lu}+| ?\p{Ll}+`),
  'words of eight letters at most': GPT2.replace(String.raw`\p{L}+`, String.raw`\p{L}{1,8}`),
  'vowels apart': GPT2.replace(String.raw` ?\p{L}+`, String.raw` ?[aeiou]+| ?\p{L}+`),
};

const NAMES = Object.keys(KINDS) as (keyof typeof KINDS)[];

/** Characters by the kinds that a pattern gives them. */
function kindsOf(pattern: string): Partial<Record<keyof typeof KINDS, string>> | undefined {
  const [{ kinds: planes }] = buildAutomata([parsePattern(pattern)]).automata;
  if (planes === undefined) return undefined;
  const byKind: Partial<Record<keyof typeof KINDS, string>> = {};
  for (let character = 0; character < 128; character++) {
    const bits = [0, 1, 2, 3].map((plane) => ((planes[16 * plane + (character & 15)] >> (character >> 4)) & 1) << plane);
    const number = bits.reduce((sum, bit) => sum + bit);
    const name = NAMES.find((kind) => KINDS[kind] === number)!;
    byKind[name] = (byKind[name] ?? '') + String.fromCharCode(character);
  }
  return byKind;
}

/** Factors of the ranks of `pairsModel`: of most pairs that meet in a bound, one model or the other merges another one first. */
const RANKS = [
  [30_103, 52_361],
  [40_503, 25_717],
] as const;

/** Any two bytes merge, some pairs before others: so ids say where pretokens begin. */
function pairsModel([ofFirst, ofSecond]: readonly [number, number]): object {
  const bytes = CODE_POINT_OF_BYTE.map((point) => String.fromCodePoint(point));
  const merges = bytes.flatMap((first, i) =>
    bytes.map((second, j) => ({ rank: (i * ofFirst + j * ofSecond) & 0xffff, merge: `${first} ${second}` })),
  );
  merges.sort((a, b) => a.rank - b.rank);
  const pairs = merges.map(({ merge }) => merge.replace(' ', ''));
  return {
    type: 'BPE',
    vocab: Object.fromEntries([...bytes, ...pairs].map((token, id) => [token, id])),
    merges: merges.map(({ merge }) => merge),
  };
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

describe('the kinds of characters', () => {
  it.each([
    { name: 'GPT-2', pattern: GPT2, kinds: { letter: LETTERS, space: ' ', blank: '\t\n\v\f\r', apostrophe: "'", ledDigit: '0123456789' } },
    {
      name: 'cl100k',
      pattern: CL100K,
      kinds: { letter: LETTERS, space: ' ', leadingBlank: '\t\v\f', lineEnd: '\n\r', apostrophe: "'", digit: '0123456789' },
    },
    {
      name: 'Qwen',
      pattern: QWEN,
      kinds: { letter: LETTERS, space: ' ', leadingBlank: '\t\v\f', lineEnd: '\n\r', apostrophe: "'", loneDigit: '0123456789' },
    },
    {
      name: 'o200k',
      pattern: O200K,
      kinds: {
        capital: LETTERS.slice(0, 26),
        letter: LETTERS.slice(26),
        space: ' ',
        leadingBlank: '\t\v\f',
        lineEnd: '\n\r',
        wordApostrophe: "'",
        tailMark: '/',
        digit: '0123456789',
      },
    },
  ])('of $name: every ASCII character has one, so that nothing but contractions goes through the automaton', ({ pattern, kinds }) => {
    const { mark, leadingMark, ...found } = kindsOf(pattern)!;
    expect(found).toEqual(kinds);
    const marks = Array.from({ length: 128 }, (_, point) => String.fromCharCode(point)).filter(
      (c) => !Object.values(kinds).join('').includes(c),
    );
    expect(mark ?? leadingMark).toBe(marks.join(''));
  });

  it('are none where the machine and the automaton do not agree', () => {
    expect(kindsOf(UNUSUAL['two digits'])?.other).toBe('0123456789');
    expect(kindsOf(UNUSUAL['a tail of line ends and stars'])?.other).toBeUndefined();
    expect(kindsOf(UNUSUAL['one line end behind marks'])?.other).toBe('\n\r');
    expect(kindsOf(UNUSUAL['words of eight letters at most'])).toBeUndefined();
  });

  const named = Object.entries({ 'GPT-2': GPT2, cl100k: CL100K, Qwen: QWEN, o200k: O200K, ...UNUSUAL });
  it.each(named)('of %s give the pretokens of the automaton, wherever they meet', (_, pattern) => {
    const split = { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false };
    const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
    const encoders = RANKS.map((ranks) => {
      const json = { model: pairsModel(ranks), pre_tokenizer: { type: 'Sequence', pretokenizers: [split, bytes] } };
      const kernel = parseTokenizer(json, 'test');
      expect(kernel.path).toBe('kernel');
      const scanned = scanTokenizerJson(Buffer.from(JSON.stringify(json)))!;
      const compiled = compileBpe(JSON.parse(scanned.rest) as TokenizerJson, scanned, { specialTokens: 'plain' });
      return { kernel, reference: createReferenceEncoder(compiled) };
    });
    // what each kind has, in runs and alone, and what is of none; few of them in a text, so that all of them meet
    const pieces = [
      'a',
      'be',
      'C',
      'DE',
      'Fg',
      ' ',
      '  ',
      '    ',
      '\t',
      '\n',
      '\r\n',
      '\n\n\n',
      '.',
      ';',
      '(',
      '/',
      '//',
      '*',
      '_',
      "'",
      "'s",
      "'T",
      '’',
    ];
    const more = [
      '1',
      '23',
      '456',
      '7890123',
      '\0',
      '\x1c',
      'é',
      '世',
      '\u00a0',
      '\u2028',
      '\u0301',
      'ǅ',
      '٣',
      'letters'.repeat(12),
      ' '.repeat(70),
    ];
    const unit = fc.constantFrom(...pieces, ...more);
    const some = fc.uniqueArray(unit, { minLength: 2, maxLength: 7 });
    const texts = some.chain((units) => fc.array(fc.array(fc.constantFrom(...units), { maxLength: 60 }), { minLength: 10, maxLength: 10 }));
    const property = fc.property(texts, (documents) => {
      const { bytes: text, bounds } = packDocuments(documents.map((document) => document.join('')));
      for (const { kernel, reference } of encoders) {
        expect(Array.from(kernel.encodeBatch(text, bounds).ids)).toEqual(Array.from(reference.encodeBatch(text, bounds).ids));
      }
    });
    fc.assert(property, { numRuns: 500 });
  });
});
