/**
 * Reads the regular expressions of pre-tokenizers (Oniguruma's syntax, as far as such files use it) into a tree that an automaton can be built from.
 *
 *   pattern   alternative | alternative …          leftmost alternative first, as backtracking engines prefer
 *   element   character, class, group, look-ahead of one character at an alternative's end; with * + ? {n,m}
 */
import { codePointsOf, complement, unicodeClass, union, type CodePoints } from './code-points.js';

export type PatternNode =
  | { readonly type: 'set'; readonly set: CodePoints }
  | { readonly type: 'sequence'; readonly items: readonly PatternNode[] }
  | { readonly type: 'choice'; readonly items: readonly PatternNode[] }
  | { readonly type: 'repeat'; readonly item: PatternNode; readonly min: number; readonly max: number; readonly greedy: boolean }
  /** The next character is in the set, or, if `end`, there is none. */
  | { readonly type: 'ahead'; readonly set: CodePoints; readonly end: boolean };

/** A pattern that is not compiled, and why: the caller takes the slow path. */
export class PatternUnsupported extends Error {
  override readonly name = 'PatternUnsupported';
}

/** Errors: `PatternUnsupported`. */
export function parsePattern(source: string): PatternNode {
  const parser = new PatternParser(source);
  const node = parser.choice(false);
  if (!parser.atEnd) throw parser.unsupported('an unmatched )');
  return node;
}

/** A pattern that is one literal text. */
export function literalPattern(text: string): PatternNode {
  return {
    type: 'sequence',
    items: Array.from(text).map((character) => ({ type: 'set', set: codePointsOf(character.codePointAt(0) ?? 0) })),
  };
}

const ESCAPES: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, a: 7, e: 27 };
/** Letters outside ASCII whose simple case folding is an ASCII letter (Unicode, CaseFolding.txt). */
const FOLDS: Readonly<Record<string, number>> = { s: 0x17f, k: 0x212a };
/** More copies than this make an automaton that is no longer small. */
const REPEAT_MAX = 64;

class PatternParser {
  readonly #characters: readonly string[];
  #at = 0;

  constructor(readonly source: string) {
    this.#characters = Array.from(source);
  }

  get atEnd(): boolean {
    return this.#at >= this.#characters.length;
  }

  unsupported(what: string): PatternUnsupported {
    return new PatternUnsupported(`the pattern ${this.source} has ${what}`);
  }

  choice(ignoreCase: boolean): PatternNode {
    const items = [this.#sequence(ignoreCase)];
    while (this.#take('|')) items.push(this.#sequence(ignoreCase));
    return items.length === 1 ? items[0] : { type: 'choice', items };
  }

  #sequence(ignoreCase: boolean): PatternNode {
    const items: PatternNode[] = [];
    while (!this.atEnd && this.#peek() !== '|' && this.#peek() !== ')') items.push(this.#repeated(this.#element(ignoreCase)));
    return items.length === 1 ? items[0] : { type: 'sequence', items };
  }

  #repeated(item: PatternNode): PatternNode {
    const bounds = this.#quantifier();
    if (bounds === undefined) return item;
    if (item.type === 'ahead') throw this.unsupported('a repeated look-ahead');
    const greedy = !this.#take('?');
    if (greedy && this.#take('+')) throw this.unsupported('a possessive quantifier');
    if (this.#quantifier() !== undefined) throw this.unsupported('a quantifier of a quantifier');
    return { type: 'repeat', item, ...bounds, greedy };
  }

  #quantifier(): { readonly min: number; readonly max: number } | undefined {
    if (this.#take('*')) return { min: 0, max: Infinity };
    if (this.#take('+')) return { min: 1, max: Infinity };
    if (this.#take('?')) return { min: 0, max: 1 };
    const braces = /^\{(\d+)(?:(,)(\d*))?\}/.exec(this.#rest(12));
    if (braces === null) return undefined;
    this.#at += braces[0].length;
    const min = Number(braces[1]);
    const max = braces.at(2) === undefined ? min : braces[3] === '' ? Infinity : Number(braces[3]);
    if (min > REPEAT_MAX || (max !== Infinity && (max > REPEAT_MAX || max < min))) throw this.unsupported('a repetition too large');
    return { min, max };
  }

  #element(ignoreCase: boolean): PatternNode {
    const character = this.#next();
    switch (character) {
      case '(':
        return this.#group(ignoreCase);
      case '[':
        return { type: 'set', set: this.#bracket(ignoreCase) };
      case '\\':
        return { type: 'set', set: this.#escape(false, ignoreCase) };
      case '.':
        return { type: 'set', set: complement(codePointsOf(10)) };
      case '^':
      case '$':
        throw this.unsupported(`the anchor ${character}`);
      case '*':
      case '+':
      case '?':
        throw this.unsupported('a quantifier of nothing');
      default:
        return { type: 'set', set: folded(character.codePointAt(0) ?? 0, ignoreCase) };
    }
  }

  #group(ignoreCase: boolean): PatternNode {
    const opening = /^\?(:|i:|!|=|>|<)/.exec(this.#rest(3));
    if (opening === null) {
      if (this.#peek() === '?') throw this.unsupported('a group of an unknown kind');
      return this.#closed(this.choice(ignoreCase));
    }
    this.#at += opening[0].length;
    if (opening[1] === '>' || opening[1] === '<') throw this.unsupported('an atomic group, a name or a look-behind');
    const inner = this.#closed(this.choice(ignoreCase || opening[1] === 'i:'));
    if (opening[1] === ':' || opening[1] === 'i:') return inner;
    if (inner.type !== 'set') throw this.unsupported('a look-ahead of more than one character');
    return opening[1] === '!' ? { type: 'ahead', set: complement(inner.set), end: true } : { type: 'ahead', set: inner.set, end: false };
  }

  #closed(node: PatternNode): PatternNode {
    if (!this.#take(')')) throw this.unsupported('a ( without )');
    return node;
  }

  #bracket(ignoreCase: boolean): CodePoints {
    const negated = this.#take('^');
    const members: CodePoints[] = [];
    for (let first = true; first || this.#peek() !== ']'; first = false) {
      if (this.atEnd) throw this.unsupported('a [ without ]');
      const start = this.#member(ignoreCase);
      if (this.#peek() !== '-' || this.#rest(2) === '-]' || this.#rest(2) === '-') {
        members.push(start);
        continue;
      }
      this.#next();
      const end = this.#member(false);
      if (start.length !== 2 || start[1] - start[0] !== 1 || end.length !== 2 || end[1] - end[0] !== 1 || end[0] < start[0] || ignoreCase)
        throw this.unsupported('a range that is not from one character to another');
      members.push([start[0], end[1]]);
    }
    this.#next();
    const set = union(...members);
    return negated ? complement(set) : set;
  }

  #member(ignoreCase: boolean): CodePoints {
    const character = this.#next();
    if (character === '[' || this.#rest(2) === '&&') throw this.unsupported('a class within a class');
    if (character === '&' && this.#peek() === '&') throw this.unsupported('an intersection of classes');
    return character === '\\' ? this.#escape(true, ignoreCase) : folded(character.codePointAt(0) ?? 0, ignoreCase);
  }

  #escape(inBracket: boolean, ignoreCase: boolean): CodePoints {
    const character = this.#next();
    const lower = character.toLowerCase();
    if (lower === 's' || lower === 'd' || lower === 'w') {
      const set = unicodeClass({ s: 'space', d: 'digit', w: 'word' }[lower]) ?? [];
      return character === lower ? set : complement(set);
    }
    if (lower === 'p') {
      const name = /^\{(\^?)(?:Script=|sc=|Is)?([A-Za-z_]+)\}/.exec(this.#rest(40));
      const set = name === null ? undefined : unicodeClass(name[2]);
      if (name === null || set === undefined)
        throw this.unsupported(`the class \\${character}${this.#rest(20)}, for which there is no table`);
      this.#at += name[0].length;
      return (character === 'P') === (name[1] === '') ? complement(set) : set;
    }
    const hex = character === 'x' ? /^(?:\{([0-9a-fA-F]{1,6})\}|([0-9a-fA-F]{2}))/.exec(this.#rest(8)) : null;
    const unicode = character === 'u' ? /^([0-9a-fA-F]{4})/.exec(this.#rest(4)) : null;
    const digits = hex?.[1] ?? hex?.[2] ?? unicode?.[1];
    if (digits !== undefined) {
      this.#at += (hex ?? unicode)?.[0].length ?? 0;
      return folded(Number.parseInt(digits, 16), ignoreCase);
    }
    if (Object.hasOwn(ESCAPES, character)) return codePointsOf(ESCAPES[character]);
    if (/[A-Za-z0-9]/.test(character)) throw this.unsupported(`the escape \\${character}${inBracket ? ' in a class' : ''}`);
    return codePointsOf(character.codePointAt(0) ?? 0);
  }

  #peek(): string | undefined {
    return this.#characters.at(this.#at);
  }

  #rest(length: number): string {
    return this.#characters.slice(this.#at, this.#at + length).join('');
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false;
    this.#at++;
    return true;
  }

  #next(): string {
    const character = this.#peek();
    if (character === undefined) throw this.unsupported('no end');
    this.#at++;
    return character;
  }
}

/** Case is ignored for ASCII letters, and for what folds to one. */
function folded(point: number, ignoreCase: boolean): CodePoints {
  if (!ignoreCase) return codePointsOf(point);
  const character = String.fromCodePoint(point);
  if (point >= 0x80) throw new PatternUnsupported(`the pattern ignores the case of ${character}`);
  const lower = character.toLowerCase();
  const points = [lower.codePointAt(0) ?? 0, character.toUpperCase().codePointAt(0) ?? 0];
  if (Object.hasOwn(FOLDS, lower)) points.push(FOLDS[lower]);
  return codePointsOf(...points);
}
