/** Documents that go through Unicode and through what the split patterns decide by: code points, spaces, digits, apostrophes, emoji, marks, syllables. */
import { SENTENCES } from './sentences.js';

/** Unassigned code points and those of the large uniform blocks (ideographs, syllables, private use): a sample takes every so many of them. */
const SAMPLED_EVERY = 61;
const UNIFORM =
  /[\p{Cn}\p{Co}\p{Script=Han}\p{Script=Hangul}\p{Script=Tangut}\p{Script=Egyptian_Hieroglyphs}\p{Script=Cuneiform}\p{Script=Yi}]/u;

export type CodePoints = 'all' | 'sample';

/** Every code point that is no surrogate, as a string; of a sample, every one of most blocks. */
function* codePoints(which: CodePoints): Generator<string> {
  for (let code = 0; code <= 0x10ffff; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const character = String.fromCodePoint(code);
    if (which === 'all' || code % SAMPLED_EVERY === 0 || !UNIFORM.test(character)) yield character;
  }
}

export function codePointsAlone(which: CodePoints): Iterable<string> {
  return codePoints(which);
}

/** 64 code points a document, between letters of both cases. */
export function* codePointsBetweenLetters(which: CodePoints): Generator<string> {
  let [lower, upper] = ['', ''];
  let count = 0;
  for (const character of codePoints(which)) {
    const letter = count % 26;
    lower += String.fromCodePoint(0x61 + letter) + character;
    upper += String.fromCodePoint(0x41 + letter) + character;
    if (++count % 64 !== 0) continue;
    yield `${lower}a`;
    yield `${upper}A`;
    [lower, upper] = ['', ''];
  }
  yield `${lower}a`;
  yield `${upper}A`;
}

/** 16 code points a document, each between two of everything else that patterns tell apart. */
export function* codePointsInContext(which: CodePoints): Generator<string> {
  const contexts = [
    ' ?',
    ' ? ',
    '  ?a',
    'aB?c',
    'A?B',
    '1?2',
    '.?.',
    ' .?',
    '\n?\n',
    '?\r\n',
    "?'s",
    "'?",
    '中?中',
    'か?',
    '가?',
    'e?\u0301',
    '?\u0301',
    '?\u094d',
    '??',
    'a??b',
    '/?',
    '?/',
    '\u00a0?\u00a0',
    '?\u200d?',
    '▁?',
    '\0?',
  ];
  let waiting: string[] = [];
  for (const character of codePoints(which)) {
    waiting.push(character);
    if (waiting.length < 16) continue;
    for (const context of contexts)
      yield waiting.map((one) => context.replaceAll('?', () => one)).join(context.length % 2 === 0 ? 'x' : '');
    waiting = [];
  }
}

const SPACES = Array.from(
  '\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000',
).concat('\r\n');
/** What looks like a space, or is one to some. */
const NEARLY_SPACES = Array.from('\u001c\u001d\u001e\u001f\u180e\u200b\u200c\u200d\u2060\ufeff\0\b▁');
const AROUND_SPACES = [
  '?',
  'a?',
  '?a',
  'a?b',
  'A?B',
  '1?2',
  '.?.',
  'a.?b',
  "a?'s",
  '中?中',
  'a? b',
  'a ?b',
  ' ?',
  '? ',
  '?\n',
  '\n?',
  'a?\nb',
  'a\n?b',
  '?\u0301',
  'a?\u0301b',
  'line one?\nline two?',
  '?/',
  '(?)',
];

/** Every kind of space, every pair of kinds, and runs, in every position. */
export function* whitespace(runsMax: number): Generator<string> {
  const kinds = [...SPACES, ...NEARLY_SPACES];
  const runs = kinds.flatMap((one) => kinds.map((other) => one + other));
  for (const kind of kinds)
    for (let length = 1; length <= runsMax; length = length < 9 ? length + 1 : 2 * length + 1) runs.push(kind.repeat(length));
  for (const one of [' ', '\t', '\n', '\r\n', '\u00a0', '\u3000']) {
    for (const other of [' ', '\n', '\r\n', '\u2028', '\t'])
      for (const third of SPACES) runs.push(one + other + third, one + one + other + third + third);
  }
  for (const run of new Set(runs)) for (const context of AROUND_SPACES) yield context.replaceAll('?', () => run);
}

/** Numbers of every script, in runs of one to seven, in every position. */
export function* digits(): Generator<string> {
  const numbers = [...matching(/\p{N}/u)];
  const contexts = ['?', ' ?', 'a?', '?a', 'a ? b', '中?', '-?', '?.?', '?,?', '$?', '?%', '\n?\n', '?\u0301?', "?'s", '?:?/?'];
  for (const [i, number] of numbers.entries()) {
    const other = numbers[(i + 1) % numbers.length];
    for (let length = 1; length <= 7; length++) yield number.repeat(length);
    for (const context of contexts) yield context.replaceAll('?', () => number + other);
    yield `1${number}2${other}34${number}${other}567`;
  }
  for (let length = 1; length <= 40; length++) {
    const run = '31415926535897932384626433832795028841971'.slice(0, length);
    for (const context of contexts) yield context.replaceAll('?', () => run);
  }
  yield '1,234,567.89 0x1F 1e-10 3.14 v1.2.3 2024-03-15T12:34:56Z 192.168.0.1 +49 (0)30 1234567 ½ ¾ 10⁻⁹ H₂O x² Ⅳ. ④';
}

/** Contractions and what nearly is one: every capitalisation, every apostrophe, every neighbour. */
export function* contractions(): Generator<string> {
  const endings = ['s', 't', 're', 've', 'm', 'll', 'd', 'x', 'r', 'v', 'l', 'k', 'st', 'nt', 'ss'].flatMap(capitalisations);
  const apostrophes = ["'", '’', 'ʼ', '＇', '`', '´', '‘', '′', "''", "' ", "\u0301'", '&#39;'];
  const before = ['', 'I', 'they', 'THEY', 'x ', '9', '\n', '中', 'é', 'e\u0301', '.', ' ', '"', 'ſ', 'ǅ'];
  const after = ['', 'x', 'X', ' ', '1', "'", '\u0301', '.', '\n', 'ſ', '中'];
  for (const ending of endings) {
    for (const apostrophe of apostrophes) for (const start of before) for (const end of after) yield start + apostrophe + ending + end;
  }
}

/** A word in all mixtures of capital and small letters; with ſ for s and the sign of Kelvin for k besides, which become these letters when case is ignored. */
function capitalisations(word: string): string[] {
  const forms = (letter: string): string[] => [
    letter,
    letter.toUpperCase(),
    ...(letter === 's' ? ['ſ'] : letter === 'k' ? ['\u212a'] : []),
  ];
  return Array.from(word).reduce<string[]>((starts, letter) => starts.flatMap((start) => forms(letter).map((form) => start + form)), ['']);
}

/** Emoji alone and in sequences that are right, and that are nearly. */
export function* emoji(): Generator<string> {
  const all = [...matching(/\p{Emoji}/u)];
  const bases = [...matching(/\p{Emoji_Modifier_Base}/u)];
  const modifiers = ['\u{1f3fb}', '\u{1f3fc}', '\u{1f3fd}', '\u{1f3fe}', '\u{1f3ff}'];
  const joined = [
    '👨‍👩‍👧‍👦',
    '👩‍❤️‍💋‍👨',
    '👩🏽‍💻',
    '🧑🏿‍🤝‍🧑🏻',
    '🏳️‍🌈',
    '🏴‍☠️',
    '❤️‍🔥',
    '🐻‍❄️',
    '👁️‍🗨️',
    '🏃🏾‍♀️‍➡️',
    '🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}',
    '1️⃣',
    '#️⃣',
    '*⃣',
    '©️',
    '™︎',
  ];
  const regional = Array.from({ length: 26 }, (_, i) => String.fromCodePoint(0x1f1e6 + i));
  const sequences = [
    ...all.flatMap((one) => [one, `${one}\ufe0f`, `${one}\ufe0e`, `${one}\u20e3`]),
    ...bases.flatMap((base) =>
      modifiers.flatMap((modifier) => [base + modifier, `${base}${modifier}\u200d♂\ufe0f`, `${base}\ufe0f${modifier}`]),
    ),
    ...joined.flatMap((one) => [
      one,
      `${one}\u200d`,
      `\u200d${one}`,
      one.repeat(3),
      one.replaceAll('\u200d', '\u200d\u200d'),
      one.replaceAll('\ufe0f', ''),
    ]),
    ...regional.flatMap((one) => regional.map((other) => one + other)),
    ...regional.map((one) => one.repeat(5)),
  ];
  for (const [i, sequence] of sequences.entries()) {
    yield sequence;
    yield `a${sequence}b ${sequence} ${sequence}${sequences[(i * 7 + 1) % sequences.length]}!${sequence}\n`;
  }
}

/** Marks in both normal forms and in no order; characters that a normal form changes; long runs of marks. */
export function* marks(): Generator<string> {
  const several = Array.from(
    '\u0301\u0323\u0308\u0327\u0345\u0338\u0300\u031b\u05b0\u064b\u093c\u0e38\u3099\u302a\u0f71\u{1d165}\u{1d16d}',
  );
  // a code point that either form changes, or that composes with what follows it
  for (const character of matching(/[\p{L}\p{M}\p{N}\p{S}\p{P}]/u)) {
    if (character.normalize('NFD') === character && character.normalize('NFC') === character) continue;
    if (/^[\uac00-\ud7a3]$/.test(character) && character.charCodeAt(0) % 97 !== 0) continue;
    const [composed, decomposed] = [character.normalize('NFC'), character.normalize('NFD')];
    yield `${character} ${composed} ${decomposed} a${character}b${composed}c${decomposed}d`;
    yield `${decomposed}\u0323 ${composed}\u0301\u0323 ${decomposed}\u0327\u0301x ${character}\u0345\u0300${character}`;
    yield Array.from(decomposed).reverse().join('');
  }
  for (const letter of Array.from('aeiounscdlztAEOSZαωабиеךあかハक가ᄀ\u11a8 .1\n')) {
    for (const one of several) for (const other of several) yield `${letter}${one}${other} x${letter}${other}${one}${letter}`;
    for (const one of several)
      for (const length of [1, 2, 5, 29, 30, 31, 32, 33, 64, 200]) yield `${letter}${one.repeat(length)}\u0323${letter}`;
  }
  for (const mark of matching(/\p{M}/u))
    yield `${mark} a${mark}b e${mark}\u0301 e\u0301${mark} A${mark}B 1${mark}2 .${mark}. ${mark}${mark} \n${mark} \u0323${mark}\u0301`;
  for (const sentence of SENTENCES) for (const form of ['NFC', 'NFD', 'NFKC', 'NFKD'] as const) yield sentence.normalize(form);
}

/** Hangul letters of all three positions, that make syllables or nearly do, and halves of them. */
export function* jamo(): Generator<string> {
  const letters = (first: number, last: number): string[] =>
    Array.from({ length: last - first + 1 }, (_, i) => String.fromCodePoint(first + i));
  const vowels = letters(0x1160, 0x11a7);
  const finals = [...letters(0x11a7, 0x11ff), ...letters(0xd7b0, 0xd7c6)];
  for (const [i, initial] of [...letters(0x1100, 0x115f), ...letters(0xa960, 0xa97c)].entries()) {
    for (const [j, vowel] of vowels.entries()) {
      const final = finals[(i * 5 + j) % finals.length];
      yield `${initial}${vowel} ${initial}${vowel}${final} ${initial}${vowel}${final}${final}${vowel}${initial}x${initial}\u0301${vowel}`;
    }
  }
  for (let syllable = 0xac00; syllable <= 0xd7a3; syllable += 7) {
    const character = String.fromCodePoint(syllable);
    const final = finals[syllable % finals.length];
    yield `${character}${final} ${character.normalize('NFD')} a${character}\u0301${final}${character.normalize('NFD')}${final}`;
  }
  yield letters(0x3131, 0x318e).join('');
  yield letters(0xffa0, 0xffdc).join(' ');
}

/** Sentences of many scripts: whole, from every so many characters on, and mixed with each other. */
export function* sentences(step: number): Generator<string> {
  for (const [i, sentence] of SENTENCES.entries()) {
    const characters = Array.from(sentence);
    for (let start = 0; start < characters.length; start += step) yield characters.slice(start).join('');
    const other = SENTENCES[(i * 5 + 3) % SENTENCES.length];
    const words = [sentence, other].map((text) => text.split(' '));
    yield words[0].flatMap((word, j) => [word, words[1][j % words[1].length]]).join(' ');
    yield `${sentence}${other}\n${sentence}\r\n\t${other}  ${sentence.toUpperCase()} ${sentence.toLowerCase()}`;
  }
  yield SENTENCES.join('\n');
}

function* matching(pattern: RegExp): Generator<string> {
  for (const character of codePoints('all')) if (pattern.test(character)) yield character;
}
