/**
 * Sorts ASCII characters into the kinds that patterns for pre-tokenization tell apart, so that a kernel finds where pretokens begin for 64 bytes at once, from
 * bit masks of the kinds, instead of going through an automaton character by character.
 *
 * What is done with kinds is a machine of a few states (`MACHINE`). The kind of a character is guessed from short texts, and then the machine and the automaton
 * are walked side by side through all pairs of states that they can be in together: they must agree, after each character, on where the match ends. A
 * character where they do not gets the kind `other`, and goes through the automaton as before. So no pattern has to be known by name.
 *
 *   word     letters; with capitals apart: capitals, then small letters
 *   marks    one after the other, a space before them, line ends behind them
 *   digits   each alone, up to three, or all with a space before them
 *   blanks   all but the last, which may lead a word or marks, or is alone; line ends take the blanks before them
 */
export const KINDS = {
  /** Also whatever is beyond ASCII. */
  other: 0,
  letter: 1,
  /** Where a capital behind a small letter begins a pretoken; else capitals are letters. */
  capital: 2,
  /** Leads a word, marks, or digits of the kind that are led. */
  space: 4,
  /** Leads a word. */
  leadingBlank: 5,
  blank: 6,
  lineEnd: 7,
  mark: 8,
  /** The first of marks, without a space before it, leads a word. */
  leadingMark: 9,
  /** … and goes on with line ends behind marks. */
  tailMark: 10,
  /** What is before a letter and behind nothing that it belongs to is not known: it may be a contraction. */
  apostrophe: 11,
  /** … and the same of what is behind a word. */
  wordApostrophe: 12,
  loneDigit: 13,
  /** Up to three make a pretoken. */
  digit: 14,
  ledDigit: 15,
} as const;
type KindName = keyof typeof KINDS;

/** A kind is a number of so many bits. */
const PLANES = 4;
const ASCII = Array.from({ length: 128 }, (_, character) => character);

/** What is asked of an automaton: state and character give a state. */
export interface Matcher {
  readonly start: number;
  readonly dead: number;
  readonly next: (state: number, character: number) => number;
  /** Where a match ends that has just been found: behind the character that led to the state, before it; or the one that was found before stays. */
  readonly found: (state: number) => Found;
}
type Found = 'behind' | 'before' | 'stays';

/**
 * [4 × 16] the kinds' bits, lowest first: bit h of entry l of a plane stands for the character 16 h + l. `undefined`: the automaton knows no words of
 * letters as they are meant here.
 */
export function kindPlanes(matcher: Matcher): Uint8Array | undefined {
  const kinds = ASCII.map((character) => guess(matcher, character));
  for (let wrong = disagreement(matcher, kinds); wrong !== undefined; wrong = disagreement(matcher, kinds)) kinds[wrong] = 'other';
  if (!kinds.includes('letter')) return undefined;
  const planes = new Uint8Array(PLANES * 16);
  for (const character of ASCII) {
    for (let plane = 0; plane < PLANES; plane++) {
      planes[16 * plane + (character & 15)] |= ((KINDS[kinds[character]] >> plane) & 1) << (character >> 4);
    }
  }
  return planes;
}

/** The length of the match of a text that goes on. */
function matchLength({ start, dead, next, found }: Matcher, text: string): number {
  let length = 0;
  let state = start;
  for (let at = 0; at < text.length; at++) {
    state = next(state, text.charCodeAt(at));
    if (state === dead) return length;
    const end = found(state);
    if (end !== 'stays') length = end === 'behind' ? at + 1 : at;
  }
  return length;
}

function guess(matcher: Matcher, character: number): KindName {
  const c = String.fromCharCode(character);
  const length = (text: string): number => matchLength(matcher, text);
  if (/[A-Za-z]/.test(c)) return length(`a${c};`) === 2 ? 'letter' : length(`${c}${c};`) === 2 ? 'capital' : 'other';
  if (/[0-9]/.test(c)) {
    const digits = length(`${c.repeat(4)}a`);
    return digits === 1 ? 'loneDigit' : digits === 3 ? 'digit' : length(` ${c}a`) === 2 ? 'ledDigit' : 'other';
  }
  if (length(`${c}${c}a`) === 1) return length(`${c};a`) === 2 ? 'space' : length(`${c}a;`) === 2 ? 'leadingBlank' : 'blank';
  if (length(` ${c}a`) === 2 && length(`;${c}a`) === 2 && length(`${c};`) === 1) return 'lineEnd';
  if (length(`;${c}a`) !== 2) return 'other';
  if (length(`a${c}s;`) === 3) return 'wordApostrophe';
  if (length(`${c}sa;`) !== length(`${c}aa;`)) return 'apostrophe';
  if (length(`${c}a;`) !== 2) return 'mark';
  return length(`;\n${c}a`) === 3 ? 'tailMark' : 'leadingMark';
}

const WORD = { letter: 'word', capital: 'capitals' } as const;
const MARKS = {
  mark: 'marks',
  leadingMark: 'marks',
  tailMark: 'marks',
  apostrophe: 'marks',
  wordApostrophe: 'marks',
  lineEnd: 'tail',
} as const;
const BLANKS = { space: 'blanks', leadingBlank: 'blanks', blank: 'blanks', lineEnd: 'line ends' } as const;
const BLANKS_BEHIND = { space: 'blanks behind', leadingBlank: 'blanks behind', blank: 'blanks behind', lineEnd: 'line ends' } as const;
/** The machine of the kinds, which is what the kernel's masks say. Where a kind is not named, the match has ended before the character. */
const MACHINE = {
  start: {
    ...WORD,
    space: 'space',
    leadingBlank: 'leading blank',
    blank: 'one blank',
    lineEnd: 'line ends',
    mark: 'marks',
    leadingMark: 'first mark',
    tailMark: 'first mark',
    apostrophe: 'apostrophe',
    wordApostrophe: 'apostrophe',
    loneDigit: 'three digits',
    digit: 'one digit',
    ledDigit: 'digits',
  },
  word: { letter: 'word', wordApostrophe: 'unknown' },
  capitals: { ...WORD, wordApostrophe: 'unknown' },
  'first mark': { ...MARKS, ...WORD },
  apostrophe: { ...MARKS, letter: 'unknown', capital: 'unknown' },
  marks: MARKS,
  tail: { lineEnd: 'tail', tailMark: 'tail' },
  space: { ...MARKS, ...BLANKS, ...WORD, ledDigit: 'digits' },
  'leading blank': { ...BLANKS, ...WORD },
  'one blank': BLANKS,
  blanks: BLANKS,
  'line ends': BLANKS_BEHIND,
  'blanks behind': BLANKS_BEHIND,
  'one digit': { digit: 'two digits' },
  'two digits': { digit: 'three digits' },
  'three digits': {},
  digits: { ledDigit: 'digits' },
} as const satisfies Record<string, Partial<Record<KindName, string>>>;
type State = keyof typeof MACHINE;

function step(state: State, kind: KindName): State | 'unknown' | undefined {
  const nextOf: Partial<Record<KindName, State | 'unknown'>> = MACHINE[state];
  return nextOf[kind];
}

function foundIn(state: State): Found {
  return state === 'blanks' ? 'before' : state === 'blanks behind' ? 'stays' : 'behind';
}

/** A character at which the automaton and the machine of the kinds do not do the same, in any pair of states that a text of known kinds leads to. */
function disagreement({ start, dead, next, found }: Matcher, kinds: readonly KindName[]): number | undefined {
  const known = ASCII.filter((character) => kinds[character] !== 'other');
  const seen = new Set<string>();
  const pairs: (readonly [number, State])[] = [[start, 'start']];
  for (let pair = pairs.pop(); pair !== undefined; pair = pairs.pop()) {
    for (const character of known) {
      const state = next(pair[0], character);
      const ofKinds = step(pair[1], kinds[character]);
      if (ofKinds === 'unknown' || (ofKinds === undefined && state === dead)) continue;
      if (ofKinds === undefined || state === dead || found(state) !== foundIn(ofKinds)) return character;
      const key = `${state} ${ofKinds}`;
      if (!seen.has(key)) pairs.push([state, ofKinds]);
      seen.add(key);
    }
  }
  return undefined;
}
