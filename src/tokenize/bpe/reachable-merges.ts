/**
 * The merges of a vocabulary that can ever be applied.
 *
 * Files that were made from a list of tokens have a merge for every way to cut a token in two. But merging is the same inside a token's own symbols whatever
 * stands around them, so only the last merge of those symbols by themselves ever makes the token: the others are never asked for with success, and only
 * spread the useful ones over more memory. Whether two tokens come to stand side by side is told by taking them apart again, the later one first (the test
 * for a pair of tokens by Hendrik van Antwerpen and Alexander Neubeck, "So many tokens, so little time", GitHub, 2024).
 */

import { widthOf } from '../../core/utf8.js';
import type { BpeModel } from './model.js';

export interface Reachable {
  /** [merges × 3] left, right, merged: those that can be applied, and some that may not, in the order of their ranks. */
  readonly merges: Int32Array;
  /** By id, 1: merging the symbols of this token, by themselves, is known to give the token. */
  readonly selfMade: Uint8Array;
}

const NONE = -1;

/** All merges and no self-made token where it cannot be told, or where nobody would gain by it. */
export function findReachable(model: BpeModel): Reachable {
  const { merges, idsEnd, wholeWords } = model;
  const unknown = { merges, selfMade: new Uint8Array(idsEnd) };
  const isMerged = new Uint8Array(idsEnd);
  let isMergedTwice = false;
  for (let i = 2; i < merges.length; i += 3) {
    isMergedTwice ||= isMerged[merges[i]] === 1;
    isMerged[merges[i]] = 1;
  }
  if (!isMergedTwice && !wholeWords) return unknown;
  const isSymbol = symbolsOf(model);
  if (isSymbol.some((symbol, id) => symbol === 1 && isMerged[id] === 1)) return unknown;
  const pairs = createPairTable(merges);
  if (pairs === undefined) return unknown;

  // Of each token the merge that makes it. Parts come first, so that the merges within a token are applied in the order of their ranks.
  const made = new Int32Array(idsEnd).fill(NONE);
  const isThere = (id: number): boolean => isSymbol[id] === 1 || made[id] !== NONE;
  for (let i = 0; i < merges.length; i += 3) {
    const [left, right, merged] = [merges[i], merges[i + 1], merges[i + 2]];
    if (made[merged] === NONE && isThere(left) && isThere(right) && meet(merges, made, pairs, left, right)) made[merged] = i / 3;
  }
  // A token that has none might still be made of parts that come later, and so might what it is a part of: of these, every merge stays.
  const isOpen = isMerged.map((isProduct, id) => (isProduct === 1 && made[id] === NONE ? 1 : 0));
  for (let found = true; found;) {
    found = false;
    for (let i = 0; i < merges.length; i += 3) {
      if (isOpen[merges[i + 2]] === 1 || (isOpen[merges[i]] === 0 && isOpen[merges[i + 1]] === 0)) continue;
      isOpen[merges[i + 2]] = 1;
      found = true;
    }
  }
  const reachable = new Int32Array(merges.length);
  let length = 0;
  for (let i = 0; i < merges.length; i += 3) {
    if (isOpen[merges[i + 2]] === 0 && made[merges[i + 2]] !== i / 3) continue;
    for (let part = 0; part < 3; part++) reachable[length + part] = merges[i + part];
    length += 3;
  }
  const selfMade = isMerged.map((isProduct, id) => (isProduct === 1 && made[id] !== NONE ? 1 : 0));
  return { merges: reachable.subarray(0, length), selfMade };
}

/** By id, 1: there before any merge. */
function symbolsOf({ style, byteIds, tokenBytes, tokenPlaces, idsEnd }: BpeModel): Uint8Array {
  const isSymbol = new Uint8Array(idsEnd);
  for (const id of byteIds) isSymbol[id] = 1;
  if (style === 'bytes') return isSymbol;
  for (let id = 0; id < idsEnd; id++) {
    const [start, length] = [tokenPlaces[2 * id], tokenPlaces[2 * id + 1]];
    if (length > 0 && length === widthOf(tokenBytes[start])) isSymbol[id] = 1;
  }
  return isSymbol;
}

/** Whether two tokens come to stand side by side where their symbols do: no merge goes over the place between them before both are made. */
function meet(merges: Int32Array, made: Int32Array, pairs: PairTable, left: number, right: number): boolean {
  let before = left;
  let after = right;
  // when the one before the place, and the one after it, become part of something larger
  let beforeEnds = Infinity;
  let afterEnds = Infinity;
  for (;;) {
    const beforeMade = made[before];
    const afterMade = made[after];
    if (beforeMade === NONE && afterMade === NONE) return true;
    // the later one is taken apart; of two of the same kind the right one is later
    if (beforeMade > afterMade) {
      beforeEnds = beforeMade;
      before = merges[3 * beforeMade + 1];
    } else {
      afterEnds = afterMade;
      after = merges[3 * afterMade];
    }
    const across = pairs(before, after);
    if (across !== NONE && across < beforeEnds && across <= afterEnds) return false;
  }
}

/** The rank of the merge of two tokens; −1 where there is none. */
type PairTable = (left: number, right: number) => number;

/** Open addressing, at most half full, behind a bit for each hash: most pairs that are asked for are none. `undefined` where a pair has two ranks. */
function createPairTable(merges: Int32Array): PairTable | undefined {
  const count = merges.length / 3;
  const mask = 2 ** Math.ceil(Math.log2(2 * count + 2)) - 1;
  const slots = new Int32Array(mask + 1).fill(NONE);
  const filterMask = 8 * (mask + 1) - 1;
  const filter = new Uint8Array(mask + 1);
  const hashOf = (left: number, right: number): number => {
    const hash = Math.imul(Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca77), 0xc2b2ae3d);
    return hash ^ (hash >>> 15);
  };
  for (let merge = 0; merge < count; merge++) {
    const hash = hashOf(merges[3 * merge], merges[3 * merge + 1]);
    filter[(hash & filterMask) >>> 3] |= 1 << (hash & 7);
    let slot = hash & mask;
    for (; slots[slot] !== NONE; slot = (slot + 1) & mask) {
      const other = 3 * slots[slot];
      if (merges[other] === merges[3 * merge] && merges[other + 1] === merges[3 * merge + 1]) return undefined;
    }
    slots[slot] = merge;
  }
  return (left, right) => {
    const hash = hashOf(left, right);
    if (((filter[(hash & filterMask) >>> 3] >>> (hash & 7)) & 1) === 0) return NONE;
    for (let slot = hash & mask; slots[slot] !== NONE; slot = (slot + 1) & mask) {
      const merge = slots[slot];
      if (merges[3 * merge] === left && merges[3 * merge + 1] === right) return merge;
    }
    return NONE;
  };
}
