/** The corpora that the tokenizers are compared on, in two sizes: a share of a minute for `npm test`, and the whole. */
import type { Corpus } from './exactness.js';
import { inParts } from './documents.js';
import { createRandom, type Random } from './random.js';
import { createStrings } from './random-strings.js';
import { code, languages, prose } from './real-text.js';
import { SENTENCES } from './sentences.js';
import type { AddedToken, TokenizerFile } from './tokenizers.js';
import * as unicode from './unicode-documents.js';

/** How much of everything. */
export interface Share {
  readonly seed: number;
  readonly proseBytes: number;
  readonly codeBytes: number;
  readonly languageBytes: number;
  readonly codePoints: unicode.CodePoints;
  /** One document of so many that the small generated corpora have. */
  readonly every: number;
  readonly strings: number;
  /** Added tokens that are tried in every position, of each kind. */
  readonly addedTokens: number;
  readonly wordBytes: number;
  readonly runBytes: number;
}

export function testShare(seed: number): Share {
  return {
    seed,
    proseBytes: 400_000,
    codeBytes: 400_000,
    languageBytes: 300_000,
    codePoints: 'sample',
    every: 12,
    strings: 4000,
    addedTokens: 25,
    wordBytes: 250_000,
    runBytes: 10_000,
  };
}

/** `megabytes` of prose and code together: as much prose as there is, up to a half. */
export function wholeShare(seed: number, megabytes: number, strings: number): Share {
  return {
    seed,
    proseBytes: megabytes * 0.5e6,
    codeBytes: megabytes * 0.5e6,
    languageBytes: Infinity,
    codePoints: 'all',
    every: 1,
    strings,
    addedTokens: Infinity,
    wordBytes: 1_000_000,
    runBytes: 1_000_000,
  };
}

/** What is the same for every tokenizer. */
export function sharedCorpora(share: Share): Corpus[] {
  const { every, codePoints } = share;
  return [
    corpus('prose', () => prose(share.proseBytes)),
    corpus('code', () => code(share.codeBytes)),
    corpus('languages', () => languages(share.languageBytes)),
    corpus('sentences', () => unicode.sentences(every)),
    corpus('emoji', () => thinned(unicode.emoji(), every)),
    corpus('marks', () => thinned(unicode.marks(), every)),
    corpus('jamo', () => thinned(unicode.jamo(), every)),
    corpus('code-points-alone', () => unicode.codePointsAlone(codePoints)),
    corpus('code-points-between-letters', () => unicode.codePointsBetweenLetters(codePoints)),
    corpus('code-points-in-context', () => thinned(unicode.codePointsInContext('sample'), every)),
    corpus('whitespace', () => thinned(unicode.whitespace(200), every)),
    corpus('digits', () => thinned(unicode.digits(), every)),
    corpus('contractions', () => thinned(unicode.contractions(), every)),
    corpus('long-words', () => longWords(share)),
    corpus('smallest', smallest),
    corpus('invalid-utf8', () => thinned(invalidUtf8(createRandom(share.seed, 'invalid-utf8')), every)),
  ];
}

/** What is made of the tokenizer's own tokens. Special tokens are read in both ways. */
export function ownCorpora(share: Share, file: TokenizerFile): Corpus[] {
  const both = ['plain', 'match'] as const;
  return [
    { ...corpus('added-tokens', () => addedTokens(share, file)), special: both },
    { ...corpus('random-strings', () => randomStrings(share, file)), special: both },
  ];
}

/** `selection`: names, comma-separated, of corpora that are wanted; names with − before them, of those that are not. Throws where one is unknown. */
export function selectCorpora(corpora: readonly Corpus[], selection: string | undefined): Corpus[] {
  if (selection === undefined || selection === '') return [...corpora];
  const words = selection.split(',');
  const unknown = words.filter((word) => !corpora.some(({ name }) => name === word.replace(/^-/, '')));
  if (unknown.length > 0)
    throw new Error(`no corpus is called ${unknown.join(', ')}: there are ${corpora.map(({ name }) => name).join(', ')}`);
  const wanted = words.filter((word) => !word.startsWith('-'));
  return corpora.filter(({ name }) => (wanted.length === 0 || wanted.includes(name)) && !words.includes(`-${name}`));
}

function corpus(name: string, documents: () => Iterable<string | Uint8Array>): Corpus {
  return { name, special: ['plain'], parts: () => inParts(documents()) };
}

/** One of `every` documents, by lot: what generators do in turn is not left out in turn. */
function* thinned<T>(documents: Iterable<T>, every: number): Generator<T> {
  const random = createRandom(every, 'thinned');
  for (const document of documents) if (random.below(every) === 0) yield document;
}

function* randomStrings({ seed, strings }: Share, file: TokenizerFile): Generator<string> {
  const next = createStrings(file, createRandom(seed, `strings ${file.name}`));
  for (let i = 0; i < strings; i++) yield next();
}

/** A word without a space, and runs of one thing. */
function* longWords({ seed, wordBytes, runBytes }: Share): Generator<string> {
  const random = createRandom(seed, 'long-words');
  const letters = (alphabet: string, bytes: number): string => {
    const each = Array.from(alphabet);
    const pieces: string[] = [];
    for (let size = 0; size < bytes;) {
      const piece = random.of(each);
      pieces.push(piece);
      size += Buffer.byteLength(piece);
    }
    return pieces.join('');
  };
  yield letters('etaoinshrdlu', wordBytes);
  for (const alphabet of [
    'abcdefghijklmnopqrstuvwxyz',
    'ab',
    'aA',
    'éèê',
    '中文字符',
    'กขคง',
    '0123456789',
    '-=_*#',
    '😀🙂',
    ' \n',
    ' \t',
    'a\u0301\u0323',
    '가각\u11a8',
  ]) {
    yield letters(alphabet, runBytes);
  }
  for (const unit of [
    'a',
    'A',
    ' ',
    '\n',
    '\r\n',
    '\t',
    '\u00a0',
    '\u3000',
    '0',
    '=',
    '-',
    '.',
    '/',
    "'",
    '▁',
    '_',
    'é',
    'e\u0301',
    '中',
    '가',
    'ᄀ',
    '\u0301',
    '😀',
    '\u200d',
    '🇩🇪',
    '\0',
    '\ufffd',
    'ab',
    'the',
    ' the',
    '\n ',
    ' \n',
    "'s",
    '<',
    '<|',
  ]) {
    const run = unit.repeat(Math.ceil(runBytes / Buffer.byteLength(unit)));
    yield run;
    for (const length of [15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1023, 1024, 1025])
      yield `x${unit.repeat(length)}y`;
  }
}

/** No bytes, one byte, and two, of ASCII; nothing between something. */
function* smallest(): Generator<string> {
  const ascii = Array.from({ length: 128 }, (_, code) => String.fromCodePoint(code));
  yield* ['', '', 'a', '', ...ascii, ''];
  for (const one of ascii) for (const other of ascii) yield one + other;
}

/** Bytes that are no UTF-8: everything that a decoder tells apart, cut characters, flipped bits, and noise. */
function* invalidUtf8(random: Random): Generator<Uint8Array> {
  const edges = [
    0x00, 0x20, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1,
    0xf3, 0xf4, 0xf5, 0xff,
  ];
  for (const one of edges) {
    yield Uint8Array.of(one);
    for (const two of edges) {
      yield Uint8Array.of(one, two);
      for (const three of edges) {
        yield Uint8Array.of(one, two, three);
        yield Uint8Array.of(0x61, one, two, three, random.of(edges), 0x62);
      }
    }
  }
  const bytes = Buffer.from(SENTENCES.join('\n'));
  for (let i = 0; i < 4000; i++) {
    const start = random.below(bytes.length);
    const document = Uint8Array.from(bytes.subarray(start, start + random.below(80)));
    if (document.length > 0 && random.percent(70)) document[random.below(document.length)] ^= 1 << random.below(8);
    yield document;
    yield Uint8Array.from({ length: random.below(60) }, () => random.below(256));
  }
}

/** Added tokens: in every position, beside each other and everything else, and in parts. */
function* addedTokens({ seed, addedTokens: countMax }: Share, { added, name }: TokenizerFile): Generator<string> {
  const random = createRandom(seed, `added ${name}`);
  const neighbours = [
    '',
    ' ',
    '  ',
    '\n',
    '\r\n',
    '\t',
    '\u00a0',
    'a',
    'Z',
    '1',
    '.',
    "'s",
    '▁',
    '<',
    '>',
    '|',
    '中',
    'é',
    '\u0301',
    '\u0338',
    '\0',
    '😀',
    '\u200d',
    ' a',
    'a ',
    '\n\n',
    '   ',
  ];
  for (const [i, { content }] of sampleOfKinds(added, countMax).entries()) {
    const other = added[(i * 31 + 7) % added.length].content;
    for (const neighbour of neighbours) {
      yield neighbour + content;
      yield content + neighbour;
      yield neighbour + content + neighbour + other + neighbour;
    }
    yield `The start ${content} the middle${content}${content} and ${other}${content}the end ${content}`;
    for (let cut = 1; cut < content.length; cut++)
      yield `x${content.slice(0, cut)} ${content.slice(cut)}y${content.slice(0, cut)}${content}${content.slice(cut)}`;
    yield* [
      content.toUpperCase(),
      content.toLowerCase(),
      content.normalize('NFD'),
      content.replaceAll('▁', ' '),
      content.replaceAll(' ', '▁'),
      `${content[0]}${content}${content.slice(-1)}`,
    ];
    yield Array.from({ length: 12 }, () => random.of(added).content + random.of(neighbours)).join('');
  }
}

/** Up to `countMax` of the special tokens, of the others, and of those that are text or spaces only; spread over all of a kind. */
function sampleOfKinds(added: readonly AddedToken[], countMax: number): AddedToken[] {
  const kinds = new Map<string, AddedToken[]>();
  for (const token of added) {
    const kind = JSON.stringify([token.special, token.normalized, /^[\s▁]+$/.test(token.content), /\d/.test(token.content)]);
    kinds.set(kind, kinds.get(kind) ?? []);
    kinds.get(kind)!.push(token);
  }
  return [...kinds.values()].flatMap((tokens) => tokens.filter((_, i) => i % Math.max(1, Math.ceil(tokens.length / countMax)) === 0));
}
