/** Ways to damage a file, each a pure function of a seed. */
import type { FuzzedFormat } from './formats.js';

/** A generator of numbers below `below`. Algorithm: mulberry32 (Tommy Ettinger, public domain). */
export type Random = (below: number) => number;

export function randomOf(seed: number): Random {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

export interface Mutated {
  readonly bytes: Uint8Array;
  /** What was done, for the message of a failure. */
  readonly what: string;
}

export function mutate(
  original: Uint8Array,
  cuts: readonly number[],
  { fragments, mend }: Pick<FuzzedFormat, 'fragments' | 'mend'>,
  random: Random,
): Mutated {
  const mutations = fragments === undefined ? MUTATIONS : [...MUTATIONS, ...fragmentMutations(fragments)];
  const mutation = mutations[random(mutations.length)];
  const bytes = original.slice();
  const place = (): number => placeIn(bytes.length, cuts, random);
  const mutated = mutation({ bytes, cuts, random, place });
  if (mend === undefined || random(2) === 0) return mutated;
  mend(mutated.bytes);
  return { ...mutated, what: `${mutated.what}, and its checks made right` };
}

interface Case {
  /** A copy, which may be written into. */
  readonly bytes: Uint8Array;
  /** Where parts of the file begin, ascending; headers follow them, and what lies between two can be swapped. */
  readonly cuts: readonly number[];
  readonly random: Random;
  readonly place: () => number;
}

/** Anywhere; or where metadata is: behind a cut, or near the end. */
function placeIn(length: number, cuts: readonly number[], random: Random): number {
  const kind = random(4);
  const cut = cuts.length > 0 && kind === 1 ? cuts[random(cuts.length)] + random(48) : undefined;
  const near = kind === 2 ? length - 1 - random(Math.min(length, 2048)) : random(length);
  return Math.min(length - 1, cut ?? near);
}

/** Numbers that formats keep sizes and counts in, blown up. */
const LARGE: readonly (readonly number[])[] = [
  [0xff, 0xff, 0xff, 0x7f],
  [0xff, 0xff, 0xff, 0xff],
  [0x00, 0x00, 0x00, 0x80],
  [0x7f, 0xff, 0xff, 0xff],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
  [0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0x80, 0x80, 0x80, 0x80, 0x10],
  [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [...Buffer.from('77777777777')],
  [...Buffer.from('9999999999999')],
];

const MUTATIONS: readonly ((own: Case) => Mutated)[] = [
  function flipBits({ bytes, random, place }) {
    const at = Array.from({ length: 1 + random(4) }, place);
    for (const byte of at) bytes[byte] ^= 1 << random(8);
    return { bytes, what: `bits flipped in bytes ${at.join(', ')}` };
  },
  function setBytes({ bytes, random, place }) {
    const at = Array.from({ length: 1 + random(3) }, place);
    for (const byte of at) bytes[byte] = random(256);
    return { bytes, what: `bytes ${at.join(', ')} set` };
  },
  function blowUp({ bytes, random, place }) {
    const large = LARGE[random(LARGE.length)];
    const at = Math.max(0, Math.min(bytes.length - large.length, place()));
    bytes.set(large.slice(0, bytes.length - at), at);
    return { bytes, what: `a large number at byte ${at}` };
  },
  function zeroRun({ bytes, random, place }) {
    const at = place();
    const end = Math.min(bytes.length, at + 1 + random(512));
    bytes.fill(0, at, end);
    return { bytes, what: `zeros from byte ${at} to ${end}` };
  },
  function truncate({ bytes, random }) {
    const end = random(2) === 0 ? random(bytes.length) : Math.max(0, bytes.length - 1 - random(64));
    return { bytes: bytes.slice(0, end), what: `cut off at byte ${end}` };
  },
  function insert({ bytes, random, place }) {
    const at = place();
    const inserted = Uint8Array.from({ length: 1 + random(16) }, () => random(256));
    return {
      bytes: Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at)]),
      what: `${inserted.length} bytes put in at ${at}`,
    };
  },
  function remove({ bytes, random, place }) {
    const at = place();
    const end = Math.min(bytes.length, at + 1 + random(64));
    return { bytes: Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)]), what: `bytes ${at} to ${end} left out` };
  },
  function splice({ bytes, random, place }) {
    const from = place();
    const to = place();
    const length = Math.min(bytes.length - Math.max(from, to), 1 + random(256));
    bytes.copyWithin(to, from, from + length);
    return { bytes, what: `${length} bytes copied from ${from} to ${to}` };
  },
  function swapParts({ bytes, cuts, random }) {
    if (cuts.length < 3) return { bytes, what: 'nothing' };
    const first = random(cuts.length - 2);
    const second = first + 1 + random(Math.min(4, cuts.length - 2 - first));
    const [a, b, c, d] = [cuts[first], cuts[first + 1], cuts[second], cuts[second + 1]];
    const parts = [bytes.subarray(0, a), bytes.subarray(c, d), bytes.subarray(b, c), bytes.subarray(a, b), bytes.subarray(d)];
    return { bytes: Buffer.concat(parts), what: `the parts at ${a} and ${c} swapped` };
  },
  function repeatPart({ bytes, cuts, random }) {
    if (cuts.length < 3) return { bytes, what: 'nothing' };
    // over the part behind it, as far as that goes: what follows stays where it was
    const first = random(cuts.length - 2);
    const [a, b, c] = cuts.slice(first, first + 3);
    bytes.copyWithin(b, a, a + Math.min(b - a, c - b));
    return { bytes, what: `the part at ${a} repeated over that at ${b}` };
  },
];

/** As many of all ways as a format that is mostly grammar needs: about every third. */
function fragmentMutations(fragments: readonly string[]): readonly ((own: Case) => Mutated)[] {
  const fragment = (random: Random): Uint8Array => Buffer.from(fragments[random(fragments.length)]);
  const shown = (own: Uint8Array): string => JSON.stringify(Buffer.from(own).toString());
  const putIn = ({ bytes, random, place }: Case): Mutated => {
    const own = fragment(random);
    const at = place();
    return { bytes: Buffer.concat([bytes.subarray(0, at), own, bytes.subarray(at)]), what: `${shown(own)} put in at ${at}` };
  };
  const putOver = ({ bytes, random, place }: Case): Mutated => {
    const own = fragment(random);
    const at = place();
    // as long, which keeps the place of what follows, or not
    const end = Math.min(bytes.length, at + (random(2) === 0 ? own.length : 1 + random(2 * own.length)));
    return { bytes: Buffer.concat([bytes.subarray(0, at), own, bytes.subarray(end)]), what: `${shown(own)} for bytes ${at} to ${end}` };
  };
  /** Several are needed to open something and close it again. */
  const putSeveral = (own: Case): Mutated => {
    const first = putIn(own);
    const second = putOver({ ...own, bytes: first.bytes });
    return { bytes: second.bytes, what: `${first.what}, ${second.what}` };
  };
  return [putIn, putIn, putOver, putOver, putSeveral];
}
