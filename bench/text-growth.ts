/**
 * Makes much text out of some real text, without repeating it plainly: the sentences are drawn in random order, and words in them give way to
 * new words at the rate at which more of the real text would bring new ones, by Heaps' law.
 *
 *   real documents ─┬─ cut in units (sentences, lines, blocks of code) ── drawn at random ─┐
 *                   └─ distinct words ── Markov model of their characters ── new words ────┴─► generated documents
 */
import { randomFrom, type Random } from './random.js';

/** A run of letters (with their marks) or of digits. */
const WORD = /[\p{L}\p{M}]+|\p{N}+/gu;

/** Characters of context of the model, at most. */
const ORDER = 3;
/** Words that the model learns from, at most: enough for every context that matters. */
const MODEL_WORDS_MAX = 60_000;
const WORD_CHARACTERS_MAX = 24;
const TRIES = 9;

/** How units are cut: the text between the cuts, separators kept. */
const UNIT_ENDS = {
  sentences: /(?<=[.!?;:।؟]["”’)]?\s+)|(?<=[。！？；…]+)(?![。！？；…])|(?<=\n)/u,
  blocks: /(?<=\n[ \t]*\n)/u,
} as const;
export type UnitKind = keyof typeof UNIT_ENDS;

export interface Growth {
  readonly documents: readonly string[];
  /** Share of the words of generated documents that are new. */
  readonly newWordShare: number;
}

/** Generates documents of 2–8 KB until `bytesWanted` are reached. `real` is the only text that is used. */
export function grow(real: readonly string[], kind: UnitKind, bytesWanted: number, seed: number): Growth {
  const random = randomFrom(seed);
  const words = new WordModel(real, random);
  const newWordShare = shareOfNewWords(real, 1 + bytesWanted / real.reduce((sum, text) => sum + Buffer.byteLength(text), 1));
  const units = real.flatMap((text) => text.split(UNIT_ENDS[kind])).filter((unit) => unit.trim() !== '');
  const documents: string[] = [];
  for (let bytes = 0; bytes < bytesWanted && units.length > 0;) {
    const length = 2048 + Math.floor(random() * 6144);
    const parts: string[] = [];
    for (let own = 0; own < length;) {
      const unit = units[Math.floor(random() * units.length)].replace(WORD, (word) =>
        random() < newWordShare ? words.replace(word) : word,
      );
      parts.push(unit.length > length ? unit.slice(0, length).replace(/[\ud800-\udbff]$/, '') : unit);
      // sentences make paragraphs
      if (kind === 'sentences' && random() < 0.15) parts.push('\n\n');
      own += Buffer.byteLength(unit);
    }
    const document = parts.join('');
    documents.push(document);
    bytes += Buffer.byteLength(document);
  }
  return { documents, newWordShare };
}

/**
 * Of the words that a text gains by growing to `times` its size, the share that occurs for the first time: with V distinct words among N,
 * V = K·N^β (Heaps); β is fitted to the text's first half and its whole.
 */
export function shareOfNewWords(documents: readonly string[], times: number): number {
  const known = new Set<string>();
  const middle = Math.floor(documents.length / 2);
  let words = 0;
  let half = { words: 0, distinct: 0 };
  for (const [index, text] of documents.entries()) {
    if (index === middle) half = { words, distinct: known.size };
    for (const [word] of text.matchAll(WORD)) {
      words++;
      known.add(word);
    }
  }
  if (half.words === 0 || words === half.words || times <= 1) return 0;
  const exponent = Math.log(known.size / half.distinct) / Math.log(words / half.words);
  return (known.size * (times ** exponent - 1)) / (words * (times - 1));
}

/** A Markov model of the characters of words; what it makes is new: it never gives the same word twice, nor one of the text's own. */
class WordModel {
  readonly #known = new Set<string>();
  /** What follows a context, as often as it does; '' ends a word. */
  readonly #next = new Map<string, string[]>();
  readonly #random: Random;

  constructor(texts: readonly string[], random: Random) {
    this.#random = random;
    for (const text of texts) for (const [word] of text.matchAll(WORD)) this.#known.add(word);
    const every = Math.max(1, this.#known.size / MODEL_WORDS_MAX);
    let index = 0;
    let taken = 0;
    for (const word of this.#known) {
      if (index++ < taken * every) continue;
      taken++;
      this.#learn(Array.from(word));
    }
  }

  #learn(characters: readonly string[]): void {
    for (let i = 1; i <= characters.length; i++) {
      for (let order = 1; order <= Math.min(ORDER, i); order++) {
        const context = characters.slice(i - order, i).join('');
        const next = this.#next.get(context);
        if (next === undefined) this.#next.set(context, [characters[i] ?? '']);
        else next.push(characters[i] ?? '');
      }
    }
  }

  /** A new word that begins as `word` does (so its case and its script stay); digits become other digits; `word` itself where none is found. */
  replace(word: string): string {
    if (/^[0-9]+$/.test(word)) return word.replace(/(?<=.)[0-9]/g, () => String(Math.floor(this.#random() * 10)));
    const characters = Array.from(word);
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const made = this.#make(characters, ORDER - Math.floor((attempt * ORDER) / TRIES));
      if (this.#known.has(made)) continue;
      this.#known.add(made);
      return made;
    }
    return word;
  }

  #make(word: readonly string[], order: number): string {
    const made = [word[0]];
    const longest = Math.min(WORD_CHARACTERS_MAX, word.length + 6);
    while (made.length < longest) {
      let next: string | undefined;
      for (let length = Math.min(order, made.length); length >= 1 && next === undefined; length--) {
        const candidates = this.#next.get(made.slice(-length).join(''));
        next = candidates?.[Math.floor(this.#random() * candidates.length)];
      }
      if (next === undefined || next === '') break;
      made.push(next);
    }
    return made.join('');
  }
}
