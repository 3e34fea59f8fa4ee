/** Unicode normal forms as the reference makes them, whatever Unicode version this Node knows. */
import { toClassMap, type ClassMap } from '../pattern/automaton.js';
import { unicodeClass } from '../pattern/code-points.js';
import { COMPOSITIONS, UNICODE_TABLES } from '../unicode-tables.js';

export type NormalForm = 'NFC' | 'NFKC';

/** The class of what a normal form changes by itself, or might with what is before it. */
const CHANGES = 0xff;
/** The bit of the classes of what is composed itself. */
export const COMPOSITE = 0x80;
/** The bit of the classes of what may compose with a character before it. */
const COMPOSES = 0x40;

/**
 * What tells that a text is in its normal form already (the quick check of Unicode Standard Annex 15): classes of code points, 0 for most. The low six
 * bits of a class rank the combining classes of marks, which must not fall between two characters that are no marks.
 */
export function formClasses(form: NormalForm): ClassMap {
  const classes = new Uint8Array(0x110000);
  for (const [rank, name] of combiningClasses().entries()) eachPoint(name, (point) => (classes[point] = rank + 1));
  const triples = compositions();
  for (let i = 0; i < triples.length; i += 3) {
    classes[triples[i]] |= COMPOSITE;
    classes[triples[i + 2]] |= COMPOSES;
  }
  eachPoint(`${form} changes`, (point) => (classes[point] = CHANGES));
  return toClassMap(classes);
}

/** [compositions × 3] composite, first and second code point. */
export function compositions(): Uint32Array {
  return Uint32Array.from(COMPOSITIONS.split('.'), (digits) => Number.parseInt(digits, 36));
}

/** The names of their tables, in ascending order. */
function combiningClasses(): string[] {
  const numberOf = (name: string): number => Number(name.slice('combining '.length));
  return Object.keys(UNICODE_TABLES)
    .filter((name) => name.startsWith('combining '))
    .sort((a, b) => numberOf(a) - numberOf(b));
}

function eachPoint(name: string, visit: (point: number) => void): void {
  const set = unicodeClass(name) ?? [];
  for (let i = 0; i < set.length; i += 2) for (let point = set[i]; point < set[i + 1]; point++) visit(point);
}

/**
 * Characters that the reference's Unicode version does not know stand for themselves there, and nothing combines with them or moves across them;
 * a newer JavaScript engine would. So the text is normalized between them.
 */
export function normalize(text: string, form: NormalForm): string {
  const parts = text.split(unknownTo(form));
  return parts.map((part, i) => (i % 2 === 1 ? part : part.normalize(form))).join('');
}

const patterns = new Map<NormalForm, RegExp>();

/** Matches one unknown character, as a group: what is split by it has the characters at the odd places. */
function unknownTo(form: NormalForm): RegExp {
  const known = patterns.get(form);
  if (known !== undefined) return known;
  const set = unicodeClass(`${form} unknown`) ?? [];
  const ranges: string[] = [];
  for (let i = 0; i < set.length; i += 2) ranges.push(`\\u{${set[i].toString(16)}}-\\u{${(set[i + 1] - 1).toString(16)}}`);
  const pattern = new RegExp(`([${ranges.join('')}])`, 'u');
  patterns.set(form, pattern);
  return pattern;
}
