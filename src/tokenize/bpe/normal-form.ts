/** Unicode normal forms as the reference makes them, whatever Unicode version this Node knows. */
import { toClassMap, type ClassMap } from '../pattern/automaton.js';
import { has, unicodeClass } from '../pattern/code-points.js';

export type NormalForm = 'NFC' | 'NFKC';

/** Classes of code points: 1 where its presence may change a text's form, else 0. */
export function formClasses(form: NormalForm): ClassMap {
  const classes = new Uint8Array(0x110000);
  const set = unicodeClass(`${form} changes`) ?? [];
  for (let i = 0; i < set.length; i += 2) classes.fill(1, set[i], set[i + 1]);
  return toClassMap(classes);
}

/**
 * Characters that the reference's Unicode version does not know stand for themselves there, and nothing combines with them or moves across them;
 * a newer JavaScript engine would. So the text is normalized between them.
 */
export function normalize(text: string, form: NormalForm): string {
  const unknown = unicodeClass(`${form} unknown`) ?? [];
  let result = '';
  let known = '';
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    if (point < 0x300 || !has(unknown, point)) {
      known += character;
      continue;
    }
    result += known.normalize(form) + character;
    known = '';
  }
  return result + known.normalize(form);
}
