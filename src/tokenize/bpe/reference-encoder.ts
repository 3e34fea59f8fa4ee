/**
 * Byte-pair encoding in plain TypeScript: the kernel's algorithm to read, what tests hold the kernel to, and what runs where WebAssembly does not.
 *
 *   document ─added tokens─▶ segments ─normal form, prefix─▶ ─automata─▶ pretokens ─symbols, merges─▶ ids
 */
import { widthOf } from '../../core/utf8.js';
import { classOf, CLASSES_MAX, DEAD, type Automaton, type ClassMap } from '../pattern/automaton.js';
import type { DocumentEncoder } from '../tokenizer.js';
import { createAddedTokenSplitter } from './added-tokens.js';
import type { CompiledBpe, Prefix } from './compile.js';
import { normalize } from './normal-form.js';

const MARK = '▁';
/** Pretokens that are remembered: 64 Ki of them are some MB. */
const CACHE_MAX = 65_536;
/** Up to so many symbols, the best pair is looked for among all. */
const SCAN_SYMBOLS = 48;

export function createReferenceEncoder(compiled: CompiledBpe): DocumentEncoder {
  const { model, levels, automata, normalForm, prefix, prefixFirstOnly } = compiled;
  const splitAdded = createAddedTokenSplitter(compiled.matched);
  const ranks = ranksOf(model.merges);
  const words = wordsOf(compiled);
  const cache = new Map<string, readonly number[]>();
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const encoder = new TextEncoder();

  const symbolsOf = (piece: Uint8Array): number[] => {
    if (model.style === 'bytes') return Array.from(piece, (byte) => model.byteIds[byte]);
    return Array.from(decoder.decode(piece)).flatMap((character) => {
      if (character === ' ') return [model.spaceId];
      const bytes = encoder.encode(character);
      const id = words.get(keyOf(bytes));
      return id === undefined ? Array.from(bytes, (byte) => model.byteIds[byte]) : [id];
    });
  };

  const encodePiece = (piece: Uint8Array): readonly number[] => {
    const key = keyOf(piece);
    const known = cache.get(key);
    if (known !== undefined) return known;
    const word = model.wholeWords ? words.get(key) : undefined;
    const ids = word === undefined ? merge(symbolsOf(piece), ranks) : [word];
    if (cache.size >= CACHE_MAX) cache.clear();
    cache.set(key, ids);
    return ids;
  };

  const encodeSegment = (segment: string, first: boolean, ids: number[]): void => {
    const normal = normalForm === 'none' ? segment : normalize(segment, normalForm);
    const prefixed = prefix !== 'none' && (first || !prefixFirstOnly) ? prefixedText(normal, prefix) : normal;
    const bytes = encoder.encode(prefixed);
    const split = (level: number, start: number, end: number): void => {
      if (level === levels.length) {
        for (const id of encodePiece(bytes.subarray(start, end))) ids.push(id);
        return;
      }
      const { keepMatches, keepGaps } = levels[level];
      for (const piece of pieces(automata.automata[level], automata.classes, bytes, start, end)) {
        if (piece.matched ? keepMatches : keepGaps) split(level + 1, piece.start, piece.end);
      }
    };
    split(0, 0, bytes.length);
  };

  return {
    encodeBatch: (bytes, bounds) => {
      const ids: number[] = [];
      const idBounds = new Int32Array(bounds.length);
      for (let document = 0; document + 1 < bounds.length; document++) {
        const text = decoder.decode(bytes.subarray(bounds[document], bounds[document + 1]));
        for (const [i, segment] of splitAdded(text).entries()) {
          if ('id' in segment) ids.push(segment.id);
          else encodeSegment(segment.text, i === 0, ids);
        }
        idBounds[document + 1] = ids.length;
      }
      return { ids: Int32Array.from(ids), bounds: idBounds };
    },
  };
}

/** One character a byte: a key that equal bytes share. */
function keyOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

function prefixedText(text: string, prefix: Prefix): string {
  const spaced = prefix !== 'always' && (text.startsWith(' ') || (prefix === 'unless-space-or-mark' && text.startsWith(MARK)));
  return spaced ? text : ` ${text}`;
}

interface Piece {
  readonly start: number;
  readonly end: number;
  readonly matched: boolean;
}

/** Matches of an automaton, from left to right, and what lies between them. */
function* pieces(automaton: Automaton, classes: ClassMap, bytes: Uint8Array, start: number, end: number): Generator<Piece> {
  let gap = start;
  let at = start;
  while (at < end) {
    const matchEnd = matchAt(automaton, classes, bytes, at, end);
    if (matchEnd === undefined) {
      at += widthOf(bytes[at]);
      continue;
    }
    if (gap < at) yield { start: gap, end: at, matched: false };
    yield { start: at, end: matchEnd, matched: true };
    at = gap = matchEnd;
  }
  if (gap < end) yield { start: gap, end, matched: false };
}

/** The end of the match that starts at `start`. */
function matchAt(automaton: Automaton, classes: ClassMap, bytes: Uint8Array, start: number, end: number): number | undefined {
  const { transitions, firstMatch, firstBack, matchesAtEnd } = automaton;
  let state = automaton.start;
  let matched: number | undefined;
  for (let at = start; at < end;) {
    const next = at + widthOf(bytes[at]);
    state = transitions[state * CLASSES_MAX + classOf(classes, codePointAt(bytes, at))];
    if (state === DEAD) return matched;
    if (state >= firstMatch) matched = state < firstBack ? next : at;
    at = next;
  }
  return matchesAtEnd[state] === 1 ? end : matched;
}

function codePointAt(bytes: Uint8Array, at: number): number {
  const lead = bytes[at];
  if (lead < 0x80) return lead;
  if (lead < 0xe0) return ((lead & 0x1f) << 6) | (bytes[at + 1] & 0x3f);
  if (lead < 0xf0) return ((lead & 0x0f) << 12) | ((bytes[at + 1] & 0x3f) << 6) | (bytes[at + 2] & 0x3f);
  return ((lead & 0x07) << 18) | ((bytes[at + 1] & 0x3f) << 12) | ((bytes[at + 2] & 0x3f) << 6) | (bytes[at + 3] & 0x3f);
}

interface Merge {
  readonly rank: number;
  readonly merged: number;
}

/** Merges by their pair, as one number: ids are below 2^26, so that two of them fit into a double. */
type Ranks = ReadonlyMap<number, Merge>;

const PAIR_FACTOR = 2 ** 26;

function ranksOf(merges: Int32Array): Ranks {
  const ranks = new Map<number, Merge>();
  for (let rank = 0; 3 * rank < merges.length; rank++) {
    ranks.set(merges[3 * rank] * PAIR_FACTOR + merges[3 * rank + 1], { rank, merged: merges[3 * rank + 2] });
  }
  return ranks;
}

function wordsOf({ model }: CompiledBpe): ReadonlyMap<string, number> {
  const words = new Map<string, number>();
  if (model.style === 'bytes' && !model.wholeWords) return words;
  for (let id = 0; id < model.idsEnd; id++) {
    const start = model.tokenPlaces[2 * id];
    const length = model.tokenPlaces[2 * id + 1];
    if (length > 0) words.set(keyOf(model.tokenBytes.subarray(start, start + length)), id);
  }
  return words;
}

/** Merges the pair of the lowest rank, the leftmost of equal ones, until none is left (Sennrich et al., 2016). */
function merge(symbols: number[], ranks: Ranks): number[] {
  return symbols.length <= SCAN_SYMBOLS ? mergeByScan(symbols, ranks) : mergeByHeap(symbols, ranks);
}

function mergeByScan(symbols: number[], ranks: Ranks): number[] {
  for (;;) {
    let best: Merge | undefined;
    let bestAt = 0;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const found = ranks.get(symbols[i] * PAIR_FACTOR + symbols[i + 1]);
      if (found === undefined || (best !== undefined && found.rank >= best.rank)) continue;
      best = found;
      bestAt = i;
    }
    if (best === undefined) return symbols;
    symbols.splice(bestAt, 2, best.merged);
  }
}

/** The same in O(n log n): symbols in a linked list, pairs in a heap by rank and place; entries whose pair has changed are skipped. */
function mergeByHeap(symbols: number[], ranks: Ranks): number[] {
  const GONE = -1;
  const previous = symbols.map((_, i) => i - 1);
  const next = symbols.map((_, i) => (i + 1 < symbols.length ? i + 1 : GONE));
  const heap = new PairHeap();
  const push = (at: number): void => {
    const other = next[at];
    if (other === GONE) return;
    const found = ranks.get(symbols[at] * PAIR_FACTOR + symbols[other]);
    if (found !== undefined) heap.push({ ...found, at, left: symbols[at], right: symbols[other] });
  };
  for (let i = 0; i < symbols.length; i++) push(i);
  for (let pair = heap.pop(); pair !== undefined; pair = heap.pop()) {
    const { at, left, right, merged } = pair;
    const other = next[at];
    if (symbols[at] !== left || other === GONE || symbols[other] !== right) continue;
    symbols[at] = merged;
    symbols[other] = GONE;
    next[at] = next[other];
    if (next[at] !== GONE) previous[next[at]] = at;
    push(at);
    if (previous[at] !== GONE) push(previous[at]);
  }
  return symbols.filter((symbol) => symbol !== GONE);
}

interface Pair extends Merge {
  readonly at: number;
  readonly left: number;
  readonly right: number;
}

/** A binary heap by rank, then place. */
class PairHeap {
  readonly #pairs: Pair[] = [];

  push(pair: Pair): void {
    const pairs = this.#pairs;
    let child = pairs.push(pair) - 1;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (!isBefore(pair, pairs[parent])) break;
      pairs[child] = pairs[parent];
      child = parent;
    }
    pairs[child] = pair;
  }

  pop(): Pair | undefined {
    const pairs = this.#pairs;
    const first = pairs.at(0);
    const last = pairs.pop();
    if (last === undefined || pairs.length === 0) return first;
    let parent = 0;
    for (;;) {
      let child = 2 * parent + 1;
      if (child >= pairs.length) break;
      if (child + 1 < pairs.length && isBefore(pairs[child + 1], pairs[child])) child++;
      if (!isBefore(pairs[child], last)) break;
      pairs[parent] = pairs[child];
      parent = child;
    }
    pairs[parent] = last;
    return first;
  }
}

function isBefore(a: Pair, b: Pair): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.at < b.at);
}
