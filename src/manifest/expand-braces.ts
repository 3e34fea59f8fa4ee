/** Names of shards by number, as WebDataset writes them: `shard-{000000..000146}.tar`. Numbers keep their zeros, as in a shell. */
import { LIMITS } from '../config/limits.js';
import { HeadraceError } from '../core/errors.js';

const RANGE = /\{(\d{1,15})\.\.(\d{1,15})\}/;
const LIST = /\{([^{}]*,[^{}]*)\}/;
/** What only a listing can answer. */
const GLOB = /[*?[\]{}]/;

/**
 * The names that a pattern with a range of numbers stands for; lists (`{a,b}`) in it count as well. `undefined`: it has no range, or is a glob besides.
 * Errors: `CONFIG_INVALID`.
 */
export function expandBraces(pattern: string): string[] | undefined {
  if (!RANGE.test(pattern) || GLOB.test(pattern.replaceAll(new RegExp(RANGE, 'g'), '').replaceAll(new RegExp(LIST, 'g'), '')))
    return undefined;
  let names = [pattern];
  for (;;) {
    const choices = choicesOf(names[0]);
    if (choices === undefined) return names;
    if (names.length * choices.count > LIMITS.braceNamesMax) {
      throw new HeadraceError('CONFIG_INVALID', `${pattern} stands for more than ${LIMITS.braceNamesMax} names`, {
        detail: { uri: pattern },
        hint: 'Check the numbers in its braces.',
      });
    }
    names = names.flatMap((name) => choices.texts().map((text) => name.replace(choices.brace, () => text)));
  }
}

interface Choices {
  /** The first brace of the kind that is expanded next. */
  readonly brace: RegExp;
  readonly count: number;
  texts(): string[];
}

/** Every name has the same braces left. */
function choicesOf(name: string): Choices | undefined {
  const range = RANGE.exec(name);
  if (range !== null) {
    const [, first, last] = range;
    const [start, end] = [Number(first), Number(last)];
    const width = first.startsWith('0') || last.startsWith('0') ? Math.max(first.length, last.length) : 0;
    const step = start <= end ? 1 : -1;
    const count = Math.abs(end - start) + 1;
    return { brace: RANGE, count, texts: () => Array.from({ length: count }, (_, i) => String(start + i * step).padStart(width, '0')) };
  }
  const list = LIST.exec(name);
  if (list === null) return undefined;
  const texts = list[1].split(',');
  return { brace: LIST, count: texts.length, texts: () => texts };
}
