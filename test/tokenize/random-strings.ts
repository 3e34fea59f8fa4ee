/** Random strings from an alphabet that is chosen to be difficult: what pre-tokenizers, normalizers and added tokens decide by, side by side. */
import type { Random } from './random.js';
import { decodeToken, type TokenizerFile } from './tokenizers.js';

type Source = (random: Random) => string;

/** Each of the characters of a string, equally likely. */
function characters(alphabet: string): Source {
  const each = Array.from(alphabet);
  return (random) => random.of(each);
}

/** A code point of a range. */
function range(first: number, last: number): Source {
  return (random) => String.fromCodePoint(first + random.below(last - first + 1));
}

const ALPHABETS: readonly Source[] = [
  characters('abcdefghijklmnopqrstuvwxyz'),
  characters('ABCDEFGHIJKLMNOPQRSTUVWXYZ'),
  characters('sStTdDmMrReEvVlLſKkİıIi'),
  characters("'''’’‘ʼ＇`´′"),
  characters('ǅǈǋǲᾈᾼῼ'), // titlecase
  characters('ʰʲˢʻˈˠᵃᵇꜛₐⁿªº'), // modifier letters
  characters('àéîõüñçßøåæœÀÉÎÕÜÑÇẞØÅÆŒąęłńśźżčďěřšťůž'),
  characters('абвгдежзийклмнопрстуфхцчшщъыьэюяАБВГДЕЁЖЗИЙΑΒΓΔαβγδσςάώ'),
  characters('אבגדהוזחטיךכ\u05b0\u05bcابتثجحخدذ\u064b\u0651ـ'),
  characters('कखगघ\u0902\u093c\u093e\u093f\u094dกขค\u0e31\u0e34\u0e48\u0e49ขாক\u09cd'),
  characters('\u0300\u0301\u0302\u0308\u030a\u0316\u0323\u0327\u0328\u0338\u0345\u034f\u035c\u0360\u20dd\u20e3\u302a\u3099\ufe20'),
  characters('一丁七万上下不与中人大年日本国語龥龦鿿㐀〇々〆豈\u{20000}\u{2a6df}'),
  characters('あいうえおがぎゃっんゝアイウエオガーヴッンｱｲﾞ・゠ヿ゛'),
  range(0xac00, 0xd7a3),
  characters('\u1100\u1101\u1112\u115f\u1160\u1161\u1175\u11a7\u11a8\u11c2\ua960\ud7b0\ud7cb각가'),
  characters('0123456789'),
  characters('٠١٢۳०१२๑๒０１９𝟎𝟙²³¹½¾Ⅳⅷ①⑳㊉〇৴௰፩ᛮ'),
  characters('.,;:!?-_()[]{}<>/\\"#$%&*+=@^|~`'),
  characters('//\\\\--==##**__..,,'),
  characters('–—…“”„«»¿¡§¶†‡•‰‹›。、「」《》！？，：；（）।؟،״־'),
  characters('$€£¥₹₽^`¨¯´¸+<=>|~¬±×÷∞∑√∂≠≤←→↔⇒■□●★☆♪♯⌘☃©®°™℃№'),
  characters(' '),
  characters(' \t\n\r\n\r\v\f'),
  characters('\u00a0\u0085\u1680\u2000\u2002\u2003\u2007\u2009\u200a\u2028\u2029\u202f\u205f\u3000'),
  characters('\u200b\u200c\u200d\u200e\u2060\ufeff\u00ad\u180e\u061c\u{e0001}\ufe0e\ufe0f'),
  characters('\0\u0001\u0007\b\u001b\u001c\u001f\u007f\u0080\u009f'),
  characters('😀😂🙂👍👩👨👧💻❤☺✌🏳🏴🎉🚀\u{1f3fb}\u{1f3ff}\u200d\ufe0f🇩🇪🇯🇵🇺#️⃣'),
  characters('▁▁▁Ġ▂_ĠĊ'),
  characters('\ufffd\ufffc\ufffe\uffff\ue000\uf8ff\u{f0000}\u{10ffff}\u{1fffe}'),
  characters('ÅΩKÅΐ΅·;〈ﬁﬂㅎ㎏ⅷ﷼豈更'), // what normal forms change
  range(0x20, 0x7e),
  range(0xa0, 0x24f),
  range(0x250, 0x1fff),
  range(0x2000, 0xd7ff),
  range(0xe000, 0x2ffff),
];

/** Ordinary text and its edges: kernels take the pretokens of 64 bytes at once where there is nothing else. */
const PLAIN: readonly Source[] = [
  ...["'", '.', '(', '_', '\n', '\t', '1', 'é', ' A', ', ', '\r\n', '  ', "'s", '--', '\n    ', '//', '{\n', '12345'].map(
    (text) => () => text,
  ),
  characters('abc'),
  characters('aB'),
  characters('.,;('),
];

const WORDS = [
  ...["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'RE", "'Ll", "'vE", "'ſ", '’s', '’re', "n't", "s'", "''s", "' s"],
  ...[
    'the',
    ' the',
    'The',
    ' of',
    'ing',
    'tion',
    'http://',
    'https://www.',
    '.com/',
    '</div>',
    '<br />',
    '();\n',
    ' = ',
    ' != ',
    '->',
    '/*',
    '*/',
    '//',
    '\n\n',
    '\r\n',
  ],
  ...[
    '\r\n\r\n',
    ' \n',
    '\n ',
    '\n\t',
    '   ',
    '    ',
    '\t\t',
    '    return',
    '\\n',
    '\\u00e9',
    '&nbsp;',
    '%20',
    '0x1F',
    '1e-5',
    '1,234',
    '3.14',
    'v1.2.3',
  ],
  ...['<|', '|>', '<', '>', '<s', 's>', '</s', '<0x0A>', '<0x41>', '<unk', 'endof', '｜', '<｜', '▁', '▁▁', 'Ġ', '[', ']', '@'],
];

/** A source of strings of up to some hundred characters. The file lends its added tokens, whole and in parts, and tokens of its vocabulary. */
export function createStrings(file: TokenizerFile, random: Random): () => string {
  const added = file.added.map(({ content }) => content);
  const vocabulary = (): string => decodeToken(file, random.below(file.tokens.length));
  const fragment = (): string => {
    const token = added.length === 0 ? '<|end|>' : random.of(added);
    const cut = random.below(token.length + 1);
    return random.percent(50) ? token : random.percent(50) ? token.slice(0, cut) : token.slice(cut);
  };
  return () => {
    // few kinds in a string, so that each meets itself and its neighbours
    const sources: Source[] = Array.from({ length: 1 + random.below(5) }, () => random.of(ALPHABETS));
    if (random.percent(40)) sources.push(() => random.of(WORDS));
    if (random.percent(40)) sources.push(vocabulary);
    if (random.percent(30)) sources.push(fragment);
    if (random.percent(30)) sources.push(() => ' ');
    const isPlain = random.percent(10);
    if (isPlain) {
      const kinds = 1 + random.below(4);
      sources.splice(0, sources.length, characters('ab'), () => ' ', ...Array.from({ length: kinds }, () => random.of(PLAIN)));
    }
    const pieces = 1 + random.below(isPlain ? 300 : random.percent(5) ? 200 : random.percent(50) ? 8 : 30);
    let text = '';
    for (let i = 0; i < pieces; i++) {
      const piece = random.of(sources)(random);
      text += random.percent(8) ? piece.repeat(1 + random.below(9)) : piece;
    }
    return random.percent(2) ? text.normalize(random.percent(50) ? 'NFC' : 'NFD') : text;
  };
}
