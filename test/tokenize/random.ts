/** A small seeded generator for the corpora: the same numbers on every machine. */

export interface Random {
  /** A whole number in [0, limit). */
  below(limit: number): number;
  /** One of them, all equally likely. */
  of<T>(choices: readonly T[]): T;
  /** True so many times in a hundred. */
  percent(chance: number): boolean;
}

/** sfc32 (Doty-Humphrey, PractRand), started from a seed and the name of a purpose. */
export function createRandom(seed: number, purpose: string): Random {
  let [a, b, c, counter] = [seed | 0, (seed / 2 ** 32) | 0, 0x9e3779b9, 1];
  for (const character of purpose) c = Math.imul(c ^ (character.codePointAt(0) ?? 0), 0x01000193);
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (let i = 0; i < 16; i++) next();
  const below = (limit: number): number => Math.floor((next() / 2 ** 32) * limit);
  return { below, of: (choices) => choices[below(choices.length)], percent: (chance) => below(100) < chance };
}
